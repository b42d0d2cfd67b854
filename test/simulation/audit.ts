/**
 * The audit: everything about an execution against everything that was sent to it.
 *
 * Owns: the rules that hold whatever the interleaving was.
 * Does not own: what single calls are answered (model.ts), a run by itself (audit-run.ts), getting histories and lists
 * (simulation.ts).
 *
 *   D1  what was acknowledged stands in exactly one run, and a list or history that was seen only grows
 *   D2  nothing stands twice; of the signals with one request id a chain of runs has one, the first
 *   D3  signals in call order, updates in call order, no update before an earlier signal, nothing before what had been
 *       acknowledged when it was sent (semantics.md 2.7: signals of one turn come before its updates)
 *   D5  list and history tell the same, before and after a replay
 */
import { auditRun, has, untaken } from './audit-run.js';
import { type Outcome, told, wasLost } from './calls.js';
import {
  type Execution,
  type Model,
  type ModelCall,
  type RunRecord,
  type Status,
  sendsUpdate,
  starts,
} from './model.js';
import { factsOf, type RunAnswers, type RunFacts } from './run-facts.js';
import { type CallStep, relayedOf } from './steps.js';

export function auditExecution(
  model: Model,
  execution: Execution,
  latest: string | undefined,
  answers: readonly RunAnswers[],
): void {
  new Audit(model, execution).run(latest, answers);
}

/** D2: what workflows send each other arrives once, and not at all when the sender was told so. */
export function auditRelays(model: Model): void {
  for (const sender of model.executions.values()) {
    for (const line of [...sender.lists.values()].flat()) {
      const [, what, not] = /^(.* relayed \d) (not )?sent$/.exec(line) ?? [];
      const receiver = what === undefined ? undefined : model.executions.get(model.relays.get(what) ?? '');
      if (what === undefined || receiver?.abandoned) continue;
      const arrived = [...(receiver?.runs.values() ?? [])].filter((run) =>
        run!.facts.signals.some((signal) => signal.what === what),
      );
      model.count(not ? 'relays refused' : 'relays');
      if (arrived.length !== (not ? 0 : 1))
        model.trouble(
          sender.id,
          `has '${line}', and that stands in ${arrived.length} runs of ${receiver?.id}`,
        );
    }
  }
}

/** D3: what a run sends to one execution arrives in that order. */
export function auditRelayOrder(model: Model): void {
  const known = [...model.executions.values()].filter(({ abandoned }) => !abandoned);
  for (const receiver of known) {
    for (const chain of chainsOf(receiver)) {
      const places = new Map(chain.map((what, place) => [what, place]));
      for (const sender of known)
        for (const run of sender.runs.values()) {
          const arrived = relayedBy(run!.facts).filter((what) => places.has(what));
          if (arrived.length > 1) model.count('relays in order');
          const inOrder = [...arrived].sort((a, b) => places.get(a)! - places.get(b)!);
          if (arrived.join() !== inOrder.join())
            model.trouble(receiver.id, `got ${inOrder.join()}, and ${sender.id} sent ${arrived.join()}`);
        }
    }
  }
}

function relayedBy({ signals }: RunFacts): string[] {
  return signals.filter(({ name }) => name === 'relay').flatMap(({ what }) => relayedOf(what));
}

/** What came to each run together with those that followed it. */
function chainsOf({ runs }: Execution): string[][] {
  const facts = [...runs.values()].map((run) => run!.facts);
  return facts
    .filter(({ previous }) => previous === undefined)
    .map((first) => {
      const came: string[] = [];
      for (
        let at: RunFacts | undefined = first;
        at !== undefined;
        at = at.next ? runs.get(at.next)?.facts : undefined
      )
        came.push(...at.signals.map(({ what }) => what));
      return came;
    });
}

class Audit {
  readonly #model: Model;
  readonly #execution: Execution;
  /** Where each signal or update stands: in which runs, or chains of runs when it waits for a handler. */
  readonly #landed = new Map<string, Set<string>>();

  constructor(model: Model, execution: Execution) {
    this.#model = model;
    this.#execution = execution;
  }

  run(latest: string | undefined, answers: readonly RunAnswers[]): void {
    const { runs } = this.#execution;
    for (const one of answers) this.#merge(factsOf(one));
    for (const [runId, run] of runs) {
      if (run === undefined) return this.#wrong(`run ${runId} was acknowledged, and is not there`);
      for (const { name, what } of [...run.facts.signals, ...run.facts.accepted])
        this.#lands(what, name === 'late' ? run.facts.life.tag : runId);
    }
    for (const { runId } of answers) this.#auditRun(runs.get(runId)!);
    this.#auditChains();
    const settled = this.#execution.unaudited.filter((call) => call.settled !== undefined);
    for (const call of settled) this.#auditCall(call);
    this.#execution.unaudited = this.#execution.unaudited.filter((call) => call.settled === undefined);
    for (const run of runs.values()) run!.final = run!.facts.status !== 'RUNNING';
    const suspended = latest !== undefined && runs.get(latest)!.facts.suspended;
    if (this.#execution.changing > 0) return;
    this.#execution.stumbles = suspended;
    this.#execution.status = this.#statusOf(latest);
  }

  #lands(what: string, where: string): void {
    const places = this.#landed.get(what);
    if (places === undefined) this.#landed.set(what, new Set([where]));
    else places.add(where);
  }

