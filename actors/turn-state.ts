/**
 * What a turn has done so far. It lives as long as the turn, so an idle execution does not hold it.
 *
 * Owns: the commands in the order in which they were given, the inputs that count, the error that fails the turn.
 * Does not own: when a turn begins, goes on and ends (activation.ts).
 */
import { type Command, type Input, isTerminal } from '../codec/journal-entry.js';

export class TurnState {
  readonly commands: Command[] = [];
  readonly accepted: Input[] = [];
  /** To be called once the promise jobs under way have run. */
  afterDrain: (() => void)[] = [];
  /** False while the turn has done nothing: a turn whose messages were all rejected leaves no trace. */
  worked = false;
  error: { value: unknown } | undefined;
  /** The workflow's time before the turn. */
  readonly before: number;

  constructor(before: number) {
    this.before = before;
  }

  command(command: Command): void {
    // Not by push: that is guarded, for the user's code.
    this.commands[this.commands.length] = command;
  }

  /** Takes back a command, as if it had never been given. False when there is none. */
  retract(match: (command: Command) => boolean): boolean {
    const at = this.commands.findIndex(match);
    if (at >= 0) this.commands.splice(at, 1);
    return at >= 0;
  }

  accept(input: Input): void {
    this.accepted[this.accepted.length] = input;
    this.worked = true;
  }

  /** The first error counts: what comes after it may follow from it. */
  capture(error: unknown): void {
    this.error ??= { value: error };
  }

  /** A run ends once, and all that it asked for before or after in the same turn comes first (semantics.md 1.9). */
  endingWith(last: (end: Command) => Command): Command[] {
    const end = this.commands.find(isTerminal)!;
    return [...this.commands.filter((command) => !isTerminal(command)), last(end)];
  }
}
