/**
 * User values, failures and durations in Temporal's JSON, the proto3 JSON mapping of its API.
 *
 * Owns: which Temporal encoding a value gets and how it is read back, and the shape of a failure.
 * Does not own: how values are stored (payload.ts), the events they appear in (history-event.ts).
 *
 * Encodings, the first that fits:
 *
 *   binary/null       undefined
 *   binary/plain      a Uint8Array, as it is
 *   json/plain        a value that JSON gives back exactly: no -0, NaN, Date, Map, undefined member, cycle, shared
 *                     part
 *   binary/signalbox  anything else: the stored bytes (payload.ts). Temporal's own converter refuses it, so a workflow
 *                     that is to replay on a Temporal worker keeps to the other three, or its worker is given a
 *                     converter that knows this one
 *
 * V1: reading back what was written gives an equal value, and an equal failure.
 * Runs on the host only: base64 is Buffer's.
 */
import type { Failure, FailureInfo, TimeoutKind } from './failure.js';
import type { Headers, Payload, RetryState } from './journal-entry.js';
import { decodePayload, encodePayload } from './payload.js';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

/** A temporal.api.common.v1.Payload. Metadata values and data are base64; empty data may be left out. */
export type TemporalPayload = {
  readonly metadata: { readonly [key: string]: string };
  readonly data?: string;
};
export type TemporalPayloads = { readonly payloads: readonly TemporalPayload[] };

export const SIGNALBOX_ENCODING = 'binary/signalbox';

/** Nesting beyond this is not written as JSON: both sides walk it recursively. */
const JSON_DEPTH_MAX = 256;

// ---------------------------------------------------------------------------------------------------------------
// Values

/** One stored value. */
export function toTemporalPayload(value: Payload): TemporalPayload {
  return temporalPayloadOf(decodePayload(value));
}

/** A stored argument list, one payload an argument. */
export function toTemporalPayloads(args: Payload): TemporalPayloads {
  return { payloads: (decodePayload(args) as unknown[]).map(temporalPayloadOf) };
}

/** @throws Error for an encoding that is not one of the four (or json/protobuf, which is read as plain JSON). */
export function fromTemporalPayload(payload: TemporalPayload): Payload {
  return encodePayload(valueOfTemporalPayload(payload));
}

/** The stored argument list. Absent payloads are an empty list. */
export function fromTemporalPayloads(payloads: Partial<TemporalPayloads> | null | undefined): Payload {
  return encodePayload((payloads?.payloads ?? []).map(valueOfTemporalPayload));
}

export function temporalPayloadOf(value: unknown): TemporalPayload {
  if (value === undefined) return payload('binary/null');
  if (value instanceof Uint8Array) return payload('binary/plain', value);
  if (isExactJson(value, new Set())) return payload('json/plain', Buffer.from(JSON.stringify(value)));
  // It was within its limit when it was stored; to look at it is not the time to ask again.
  return payload(SIGNALBOX_ENCODING, encodePayload(value, 'value', Number.POSITIVE_INFINITY));
}

export function valueOfTemporalPayload({ metadata, data = '' }: TemporalPayload): unknown {
  const encoding = metadata.encoding === undefined ? '(none)' : textOf(metadata.encoding);
  switch (encoding) {
    case 'binary/null':
      return undefined;
    case 'binary/plain':
      return Uint8Array.from(Buffer.from(data, 'base64'));
    case 'json/plain':
    case 'json/protobuf':
      return JSON.parse(textOf(data));
    case SIGNALBOX_ENCODING:
      return decodePayload(Uint8Array.from(Buffer.from(data, 'base64')));
    default:
      throw new Error(`Unknown payload encoding: ${encoding}`);
  }
}

function payload(encoding: string, data?: Uint8Array): TemporalPayload {
  const metadata = { encoding: base64(encoding) };
  return data === undefined ? { metadata } : { metadata, data: base64(data) };
}

function base64(data: Uint8Array | string): string {
  return (
    typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  ).toString('base64');
}

function textOf(data: string): string {
  return Buffer.from(data, 'base64').toString();
}

/** @param seen objects met so far: JSON would write a shared one twice and a cyclic one for ever. */
function isExactJson(value: unknown, seen: Set<object>, depth = 0): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== 'object' || seen.has(value) || depth > JSON_DEPTH_MAX) return false;
  seen.add(value);
  const members = Array.isArray(value) ? denseMembers(value) : plainMembers(value);
  return members?.every((member) => isExactJson(member, seen, depth + 1)) ?? false;
}

/** Undefined for an array with holes or with properties beside its elements. */
function denseMembers(array: unknown[]): unknown[] | undefined {
  return Object.keys(array).length === array.length ? array : undefined;
}

