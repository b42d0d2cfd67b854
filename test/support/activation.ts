/**
 * Activations driven by hand: a sandbox as a thread has it, but no thread, no host and no store.
 *
 * Owns: giving a run its turns, with the inputs that the test makes up, and looking at the commands; replaying each run
 * that a test drove, at its end, and comparing (D5).
 * Does not own: the workflows (test/fixtures/workflows), what a test expects.
 */
import { expect } from 'chai';
import type { Activation, TurnOutcome } from '../../actors/activation.js';
import { instrumentReadOnly } from '../../actors/sandbox/instrument.js';
import type { Failure } from '../../codec/failure.js';
import { eventCount } from '../../codec/history-event.js';
import type { Command, Input, JournalEntry, Payload, StartInfo } from '../../codec/journal-entry.js';
import { packEntry, unpackEntry } from '../../codec/journal-entry.js';
import { decodePayload, encodePayload } from '../../codec/payload.js';
import { bundleWorkflows } from '../../runtime/bundle.js';
import { createSandbox, type Sandbox } from '../../runtime/realm.js';
import { compareCommands } from '../../runtime/replay.js';
import { info } from './journal.js';
import { fixture } from './runtime.js';

type TurnEntry = Extract<JournalEntry, { kind: 'turn' }>;
export type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>;

/** The sandbox of one file in test/fixtures/workflows, and the runs that live in it. */
export class DrivenSandbox {
  readonly sandbox: Sandbox;
  #runs: DrivenRun[] = [];
  #lastRunNo = 0;

  private constructor(sandbox: Sandbox) {
    this.sandbox = sandbox;
  }

  static async open(workflows: string): Promise<DrivenSandbox> {
    const { code } = await bundleWorkflows({ workflowsPath: fixture(workflows) });
    const listeners = process.listeners('unhandledRejection');
    const sandbox = createSandbox({ code: instrumentReadOnly(code) });
    // A thread is never done with its sandbox. Here other tests follow, and what they leave unhandled is not to be hidden.
    const driven = new DrivenSandbox(sandbox);
    driven.#stop = () => {
      for (const listener of process.listeners('unhandledRejection'))
        if (!listeners.includes(listener)) process.off('unhandledRejection', listener);
    };
    return driven;
  }

  #stop: () => void = () => undefined;

  close(): void {
    this.#stop();
  }

  /** A run before its first turn. */
  run(workflowType: string, args: unknown[] = [], more: Partial<StartInfo> = {}): DrivenRun {
    this.#lastRunNo += 1;
    const start = info(this.#lastRunNo, `workflow-${this.#lastRunNo}`, {
      workflowType,
      args: encodePayload(args),
      ...more,
    });
    const run = new DrivenRun(this.sandbox, start);
    this.#runs.push(run);
    return run;
  }

  /** Starts a run and gives it its first turn. */
  start(workflowType: string, ...args: unknown[]): DrivenRun {
    const run = this.run(workflowType, args);
    run.turn();
    return run;
  }

  /** Replays what all runs since the last call did, as recovery would. */
  expectReplays(): void {
    const runs = this.#runs;
    this.#runs = [];
    for (const run of runs) run.expectReplay();
  }
}

export class DrivenRun {
  readonly info: StartInfo;
  readonly activation: Activation;
  readonly #sandbox: Sandbox;
  readonly #turns: TurnEntry[] = [];
  #now: number;
  /** Of the last turn. */
  commands: readonly Command[] = [];
  rejected: Extract<TurnOutcome, { kind: 'done' }>['rejected'] = [];

  constructor(sandbox: Sandbox, start: StartInfo) {
    this.info = start;
    this.#sandbox = sandbox;
    this.#now = start.startTime;
    this.activation = sandbox.realm.createActivation(start, sandbox.load);
  }

  /** One turn, which must succeed. Returns its commands. */
  turn(...inputs: Input[]): readonly Command[] {
    const outcome = this.tryTurn(...inputs);
    if (outcome.kind === 'failed') throw new Error(`The turn failed: ${outcome.failure.message}`);
    return outcome.commands;
  }

