import { expect } from 'chai';
import fc from 'fast-check';
import { eventually, type Handle, ManualClock, TestRuntime } from '../support/runtime.js';

type Message = { kind: 'signal' | 'update'; name: string; n: number };
/** Messages that are sent together, or a turn of the clock. */
type Step = { messages: Message[] } | { ms: number };

interface State {
  seen: unknown[];
  total: number;
  /** When the naps under way will be over, in ms since the start. */
  naps: number[];
}

const SIGNALS = [
  'add',
  'open',
  'close',
  'wait',
  'wait a while',
  'nap',
  'wake all',
  'draw',
  'work',
  'mute',
  'unmute',
  'unheardOf',
];
const UPDATES = ['add', 'wait', 'nap', 'fail', 'work', 'unheardOf'];
const n = fc.nat(9);
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ kind: fc.constant('signal' as const), name: fc.constantFrom(...SIGNALS), n }),
  fc.record({ kind: fc.constant('update' as const), name: fc.constantFrom(...UPDATES), n }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ messages: fc.array(message, { minLength: 1, maxLength: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ ms: fc.integer({ min: 1, max: 60 }) }) },
);
const steps = fc.array(step, { minLength: 1, maxLength: 12 });

const activities = { work: async (what: number) => what * 10 };

/** An execution, the runtime it lives in, and what became of its updates. */
class Subject {
  readonly outcomes: unknown[] = [];
  readonly #began: number;

  private constructor(
    readonly runtime: TestRuntime,
    readonly clock: ManualClock,
    private id: string,
  ) {
    this.#began = clock.now();
  }

  static async start(runtime: TestRuntime, clock: ManualClock): Promise<Subject> {
    const { workflowId } = await runtime.start('records');
    return new Subject(runtime, clock, workflowId);
  }

  get handle(): Handle {
    return this.runtime.client.getHandle(this.id);
  }

  state(): Promise<State> {
    return this.handle.query('state') as Promise<State>;
  }

  /** Takes a step, and waits until all that follows from it without the clock has happened. */
  async take(step: Step): Promise<void> {
    if ('ms' in step) this.clock.advance(step.ms);
    else await Promise.all(step.messages.map((message) => this.#send(message)));
    await eventually(async () => {
      if ((await this.handle.describe()).pendingActivities.length > 0) return false;
      const { naps } = await this.state();
      return naps.every((due) => this.#began + due > this.clock.now());
    });
  }

  async #send({ kind, name, n }: Message): Promise<void> {
    if (kind === 'signal') return this.handle.signal(name, n);
    const at = this.outcomes.push(undefined) - 1;
    const update = await this.handle.startUpdate(name, { args: [n], waitForStage: 'ACCEPTED' });
    // It may take many steps more, or never end.
    update.result().then(
      (value) => (this.outcomes[at] = value),
      (error) => (this.outcomes[at] = error.cause?.message ?? 'cut off'),
    );
  }
}

// D5
describe('workflow replay: any sequence of messages', () => {
  const open = (clock: ManualClock, options: object = {}) =>
    TestRuntime.open({ workflows: 'records', activities, clock, ...options });

  it('crash in the middle -> the state is the same as before, and the rest goes on as without a crash', async () => {
    const [clock, otherClock] = [new ManualClock(), new ManualClock()];
    const [runtime, undisturbed] = [await open(clock), await open(otherClock)];
    await fc.assert(
      fc.asyncProperty(steps, steps, async (first, second) => {
        const subject = await Subject.start(runtime, clock);
        const model = await Subject.start(undisturbed, otherClock);
        for (const step of first) {
          await subject.take(step);
          await model.take(step);
        }
        const [state, drawn, history] = await Promise.all([
          subject.state(),
          subject.handle.query('drawn'),
          subject.handle.fetchHistory(),
        ]);
        await runtime.crash();
        expect(await subject.state()).to.deep.equal(state);
        expect(await subject.handle.query('drawn')).to.deep.equal(drawn);
        expect(await subject.handle.fetchHistory()).to.deep.equal(history);
        for (const step of second) {
          await subject.take(step);
          await model.take(step);
        }
        expect(await subject.state()).to.deep.equal(await model.state());
      }),
      { numRuns: 12 },
    );
    await Promise.all([runtime.close(), undisturbed.close()]);
  });

  it('passivation after every step -> the state and the outcomes of updates are those of an execution that stays in memory', async () => {
    const [clock, otherClock] = [new ManualClock(), new ManualClock()];
    // There is room for one activation, and two executions take turns.
    const [crowded, roomy] = [
      await open(clock, { limits: { activationsPerThreadMax: 1 } }),
      await open(otherClock),
    ];
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const subject = await Subject.start(crowded, clock);
        const rival = await Subject.start(crowded, clock);
        const model = await Subject.start(roomy, otherClock);
        for (const step of all) {
          await subject.take(step);
          await rival.handle.signal('add', 1);
          expect(crowded.runtime.metrics().activations).to.be.at.most(2);
          await model.take(step);
        }
        expect(await subject.state()).to.deep.equal(await model.state());
        expect(subject.outcomes).to.deep.equal(model.outcomes);
        expect((await rival.state()).total).to.equal(all.length);
      }),
      { numRuns: 25 },
    );
    await Promise.all([crowded.close(), roomy.close()]);
  });
});
