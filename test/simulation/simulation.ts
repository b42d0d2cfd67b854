/**
 * A simulation: steps are done to a runtime, calls without waiting for each other, and the model watches.
 *
 * Owns: the runtime under test, its clock, making calls, crashes, audits, shortening a run that failed.
 * Does not own: which steps (steps.ts), what is right (model.ts, audit.ts).
 *
 * The limits are so small that executions leave memory, batches are cut and the journal is moved all the time. How small differs
 * from seed to seed: which messages overtake each other on their way depends on it.
 */
import { QueryRejectedError, WithStartWorkflowOperation, type Workflow } from '../../runtime/client/index.js';
import type { Limits } from '../../runtime/limits.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { Random } from '../crash/random.js';
import { ManualClock, TestRuntime } from '../support/runtime.js';
import { ThreadKiller } from '../support/threads.js';
import { auditRelayOrder, auditRelays } from './audit.js';
import { outcomeOf } from './calls.js';
import { type Execution, Model, type ModelCall, sendsUpdate } from './model.js';
import { factsOf, neighboursOf, type RunAnswers } from './run-facts.js';
import { type CallStep, printed, type StartStep, type Step } from './steps.js';

/** What a runtime is opened with. */
export interface Setting {
  threads: number;
  /** With 'wait', so few messages may be queued that calls do wait. */
  whenFull: 'error' | 'wait';
  /** The disk is full at times. */
  fills: boolean;
  /** Threads end at times. */
  dies: boolean;
  limits: Partial<Limits>;
}

export function settingOf(seed: number): Setting {
  const random = new Random(~seed);
  const whenFull = random.one(['error', 'wait'] as const);
  return {
    threads: random.one([1, 2, 2, 3]),
    whenFull,
    fills: random.one([true, false]),
    dies: random.one([true, false]),
    limits: {
      activationsPerThreadMax: random.one([1, 3, 20]),
      journalBytesMax: random.one([1_000, 3_000, 30_000]),
      batchMessagesMax: random.one([1, 3, 12, 200]),
      ...(whenFull === 'wait' && { queuedMessagesMax: random.one([2, 5, 20]) }),
    },
  };
}

/** Real time after which a call that can be answered counts as lost, ms. */
const PATIENCE_MS = 20_000;
/** How soon the runtime tries again what a full disk refused, ms. */
const AGAIN_MS = 250;

export interface Report {
  /** Each begins with the workflow id that it is about. */
  troubles: string[];
  /** The steps up to where trouble was seen. */
  done: readonly Step[];
  /** How often calls had which outcome, and so on. */
  counts: Record<string, number>;
  executions: number;
}

/** Does the steps until there is trouble, or to the end. */
export async function simulate(steps: readonly Step[], setting: Setting): Promise<Report> {
  const clock = new ManualClock();
  const plan = new FaultPlan();
  const { fills, dies, ...options } = setting;
  const killer = new ThreadKiller();
  const test = await TestRuntime.open({
    workflows: 'simulation',
    clock,
    wrap: (store) => faultyStore(store, plan),
    ...options,
    activities: { echo: async (text: string) => text },
  });
  const simulation = new Simulation(test, clock, plan, killer);
  // What waits for turns that fail has the room that others wait for, until the clock is turned.
  const stumbles = setting.whenFull === 'error';
  try {
    return await simulation.run(
      steps.filter(
        (step) =>
          (stumbles || !isStumble(step)) && (fills || step.kind !== 'full') && (dies || step.kind !== 'kill'),
      ),
    );
  } finally {
    await test.close();
    killer.restore();
  }
}

/**
 * Leaves out what a failure does not need, as far as that shows in time: first all other executions, then halves,
 * quarters and so on. What depends on a race may not show again; then the steps come back as they were.
 */
export async function shortened(
  steps: readonly Step[],
  setting: Setting,
  about: string,
  budgetMs: number,
): Promise<readonly Step[]> {
  const end = performance.now() + budgetMs;
  const fails = async (some: readonly Step[]) => (await simulate(some, setting)).troubles.length > 0;
  const alone = steps.filter((step) => !('id' in step) || step.id === about);
  let rest = (await fails(alone)) ? alone : steps;
  for (let size = rest.length >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < rest.length && performance.now() < end; ) {
      const fewer = [...rest.slice(0, at), ...rest.slice(at + size)];
      if (await fails(fewer)) rest = fewer;
      else at += size;
    }
  }
  return rest;
}

class Simulation {
  readonly #test: TestRuntime;
  readonly #clock: ManualClock;
  readonly #plan: FaultPlan;
  readonly #killer: ThreadKiller;
  readonly #model: Model;
  /** Answers to be had without anything else happening, and who gives them. */
  readonly #underWay = new Map<Promise<void>, CallStep>();
  readonly #done: Step[] = [];

