/**
 * What the parent and the child of the crash tests say to each other.
 *
 *   parent --Plan (a file)--> child --Line, Line, ... (standard output)--> parent
 *
 * Owns: the shapes. An Op is one call of the client; the child says that it will make it, and then how it went.
 * Does not own: making the calls (child.ts), judging the answers (ledger.ts), choosing what to ask (plan.ts).
 */

export type WorkflowType = 'account' | 'job' | 'waiter';

/** A call; `n` is a number that no other message of the run has, unless the same message is sent again. */
export type Call =
  | { do: 'start'; type: WorkflowType; n: number }
  /** With an argument of so many bytes that nobody looks at. */
  | { do: 'signal'; n: number; bytes?: number; stumble?: Stumble }
  /** Sent twice with one request id. Answers how many of the two took effect, as far as the caller was told. */
  | { do: 'signalOnce'; n: number }
  /** A signal that starts a timer. */
  | { do: 'remind'; n: number; ms: number }
  /** `ms` only for 'fetch'. A negative number is refused by the validator. */
  | { do: 'update'; name: 'add' | 'fetch'; n: number; ms?: number; stage: 'ACCEPTED' | 'COMPLETED' }
  /** The result of an update that was sent before, by its id. */
  | { do: 'recall'; n: number }
  /** Waits until all handlers of the account have ended. */
  | { do: 'settle'; n: number }
  | { do: 'position' }
  | { do: 'report' }
  /** A hash over the event history. */
  | { do: 'history' }
  | { do: 'finish' }
  | { do: 'cancel' }
  | { do: 'terminate' }
  | { do: 'result' };

/** The turn that handles the signal fails, or does not end, for so long; then it is tried again. */
export interface Stumble {
  ms: number;
  how: 'throws' | 'loops';
}

/** `id` is the call's own, `to` the workflow id. */
export type Op = Call & { id: string; to: string };

/** What the query 'report' of an account answers. */
export interface Report {
  signals: number[];
  once: number[];
  /** Reminders that were asked for, and those whose timer fired. */
  asked: number[];
  fired: number[];
  /** Updates. */
  begun: number[];
  finished: number[];
  chain: number[];
}

/** How a workflow ended, or an update. */
export type Outcome = { value: unknown } | { failed: string };

export type Line =
  /** The process is up and begins to open the runtime: from here on it may be killed. */
  | { say: 'opening' }
  | { say: 'opened' }
  /** It was told to close the runtime: from here on calls may be refused for that. */
  | { say: 'closing' }
  /** Said before the call is made. */
  | { say: 'ask'; op: Op }
  /** Said when the call has resolved. */
  | { say: 'answer'; id: string; value: unknown }
  | { say: 'refusal'; id: string; error: string; message: string }
  /** An attempt of an activity begins that may be tried only so often. */
  | { say: 'charged'; n: number; attempt: number }
  /** The runtime reported an error that is not the caller's. */
  | { say: 'trouble'; text: string }
  /** All that was planned is done. */
  | { say: 'done' };

/** Ops of a lane are made one after another; lanes run side by side. */
export interface Lane {
  ops: Op[];
  /** Then the lane makes load until the process is killed. Absent: it ends. */
  load?: Load;
}

/** On an account that has got `sent` messages so far, and then on its successors; or by starting jobs or waiters. */
export type Load =
  | { kind: 'account'; slot: number; generation: number; sent: number }
  | { kind: 'jobs' }
  | { kind: 'waiters' };

export interface Plan {
  folder: string;
  seed: number;
  /** Counts the processes of a run from 1; numbers of messages begin with it. */
  life: number;
  lanes: Lane[];
  /** When all lanes are done: close the runtime and end, or wait to be killed. */
  atEnd: 'close' | 'wait';
}

export const accountId = (slot: number, generation: number): string => `account-${slot}-${generation}`;

/** Message numbers of a life are above those of all earlier lives. */
export const firstNumber = (life: number): number => life * 1_000_000;
export const lifeOf = (n: number): number => Math.floor(n / 1_000_000);
