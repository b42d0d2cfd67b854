/**
 * Calls that wait for room instead of being refused: `whenFull: 'wait'`.
 *
 *   call --nobody before it, and room--------------------------------------------------------> made
 *     |                                                                                         ^
 *     +--> line of its execution --first in it--> turn of the line at its thread --room---------+
 *              |                                                                                ^
 *              +-- given up (deadline, abort), runtime closes --> rejected: nothing was done    +-- needs none: first in its line
 *
 * A call that waits has had no effect. When its turn comes it is made as if it were made then, in one step.
 *
 * Owns: who waits, and in which order they go. Does not own: how much room there is (thread.ts), what a call does (host.ts), how
 * long a caller waits (client/call-context.ts).
 *
 * D3: calls for one execution are made in the order in which they came, whatever kinds they are. Executions take turns, so one with
 * many callers does not hold up the others. D8: limits.waitingMessagesMax and waitingBytesMax; what is more is refused.
 */
import { GrpcStatus, RpcError } from './client/errors.js';
import { InvariantError } from './errors.js';
import type { Limits } from './limits.js';
import { type OnGivenUp, UNSENT } from './service.js';

/** What a call asks for, as far as it matters for its turn. */
export interface Wish {
  namespace: string;
  workflowId: string;
  /** Size of its message; undefined for a call that sends none. */
  bytes: number | undefined;
  /** Number of the thread that the message goes to, as things are; undefined when there is nobody to send it to. */
  slot(): number | undefined;
}

/** What the waiting room has to know about threads. */
export interface Rooms {
  threads: number;
  hasRoom(slot: number, bytes: number): boolean;
}

interface Waiting {
  wish: Wish;
  make(): void;
  reject(error: Error): void;
}

interface Line {
  key: string;
  /** In order. A set, so that one may leave from anywhere without the others being moved. */
  calls: Set<Waiting>;
  /** Where its first call waits. */
  slot: number;
}

export class WaitingRoom {
  readonly #rooms: Rooms;
  readonly #limits: Limits;
  /** By execution. */
  readonly #lines = new Map<string, Line>();
  /** By thread, in the order of their turns. */
  readonly #turns: Set<Line>[];
  readonly #scheduled: boolean[];
  #calls = 0;
  #bytes = 0;
  #making = false;
  #closed = false;

  constructor(rooms: Rooms, limits: Limits) {
    this.#rooms = rooms;
    this.#limits = limits;
    this.#turns = Array.from({ length: rooms.threads }, () => new Set());
    this.#scheduled = Array.from({ length: rooms.threads }, () => false);
  }

  /** How many calls wait. */
  get size(): number {
    return this.#calls;
  }

  /** A call that would have waited is being made. */
  get isMaking(): boolean {
    return this.#making;
  }

  /** The room that there is in this thread, or will be, belongs to those who wait: nobody else may take it. */
  isPromised(slot: number): boolean {
    return !this.#making && this.#turns[slot]!.size > 0;
  }