  constructor(test: TestRuntime, clock: ManualClock, plan: FaultPlan, killer: ThreadKiller) {
    this.#test = test;
    this.#plan = plan;
    this.#killer = killer;
    this.#clock = clock;
    this.#model = new Model(() => clock.now());
  }

  async run(steps: readonly Step[]): Promise<Report> {
    const { troubles, counts, executions } = this.#model;
    for (const step of steps) {
      this.#done.push(step);
      await this.#perform(step);
      this.#hearErrors();
      if (troubles.length > 0) break;
    }
    if (troubles.length === 0) await this.#perform({ kind: 'reopen' });
    // Twice: what workflows sent to each other may have come when the receiver had just been looked at.
    for (let i = 0; i < 2 && troubles.length === 0; i++) await this.#audit('all');
    if (troubles.length === 0) auditRelays(this.#model);
    if (troubles.length === 0) auditRelayOrder(this.#model);
    return { troubles, counts, executions: executions.size, done: this.#done };
  }

  async #perform(step: Step): Promise<void> {
    switch (step.kind) {
      case 'advance':
        return this.#clock.advance(step.ms);
      case 'breathe':
        return round();
      case 'kill':
        this.#model.disturbed = true;
        this.#model.threadEnded();
        if (this.#killer.kill(step.which)) this.#model.count('threads ended');
        return;
      case 'full':
        this.#model.disturbed = true;
        this.#plan.full = true;
        for (let i = 0; i < step.rounds; i++) await round();
        this.#plan.full = false;
        return;
      case 'settle':
        return this.#settle();
      case 'audit':
        return this.#audit('changed');
      case 'crash':
        this.#model.crashed();
        this.#underWay.clear();
        await this.#test.crash();
        return this.#afterOpening();
      case 'reopen':
        await this.#test.reopen();
        await this.#settle();
        // Calls that could not be answered before the runtime was closed.
        this.#model.crashed();
        return this.#afterOpening();
      default:
        this.#call(step);
    }
  }

  async #afterOpening(): Promise<void> {
    this.#model.count('openings');
    await this.#audit('open');
  }

  // ----- calls -------------------------------------------------------------------------------------------------

  #call(step: CallStep): void {
    const call = this.#model.made(step);
    const answer = this.#make(step, call).then(
      (value) => this.#model.settled(call, { kind: 'ok', value }),
      (error) => this.#model.settled(call, outcomeOf(error)),
    );
    if (!waitsForClock(step)) this.#watch(answer, step);
  }

  #watch(answer: Promise<void>, step: CallStep): void {
    this.#underWay.set(answer, step);
    void answer.then(() => this.#underWay.delete(answer));
  }

