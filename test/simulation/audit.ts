/**
 * The audit: everything about an execution against everything that was sent to it.
 *
 * Owns: the rules that hold whatever the interleaving was.
 * Does not own: what single calls are answered (model.ts), getting histories and lists (simulation.ts).
 *
 *   D1  what was acknowledged stands in exactly one run, and a list or history that was seen only grows
 *   D2  nothing stands twice; of the signals with one request id a run has one, the first
 *   D3  signals in call order, updates in call order, no update before an earlier signal, nothing before what had been
 *       acknowledged when it was sent (semantics.md 2.7: signals of one turn come before its updates)
 *   D5  list and history tell the same, before and after a replay
 */
import { type Outcome, told } from './calls.js';
import { type Execution, type Model, type ModelCall, type RunRecord, type Status, starts } from './model.js';
import { factsOf, type RunAnswers, type RunFacts } from './run-facts.js';
import type { CallStep } from './steps.js';

export function auditExecution(
  model: Model,
  execution: Execution,
  latest: string | undefined,
  answers: readonly RunAnswers[],
): void {
  new Audit(model, execution).run(latest, answers);
}

class Audit {
  readonly #model: Model;
  readonly #execution: Execution;
  /** The runs that each signal or update stands in. */
  readonly #landed = new Map<string, string[]>();

  constructor(model: Model, execution: Execution) {
    this.#model = model;
    this.#execution = execution;
  }

  run(latest: string | undefined, answers: readonly RunAnswers[]): void {
    const { runs } = this.#execution;
    for (const one of answers) this.#merge(factsOf(one));
    for (const [runId, run] of runs) {
      if (run === undefined) return this.#wrong(`run ${runId} was acknowledged, and is not there`);
      for (const { what } of [...run.facts.signals, ...run.facts.accepted])
        this.#landed.set(what, [...(this.#landed.get(what) ?? []), runId]);
    }
    for (const { runId } of answers) this.#auditRun(runs.get(runId)!);
    this.#uniqueTags();
    const settled = this.#execution.unaudited.filter((call) => call.settled !== undefined);
    for (const call of settled) this.#auditCall(call);
    this.#execution.unaudited = this.#execution.unaudited.filter((call) => call.settled === undefined);
    for (const run of runs.values()) run!.final = run!.facts.status !== 'RUNNING';
    if (this.#execution.changing === 0) this.#execution.status = this.#statusOf(latest);
  }

  // ----- runs --------------------------------------------------------------------------------------------------

  #merge(facts: RunFacts): void {
    const { runs, lists } = this.#execution;
    const known = runs.get(facts.runId);
    if (known !== undefined) {
      const grew = facts.history.startsWith(known.facts.history);
      if (!grew || (known.final && facts.history.length !== known.facts.history.length))
        this.#wrong(
          `the history of run ${facts.runId} was\n${known.facts.history}\nand is now\n${facts.history}`,
        );
    }
    const acceptedBy = known?.acceptedBy ?? new Map<string, number>();
    for (const { updateId } of facts.accepted)
      if (!acceptedBy.has(updateId)) acceptedBy.set(updateId, this.#model.now);
    runs.set(facts.runId, { facts, final: known?.final ?? false, acceptedBy });
    const { tag } = facts.life;
    if (facts.list === undefined) return;
    if (facts.list.length < (lists.get(tag)?.length ?? 0))
      this.#wrong(`the list of ${tag} was longer: ${lists.get(tag)} -> ${facts.list}`);
    this.#model.saw(this.#execution, tag, facts.list);
  }