  tryTurn(...inputs: Input[]): TurnOutcome {
    this.#now += 1_000;
    const outcome = runTurn(this.#sandbox, this.activation, inputs, this.#now, false);
    if (outcome.kind === 'failed') return outcome;
    this.commands = outcome.commands;
    this.rejected = outcome.rejected;
    const { inputs: accepted, commands } = outcome;
    const entry: TurnEntry = { kind: 'turn', time: this.#now, taken: 0, inputs: accepted, commands };
    // As they come back from the journal.
    if (outcome.worked) this.#turns.push(unpackEntry(packEntry(entry).slice()) as TurnEntry);
    return outcome;
  }

  /** The command of this kind in the last turn; there must be exactly one. */
  command<Kind extends Command['kind']>(kind: Kind): CommandOf<Kind> {
    const found = this.commands.filter((command): command is CommandOf<Kind> => command.kind === kind);
    expect(found, `${kind} among ${this.kinds.join(', ') || 'no commands'}`).to.have.length(1);
    return found[0]!;
  }

  /** Kinds of the commands of the last turn. */
  get kinds(): string[] {
    return this.commands.map(({ kind }) => kind);
  }

  get closed(): boolean {
    return this.activation.closed;
  }

  /** What the main function returned in the last turn. */
  get result(): unknown {
    return decodePayload(this.command('completeWorkflow').result);
  }

  query(name: string, ...args: unknown[]): unknown {
    const answer = this.activation.query(name, encodePayload(args));
    this.#sandbox.drain();
    if (!answer.ok) throw new Error(answer.failure.message);
    return decodePayload(answer.result);
  }

  /** Messages of its log lines since the last call. */
  logs(): string[] {
    return this.activation.takeLogs().map(({ message }) => message);
  }

  expectReplay(): void {
    const activation = this.#sandbox.realm.createActivation(this.info, this.#sandbox.load);
    let events = eventCount({ kind: 'started', time: this.info.startTime, info: this.info });
    for (const entry of this.#turns) {
      const outcome = runTurn(this.#sandbox, activation, entry.inputs, entry.time, true);
      compareCommands({
        recorded: entry.commands,
        produced: outcome.kind === 'done' ? outcome.commands : [],
        failure: outcome.kind === 'failed' ? outcome.failure : undefined,
        events,
        entry,
      });
      events += eventCount(entry);
    }
    expect(activation.closed).to.equal(this.activation.closed);
  }
}

function runTurn(
  sandbox: Sandbox,
  activation: Activation,
  inputs: Input[],
  now: number,
  replaying: boolean,
): TurnOutcome {
  activation.begin({ now, inputs, historyLength: 3, historySize: 0, replaying });
  sandbox.drain();
  while (activation.step()) sandbox.drain();
  return activation.finish(sandbox.takeUnhandled());
}

// ---------------------------------------------------------------------------------------------------------------
// Inputs

export const payload = (value: unknown): Payload => encodePayload(value);
export const cancel = (): Input => ({ kind: 'cancel' });
export const signalled = (name: string, ...args: unknown[]): Input => ({
  kind: 'signal',
  name,
  args: encodePayload(args),
});
export const updated = (id: string, name: string, ...args: unknown[]): Input => ({
  kind: 'update',
  id,
  name,
  args: encodePayload(args),
});
export const childStarted = (seq = 1, runId = `child-run-${seq}`): Input => ({
  kind: 'childStarted',
  seq,
  runId,
});
export const childCompleted = (result: unknown, seq = 1): Input => ({
  kind: 'childClosed',
  seq,
  outcome: { status: 'completed', result: encodePayload(result) },
});
export const answered = (seq = 1, answer: { result?: unknown; failure?: Failure } = {}): Input => ({
  kind: 'externalResolved',
  seq,
  ...('result' in answer && { result: encodePayload(answer.result) }),
  ...(answer.failure && { failure: answer.failure }),
});
export const applicationFailure = (message: string, type = 'Error', source = 'TypeScriptSDK'): Failure => ({
  message,
  source,
  info: { kind: 'application', type },
});
