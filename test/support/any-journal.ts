/**
 * Any journal: valid ones of every kind of entry, input and command, made from random numbers.
 *
 * Owns: what may follow what (beside the types, as codec/history-event.ts lists it).
 * Used by: test/codec/history/invariants.test.ts.
 */
import fc from 'fast-check';
import type {
  ActivityOutcome,
  ChildOutcome,
  Command,
  Input,
  JournalEntry,
} from '../../codec/journal-entry.js';
import {
  accept,
  activity,
  cancelTimer,
  child,
  complete,
  completed,
  type DistributiveOmit,
  done,
  fired,
  INFO,
  received,
  resolved,
  START,
  signal,
  stored,
  timer,
  turn,
  turnFailed,
  update,
} from './history-words.js';

/** Makes a valid journal out of random numbers: each number picks one of the things that may happen next. */
class JournalMaker {
  readonly entries: JournalEntry[] = [{ kind: 'started', time: START, info: INFO }];
  #inputs: Input[] = [];
  #commands: Command[] = [];
  #waiting = 0;
  #seq = 0;
  readonly #timers: number[] = [];
  readonly #activities: number[] = [];
  readonly #children: number[] = [];
  readonly #running: number[] = [];
  readonly #externals: number[] = [];
  readonly #updates: string[] = [];

  /** In-turn steps come first, then what ends the entry. */
  step(pick: number): void {
    const steps = [
      () => this.#inputs.push(signal('s', pick)),
      () => this.#inputs.push({ kind: 'cancel' }),
      () => this.#settle(this.#timers, (seq) => fired(seq)),
      () =>
        this.#settle(this.#activities, (seq) =>
          resolved(seq, anyOutcome(pick), pick % 3, (pick % 4) * START),
        ),
      () => this.#settle(this.#children, (seq) => this.#childAnswer(seq, pick)),
      () => this.#settle(this.#running, (seq) => ({ kind: 'childClosed', seq, outcome: anyEnd(pick) })),
      () => this.#settle(this.#externals, (seq) => anyAnswer(seq, pick)),
      () => this.#begin(this.#timers, timer),
      () => this.#begin(this.#activities, activity),
      () => this.#begin(this.#children, child),
      () => this.#begin(this.#externals, (seq) => anyExternal(seq, pick)),
      () => this.#settleByCommand(this.#timers, cancelTimer),
      () => this.#mention(this.#activities, (seq) => ({ kind: 'cancelActivity', seq })),
      () => this.#mention(this.#running, (seq) => ({ kind: 'cancelChild', seq, workflowId: `child-${seq}` })),
      () => this.#mention(this.#externals, (seq) => ({ kind: 'cancelSignalExternal', seq })),
      () => this.#acceptUpdate(`u${pick}-${this.entries.length}-${this.#inputs.length}`),
      () => this.#completeUpdate(pick),
      () => this.#commands.push({ kind: 'patch', id: `p${pick % 5}`, deprecated: pick % 2 === 0 }),
      () => this.#commands.push({ kind: 'upsertMemo', memo: stored({ pick }) }),
      () => this.#commands.push({ kind: 'upsertSearchAttributes', attributes: stored({ pick }) }),
      () => this.#endTurn(0),
      () => this.#endTurn(this.#waiting),
      () => this.#endReceived(),
      () => this.#add(turnFailed('THREAD_DIED')),
      () => this.#add(anyAttempt(pick)),
    ];
    steps[pick % steps.length]!();
  }

  end(pick: number): JournalEntry[] {
    const last: (Command | undefined)[] = [
      done(),
      { kind: 'failWorkflow', failure: { message: 'm' } },
      { kind: 'cancelWorkflow' },
      { kind: 'continueAsNew', workflowType: 't', taskQueue: 'q', args: stored([]) },
    ];
    const command = last[pick % 8];
    if (command !== undefined) this.#commands.push(command);
    this.#endTurn(0);
    if (pick % 8 === 6) this.#add({ kind: 'terminated' });
    if (pick % 8 === 7) this.#add({ kind: 'timedOut', retryState: 'TIMEOUT' });
    return this.entries;
  }

  #add(entry: DistributiveOmit<JournalEntry, 'time'>): void {
    this.entries.push({ ...entry, time: START + this.entries.length } as JournalEntry);
  }

  #endTurn(taken: number): void {
    this.#add(turn(this.#inputs, this.#commands, taken));
    this.#waiting -= taken;
    [this.#inputs, this.#commands] = [[], []];
  }

  /** What was gathered as inputs becomes a received entry; an update and its acceptance stay for the turn. */
  #endReceived(): void {
    const stays = this.#inputs.filter((input) => input.kind === 'update');
    const goes = this.#inputs.filter((input) => input.kind !== 'update');
    this.#add(received(...goes));
    this.#waiting += goes.length;
    this.#inputs = stays;
  }

  #begin(open: number[], command: (seq: number) => Command): void {
    this.#seq++;
    this.#commands.push(command(this.#seq));
    // Nothing answers within the turn that asks.
    this.#endTurn(0);
    open.push(this.#seq);
  }

  #settle(open: number[], input: (seq: number) => Input): void {
    const seq = open.shift();
    if (seq !== undefined) this.#inputs.push(input(seq));
  }

  #settleByCommand(open: number[], command: (seq: number) => Command): void {
    const seq = open.shift();
    if (seq !== undefined) this.#commands.push(command(seq));
  }

  #mention(open: number[], command: (seq: number) => Command): void {
    if (open.length > 0) this.#commands.push(command(open[0]!));
  }

  #childAnswer(seq: number, pick: number): Input {
    if (pick % 3 === 0) return { kind: 'childStartFailed', seq, cause: 'WORKFLOW_ALREADY_EXISTS' };
    this.#running.push(seq);
    return { kind: 'childStarted', seq, runId: `run-${seq}` };
  }

  #acceptUpdate(id: string): void {
    this.#inputs.push(update(id, 'set', 1));
    this.#commands.push(accept(id));
    this.#updates.push(id);
  }

  #completeUpdate(pick: number): void {
    const id = this.#updates.shift();
    if (id === undefined) return;
    this.#commands.push(
      pick % 2 === 0 ? complete(id, pick) : { kind: 'completeUpdate', id, failure: { message: 'm' } },
    );
  }
}