  /**
   * Makes the call now, or when its turn has come.
   * @throws (or rejects) RpcError with RESOURCE_EXHAUSTED when too many wait; whatever the call throws
   */
  enter<T>(
    wish: Wish,
    make: (onGivenUp?: OnGivenUp) => T | Promise<T>,
    onGivenUp?: OnGivenUp,
  ): T | Promise<T> {
    const key = `${wish.namespace}\0${wish.workflowId}`;
    const line = this.#lines.get(key);
    const slot = this.#slotToWaitAt(line, wish);
    if (slot === undefined) return this.#make(() => make(onGivenUp));
    this.#requirePlace(wish.bytes ?? 0);
    return new Promise<T>((resolve, reject) => {
      const waiting = { wish, make: () => settleWith(() => make(onGivenUp), resolve, reject), reject };
      this.#queue(line ?? this.#newLine(key, slot), waiting);
      onGivenUp?.(() => (this.#giveUp(key, waiting) ? UNSENT : undefined));
    });
  }

  /** Undefined when the call need not wait. */
  #slotToWaitAt(line: Line | undefined, wish: Wish): number | undefined {
    if (this.#closed) return undefined;
    if (line !== undefined) return line.slot;
    const slot = wish.bytes === undefined ? undefined : wish.slot();
    if (slot === undefined) return undefined;
    return this.isPromised(slot) || !this.#fits(slot, wish) ? slot : undefined;
  }

  /** The thread has more room than before. Calls go a moment later, when what made the room is over. */
  roomMade(slot: number): void {
    if (this.#turns[slot]!.size === 0 || this.#scheduled[slot]) return;
    this.#scheduled[slot] = true;
    queueMicrotask(() => {
      this.#scheduled[slot] = false;
      this.#serve(slot);
    });
  }

  /** Whoever waits is told; nothing was done. */
  close(error: () => Error): void {
    this.#closed = true;
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    for (const turns of this.#turns) turns.clear();
    this.#calls = 0;
    this.#bytes = 0;
    for (const { calls } of lines) for (const { reject } of calls) reject(error());
  }

  #newLine(key: string, slot: number): Line {
    const line: Line = { key, calls: new Set(), slot };
    this.#lines.set(key, line);
    this.#turns[slot]!.add(line);
    return line;
  }

  #queue(line: Line, waiting: Waiting): void {
    line.calls.add(waiting);
    this.#calls++;
    this.#bytes += waiting.wish.bytes ?? 0;
  }

  /** Line after line, a call of each, as long as there is room. */
  #serve(slot: number): void {
    const turns = this.#turns[slot]!;
    for (const line of turns) {
      const first = firstOf(line);
      // Since it came, the execution may have been started, or have gone on in another run.
      const now = first.wish.slot() ?? slot;
      if (now !== slot) this.#move(line, now);
      else if (!this.#fits(slot, first.wish)) return;
      else this.#makeFirst(line);
    }
  }

  #fits(slot: number, { bytes }: Wish): boolean {
    return bytes === undefined || this.#rooms.hasRoom(slot, bytes);
  }

  #move(line: Line, slot: number): void {
    this.#turns[line.slot]!.delete(line);
    line.slot = slot;
    this.#turns[slot]!.add(line);
    this.roomMade(slot);
  }

  #makeFirst(line: Line): void {
    const turns = this.#turns[line.slot]!;
    turns.delete(line);
    const first = firstOf(line);
    this.#leave(line, first);
    // Before the call is made: it may take the room that the next one of its line needs, but not its place.
    if (line.calls.size > 0) turns.add(line);
    this.#make(first.make);
  }

  #make<T>(make: () => T): T {
    const before = this.#making;
    this.#making = true;
    try {
      return make();
    } finally {
      this.#making = before;
    }
  }

  #leave(line: Line, waiting: Waiting): void {
    line.calls.delete(waiting);
    this.#calls--;
    this.#bytes -= waiting.wish.bytes ?? 0;
    if (line.calls.size === 0) this.#lines.delete(line.key);
  }

  /** True when the call had not been made, and never will be. */
  #giveUp(key: string, waiting: Waiting): boolean {
    const line = this.#lines.get(key);
    if (line === undefined || !line.calls.has(waiting)) return false;
    const { slot } = line;
    this.#leave(line, waiting);
    if (line.calls.size === 0) this.#turns[slot]!.delete(line);
    // What was behind it may be small enough for the room that there is.
    this.roomMade(slot);
    return true;
  }

  #requirePlace(bytes: number): void {
    const { waitingMessagesMax, waitingBytesMax } = this.#limits;
    const limit =
      this.#calls >= waitingMessagesMax
        ? 'waitingMessagesMax'
        : this.#calls > 0 && this.#bytes + bytes > waitingBytesMax
          ? 'waitingBytesMax'
          : undefined;
    if (limit === undefined) return;
    throw new RpcError(
      GrpcStatus.RESOURCE_EXHAUSTED,
      `Too many calls wait for room already (limits.${limit}: ${this.#limits[limit]}). Nothing was done; send it again later, or raise the limit`,
    );
  }
}

/** A line without calls is none. */
function firstOf({ calls }: Line): Waiting {
  for (const waiting of calls) return waiting;
  throw new InvariantError('A line of the waiting room is empty');
}

function settleWith<T>(
  make: () => T | Promise<T>,
  resolve: (value: T | Promise<T>) => void,
  reject: (error: unknown) => void,
): void {
  try {
    resolve(make());
  } catch (error) {
    reject(error);
  }
}
