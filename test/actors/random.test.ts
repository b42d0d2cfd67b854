import { expect } from 'chai';
import fc from 'fast-check';
import { Random, seedOf, uuidFrom } from '../../actors/random.js';

/**
 * What Temporal's SDK 1.24.0 draws for a run id. Its own generator gave the draws, and its worker accepted ids made of
 * them when it replayed a history.
 */
const KNOWN = [
  {
    runId: '',
    seed: '30406ea523c53def',
    draws: [0.26134478277526796, 0.4353937453124672, 0.13923171092756093],
    uuid: 'f0b66074-89c6-479d-ba11-317947014f82',
    after: 0.9718550757970661,
  },
  {
    runId: 'run',
    seed: '27e9ab0fdb496fa4',
    draws: [0.26338457805104554, 0.47373591898940504, 0.40061073610559106],
    uuid: '74a2515b-8624-48ea-8a28-fbfa6fe2c87a',
    after: 0.3722316771745682,
  },
  {
    runId: '2f1c6ad2-7c3b-4f55-9d0e-0a6a3b1c9f10',
    seed: '54de12b50c1226d3',
    draws: [0.010645498288795352, 0.35564593342132866, 0.42205917998217046],
    uuid: '8a2150d0-e78f-49ad-b0fb-210b7298291b',
    after: 0.47719442611560225,
  },
  {
    runId: 'café ☕ 🚦',
    seed: '3b1b32c2c26073c6',
    draws: [0.11813928163610399, 0.49245695816352963, 0.13160760723985732],
    uuid: 'bab8eff8-2df8-4b6e-9aaf-6ed1e65c6f93',
    after: 0.4390356265939772,
  },
];

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const draws = (random: Random, count: number) => Array.from({ length: count }, () => random.next());

describe('random', () => {
  for (const { runId, seed, draws: known, uuid, after } of KNOWN) {
    it(`random: run id '${runId}' -> the seed, draws and uuid of Temporal's SDK`, () => {
      expect(hex(seedOf(runId))).to.equal(seed);
      const random = new Random(seedOf(runId));
      expect(draws(random, 3)).to.deep.equal(known);
      expect(random.uuid4()).to.equal(uuid);
      expect(random.next()).to.equal(after);
    });
  }

  it('seed: any text -> the same as an independent SipHash-1-3', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 80 }), (text) => {
        expect(hex(seedOf(text))).to.equal(sipHash13(Buffer.concat([Buffer.from(text), Buffer.of(0xff)])));
      }),
    );
  });

  it('seed: half of a surrogate pair -> counts as U+FFFD', () => {
    expect(hex(seedOf('a\ud800b'))).to.equal(hex(seedOf('a\ufffdb')));
    expect(hex(seedOf('\udc00'))).to.equal(hex(seedOf('\ufffd')));
  });

  it('next: many draws -> all in [0, 1), spread evenly', () => {
    const buckets = new Array<number>(16).fill(0);
    const all = draws(new Random(seedOf('spread')), 160_000);
    expect(all.every((draw) => draw >= 0 && draw < 1)).to.equal(true);
    for (const draw of all) buckets[Math.floor(draw * 16)]!++;
    for (const count of buckets) expect(count).to.be.within(9_500, 10_500);
  });

  it('uuid4: many -> version 4, variant 1, all different', () => {
    const random = new Random(seedOf('ids'));
    const ids = Array.from({ length: 10_000 }, () => random.uuid4());
    for (const id of ids)
      expect(id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('uuid4: one id -> four draws, also through a function of draws', () => {
    const [byId, byDraw] = [new Random(seedOf('x')), new Random(seedOf('x'))];
    const fraction = new Random(seedOf('x'));
    expect(byId.uuid4()).to.equal(uuidFrom(() => fraction.next()));
    draws(byDraw, 4);
    expect(byId.state()).to.deep.equal(byDraw.state());
  });

  it('state: restored -> the same draws again (D5)', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(50), (runId, skip) => {
        const random = new Random(seedOf(runId));
        draws(random, skip);
        const state = structuredClone(random.state());
        const first = draws(random, 20);
        const other = new Random(Uint8Array.of());
        other.restore(state);
        expect(draws(other, 20)).to.deep.equal(first);
      }),
    );
  });

  it('fork: either draws -> the other stays where it is', () => {
    const random = new Random(seedOf('fork'));
    draws(random, 5);
    const fork = random.fork();
    const ahead = draws(fork, 10);
    expect(draws(random, 10)).to.deep.equal(ahead);
    expect(fork.next()).to.equal(random.next());
  });
});

/** As the paper has it, in 64-bit numbers: slow, and nothing like the code under test. */
function sipHash13(message: Buffer): string {
  const wrap = (value: bigint) => BigInt.asUintN(64, value);
  const turn = (value: bigint, bits: bigint) => wrap((value << bits) | (value >> (64n - bits)));
  let [v0, v1, v2, v3] = [0x736f6d6570736575n, 0x646f72616e646f6dn, 0x6c7967656e657261n, 0x7465646279746573n];
  const round = () => {
    v0 = wrap(v0 + v1);
    v1 = turn(v1, 13n) ^ v0;
    v0 = turn(v0, 32n);
    v2 = wrap(v2 + v3);
    v3 = turn(v3, 16n) ^ v2;
    v0 = wrap(v0 + v3);
    v3 = turn(v3, 21n) ^ v0;
    v2 = wrap(v2 + v1);
    v1 = turn(v1, 17n) ^ v2;
    v2 = turn(v2, 32n);
  };
  const padded = Buffer.concat([message, Buffer.alloc(8 - (message.length % 8))]);
  padded[padded.length - 1] = message.length;
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  v2 ^= 0xffn;
  for (let i = 0; i < 3; i++) round();
  return (v0 ^ v1 ^ v2 ^ v3).toString(16).padStart(16, '0');
}
