/**
 * Events of what a run says about itself: patches, memo, search attributes.
 *
 * Owns: their attributes, and the search attribute that lists all patches so far, which replay looks for.
 * Does not own: how search attributes are typed (temporal-payload.ts).
 */
import { searchAttributeOf, toTemporalMemo, toTemporalSearchAttributes } from '../temporal-payload.js';
import { type CommandOf, cameFrom, type History, type Task } from './history.js';
import { markerDetail } from './shapes.js';

export function patch(history: History, { id, deprecated }: CommandOf<'patch'>, task: Task): void {
  history.patches.add(id);
  history.add('MARKER_RECORDED', task.time, {
    markerName: 'core_patch',
    details: { 'patch-data': markerDetail({ id, deprecated }) },
    ...cameFrom(task),
  });
  history.add('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', task.time, {
    ...cameFrom(task),
    searchAttributes: {
      indexedFields: { TemporalChangeVersion: searchAttributeOf([...history.patches].sort()) },
    },
  });
}

export function upsertMemo(history: History, { memo }: CommandOf<'upsertMemo'>, task: Task): void {
  history.add('WORKFLOW_PROPERTIES_MODIFIED', task.time, {
    ...cameFrom(task),
    upsertedMemo: toTemporalMemo(memo),
  });
}

export function upsertSearchAttributes(
  history: History,
  { attributes }: CommandOf<'upsertSearchAttributes'>,
  task: Task,
): void {
  const searchAttributes = toTemporalSearchAttributes(attributes);
  history.add('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', task.time, { ...cameFrom(task), searchAttributes });
}
