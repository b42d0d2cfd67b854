import { expect } from 'chai';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store } from '../../runtime/store/store.js';
import { eventually, ManualClock, TestRuntime } from '../support/runtime.js';

/** A store whose writes wait while it is held, as those of a slow disk would. */
class HeldStore {
  readonly #store = openMemoryStore();
  #held: Promise<void> | undefined;
  #release = (): void => undefined;
  waiting = 0;

  readonly port: Store = {
    get: (key) => this.#store.get(key),
    range: (from, to, options) => this.#store.range(from, to, options),
    write: async (ops) => {
      this.waiting += 1;
      await this.#held;
      this.waiting -= 1;
      return this.#store.write(ops);
    },
    stats: () => this.#store.stats(),
    close: async () => undefined,
  };

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#held = undefined;
    this.#release();
  }
}

// D4
describe('workflow output gate', () => {
  const begun: string[] = [];
  const activities = { work: async (what: string) => `${begun.push(what)} done` };
  const clock = new ManualClock();
  const store = new HeldStore();
  let runtime: TestRuntime;
  before(async () => {
    runtime = await TestRuntime.open({ workflows: 'history', activities, clock, store: store.port });
  });
  after(() => runtime.close());

  /** Makes the calls while nothing becomes durable. Gives which of them were answered before it did, and all answers. */
  async function held<T>(
    calls: () => Record<string, Promise<T>>,
  ): Promise<{ early: string[]; answers: Record<string, unknown> }> {
    const early: string[] = [];
    const answers: Record<string, unknown> = {};
    store.hold();
    const all = Object.entries(calls()).map(([name, call]) =>
      call.then(
        (answer) => {
          early.push(name);
          answers[name] = answer;
        },
        (error: Error) => {
          early.push(name);
          answers[name] = error.message;
        },
      ),
    );
    await eventually(() => store.waiting > 0);
    // The turn is over by now, and its entry waits to be written. Whoever does not wait for that has time to show it.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const answered = [...early];
    store.release();
    await Promise.all(all);
    return { early: answered, answers };
  }

  it('calls that depend on a turn: answered when the turn is durable, not before', async () => {
    const handle = await runtime.start('does');
    const { early, answers } = await held<unknown>(() => ({
      signal: handle.signal('act', 'a'),
      update: handle.executeUpdate('act', { args: ['b'] }),
      accepted: handle
        .startUpdate('act', { args: ['sleep'], waitForStage: 'ACCEPTED' })
        .then(() => 'accepted'),
      rejected: handle.executeUpdate('act', { args: ['reject'] }),
      query: handle.query('count'),
      start: runtime.client.start('does', { workflowId: runtime.newId(), args: [] }).then(() => 'started'),
    }));
    expect(early).to.deep.equal([]);
    expect(answers).to.deep.equal({
      signal: undefined,
      update: 'b',
      accepted: 'accepted',
      rejected: 'Workflow Update failed',
      query: 3,
      start: 'started',
    });
  });

  it('query of another execution, whose turns are durable: is not held up', async () => {
    const [busy, quiet] = [await runtime.start('does'), await runtime.start('does')];
    const { early } = await held<unknown>(() => ({
      busy: busy.signal('act', 'a'),
      quiet: quiet.query('count'),
    }));
    expect(early).to.deep.equal(['quiet']);
  });

  it('activity: begins when the turn that scheduled it is durable, not before', async () => {
    const handle = await runtime.start('does');
    begun.length = 0;
    let early: string[] = [];
    const { answers } = await held<unknown>(() => {
      const update = handle.executeUpdate('act', { args: ['work'] });
      void eventually(() => store.waiting > 0).then(() => {
        early = [...begun];
      });
      return { update };
    });
    expect(early).to.deep.equal([]);
    expect(answers).to.deep.equal({ update: '1 done' });
  });

  it('result, description and history: show only what is durable', async () => {
    const handle = await runtime.start('does');
    const { historyLength } = await handle.describe();
    const shown: unknown[] = [];
    const { early } = await held<unknown>(() => ({
      finish: handle.signal('act', 'finish'),
      result: handle.result(),
      look: eventually(() => store.waiting > 0).then(async () => {
        const { status, historyLength: now } = await handle.describe();
        shown.push(status.name, now, (await handle.fetchHistory()).events.length);
      }),
    }));
    expect(early).to.deep.equal(['look']);
    expect(shown).to.deep.equal(['RUNNING', historyLength, historyLength]);
    expect((await handle.describe()).status.name).to.equal('COMPLETED');
  });
});