  async #make(step: CallStep, call: ModelCall): Promise<unknown> {
    const { client } = this.#test;
    const handle = client.getHandle(step.id);
    switch (step.kind) {
      case 'start':
        return (await client.start('ledger', startOptions(step))).firstExecutionRunId;
      case 'signalWithStart': {
        const signal = { signal: 'tell', signalArgs: ['add', step.what] };
        return (await client.signalWithStart('ledger', { ...startOptions(step), ...signal })).signaledRunId;
      }
      case 'signal': {
        const { name, what, requestId } = step;
        const signal = name === 'late' ? name : 'tell';
        const more = name === 'stumble' ? this.#clock.now() + Number(step.more) : step.more;
        const args: [string, string, unknown?] = more === undefined ? [name, what] : [name, what, more];
        if (requestId === undefined) return handle.signal(signal, ...args).then(() => false);
        return (await handle.signalWithOptions(signal, { args, requestId })).duplicate;
      }
      case 'update':
        return this.#update(step, call);
      case 'updateWithStart':
        return this.#updateWithStart(step, call);
      case 'ask':
        return handle.getUpdateHandle(step.updateId).result();
      case 'query':
        return handle.query('list');
      case 'cancel':
        return handle.cancel();
      case 'terminate':
        return handle.terminate('as told');
    }
  }

  async #update(step: Extract<CallStep, { kind: 'update' }>, call: ModelCall): Promise<unknown> {
    const { name, updateId, what, ms, waiting } = step;
    const handle = this.#test.client.getHandle(step.id);
    const args: [string, string, number] = [name, what, ms];
    if (waiting === 'execute') return handle.executeUpdate('put', { args, updateId });
    const waitForStage = waiting === 'accepted' ? 'ACCEPTED' : 'COMPLETED';
    const accepting = handle.startUpdate('put', { args, updateId, waitForStage });
    if (waiting === 'accepted') this.#watch(accepting.then(noted, noted), step);
    const update = await accepting;
    if (call.settled === undefined) this.#model.accepted(call, update.workflowRunId!);
    return update.result();
  }

  async #updateWithStart(
    step: Extract<CallStep, { kind: 'updateWithStart' }>,
    call: ModelCall,
  ): Promise<unknown> {
    const { client } = this.#test;
    const { name, updateId, what, ms, waiting, conflict } = step;
    const startWorkflowOperation = new WithStartWorkflowOperation<Workflow>('ledger', {
      ...startOptions(step),
      workflowIdConflictPolicy: conflict,
    });
    const started = startWorkflowOperation.workflowHandle();
    started.then(({ firstExecutionRunId }) => this.#model.began(call, firstExecutionRunId), noted);
    const options = { startWorkflowOperation, updateId, args: [name, what, ms] as [string, string, number] };
    if (waiting === 'execute') return client.executeUpdateWithStart('put', options);
    const update = await client.startUpdateWithStart('put', { ...options, waitForStage: 'ACCEPTED' });
    if (call.settled === undefined) this.#model.accepted(call, update.workflowRunId!);
    return update.result();
  }

  /** While turns of an execution fail, only the clock helps those who wait for one. */
  #isHeld(step: CallStep): boolean {
    return sendsUpdate(step) && this.#model.execution(step.id).stumbles;
  }

  async #settle(): Promise<void> {
    for (;;) {
      const calls = [...this.#underWay].filter(([, step]) => !this.#isHeld(step));
      if (calls.length === 0) return;
      if (await this.#ends(Promise.all(calls.map(([answer]) => answer)))) continue;
      for (const [answer, step] of calls)
        if (this.#underWay.has(answer)) this.#model.trouble(step.id, `not answered: ${printed(step)}`);
      return this.#underWay.clear();
    }
  }

  /** Whether it comes to an end in time. What failed for a while is done again by the clock. */
  async #ends(work: Promise<unknown>): Promise<boolean> {
    let over = false;
    const ended = work.then(() => {
      over = true;
    });
    const end = performance.now() + PATIENCE_MS;
    while (!over && performance.now() < end) {
      await Promise.race([ended, later(this.#model.disturbed ? 20 : PATIENCE_MS, undefined)]);
      if (!over && this.#model.disturbed) this.#clock.advance(AGAIN_MS);
    }
    return over;
  }

  // ----- audits ------------------------------------------------------------------------------------------------

  /** Of those that changed; after an opening also of the open ones and of some that ended; or of all. */
  async #audit(which: 'changed' | 'open' | 'all'): Promise<void> {
    await this.#settle();
    const executions = [...this.#model.executions.values()].filter(
      ({ abandoned, unaudited, status }) =>
        !abandoned &&
        (unaudited.length > 0 ||
          status.kind === 'unsure' ||
          (status.kind === 'open' && which !== 'changed') ||
          which === 'all'),
    );
    for (const { id, stumbles } of executions) if (stumbles) await this.#mend(id);
    await Promise.all(executions.map((execution) => this.#auditOne(execution, which === 'all')));
  }

  async #auditOne(execution: Execution, all: boolean): Promise<void> {
    const { id } = execution;
    await Promise.all(
      this.#model.due(execution).map(({ runId, updateId }) => this.#ended(id, runId, updateId)),
    );
    try {
      for (;;) {
        const known = this.#model.knownOf(execution);
        const latest = await this.#latest(id);
        const runIds = new Set(this.#model.runsToAudit(execution, all));
        if (latest !== undefined && !execution.runs.has(latest)) runIds.add(latest);
        const answers = await this.#lookAll(id, runIds, new Set(execution.runs.keys()));
        // Calls that waited for a turn that failed may have been answered meanwhile, or have begun another run.
        if (this.#model.knownOf(execution) !== known) continue;
        return this.#model.audit(execution, newest(latest, answers), answers);
      }
    } catch (error) {
      this.#model.trouble(id, `an audit failed: ${(error as Error).stack}`);
    }
  }

  /** These runs, and those that continue them, or that they continue, as far as they are not known. */
  async #lookAll(id: string, runIds: Set<string>, known: Set<string>): Promise<RunAnswers[]> {
    const answers: RunAnswers[] = [];
    for (let asked = [...runIds]; asked.length > 0; ) {
      const found = await Promise.all(asked.map((runId) => this.#look(id, runId)));
      answers.push(...found);
      for (const runId of asked) known.add(runId);
      asked = found.flatMap(neighboursOf).filter((runId) => !known.has(runId));
    }
    return answers;
  }

  /** Turns the clock until the turns of an execution succeed again, if it is time for that. */
  async #mend(id: string): Promise<void> {
    const handle = this.#test.client.getHandle(id);
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end) {
      const pending = await handle.describe().then(({ pendingTurn }) => pendingTurn, noted);
      if (pending === undefined || this.#clock.now() < this.#model.execution(id).stumblesUntil) return;
      this.#clock.advance(1_000);
      // Comes behind the turn that is tried again, unless that is the first: then it is refused at once.
      await handle.query('list').catch(noted);
      await later(1, undefined);
    }
    this.#model.trouble(id, 'its turn fails for longer than it should');
  }

  /** Waits until an update that is due has ended, in whatever way, or cannot end yet because turns fail. */
  async #ended(id: string, runId: string, updateId: string): Promise<void> {
    const handle = this.#test.client.getHandle(id, runId);
    let over = false;
    const noteEnd = () => {
      over = true;
    };
    handle.getUpdateHandle(updateId).result().then(noteEnd, noteEnd);
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end) {
      await later(1, undefined);
      if (over || (await this.#mayFail(id))) return;
      if (this.#model.disturbed) this.#clock.advance(1);
    }
    this.#model.trouble(id, `update '${updateId}' of run ${runId} is due and does not end`);
  }

  /** Whether its turn is failing, and will until the clock is turned. A signal that does it may be lost in a crash. */
  async #mayFail(id: string): Promise<boolean> {
    const { stumbles, stumblesUntil } = this.#model.execution(id);
    if (!stumbles || this.#clock.now() >= stumblesUntil) return false;
    return (await this.#test.client.getHandle(id).describe()).pendingTurn !== undefined;
  }

  async #latest(id: string): Promise<string | undefined> {
    for (const end = performance.now() + PATIENCE_MS; ; ) {
      try {
        return (await this.#test.client.getHandle(id).describe()).runId;
      } catch (error) {
        const outcome = outcomeOf(error);
        if (outcome.kind === 'refused') return undefined;
        // The run that continues it did not get onto the disk yet.
        if (outcome.kind === 'unknown' && this.#model.disturbed && performance.now() < end) {
          this.#clock.advance(AGAIN_MS);
          await later(1, undefined);
          continue;
        }
        this.#model.trouble(id, `describe failed: ${(error as Error).stack}`);
        return undefined;
      }
    }
  }

  /** All of it at one instant: a handler may end between two questions, and what it ends with changes more than one answer. */
  async #look(id: string, runId: string): Promise<RunAnswers> {
    const handle = this.#test.client.getHandle(id, runId);
    for (;;) {
      const before = await handle.describe();
      const status = before.status.name;
      const suspended = before.pendingTurn !== undefined;
      const asked = status === 'TERMINATED' || suspended ? undefined : handle.query<string[]>('list');
      const list = await asked?.catch((error) => this.#otherwiseMeanwhile(error));
      if (list === null) continue;
      const { events } = await handle.fetchHistory();
      const { historyLength } = await handle.describe();
      if (historyLength !== before.historyLength) continue;
      const result = status === 'COMPLETED' ? ((await handle.result()) as string[]) : undefined;
      return { runId, status, suspended, events, ...(list && { list }), ...(result && { result }) };
    }
  }

  /** A call that waited for a turn that failed may have terminated it, or the end of its thread have come to light. */
  #otherwiseMeanwhile(error: unknown): null {
    const outcome = outcomeOf(error);
    if (error instanceof QueryRejectedError) return null;
    if (this.#model.disturbed && outcome.kind === 'refused' && outcome.why === 'turn fails') return null;
    throw error;
  }

  #hearErrors(): void {
    for (const { level, message } of this.#test.logs.splice(0))
      if (level === 'ERROR' && message !== STUMBLED && !(this.#model.disturbed && DISTURBED.test(message)))
        this.#model.trouble('runtime', `logged an error: ${message}`);
  }
}

const STUMBLED = 'Turn failed, will be tried again: stumbles';
const DISTURBED = /the disk is full|^Turn failed, will be tried again: The thread died/;

/** The run that continues the one that was the latest, if it has ended so since. */
function newest(latest: string | undefined, answers: readonly RunAnswers[]): string | undefined {
  const answer = answers.find(({ runId }) => runId === latest);
  const { next } = answer === undefined ? {} : factsOf(answer);
  return next === undefined ? latest : newest(next, answers);
}

/** Of the event loop. */
function round(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isStumble(step: Step): boolean {
  return step.kind === 'signal' && step.name === 'stumble';
}

/** Its answer may need the clock to be turned. */
function waitsForClock(step: CallStep): boolean {
  return step.kind === 'ask' || (step.kind === 'update' && step.name === 'putSlowly');
}

function startOptions({ id, life, conflict, reuse }: StartStep) {
  return {
    workflowId: id,
    args: [life],
    workflowIdReusePolicy: reuse,
    // The one reuse policy that says what becomes of an open execution stands alone.
    ...(reuse !== 'TERMINATE_IF_RUNNING' && { workflowIdConflictPolicy: conflict }),
  };
}

const noted = (): void => undefined;

function later<T>(ms: number, value: T): Promise<T> {
  return new Promise((resolve) => void setTimeout(resolve, ms, value).unref());
}