  // ----- runs --------------------------------------------------------------------------------------------------

  #merge(facts: RunFacts): void {
    const { runs } = this.#execution;
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
    if (facts.list !== undefined) this.#mergeList(facts, facts.list);
  }

  #mergeList({ status, life: { tag } }: RunFacts, list: string[]): void {
    const known = this.#execution.lists.get(tag) ?? [];
    // The next run has gone on since.
    if (list.length < known.length && status !== 'CONTINUED_AS_NEW')
      this.#wrong(`the list of ${tag} was longer: ${known.join(' | ')} -> ${list.join(' | ')}`);
    this.#model.saw(this.#execution, tag, list);
  }

  #auditRun({ facts, acceptedBy }: RunRecord): void {
    const { calls } = this.#execution;
    const sent = new Map<string, number>();
    for (const { step, issuedAt } of calls)
      if ('what' in step && !sent.has(step.what)) sent.set(step.what, issuedAt);
    const terminated = calls.some(
      ({ step }) =>
        step.kind === 'terminate' ||
        ('conflict' in step &&
          (step.conflict === 'TERMINATE_EXISTING' || step.reuse === 'TERMINATE_IF_RUNNING')),
    );
    const issuedAt = (what: string) => sent.get(what) ?? Number.POSITIVE_INFINITY;
    const view = { facts, acceptedBy, now: this.#model.now, issuedAt, terminated };
    for (const why of auditRun(view)) this.#wrongRun(facts, why);
    for (const { what } of [...facts.signals, ...facts.accepted])
      if (!sent.has(what) && this.#model.relays.get(what) !== this.#execution.id)
        this.#wrongRun(facts, `nobody sent it ${what}`);
    if (facts.list !== undefined && !facts.suspended) this.#auditOrder(facts, facts.list);
  }

  /** Runs that continue each other; each chain comes from one start. */
  #auditChains(): void {
    const { runs, calls } = this.#execution;
    const requestOf = new Map(
      calls.flatMap(({ step }) =>
        step.kind === 'signal' && step.requestId !== undefined ? [[step.what, step.requestId]] : [],
      ),
    );
    const first = new Set<string>();
    const seen = new Map<string, string>();
    for (const run of runs.values()) {
      const { facts } = run!;
      const { tag } = facts.life;
      if (facts.previous === undefined && first.has(tag))
        this.#wrongRun(facts, 'comes from the start of another');
      if (facts.previous === undefined) first.add(tag);
      for (const { what } of facts.signals) {
        const request = requestOf.get(what);
        if (request === undefined) continue;
        const before = seen.get(`${tag} ${request}`) ?? what;
        if (before !== what) this.#wrongRun(facts, `took ${request} twice: ${before} and ${what}`);
        seen.set(`${tag} ${request}`, what);
      }
      this.#auditHandover(facts);
    }
  }

  /** What no handler took is the first that the next run gets. */
  #auditHandover(facts: RunFacts): void {
    const next = facts.next === undefined ? undefined : this.#execution.runs.get(facts.next)?.facts;
    if (next === undefined) return;
    const left = untaken(facts);
    const got = next.signals.slice(0, left.length).map(({ what }) => what);
    if (left.join() !== got.join())
      this.#wrongRun(facts, `left ${left.join()} to run ${next.runId}, which began with ${got.join()}`);
    if (next.life.tag !== facts.life.tag || next.previous !== facts.runId)
      this.#wrongRun(facts, `continued as ${next.runId}, which does not follow it`);
  }

  // ----- order -------------------------------------------------------------------------------------------------

  #auditOrder(facts: RunFacts, list: string[]): void {
    const opened = this.#execution.calls.find(
      ({ step }) => 'life' in step && step.life.tag === facts.life.tag,
    );
    const late = new Set(facts.signals.filter(({ name }) => name === 'late').map(({ what }) => what));
    const sent = list
      .slice(facts.life.carried?.length ?? 0)
      .filter((what) => this.#landed.get(what)?.size === 1 && !late.has(what))
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
      update: sendsUpdate(calls[0]!.step),
      first: Math.min(...calls.map(({ issued }) => issued)),
      // A message with a start is sent anew when the run that it went to ended before it came.
      last: Math.max(
        ...calls.map(({ step, issued, settled }) => (starts(step) ? (settled ?? Infinity) : issued)),
      ),
      acknowledged: Math.min(...acknowledged),
    };
  }

  // ----- calls -------------------------------------------------------------------------------------------------

  /** Its update may be that of another call, and its run then that of another start. */
  #mayAttach(call: ModelCall): boolean {
    const { step, settled = Number.POSITIVE_INFINITY, again } = call;
    if (again || !sendsUpdate(step)) return again;
    return this.#execution.calls.some(
      (other) =>
        other !== call &&
        sendsUpdate(other.step) &&
        other.step.updateId === step.updateId &&
        other.issued < settled,
    );
  }

  #auditCall(call: ModelCall): void {
    const { step, firstRunId } = call;
    const outcome = call.outcome!;
    if (step.kind === 'start' && outcome.kind === 'ok') this.#auditStart(call, outcome.value as string);
    if (starts(step) && wasLost(outcome))
      for (const run of this.#execution.runs.values())
        if (run!.facts.life.tag === step.life.tag) this.#model.wrong(call, 'and yet it began a run');
    if (firstRunId !== undefined && !this.#mayAttach(call)) this.#auditStart(call, firstRunId);
    if (step.kind === 'signal' || step.kind === 'signalWithStart') this.#auditSignal(call, step, outcome);
    if (sendsUpdate(step) || step.kind === 'ask') this.#auditUpdate(call, step, outcome);
    // startUpdate also returns when the update was rejected.
    const bad = 'what' in step && step.what.startsWith('bad');
    if (call.accepted !== undefined && 'updateId' in step && !bad)
      this.#auditAcceptance(call, step.updateId, call.accepted.runId);
  }

  #auditStart(call: ModelCall, runId: string): void {
    const { step } = call;
    const run = this.#execution.runs.get(runId);
    if (!starts(step) || run?.facts.life.tag === step.life.tag) return;
    if (step.conflict !== 'USE_EXISTING') this.#model.wrong(call, 'that run comes from another start');
  }

  #auditSignal(call: ModelCall, step: CallStep & { what: string }, outcome: Outcome): void {
    const places = this.#landed.get(step.what) ?? new Set();
    const duplicate = step.kind === 'signal' && outcome.kind === 'ok' && outcome.value === true;
    const acknowledged = outcome.kind === 'ok' && !duplicate;
    if (places.size > 1 || (acknowledged && places.size !== 1))
      this.#model.wrong(call, `it stands in ${places.size} runs`);
    if ((duplicate || outcome.kind === 'refused') && places.size > 0)
      this.#model.wrong(call, 'and yet it took effect');
    if (step.kind === 'signalWithStart' && acknowledged && !places.has(outcome.value as string))
      this.#model.wrong(call, `it stands in run ${[...places].join()}`);
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

  #auditUpdate(call: ModelCall, step: CallStep & { updateId: string }, outcome: Outcome): void {
    const runs = [...this.#execution.runs.values()].filter((run) =>
      run!.facts.accepted.some(({ updateId }) => updateId === step.updateId),
    );
    const says = (text: string) => runs.some((run) => endOf(run!, step.updateId) === text);
    if (outcome.kind === 'ok' && !says(told(outcome))) this.#model.wrong(call, 'no history says so');
    // Nothing else was sent with that id, so it stands nowhere.
    if (outcome.kind === 'refused' && step.kind !== 'ask' && !call.again && this.#sentOnce(step.updateId))
      if (runs.length > 0) this.#model.wrong(call, 'and yet it took effect');
    if (outcome.kind !== 'failed') return;
    if (outcome.why !== 'Refused' && !says(told(outcome))) this.#model.wrong(call, 'no history says so');
    if (outcome.why === 'Refused' && runs.length > 0) this.#model.wrong(call, 'and yet it was accepted');
  }

  #sentOnce(updateId: string): boolean {
    return (
      this.#execution.calls.filter(({ step }) => sendsUpdate(step) && step.updateId === updateId).length === 1
    );
  }

  /** An update that an earlier run of the chain took is attached to, and said to be the latest run's. */
  #auditAcceptance(call: ModelCall, updateId: string, runId: string): void {
    const { runs } = this.#execution;
    const tag = runs.get(runId)?.facts.life.tag;
    const chain = [...runs.values()].filter((run) => run!.facts.life.tag === tag);
    if (!chain.some((run) => run!.facts.accepted.some((update) => update.updateId === updateId)))
      this.#model.wrong(call, `it was accepted, and run ${runId} does not have it`);
  }

  // ----- and then ----------------------------------------------------------------------------------------------

  #statusOf(latest: string | undefined): Status {
    if (latest === undefined) return { kind: 'absent' };
    const { facts } = this.#execution.runs.get(latest)!;
    if (facts.status !== 'RUNNING') return { kind: 'closed', how: facts.status };
    // It ends as soon as its handlers have.
    if (facts.suspended || has(facts, 'finish') || has(facts, 'renew')) return { kind: 'unsure' };
    const { life, cancelRequested: cancelled } = facts;
    const chain = [...this.#execution.runs.values()].map((run) => run!.facts);
    const first = chain.find(({ previous, life: { tag } }) => previous === undefined && tag === life.tag);
    return { kind: 'open', runId: latest, firstRunId: first!.runId, life, cancelled };
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
