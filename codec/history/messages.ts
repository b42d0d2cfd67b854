/**
 * Events of what others ask of the run: signals, cancel requests, updates.
 *
 * Owns: the attributes of each.
 * Does not own: an update's request, which has no event of its own: it stands in the event of its acceptance.
 */
import type { Sender, UpdateInput } from '../journal-entry.js';
import { type JsonObject, present, toTemporalFailure, toTemporalPayloads } from '../temporal-payload.js';
import type { CommandOf, History, InputOf, Task } from './history.js';
import { type Attributes, headerJson, resultJson } from './shapes.js';

export function signalReceived(
  history: History,
  { name, args, identity, headers, requestId, sender }: InputOf<'signal'>,
  time: number,
): void {
  history.add('WORKFLOW_EXECUTION_SIGNALED', time, {
    signalName: name,
    input: toTemporalPayloads(args),
    identity,
    header: headerJson(headers),
    requestId,
    externalWorkflowExecution: senderJson(sender),
  });
}

export function cancelRequested(
  history: History,
  { reason, identity, sender }: InputOf<'cancel'>,
  time: number,
): void {
  history.add('WORKFLOW_EXECUTION_CANCEL_REQUESTED', time, {
    cause: reason,
    identity,
    externalWorkflowExecution: senderJson(sender),
  });
}

function senderJson(sender: Sender | undefined): JsonObject | undefined {
  return sender && { workflowId: sender.workflowId, runId: sender.runId };
}

export function acceptUpdate(history: History, { id }: CommandOf<'acceptUpdate'>, task: Task): void {
  const update = task.inputs.find(
    (input): input is UpdateInput => input.kind === 'update' && input.id === id,
  );
  if (update === undefined)
    throw new Error(`A turn of run ${history.info.runId} accepts update '${id}', which it was not given`);
  history.updates.set(
    id,
    history.add('WORKFLOW_EXECUTION_UPDATE_ACCEPTED', task.time, acceptedAttributes(update, task)),
  );
}

/** The sequencing id decides in which task a Temporal worker delivers the update again, so it must be true. */
function acceptedAttributes({ id, name, args, identity, headers }: UpdateInput, task: Task): Attributes {
  return {
    protocolInstanceId: id,
    acceptedRequestMessageId: `${id}/request`,
    acceptedRequestSequencingEventId: String(Number(task.startedId) - 1),
    acceptedRequest: {
      meta: present({ updateId: id, identity }),
      input: present({ name, args: toTemporalPayloads(args), header: headerJson(headers) }),
    },
  };
}

export function completeUpdate(
  history: History,
  { id, result, failure }: CommandOf<'completeUpdate'>,
  task: Task,
): void {
  history.add('WORKFLOW_EXECUTION_UPDATE_COMPLETED', task.time, {
    meta: { updateId: id },
    acceptedEventId: history.known(history.updates, id, 'update'),
    outcome:
      failure === undefined
        ? present({ success: resultJson(result) })
        : { failure: toTemporalFailure(failure, history) },
  });
}
