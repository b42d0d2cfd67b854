/**
 * The model: what every execution of a simulation must answer, as far as that is determined.
 *
 * Owns: one small record per workflow id, the expectation of each call, what calls and answers so far imply.
 * Does not own: making calls (simulation.ts), comparing whole histories and lists (audit.ts).
 *
 * Calls that are under way at the same time can take effect in more than one way. So the model knows a status for
 * certain only while no call that may change it is under way, and then it is strict; otherwise it is lenient, and the
 * next audit makes it certain again. Knowledge outlives crashes: what was acknowledged stays (D1, D2).
 *
 *   absent --start--> open --finish, fail, cancel, terminate--> closed --start--> open
 *       any of these under way together, or ended by a timer: unsure, until the next audit
 */
import type { Life } from '../fixtures/workflows/simulation.js';
import { auditExecution } from './audit.js';
import { type Call, type Outcome, told, wasLost } from './calls.js';
import type { RunAnswers, RunFacts } from './run-facts.js';
import { type CallStep, printed, relayedOf, type StartStep } from './steps.js';

export type Status =
  | { kind: 'absent' }
  | { kind: 'open'; runId: string; firstRunId: string; life: Life; cancelled: boolean }
  | { kind: 'closed'; how: string }
  | { kind: 'unsure' };

/** A call, and what was known when it was made. */
export interface ModelCall extends Call {
  status: Status;
  /** Calls that may change the status, up to and with this one. */
  changes: number;
  alone: boolean;
  /** Outcome that the update had before, when it can only be that one again. */
  remembered?: Outcome | undefined;
  /** The update id, if any, was used before. */
  again: boolean;
  /** Lengths of the lists that had been seen, by tag. */
  seen: Map<string, number>;
  runIds: Set<string>;
}

export interface RunRecord {
  facts: RunFacts;
  /** It closed and was looked at since: nothing about it changes any more. */
  final: boolean;
  /** By update id: the clock at the first audit that saw it accepted. */
  acceptedBy: Map<string, number>;
}

export class Execution {
  status: Status = { kind: 'absent' };
  readonly calls: ModelCall[] = [];
  /** Calls that no audit has looked at. */
  unaudited: ModelCall[] = [];
  /** By run id, in the order in which they were seen. */
  readonly runs = new Map<string, RunRecord | undefined>();
  /** The longest list seen, by tag. */
  readonly lists = new Map<string, string[]>();
  /** A signal that makes turns fail was sent, and no audit has seen the end of that. */
  stumbles = false;
  /** The clock, when the last of them lets turns succeed again. */
  stumblesUntil = 0;
  /** Two starts were lost from sight in one crash, and with them the ids of the runs that they made. */
  abandoned = false;
  changes = 0;
  changing = 0;
  remembered = new Map<string, Outcome>();

  constructor(readonly id: string) {}
}

