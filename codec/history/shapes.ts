/**
 * Small shapes: parts that the attributes of several events have in common.
 *
 * Owns: their JSON. Does not own: values, failures and durations (temporal-payload.ts), what events there are.
 */
import type { ExternalTarget, Headers, Payload, RetryPolicy } from '../journal-entry.js';
import {
  duration,
  type Json,
  type JsonObject,
  present,
  temporalPayloadOf,
  toTemporalHeader,
  toTemporalPayload,
  toTemporalPayloads,
} from '../temporal-payload.js';

/** Attributes as they are put together; what is undefined is left out of the event. */
export type Attributes = Partial<JsonObject>;

/** What the events give as the identity of the worker. */
export const IDENTITY = 'signalbox';

export function targetAttributes(namespace: string, { workflowId, runId }: ExternalTarget): Attributes {
  return { namespace, workflowExecution: present({ workflowId, runId }) };
}

export function cancelDetails({
  failure: { info },
}: {
  failure: { info?: { kind: string; details?: Payload | undefined } | undefined };
}): Json | undefined {
  return info?.kind === 'cancelled' ? listJson(info.details) : undefined;
}

export function queueJson(name: string): JsonObject {
  return { name, kind: 'TASK_QUEUE_KIND_NORMAL' };
}

export function headerJson(headers: Headers | undefined): JsonObject | undefined {
  return headers && toTemporalHeader(headers);
}

export function resultJson(result: Payload | undefined): JsonObject | undefined {
  return result && { payloads: [toTemporalPayload(result)] };
}

export function listJson(details: Payload | undefined): JsonObject | undefined {
  return details && toTemporalPayloads(details);
}

export function markerDetail(value: Json): JsonObject {
  return { payloads: [temporalPayloadOf(value)] };
}

export function retryPolicyJson(policy: RetryPolicy | undefined): JsonObject | undefined {
  return (
    policy &&
    present({
      initialInterval: duration(policy.initialInterval),
      backoffCoefficient: policy.backoffCoefficient,
      maximumInterval: duration(policy.maximumInterval),
      maximumAttempts: policy.maximumAttempts,
      nonRetryableErrorTypes: policy.nonRetryableErrorTypes,
    })
  );
}
