/**
 * What is known about a run and the store does not have yet.
 *
 * Owns: the shape, and what a write that failed leaves. Does not own: when it is gathered (run.ts) and written
 * (compactor.ts).
 */
import type { DeliveryKind } from '../codec/keys.js';
import type { UpdateOutcome } from '../codec/run-record.js';
import { SparseMap, SparseSet } from './sparse.js';

/** A history chunk has so many bytes at least, if its run has more. */
export const CHUNK_BYTES_LEAST = 256;

/** Something that a sender asked of this run, and that it has. */
export interface Delivery {
  senderRunNo: number;
  kind: DeliveryKind;
  seq: number;
}

/** Differences to what the store holds, gathered until the compactor writes them. */
export interface Unsaved {
  /** Frames since the last save, oldest first, with the journal value each lies in. */
  frames: { seq: number; bytes: Uint8Array }[];
  bytes: number;
  /** So many of the first frames lie in history chunks already, with so many bytes. The run's record does not know of them yet. */
  ahead: { frames: number; bytes: number };
  timersRemoved: { seq: number; due: number }[];
  activitiesRemoved: number[];
  activitiesChanged: SparseSet<number>;
  outcomes: SparseMap<string, UpdateOutcome>;
  requests: SparseSet<string>;
  /** Numbers of outbox items that are done. */
  outboxRemoved: number[];
  deliveries: Delivery[];
  settled: { kind: DeliveryKind; seq: number }[];
  /** Of these, those of which no journal entry tells, by kind and number: a crash before the next save brings them back. */
  forgotten: SparseSet<string>;
  /** The run is not yet in the store at all. */
  isNew: boolean;
  /**
   * History chunks beyond the run's record that may be in the store, and that its next write removes: of writes that failed, and
   * of those that the end of the process came behind.
   */
  stale: number[];
}

export const emptyUnsaved = (isNew: boolean): Unsaved => ({
  frames: [],
  bytes: 0,
  ahead: { frames: 0, bytes: 0 },
  timersRemoved: [],
  activitiesRemoved: [],
  activitiesChanged: new SparseSet(),
  outcomes: new SparseMap(),
  requests: new SparseSet(),
  outboxRemoved: [],
  deliveries: [],
  settled: [],
  forgotten: new SparseSet(),
  isNew,
  stale: [],
});

/** The differences of a write that failed, before those that came since. */
export function putBack(unsaved: Unsaved, failed: Unsaved, through: number): void {
  unsaved.frames = failed.frames.concat(unsaved.frames);
  unsaved.bytes += failed.bytes;
  unsaved.ahead = failed.ahead;
  unsaved.timersRemoved.unshift(...failed.timersRemoved);
  unsaved.activitiesRemoved.unshift(...failed.activitiesRemoved);
  for (const seq of failed.activitiesChanged) unsaved.activitiesChanged.add(seq);
  for (const [id, outcome] of failed.outcomes)
    if (!unsaved.outcomes.has(id)) unsaved.outcomes.set(id, outcome);
  for (const id of failed.requests) unsaved.requests.add(id);
  unsaved.outboxRemoved.unshift(...failed.outboxRemoved);
  unsaved.deliveries.unshift(...failed.deliveries);
  unsaved.settled.unshift(...failed.settled);
  for (const delivery of failed.forgotten) unsaved.forgotten.add(delivery);
  unsaved.isNew = failed.isNew;
  // Without frames there was no chunk in it, and the one of that number is the run's newest in the store.
  unsaved.stale = failed.frames.length > 0 ? [...failed.stale, through] : failed.stale;
}