export class Model {
  readonly troubles: string[] = [];
  readonly executions = new Map<string, Execution>();
  readonly counts: Record<string, number> = {};
  /** Where signals that workflows send to others go, by what they bring. */
  readonly relays = new Map<string, string>();
  readonly #now: () => number;
  #moment = 0;
  #made = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  execution(id: string): Execution {
    let execution = this.executions.get(id);
    if (execution === undefined) {
      execution = new Execution(id);
      this.executions.set(id, execution);
    }
    return execution;
  }

  // ----- calls -------------------------------------------------------------------------------------------------

  made(step: CallStep): ModelCall {
    const execution = this.execution(step.id);
    const updateId = 'updateId' in step ? step.updateId : undefined;
    const call: ModelCall = {
      no: ++this.#made,
      step,
      issued: ++this.#moment,
      issuedAt: this.now,
      status: execution.status,
      changes: execution.changes,
      alone: execution.changing === 0,
      remembered: 'updateId' in step ? execution.remembered.get(step.updateId) : undefined,
      again: execution.calls.some((other) => sendsUpdate(other.step) && other.step.updateId === updateId),
      seen: new Map([...execution.lists].map(([tag, list]) => [tag, list.length])),
      runIds: new Set(execution.runs.keys()),
    };
    if (changes(step)) {
      execution.changing++;
      call.changes = ++execution.changes;
      execution.status = { kind: 'unsure' };
      if (starts(step)) execution.remembered.clear();
    }
    if (step.kind === 'signal' && step.name === 'stumble') {
      execution.stumbles = true;
      execution.stumblesUntil = Math.max(execution.stumblesUntil, this.now + Number(step.more));
    }
    if (step.kind === 'signal' && step.name === 'relay')
      for (const sent of relayedOf(step.what)) this.relays.set(sent, String(step.more));
    execution.calls.push(call);
    execution.unaudited.push(call);
    return call;
  }

  accepted(call: ModelCall, runId: string): void {
    call.accepted = { moment: ++this.#moment, runId };
    const execution = this.execution(call.step.id);
    if (!execution.runs.has(runId) && !execution.abandoned) execution.runs.set(runId, undefined);
  }

  /** A start knows its chain before an update that came with it has ended. */
  began(call: ModelCall, firstRunId: string): void {
    const { runs, abandoned } = this.execution(call.step.id);
    if (call.settled !== undefined || abandoned) return;
    call.firstRunId = firstRunId;
    if (!runs.has(firstRunId)) runs.set(firstRunId, undefined);
  }

  settled(call: ModelCall, outcome: Outcome): void {
    if (call.settled !== undefined) return;
    call.settled = ++this.#moment;
    call.outcome = outcome;
    const { step } = call;
    this.count(
      outcome.kind === 'ok' || outcome.kind === 'unknown' ? outcome.kind : `${step.kind} ${told(outcome)}`,
    );
    const execution = this.execution(step.id);
    const sure = call.status.kind !== 'unsure' && call.changes === execution.changes;
    if (step.kind === 'signal' && outcome.kind === 'ok' && outcome.value === true) this.count('duplicates');
    if (!possible(call, outcome) || (wasLost(outcome) && !this.disturbed))
      this.wrong(call, 'no such outcome is possible');
    else if (sure && call.alone && outcome.kind !== 'unknown' && !wasLost(outcome))
      this.#judge(execution, call, outcome);
    if (step.kind === 'query' && outcome.kind === 'ok')
      this.#seen(execution, call, outcome.value as string[]);
    if (!changes(step)) return;
    execution.changing--;
    if ((step.kind === 'start' || step.kind === 'signalWithStart') && outcome.kind === 'ok') {
      const runId = outcome.value as string;
      if (!execution.runs.has(runId)) execution.runs.set(runId, undefined);
    }
    if (sure && call.alone) execution.status = after(call, outcome);
  }

  /** Turns may be tried again, and updates wait for that, although no history says so: what failed was the disk or a thread. */
  disturbed = false;

  /** A thread ended: the turn that it was in has failed, and it is not known whose that was. */
  threadEnded(): void {
    for (const execution of this.executions.values()) {
      execution.stumbles = true;
      execution.stumblesUntil = Math.max(execution.stumblesUntil, this.now);
    }
  }

  /** The process ended: whatever was under way may have happened or not. */
  crashed(): void {
    for (const execution of this.executions.values()) {
      const lost = execution.calls.filter(({ settled }) => settled === undefined);
      if (lost.filter(({ step }) => starts(step)).length > 1) this.#abandon(execution);
      for (const call of lost) this.settled(call, { kind: 'unknown' });
    }
  }

  #abandon(execution: Execution): void {
    execution.abandoned = true;
    this.count('abandoned');
  }

  // ----- what a call must be answered ----------------------------------------------------------------------------

  #judge(execution: Execution, call: ModelCall, outcome: Outcome): void {
    const { step, status } = call;
    this.count('strict');
    const must = (expected: string, right: boolean): void => {
      if (!right)
        this.wrong(call, `expected: ${expected}, because the execution was ${JSON.stringify(status)}`);
    };
    const refused = outcome.kind === 'refused' ? outcome.why : undefined;
    if (step.kind === 'updateWithStart') return this.#judgeUpdateWithStart(call, step, outcome, must);
    if (step.kind === 'start' || step.kind === 'signalWithStart') {
      const expected = startOf(step, status);
      if (expected === 'refused') must('already started', refused === 'already started');
      else must(expected, outcome.kind === 'ok');
      if (expected === 'the same run')
        must(
          expected,
          outcome.kind === 'ok' &&
            status.kind === 'open' &&
            outcome.value === (step.kind === 'start' ? status.firstRunId : status.runId),
        );
      if (expected === 'a new run')
        must(expected, outcome.kind === 'ok' && !call.runIds.has(outcome.value as string));
      return;
    }
    if (step.kind === 'query') return this.#judgeQuery(execution, call, outcome, must);
    if (call.remembered !== undefined) {
      must(`again ${told(call.remembered)}`, told(outcome) === told(call.remembered));
      return;
    }
    if (step.kind === 'ask') {
      if (!execution.calls.some((other) => sendsUpdate(other.step) && other.step.updateId === step.updateId))
        must('not found', refused === 'not found');
      return;
    }
    if (status.kind === 'absent') return must('not found', refused === 'not found');
    if (status.kind === 'closed') {
      if (step.kind === 'update' && call.again) return;
      return must('completed', refused === 'completed');
    }
    if (step.kind === 'update') return this.#judgeUpdate(execution, call, step, outcome, must);
    must('taken', outcome.kind === 'ok');
  }

  #judgeUpdateWithStart(
    call: ModelCall,
    step: Extract<CallStep, { kind: 'updateWithStart' }>,
    outcome: Outcome,
    must: (expected: string, right: boolean) => void,
  ): void {
    const { status, remembered } = call;
    const why = outcome.kind === 'failed' || outcome.kind === 'refused' ? outcome.why : undefined;
    if (remembered !== undefined)
      return must(`again ${told(remembered)}`, told(outcome) === told(remembered));
    if (call.again) return;
    const expected = startOf(step, status);
    if (expected === 'refused') return must('already started', why === 'already started');
    if (expected === 'a new run')
      must(expected, call.firstRunId !== undefined && !call.runIds.has(call.firstRunId));
    if (expected === 'the same run')
      must(expected, status.kind === 'open' && call.firstRunId === status.firstRunId);
    if (step.what.startsWith('bad')) must('rejected', why === 'Refused');
    else if (step.name === 'putFailing') must('failed', why === 'Told');
    else must('a number', outcome.kind === 'ok' && typeof outcome.value === 'number');
  }

  #judgeUpdate(
    execution: Execution,
    call: ModelCall,
    step: Extract<CallStep, { kind: 'update' }>,
    outcome: Outcome,
    must: (expected: string, right: boolean) => void,
  ): void {
    const { status } = call;
    const failed = outcome.kind === 'failed' ? outcome.why : undefined;
    const waits = step.name === 'putSlowly' || step.name === 'putByActivity';
    // The chain may have had it before, in a run that was cancelled or that ended before it: it is answered as then.
    if (waits && call.again) return;
    if (waits && status.kind === 'open' && status.cancelled)
      return must('cancelled or refused', failed === 'cancelled' || failed === 'Refused');
    if (step.what.startsWith('bad')) must('rejected', failed === 'Refused');
    else if (step.name === 'putFailing') must('failed', failed === 'Told');
    else must('a number', outcome.kind === 'ok' && typeof outcome.value === 'number');
    if (!step.what.startsWith('bad')) execution.remembered.set(step.updateId, outcome);
  }

  #judgeQuery(
    execution: Execution,
    call: ModelCall,
    outcome: Outcome,
    must: (expected: string, right: boolean) => void,
  ): void {
    const { status } = call;
    const refused = outcome.kind === 'refused' ? outcome.why : undefined;
    if (status.kind === 'absent') return must('not found', refused === 'not found');
    if (status.kind === 'closed' && status.how === 'TERMINATED')
      return must('rejected', refused === 'query rejected');
    must('an answer', outcome.kind === 'ok');
    if (status.kind !== 'open' || outcome.kind !== 'ok') return;
    const list = outcome.value as string[];
    must(`the list of ${status.life.tag}`, list[0] === `started ${status.life.tag}`);
    // What was sent before it is part of what it sees, acknowledged or not.
    const before = execution.calls.filter(
      (other) => other.issued < call.issued && other.changes === call.changes && other.status.kind === 'open',
    );
    for (const { step, outcome: answer, again } of before) {
      const shows =
        // While a turn fails, what comes is noted and shows when it succeeds.
        (step.kind === 'signal' &&
          step.name !== 'late' &&
          step.requestId === undefined &&
          !execution.stumbles) ||
        (step.kind === 'update' && !step.what.startsWith('bad') && !again && !this.disturbed);
      const lost = answer !== undefined && (answer.kind === 'unknown' || wasLost(answer));
      if (shows && 'what' in step && !lost) must(`a list with ${step.what}`, list.includes(step.what));
    }
  }

  /** A list only grows, and never shows what is lost later (D4). */
  #seen(execution: Execution, call: ModelCall, list: string[]): void {
    const tag = String(list[0]).replace('started ', '');
    const least = call.seen.get(tag) ?? 0;
    if (list.length < least) this.wrong(call, `a list of at least ${least} had been seen before`);
    this.saw(execution, tag, list);
  }

  saw(execution: Execution, tag: string, list: string[]): void {
    const known = execution.lists.get(tag) ?? [];
    const [short, long] = known.length < list.length ? [known, list] : [list, known];
    const at = short.findIndex((what, i) => what !== long[i]);
    if (at >= 0)
      this.trouble(
        execution.id,
        `the list of ${tag} changed at ${at}: ${known.join(' | ')} -> ${list.join(' | ')}`,
      );
    execution.lists.set(tag, long);
  }

  // ----- audits ------------------------------------------------------------------------------------------------

  /** Grows with everything that callers are told about an execution. */
  knownOf({ runs, unaudited }: Execution): number {
    const told = unaudited.map(
      ({ settled, accepted }) => Number(settled !== undefined) + Number(accepted !== undefined),
    );
    return told.reduce((sum, count) => sum + count, runs.size);
  }

  /** Runs that an audit has to look at, besides the latest. */
  runsToAudit(execution: Execution, all: boolean): string[] {
    return [...execution.runs].filter(([, run]) => all || !run?.final).map(([runId]) => runId);
  }

  /** Updates that must have ended by now, and which run has them. */
  due(execution: Execution): { runId: string; updateId: string }[] {
    return [...execution.runs].flatMap(([runId, run]) =>
      run === undefined || run.final
        ? []
        : run.facts.accepted
            .filter(
              ({ updateId, ms }) =>
                !run.facts.completed.has(updateId) && this.now >= run.acceptedBy.get(updateId)! + ms,
            )
            .map(({ updateId }) => ({ runId, updateId })),
    );
  }

  audit(execution: Execution, latest: string | undefined, answers: readonly RunAnswers[]): void {
    this.count('audits of an execution');
    auditExecution(this, execution, latest, answers);
  }

  count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
  }

  wrong(call: Call, why: string): void {
    const outcome = call.outcome === undefined ? 'not answered yet' : told(call.outcome);
    this.trouble(call.step.id, `call ${call.no} (${printed(call.step)}) was ${outcome}; ${why}`);
  }

  trouble(id: string, text: string): void {
    this.troubles.push(`${id}: ${text}`);
  }
}