/** Undefined for anything but an object of the kind that a literal makes. */
function plainMembers(object: object): unknown[] | undefined {
  const prototype = Object.getPrototypeOf(object);
  const plain = prototype === Object.prototype || prototype === null;
  return plain && Object.getOwnPropertySymbols(object).length === 0 ? Object.values(object) : undefined;
}

// ---------------------------------------------------------------------------------------------------------------
// Named values

/** A memo: the stored value is an object, each member becomes a payload. */
export function toTemporalMemo(memo: Payload): JsonObject {
  return { fields: mapValues(recordOf(memo), temporalPayloadOf) };
}

/**
 * Search attributes: the stored value is an object. Each payload names the attribute's type, as a server would; text
 * is taken for a Keyword, since the value alone does not tell it from Text.
 */
export function toTemporalSearchAttributes(attributes: Payload): JsonObject {
  return { indexedFields: mapValues(recordOf(attributes), searchAttributeOf) };
}

export function toTemporalHeader(headers: Headers): JsonObject {
  return { fields: mapValues(headers, toTemporalPayload) };
}

export function searchAttributeOf(value: unknown): TemporalPayload {
  // Dates become ISO text on the way, which is the form Temporal wants.
  const { metadata, data } = payload('json/plain', Buffer.from(JSON.stringify(value ?? null)));
  const type = searchAttributeType(value);
  return {
    metadata: type === undefined ? metadata : { ...metadata, type: base64(type) },
    ...(data && { data }),
  };
}

function searchAttributeType(value: unknown): string | undefined {
  if (Array.isArray(value))
    return typeof value[0] === 'string' ? 'KeywordList' : searchAttributeType(value[0]);
  if (value instanceof Date) return 'Datetime';
  if (typeof value === 'string') return 'Keyword';
  if (typeof value === 'boolean') return 'Bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'Int' : 'Double';
  return undefined;
}

function recordOf(value: Payload): Readonly<Record<string, unknown>> {
  return decodePayload(value) as Record<string, unknown>;
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  map: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));
}

// ---------------------------------------------------------------------------------------------------------------
// Failures

/** Where in the history an activity or child that failed began; only the history knows. */
export interface FailureOrigins {
  activity(activityId: string): JsonObject | undefined;
  child(workflowId: string): JsonObject | undefined;
}

const NO_ORIGINS: FailureOrigins = { activity: () => undefined, child: () => undefined };

/** A temporal.api.failure.v1.Failure. */
export function toTemporalFailure(failure: Failure, origins: FailureOrigins = NO_ORIGINS): JsonObject {
  const { message, source, stackTrace, cause, info } = failure;
  return present({
    message,
    source: source ?? 'TypeScriptSDK',
    stackTrace,
    cause: cause && toTemporalFailure(cause, origins),
    ...(info && { [INFO_KEYS[info.kind]]: infoToTemporal(info, origins) }),
  });
}

/** Tolerates fields it does not know; an info it does not know leaves a plain failure. */
export function fromTemporalFailure(json: JsonObject): Failure {
  return {
    message: text(json.message) ?? '',
    ...some('source', text(json.source)),
    ...some('stackTrace', text(json.stackTrace)),
    ...some('cause', json.cause ? fromTemporalFailure(json.cause as JsonObject) : undefined),
    ...some('info', infoFromTemporal(json)),
  };
}

type InfoKind = FailureInfo['kind'];
type InfoOf<Kind extends InfoKind> = Extract<FailureInfo, { kind: Kind }>;

const INFO_KEYS: { readonly [Kind in InfoKind]: string } = {
  application: 'applicationFailureInfo',
  timeout: 'timeoutFailureInfo',
  cancelled: 'canceledFailureInfo',
  terminated: 'terminatedFailureInfo',
  server: 'serverFailureInfo',
  activity: 'activityFailureInfo',
  childWorkflow: 'childWorkflowExecutionFailureInfo',
};

const INFO_WRITERS: {
  readonly [Kind in InfoKind]: (info: InfoOf<Kind>, origins: FailureOrigins) => Partial<JsonObject>;
} = {
  application: ({ type, nonRetryable, details, nextRetryDelay, category }) => ({
    type,
    nonRetryable,
    details: details && toTemporalPayloads(details),
    nextRetryDelay: duration(nextRetryDelay),
    category: category && `APPLICATION_ERROR_CATEGORY_${category}`,
  }),
  timeout: ({ timeoutType, lastHeartbeatDetails }) => ({
    timeoutType: `TIMEOUT_TYPE_${timeoutType}`,
    lastHeartbeatDetails: lastHeartbeatDetails && toTemporalPayloads(lastHeartbeatDetails),
  }),
  cancelled: ({ details }) => ({ details: details && toTemporalPayloads(details) }),
  terminated: () => ({}),
  server: ({ nonRetryable }) => ({ nonRetryable }),
  activity: ({ activityType, activityId, retryState, identity }, origins) => ({
    ...(activityId !== undefined && origins.activity(activityId)),
    activityType: { name: activityType },
    activityId,
    retryState: retryStateJson(retryState),
    identity,
  }),
  childWorkflow: ({ namespace, workflowId, runId, workflowType, retryState }, origins) => ({
    ...origins.child(workflowId),
    namespace,
    workflowExecution: present({ workflowId, runId }),
    workflowType: { name: workflowType },
    retryState: retryStateJson(retryState),
  }),
};