  #auditRun({ facts, acceptedBy }: RunRecord): void {
    this.#auditStatus(facts);
    this.#auditRequests(facts);
    const { list } = facts;
    if (list === undefined) return;
    const signals = facts.signals.filter(({ name }) => name !== 'late').map(({ what }) => what);
    const late = facts.signals.some(({ name }) => name === 'open')
      ? facts.signals.filter(({ name }) => name === 'late').map(({ what }) => what)
      : [];
    const updates = facts.accepted.map(({ what }) => what);
    this.#same(facts, 'signals', signals);
    this.#same(facts, 'late signals', late);
    this.#same(facts, 'updates', updates);
    this.#auditEnds(facts, acceptedBy);
    const ends = list.filter((what) => what.endsWith(' ends'));
    const notes = list.filter((what) => what === 'cancel requested');
    if (notes.length > (facts.cancelRequested ? 1 : 0)) this.#wrongRun(facts, 'cancelled more than once');
    const count = 1 + signals.length + late.length + updates.length + ends.length + notes.length;
    if (list.length !== count)
      this.#wrongRun(facts, `has ${list.length} lines, and ${count} of them are explained`);
    this.#auditOrder(facts, list);
    this.#auditResult(facts, list);
  }

  /** Those lines of the list that the history has, in its order. */
  #same(facts: RunFacts, kind: string, inHistory: string[]): void {
    const expected = new Set(inHistory);
    const inList = facts.list!.filter((what) => expected.has(what));
    if (inHistory.length !== expected.size || inHistory.join() !== inList.join())
      this.#wrongRun(facts, `${kind} in the history: ${inHistory.join()}; in the list: ${inList.join()}`);
  }

  #auditEnds(facts: RunFacts, acceptedBy: Map<string, number>): void {
    const { list, accepted, completed } = facts;
    for (const { updateId, what, name, ms } of accepted) {
      const end = list!.indexOf(`${what} ends`);
      const outcome = completed.get(updateId);
      if (outcome?.kind === 'ok' && name !== 'put' && outcome.value !== end + 1)
        this.#wrongRun(facts, `update ${what} ${told(outcome)}, its end is line ${end + 1}`);
      if (outcome?.kind === 'ok' && name === 'put' && outcome.value !== list!.indexOf(what) + 1)
        this.#wrongRun(facts, `update ${what} ${told(outcome)}, but is line ${list!.indexOf(what) + 1}`);
      if (end >= 0 && end < list!.indexOf(what))
        this.#wrongRun(facts, `update ${what} ends before it begins`);
      if (end >= 0 && name === 'putSlowly' && this.#model.now < this.#firstIssuedAt(what) + ms)
        this.#wrongRun(facts, `update ${what} ends before its ${ms} ms are over`);
      const overdue = name === 'putSlowly' && this.#model.now >= acceptedBy.get(updateId)! + ms;
      if (overdue && outcome === undefined && facts.status === 'RUNNING')
        this.#wrongRun(facts, `update ${what} should have ended`);
    }
  }

  #firstIssuedAt(what: string): number {
    return (
      this.#execution.calls.find(({ step }) => 'what' in step && step.what === what)?.issuedAt ?? Infinity
    );
  }

  #auditStatus(facts: RunFacts): void {
    const has = (signal: string) => facts.signals.some(({ name }) => name === signal);
    const { patient, shielded } = facts.life;
    const unfinished = facts.accepted.some(({ updateId }) => !facts.completed.has(updateId));
    const terminated = this.#execution.calls.some(
      ({ step }) =>
        step.kind === 'terminate' ||
        ('conflict' in step &&
          (step.conflict === 'TERMINATE_EXISTING' || step.reuse === 'TERMINATE_IF_RUNNING')),
    );
    const explained: Record<string, boolean> = {
      RUNNING:
        !(has('finish') && !(patient && unfinished)) && !has('fail') && !(facts.cancelRequested && !shielded),
      COMPLETED: has('finish'),
      FAILED: has('fail'),
      CANCELLED: facts.cancelRequested && !shielded,
      TERMINATED: terminated,
    };
    if (explained[facts.status] !== true) this.#wrongRun(facts, 'nothing in its history explains its status');
  }

  #auditResult(facts: RunFacts, list: string[]): void {
    const { result, status } = facts;
    if (status !== 'COMPLETED') return;
    const rest = result === undefined ? undefined : list.slice(result.length);
    const begins = result?.every((what, i) => what === list[i]);
    if (!begins || rest!.some((what) => what !== 'cancel requested' && !what.endsWith(' ends')))
      this.#wrongRun(facts, `its result is ${result?.join()}`);
  }

  /** D2: one signal of each request id, and it is the first that was sent to this run. */
  #auditRequests(facts: RunFacts): void {
    const seen = new Set<string>();
    for (const { what } of facts.signals) {
      const step = this.#execution.calls.find((call) => 'what' in call.step && call.step.what === what)?.step;
      if (step === undefined) this.#wrongRun(facts, `nobody sent ${what}`);
      if (step?.kind !== 'signal' || step.requestId === undefined) continue;
      if (seen.has(step.requestId)) this.#wrongRun(facts, `took ${step.requestId} twice: ${what}`);
      seen.add(step.requestId);
    }
  }

  #uniqueTags(): void {
    const tags = [...this.#execution.runs.values()].map((run) => run!.facts.life.tag);
    if (new Set(tags).size !== tags.length) this.#wrong(`two runs come from one start: ${tags.join()}`);
  }

  // ----- order -------------------------------------------------------------------------------------------------

  #auditOrder(facts: RunFacts, list: string[]): void {
    const opened = this.#execution.calls.find(
      ({ step }) => 'life' in step && step.life.tag === facts.life.tag,
    );
    const late = new Set(facts.signals.filter(({ name }) => name === 'late').map(({ what }) => what));
    const sent = list
      .filter((what) => this.#landed.get(what)?.length === 1 && !late.has(what))
      .map((what) => this.#sending(what, opened?.issued ?? 0))
      .filter((sending) => sending !== undefined);
    for (const [i, later] of sent.entries()) {
      const misplaced = sent.slice(i + 1).find((other) => mustPrecede(other, later));
      if (misplaced !== undefined)
        this.#wrongRun(facts, `${later.what} stands before ${misplaced.what}, which was sent before it`);
    }
  }

  /** When it was sent to a run that began at this moment. */
  #sending(what: string, opened: number): Sending | undefined {
    const calls = this.#execution.calls.filter(
      ({ step, settled, outcome }) =>
        'what' in step &&
        step.what === what &&
        (settled === undefined || settled >= opened) &&
        outcome?.kind !== 'refused',
    );
    if (calls.length === 0) return undefined;
    const acknowledged = calls
      .filter(
        ({ outcome, accepted }) =>
          accepted !== undefined || outcome?.kind === 'ok' || outcome?.kind === 'failed',
      )
      .map(({ accepted, settled }) => accepted?.moment ?? settled!);
    return {
      what,
      update: calls[0]!.step.kind === 'update',
      first: Math.min(...calls.map(({ issued }) => issued)),
      // A signal with a start is sent anew when the run that it went to ended before it came.
      last: Math.max(
        ...calls.map(({ step, issued, settled }) => (starts(step) ? (settled ?? Infinity) : issued)),
      ),
      acknowledged: Math.min(...acknowledged),
    };
  }

  // ----- calls -------------------------------------------------------------------------------------------------

  #auditCall(call: ModelCall): void {
    const { step } = call;
    const outcome = call.outcome!;
    const landed = 'what' in step ? (this.#landed.get(step.what) ?? []) : [];
    if (starts(step) && outcome.kind === 'ok') this.#auditStart(call, step, outcome.value as string);
    if (step.kind === 'signal' || step.kind === 'signalWithStart')
      this.#auditSignal(call, step, outcome, landed);
    if (step.kind === 'update' || step.kind === 'ask') this.#auditUpdate(call, step, outcome);
    // startUpdate also returns when the update was rejected.
    const bad = 'what' in step && step.what.startsWith('bad');
    if (call.accepted !== undefined && 'updateId' in step && !bad)
      this.#auditAcceptance(call, step.updateId, call.accepted.runId);
  }

  #auditStart(call: ModelCall, step: CallStep, runId: string): void {
    const run = this.#execution.runs.get(runId);
    if (!('life' in step) || run?.facts.life.tag === step.life.tag) return;
    if (step.conflict !== 'USE_EXISTING') this.#model.wrong(call, 'that run comes from another start');
  }

  #auditSignal(call: ModelCall, step: CallStep, outcome: Outcome, landed: string[]): void {
    const duplicate = step.kind === 'signal' && outcome.kind === 'ok' && outcome.value === true;
    const acknowledged = outcome.kind === 'ok' && !duplicate;
    if (acknowledged && landed.length !== 1) this.#model.wrong(call, `it stands in ${landed.length} runs`);
    if ((duplicate || outcome.kind === 'refused') && landed.length > 0)
      this.#model.wrong(call, 'and yet it took effect');
    if (step.kind === 'signalWithStart' && acknowledged && landed[0] !== outcome.value)
      this.#model.wrong(call, `it stands in run ${landed[0]}`);
    if (step.kind !== 'signal' || !duplicate) return;
    const first = this.#execution.calls.some(
      (other) =>
        other.issued < call.issued &&
        other.step.kind === 'signal' &&
        other.step.requestId === step.requestId &&
        this.#landed.has(other.step.what),
    );
    if (!first) this.#model.wrong(call, `no signal with ${step.requestId} came before it`);
  }

  #auditUpdate(call: ModelCall, step: Extract<CallStep, { kind: 'update' | 'ask' }>, outcome: Outcome): void {
    const runs = [...this.#execution.runs.values()].filter((run) =>
      run!.facts.accepted.some(({ updateId }) => updateId === step.updateId),
    );
    const says = (text: string) => runs.some((run) => endOf(run!, step.updateId) === text);
    if (outcome.kind === 'ok' && !says(told(outcome))) this.#model.wrong(call, 'no history says so');
    if (outcome.kind !== 'failed') return;
    if (outcome.why !== 'Refused' && !says(told(outcome))) this.#model.wrong(call, 'no history says so');
    if (outcome.why === 'Refused' && runs.length > 0) this.#model.wrong(call, 'and yet it was accepted');
  }

  #auditAcceptance(call: ModelCall, updateId: string, runId: string): void {
    const accepted = this.#execution.runs
      .get(runId)
      ?.facts.accepted.some((update) => update.updateId === updateId);
    if (!accepted) this.#model.wrong(call, `it was accepted, and run ${runId} does not have it`);
  }

  // ----- and then ----------------------------------------------------------------------------------------------

  #statusOf(latest: string | undefined): Status {
    if (latest === undefined) return { kind: 'absent' };
    const { facts } = this.#execution.runs.get(latest)!;
    if (facts.status !== 'RUNNING') return { kind: 'closed', how: facts.status };
    // It ends as soon as its handlers have.
    if (facts.signals.some(({ name }) => name === 'finish')) return { kind: 'unsure' };
    return { kind: 'open', runId: latest, life: facts.life, cancelled: facts.cancelRequested };
  }

  #wrongRun(facts: RunFacts, why: string): void {
    const { runId, life, status, list } = facts;
    this.#wrong(`run ${runId} (${JSON.stringify(life)}, ${status}) ${why}; its list: ${list?.join(' | ')}`);
  }

  #wrong(text: string): void {
    this.#model.trouble(this.#execution.id, text);
  }
}

interface Sending {
  what: string;
  update: boolean;
  /** Moments: the first and the last at which it was sent, and of the first answer. */
  first: number;
  last: number;
  acknowledged: number;
}

/** Whether a must stand before b. */
function mustPrecede(a: Sending, b: Sending): boolean {
  if (a.acknowledged < b.first) return true;
  return a.last < b.first && (a.update === b.update || !a.update);
}

/** How a run's update ended, in words. */
function endOf({ facts }: RunRecord, updateId: string): string {
  const outcome = facts.completed.get(updateId);
  if (outcome !== undefined) return told(outcome);
  const closed: Outcome = { kind: 'failed', why: 'AcceptedUpdateCompletedWorkflow' };
  return facts.status === 'RUNNING' ? 'not ended' : told(closed);
}
