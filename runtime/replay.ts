/**
 * The determinism check: what a replayed turn asked for against what the journal says it asked for (D5).
 *
 * Owns: what counts as the same command, and the message of a mismatch. As on Temporal, identity is compared (kind,
 * sequence number, type, id), not arguments: code may pass other arguments after a deployment, not other commands.
 */
import { DeterminismViolationError } from '../actors/failures.js';
import type { Failure } from '../codec/failure.js';
import type { Command, JournalEntry } from '../codec/journal-entry.js';

export interface ReplayedTurn {
  recorded: readonly Command[];
  produced: readonly Command[];
  /** The replayed turn failed altogether. */
  failure: Failure | undefined;
  /** Events of history before the turn. */
  events: number;
  entry: Extract<JournalEntry, { kind: 'turn' }>;
}

/** @throws DeterminismViolationError that names the event, the command recorded and the command produced. */
export function compareCommands(turn: ReplayedTurn): void {
  const { recorded, produced, failure } = turn;
  if (failure !== undefined) throw violation(turn, 0, `the turn failed: ${failure.message}`);
  for (let i = 0; i < Math.max(recorded.length, produced.length); i++) {
    if (identity(recorded[i]) !== identity(produced[i])) throw violation(turn, i, describe(produced[i]));
  }
}

function violation(turn: ReplayedTurn, index: number, produced: string): DeterminismViolationError {
  return new DeterminismViolationError(
    `Nondeterminism: replay of the turn after history event ${turn.events} differs at command ${index + 1}. ` +
      `Recorded: ${describe(turn.recorded[index])}. Produced: ${produced}. ` +
      'The workflow code changed in a way that its open executions do not allow, or it is not deterministic.',
  );
}

/** What must not change between a turn and its replay. */
function identity(command: Command | undefined): string {
  if (command === undefined) return '';
  switch (command.kind) {
    case 'scheduleActivity':
      return `${command.kind} ${command.seq} ${command.activityType} ${command.activityId}`;
    case 'startChild':
      return `${command.kind} ${command.seq} ${command.workflowType} ${command.workflowId}`;
    case 'acceptUpdate':
    case 'completeUpdate':
    case 'patch':
      return `${command.kind} ${command.id}`;
    case 'signalExternal':
    case 'updateExternal':
      return `${command.kind} ${command.seq} ${command.name} ${command.target.workflowId}`;
    case 'cancelExternal':
      return `${command.kind} ${command.seq} ${command.target.workflowId}`;
    case 'signalWithStart':
      return `${command.kind} ${command.seq} ${command.signalName} ${command.workflowId}`;
    case 'startTimer':
    case 'cancelTimer':
    case 'cancelActivity':
    case 'cancelChild':
    case 'cancelSignalExternal':
      return `${command.kind} ${command.seq}`;
    case 'upsertMemo':
    case 'upsertSearchAttributes':
    case 'completeWorkflow':
    case 'failWorkflow':
    case 'cancelWorkflow':
    case 'continueAsNew':
      return command.kind;
  }
}

function describe(command: Command | undefined): string {
  return command === undefined ? 'no command' : identity(command);
}