const INFO_READERS: { readonly [Kind in InfoKind]: (json: JsonObject) => InfoOf<Kind> } = {
  application: (json) => ({
    kind: 'application',
    ...some('type', text(json.type)),
    ...some('nonRetryable', json.nonRetryable as boolean | undefined),
    ...some('details', storedList(json.details)),
    ...some('nextRetryDelay', durationMs(text(json.nextRetryDelay))),
    ...some(
      'category',
      json.category === 'APPLICATION_ERROR_CATEGORY_BENIGN' ? ('BENIGN' as const) : undefined,
    ),
  }),
  timeout: (json) => ({
    kind: 'timeout',
    timeoutType: withoutPrefix(json.timeoutType, 'TIMEOUT_TYPE_') as TimeoutKind,
    ...some('lastHeartbeatDetails', storedList(json.lastHeartbeatDetails)),
  }),
  cancelled: (json) => ({ kind: 'cancelled', ...some('details', storedList(json.details)) }),
  terminated: () => ({ kind: 'terminated' }),
  server: (json) => ({ kind: 'server', nonRetryable: json.nonRetryable === true }),
  activity: (json) => ({
    kind: 'activity',
    activityType: nameOf(json.activityType),
    ...some('activityId', text(json.activityId)),
    retryState: withoutPrefix(json.retryState, 'RETRY_STATE_') as RetryState,
    ...some('identity', text(json.identity)),
  }),
  childWorkflow: (json) => ({
    kind: 'childWorkflow',
    ...some('namespace', text(json.namespace)),
    ...executionOf(json.workflowExecution as JsonObject | undefined),
    workflowType: nameOf(json.workflowType),
    retryState: withoutPrefix(json.retryState, 'RETRY_STATE_') as RetryState,
  }),
};

function infoToTemporal(info: FailureInfo, origins: FailureOrigins): JsonObject {
  const write = INFO_WRITERS[info.kind] as (
    info: FailureInfo,
    origins: FailureOrigins,
  ) => Partial<JsonObject>;
  return present(write(info, origins));
}

function infoFromTemporal(json: JsonObject): FailureInfo | undefined {
  const kind = (Object.keys(INFO_KEYS) as InfoKind[]).find(
    (candidate) => json[INFO_KEYS[candidate]] !== undefined,
  );
  return kind && INFO_READERS[kind](json[INFO_KEYS[kind]] as JsonObject);
}

function storedList(json: Json | undefined): Payload | undefined {
  return json === undefined || json === null
    ? undefined
    : fromTemporalPayloads(json as unknown as TemporalPayloads);
}

function executionOf(execution: JsonObject | undefined): { workflowId: string; runId?: string } {
  return { workflowId: text(execution?.workflowId) ?? '', ...some('runId', text(execution?.runId)) };
}

function nameOf(json: Json | undefined): string {
  return text((json as JsonObject | undefined)?.name) ?? '';
}

function text(json: Json | undefined): string | undefined {
  return typeof json === 'string' ? json : undefined;
}

function withoutPrefix(json: Json | undefined, prefix: string): string {
  const value = text(json) ?? 'UNSPECIFIED';
  return value.startsWith(prefix) ? value.slice(prefix.length) : value;
}

// ---------------------------------------------------------------------------------------------------------------
// Small shapes

export function retryStateJson(state: RetryState): string {
  return `RETRY_STATE_${state}`;
}

/** Milliseconds as a google.protobuf.Duration: '1.500s'. */
export function duration(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  const nanos = Math.round((ms % 1000) * 1e6);
  const fraction =
    nanos === 0
      ? ''
      : `.${String(nanos)
          .padStart(9, '0')
          .replace(/(000)+$/, '')}`;
  return `${Math.floor(ms / 1000)}${fraction}s`;
}

function durationMs(json: string | undefined): number | undefined {
  return json === undefined ? undefined : Number(json.replace(/s$/, '')) * 1000;
}

/** The fields that are there: JSON has no undefined. */
export function present(fields: Partial<JsonObject>): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as JsonObject;
}

/** A field for an object literal, or none. */
function some<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value });
}