function anyOutcome(pick: number): ActivityOutcome {
  const failure = { message: 'm' };
  const late = (timeoutType: 'START_TO_CLOSE' | 'SCHEDULE_TO_START') => ({
    message: 'late',
    info: { kind: 'timeout' as const, timeoutType },
  });
  const outcomes: ActivityOutcome[] = [
    completed,
    { status: 'failed', failure, retryState: 'TIMEOUT' },
    { status: 'timedOut', failure: late('START_TO_CLOSE'), retryState: 'TIMEOUT' },
    { status: 'timedOut', failure: late('SCHEDULE_TO_START'), retryState: 'TIMEOUT' },
    { status: 'cancelled', failure },
  ];
  return outcomes[pick % outcomes.length]!;
}

/** An attempt failed, or begins, or has reported a heartbeat. */
function anyAttempt(pick: number): DistributiveOmit<JournalEntry, 'time'> {
  const { seq, attempt } = { seq: 1, attempt: 1 };
  if (pick % 2 === 0)
    return { kind: 'activityRetry', seq, attempt, nextAt: START, failure: { message: 'x' } };
  return { kind: 'activityStarted', seq, attempt, heartbeat: pick % 3 === 0 ? undefined : stored(pick) };
}

function anyEnd(pick: number): ChildOutcome {
  const failure = { message: 'm' };
  const ends: ChildOutcome[] = [
    { status: 'completed', result: stored(1) },
    { status: 'failed', failure, retryState: 'TIMEOUT' },
    { status: 'cancelled', failure },
    { status: 'terminated', failure },
    { status: 'timedOut', failure },
  ];
  return ends[pick % ends.length]!;
}

function anyExternal(seq: number, pick: number): Command {
  const target = { workflowId: 'o' };
  const externals: Command[] = [
    { kind: 'signalExternal', seq, target, name: 's', args: stored([]) },
    { kind: 'cancelExternal', seq, target },
    { kind: 'updateExternal', seq, target, updateId: 'u', name: 's', args: stored([]), stage: 'completed' },
    {
      kind: 'signalWithStart',
      seq,
      ...target,
      workflowType: 't',
      args: stored([]),
      taskQueue: 'q',
      signalName: 's',
      signalArgs: stored([]),
    },
  ];
  return externals[pick % externals.length]!;
}

function anyAnswer(seq: number, pick: number): Input {
  return pick % 2 === 0
    ? { kind: 'externalResolved', seq }
    : { kind: 'externalResolved', seq, failure: { message: 'm' } };
}

export const journals = fc
  .tuple(fc.array(fc.nat(1_000_000), { maxLength: 150, size: 'max' }), fc.nat(1_000_000))
  .map(([picks, last]) => {
    const maker = new JournalMaker();
    for (const pick of picks) maker.step(pick);
    return maker.end(last);
  });
