/** Group commit against stores that are slow, full, or fail (committer.ts: D1, D4). */
import { expect } from 'chai';
import { keys } from '../../codec/keys.js';
import { Committer } from '../../runtime/committer.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { eventually } from '../support/runtime.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

function committer(lastSeq = 0, valueBytesMax?: number) {
  const disk = openMemoryStore({ durability: 'commit' });
  const plan = new FaultPlan();
  const made = new Committer(faultyStore(disk, plan), lastSeq, valueBytesMax);
  const told: string[] = [];
  const append = (name: string): void =>
    made.append(
      bytes(name),
      (seq) => told.push(`${name} durable in ${seq}`),
      (error) => told.push(`${name} failed: ${error.name}`),
    );
  const value = (seq: number) => {
    const found = disk.get(keys.journal(seq));
    return found === undefined ? undefined : Buffer.from(found).toString();
  };
  return { made, plan, told, append, value };
}

describe('committer', () => {
  it('a full store: a value of several rows was refused, and the next one is refused as well', async () => {
    // With room for what removes rows, as a full store has.
    const disk = openMemoryStore({ bytesMax: 8_000 });
    const made = new Committer(disk, 0);
    const told: string[] = [];
    for (const size of [40_000, 8_100, 8_100])
      await new Promise<void>((resolve) =>
        made.append(
          new Uint8Array(size),
          () => resolve(void told.push('durable')),
          (error) => resolve(void told.push(error.name)),
        ),
      );
    expect(told).to.deep.equal(['StoreFullError', 'StoreFullError', 'StoreFullError']);
  });

  it('one append: told when the store has it, numbered from the newest value there', async () => {
    const { made, told, append, value, plan } = committer(41);
    plan.hold('after');
    append('a');
    await eventually(() => value(42) === 'a');
    expect(told).to.deep.equal([]);
    expect(made.durableSeq).to.equal(41);
    plan.release();
    await made.settled();
    expect(told).to.deep.equal(['a durable in 42']);
    expect(made.durableSeq).to.equal(42);
  });

  it('appended while one is being written: all go together in the next value, in order', async () => {
    const { made, told, append, value, plan } = committer();
    for (const name of ['a', 'b', 'c']) append(name);
    await made.settled();
    expect(told).to.deep.equal(['a durable in 1', 'b durable in 2', 'c durable in 2']);
    expect([value(1), value(2)]).to.deep.equal(['a', 'bc']);
    expect(plan.writes).to.equal(2);
  });

  it('more has gathered than one value may hold: goes into several, in order, and settled() waits for all of it', async () => {
    const { made, told, append, value } = committer(0, 4);
    for (const name of ['a', 'bbb', 'cc', 'd', 'eeeeee']) append(name);
    await made.settled();
    expect([value(1), value(2), value(3), value(4)]).to.deep.equal(['a', 'bbbcc', 'deeeeee', undefined]);
    expect(told.at(-1)).to.equal('eeeeee durable in 3');
  });

  it('a write fails: what gathered behind it fails too, and the next takes the same number', async () => {
    const { made, told, append, value, plan } = committer();
    plan.next({ kind: 'full' });
    append('a');
    append('b');
    await made.settled();
    append('c');
    await made.settled();
    expect(told).to.deep.equal(['a failed: StoreFullError', 'b failed: StoreFullError', 'c durable in 1']);
    expect(value(1)).to.equal('c');
  });

  it('settled(): waits for what was appended before, not for what comes after', async () => {
    const { made, told, append, plan } = committer();
    let writes = 0;
    // Each write finds another append waiting, for ever.
    plan.delay = async () => append(`more ${++writes}`);
    append('a');
    append('b');
    await made.settled();
    expect(told.slice(0, 2)).to.deep.equal(['a durable in 1', 'b durable in 2']);
    expect(told.length).to.be.below(5);
    plan.delay = undefined;
    await made.settled();
  });

  it('settled() with nothing to write, and after a failure: resolves', async () => {
    const { made, append, plan } = committer();
    await made.settled();
    plan.full = true;
    append('a');
    await made.settled();
    await made.settled();
  });

  it('an append made by someone who is told of a failure: is written', async () => {
    const { made, told, append, plan } = committer();
    plan.next({ kind: 'full' });
    made.append(
      bytes('a'),
      () => undefined,
      () => append('again'),
    );
    await made.settled();
    await made.settled();
    expect(told).to.deep.equal(['again durable in 1']);
  });
});