export function starts(step: CallStep): step is StartStep {
  return 'life' in step;
}

export function sendsUpdate(
  step: CallStep,
): step is Extract<CallStep, { kind: 'update' | 'updateWithStart' }> {
  return step.kind === 'update' || step.kind === 'updateWithStart';
}

const CHANGING = ['finish', 'fail', 'renew', 'stumble'];

/** May open or close an execution, or change how it goes on. */
function changes(step: CallStep): boolean {
  return (
    starts(step) ||
    step.kind === 'cancel' ||
    step.kind === 'terminate' ||
    (step.kind === 'signal' && CHANGING.includes(step.name))
  );
}

/** Whatever state the execution is in. */
function possible({ step, firstRunId }: ModelCall, outcome: Outcome): boolean {
  if (outcome.kind === 'unexpected') return false;
  if (outcome.kind === 'failed') return sendsUpdate(step) || step.kind === 'ask';
  if (outcome.kind !== 'refused' || wasLost(outcome)) return true;
  if (outcome.why === 'turn fails') return sendsUpdate(step) || step.kind === 'ask' || step.kind === 'query';
  // It began a run, which ended before it took the update.
  if (step.kind === 'updateWithStart' && outcome.why === 'aborted') return firstRunId !== undefined;
  // A start finds the way free or taken, and nothing that happens meanwhile gives it another answer.
  if (starts(step)) return outcome.why === 'already started';
  if (outcome.why === 'already started') return false;
  if (outcome.why === 'query rejected') return step.kind === 'query';
  return outcome.why !== 'aborted' || step.kind === 'update' || step.kind === 'ask';
}

