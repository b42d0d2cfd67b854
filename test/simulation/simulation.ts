/**
 * A simulation: steps are done to a runtime, calls without waiting for each other, and the model watches.
 *
 * Owns: the runtime under test, its clock, making calls, crashes, audits, shortening a run that failed.
 * Does not own: which steps (steps.ts), what is right (model.ts, audit.ts).
 *
 * The limits are so small that executions leave memory, batches are cut and the journal is moved all the time.
 */
import { ManualClock, TestRuntime } from '../support/runtime.js';
import { outcomeOf } from './calls.js';
import { type Execution, Model, type ModelCall } from './model.js';
import type { RunAnswers } from './run-facts.js';
import type { CallStep, Step } from './steps.js';

const LIMITS = { activationsPerThreadMax: 3, journalBytesMax: 3_000, batchMessagesMax: 12 };
/** Real time after which a call that can be answered counts as lost, ms. */
const PATIENCE_MS = 20_000;

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
export async function simulate(steps: readonly Step[]): Promise<Report> {
  const clock = new ManualClock();
  const test = await TestRuntime.open({
    workflows: 'simulation',
    threads: 2,
    clock,
    limits: LIMITS,
    activities: { echo: async (text: string) => text },
  });
  const simulation = new Simulation(test, clock);
  try {
    return await simulation.run(steps);
  } finally {
    await test.close();
  }
}

/**
 * Leaves out what a failure does not need, as far as that shows in time: first all other executions, then halves,
 * quarters and so on. What depends on a race may not show again; then the steps come back as they were.
 */
export async function shortened(
  steps: readonly Step[],
  about: string,
  budgetMs: number,
): Promise<readonly Step[]> {
  const end = performance.now() + budgetMs;
  const fails = async (some: readonly Step[]) => (await simulate(some)).troubles.length > 0;
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
  readonly #model: Model;
  /** Calls that can be answered without anything else happening. */
  #underWay = new Set<Promise<void>>();
  readonly #done: Step[] = [];

  constructor(test: TestRuntime, clock: ManualClock) {
    this.#test = test;
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
    if (troubles.length === 0) await this.#audit('all');
    return { troubles, counts, executions: executions.size, done: this.#done };
  }

  async #perform(step: Step): Promise<void> {
    switch (step.kind) {
      case 'advance':
        return this.#clock.advance(step.ms);
      case 'breathe':
        return new Promise((resolve) => setImmediate(resolve));
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
    if (!waitsForClock(step)) this.#watch(answer);
  }

  #watch(answer: Promise<void>): void {
    this.#underWay.add(answer);
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
        if (requestId === undefined) return handle.signal(signal, name, what).then(() => false);
        return (await handle.signalWithOptions(signal, { args: [name, what], requestId })).duplicate;
      }
      case 'update':
        return this.#update(step, call);
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
    if (waiting === 'accepted') this.#watch(accepting.then(noted, noted));
    const update = await accepting;
    if (call.settled === undefined) this.#model.accepted(call, update.workflowRunId!);
    return update.result();
  }

  async #settle(): Promise<void> {
    while (this.#underWay.size > 0) {
      const calls = [...this.#underWay];
      const lost = Symbol('lost');
      const outcome = await Promise.race([Promise.all(calls), later(PATIENCE_MS, lost)]);
      if (outcome !== lost) continue;
      this.#model.trouble('runtime', `${calls.length} calls are not answered`);
      this.#underWay.clear();
    }
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
    await Promise.all(executions.map((execution) => this.#auditOne(execution, which === 'all')));
  }

  async #auditOne(execution: Execution, all: boolean): Promise<void> {
    const { id } = execution;
    await Promise.all(
      this.#model.due(execution).map(({ runId, updateId }) => this.#ended(id, runId, updateId)),
    );
    const latest = await this.#latest(id);
    const runIds = new Set(this.#model.runsToAudit(execution, all));
    if (latest !== undefined && !execution.runs.has(latest)) runIds.add(latest);
    try {
      const answers = await Promise.all([...runIds].map((runId) => this.#look(id, runId)));
      this.#model.audit(execution, latest, answers);
    } catch (error) {
      this.#model.trouble(id, `an audit failed: ${(error as Error).stack}`);
    }
  }

  /** Waits until an update that is due has ended, in whatever way. */
  async #ended(id: string, runId: string, updateId: string): Promise<void> {
    const lost = Symbol('lost');
    const result = this.#test.client.getHandle(id, runId).getUpdateHandle(updateId).result();
    const outcome = await Promise.race([result.then(noted, noted), later(PATIENCE_MS, lost)]);
    if (outcome === lost)
      this.#model.trouble(id, `update '${updateId}' of run ${runId} is due and does not end`);
  }

  async #latest(id: string): Promise<string | undefined> {
    try {
      return (await this.#test.client.getHandle(id).describe()).runId;
    } catch (error) {
      const outcome = outcomeOf(error);
      if (outcome.kind !== 'refused') this.#model.trouble(id, `describe failed: ${(error as Error).stack}`);
      return undefined;
    }
  }

  /** All of it at one instant: a handler may end between two questions, and what it ends with changes more than one answer. */
  async #look(id: string, runId: string): Promise<RunAnswers> {
    const handle = this.#test.client.getHandle(id, runId);
    for (;;) {
      const before = await handle.describe();
      const status = before.status.name;
      const list = status === 'TERMINATED' ? undefined : await handle.query<string[]>('list');
      const { events } = await handle.fetchHistory();
      const { historyLength } = await handle.describe();
      if (historyLength !== before.historyLength) continue;
      const result = status === 'COMPLETED' ? ((await handle.result()) as string[]) : undefined;
      return { runId, status, events, ...(list && { list }), ...(result && { result }) };
    }
  }

  #hearErrors(): void {
    for (const { level, message } of this.#test.logs.splice(0))
      if (level === 'ERROR') this.#model.trouble('runtime', `logged an error: ${message}`);
  }
}

/** Its answer may need the clock to be turned. */
function waitsForClock(step: CallStep): boolean {
  return step.kind === 'ask' || (step.kind === 'update' && step.name === 'putSlowly');
}

function startOptions({
  id,
  life,
  conflict,
  reuse,
}: Extract<CallStep, { kind: 'start' | 'signalWithStart' }>) {
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
