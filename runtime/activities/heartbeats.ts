/**
 * The heartbeats of an attempt on their way into the journal, so that the next attempt knows of them also after a crash.
 *
 *   add --> newest --(no note under way, the interval of the last one is over)--> note, and the next interval begins
 *             ^                                                                    |
 *             +---------------- it failed, and nothing newer has come -------------+
 *
 * Owns: how often details are noted. That is how often Temporal's SDK sends them: the first at once, then the newest
 * once per interval.
 * Does not own: the heartbeat timeout, which each heartbeat begins anew (attempt.ts).
 *
 * D8: of one attempt one note is under way, and the newest details wait.
 */
import type { Payload } from '../../codec/journal-entry.js';
import { decodePayload } from '../../codec/payload.js';
import type { Clock } from '../clock.js';

/** Of the heartbeat timeout. */
const INTERVAL_SHARE = 0.8;
/** Without such a timeout. */
const INTERVAL_MS = 30_000;
const INTERVAL_MS_MAX = 60_000;

export class HeartbeatNotes {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #note: (heartbeat: Payload, done: (failed: boolean) => void) => void;
  #newest: Payload | undefined;
  #underWay = false;
  /** Undefined when the interval of the last note is over. */
  #stopInterval: (() => void) | undefined;
  #stopped = false;

  constructor(
    clock: Clock,
    timeoutMs: number | undefined,
    note: (heartbeat: Payload, done: (failed: boolean) => void) => void,
  ) {
    this.#clock = clock;
    this.#intervalMs =
      timeoutMs === undefined ? INTERVAL_MS : Math.min(INTERVAL_SHARE * timeoutMs, INTERVAL_MS_MAX);
    this.#note = note;
  }

  add(heartbeat: Payload): void {
    this.#newest = heartbeat;
    this.#go();
  }

  /** Notes what waits, without waiting any longer. */
  flush(): void {
    const heartbeat = this.#newest;
    this.stop();
    if (heartbeat !== undefined) this.#note(heartbeat, () => undefined);
  }

  stop(): void {
    this.#stopped = true;
    this.#newest = undefined;
    this.#stopInterval?.();
  }

  #go(): void {
    const heartbeat = this.#newest;
    if (heartbeat === undefined || this.#underWay || this.#stopInterval !== undefined) return;
    this.#newest = undefined;
    this.#underWay = true;
    this.#stopInterval = this.#clock.after(this.#intervalMs, () => {
      this.#stopInterval = undefined;
      this.#go();
    });
    this.#note(heartbeat, (failed) => this.#done(heartbeat, failed));
  }

  #done(heartbeat: Payload, failed: boolean): void {
    this.#underWay = false;
    if (this.#stopped) return;
    if (failed) this.#newest ??= heartbeat;
    this.#go();
  }
}

export function detailsOf(heartbeat: Payload | undefined): unknown {
  return heartbeat === undefined ? undefined : (decodePayload(heartbeat) as unknown[])[0];
}