function startOf({ conflict, reuse }: StartStep, status: Status): 'a new run' | 'the same run' | 'refused' {
  if (status.kind === 'open') {
    if (conflict === 'TERMINATE_EXISTING' || reuse === 'TERMINATE_IF_RUNNING') return 'a new run';
    return conflict === 'USE_EXISTING' ? 'the same run' : 'refused';
  }
  if (status.kind !== 'closed') return 'a new run';
  const refused =
    reuse === 'REJECT_DUPLICATE' || (reuse === 'ALLOW_DUPLICATE_FAILED_ONLY' && status.how === 'COMPLETED');
  return refused ? 'refused' : 'a new run';
}

/** The status that a call which nothing else interfered with leads to. */
function after({ step, status, again, firstRunId }: ModelCall, outcome: Outcome): Status {
  const unsure: Status = { kind: 'unsure' };
  if (outcome.kind === 'unknown' || outcome.kind === 'unexpected' || wasLost(outcome)) return unsure;
  if (step.kind === 'updateWithStart') {
    if (outcome.kind === 'refused') return outcome.why === 'already started' ? status : unsure;
    if (again || firstRunId === undefined) return unsure;
    if (startOf(step, status) === 'the same run') return status;
    return { kind: 'open', runId: firstRunId, firstRunId, life: step.life, cancelled: false };
  }
  if (outcome.kind !== 'ok') return status;
  if (step.kind === 'start' || step.kind === 'signalWithStart') {
    if (startOf(step, status) === 'the same run') return status;
    const runId = outcome.value as string;
    return { kind: 'open', runId, firstRunId: runId, life: step.life, cancelled: false };
  }
  if (status.kind !== 'open') return unsure;
  // A duplicate that did nothing now may have done its work before.
  if (step.kind === 'signal' && outcome.value === true) return status;
  if (step.kind === 'terminate') return { kind: 'closed', how: 'TERMINATED' };
  if (step.kind === 'cancel')
    return status.life.shielded ? { ...status, cancelled: true } : { kind: 'closed', how: 'CANCELLED' };
  if (step.kind === 'signal' && (step.name === 'renew' || step.name === 'stumble')) return unsure;
  if (step.kind === 'signal' && step.name === 'fail') return { kind: 'closed', how: 'FAILED' };
  return status.life.patient ? unsure : { kind: 'closed', how: 'COMPLETED' };
}
