/**
 * The shape of one event, as Temporal's tools read it.
 *
 * Owns: the types of events there are, and the name of the member that holds the attributes of each.
 * Does not own: which attributes those are; they are JSON to everyone, and the file of each subject writes them.
 */
import type { JsonObject } from '../temporal-payload.js';

export type EventType =
  | 'WORKFLOW_EXECUTION_STARTED'
  | 'WORKFLOW_EXECUTION_COMPLETED'
  | 'WORKFLOW_EXECUTION_FAILED'
  | 'WORKFLOW_EXECUTION_CANCELED'
  | 'WORKFLOW_EXECUTION_TERMINATED'
  | 'WORKFLOW_EXECUTION_TIMED_OUT'
  | 'WORKFLOW_EXECUTION_CONTINUED_AS_NEW'
  | 'WORKFLOW_EXECUTION_CANCEL_REQUESTED'
  | 'WORKFLOW_EXECUTION_SIGNALED'
  | 'WORKFLOW_EXECUTION_UPDATE_ACCEPTED'
  | 'WORKFLOW_EXECUTION_UPDATE_COMPLETED'
  | 'WORKFLOW_TASK_SCHEDULED'
  | 'WORKFLOW_TASK_STARTED'
  | 'WORKFLOW_TASK_COMPLETED'
  | 'WORKFLOW_TASK_FAILED'
  | 'TIMER_STARTED'
  | 'TIMER_FIRED'
  | 'TIMER_CANCELED'
  | 'ACTIVITY_TASK_SCHEDULED'
  | 'ACTIVITY_TASK_STARTED'
  | 'ACTIVITY_TASK_COMPLETED'
  | 'ACTIVITY_TASK_FAILED'
  | 'ACTIVITY_TASK_TIMED_OUT'
  | 'ACTIVITY_TASK_CANCEL_REQUESTED'
  | 'ACTIVITY_TASK_CANCELED'
  | 'START_CHILD_WORKFLOW_EXECUTION_INITIATED'
  | 'START_CHILD_WORKFLOW_EXECUTION_FAILED'
  | 'CHILD_WORKFLOW_EXECUTION_STARTED'
  | 'CHILD_WORKFLOW_EXECUTION_COMPLETED'
  | 'CHILD_WORKFLOW_EXECUTION_FAILED'
  | 'CHILD_WORKFLOW_EXECUTION_CANCELED'
  | 'CHILD_WORKFLOW_EXECUTION_TERMINATED'
  | 'CHILD_WORKFLOW_EXECUTION_TIMED_OUT'
  | 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED'
  | 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED'
  | 'EXTERNAL_WORKFLOW_EXECUTION_SIGNALED'
  | 'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED'
  | 'REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED'
  | 'EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED'
  | 'MARKER_RECORDED'
  | 'UPSERT_WORKFLOW_SEARCH_ATTRIBUTES'
  | 'WORKFLOW_PROPERTIES_MODIFIED';

type Words<Text extends string> = Text extends `${infer Head}_${infer Tail}`
  ? `${Capitalize<Lowercase<Head>>}${Words<Tail>}`
  : Capitalize<Lowercase<Text>>;

/** TIMER_STARTED -> timerStartedEventAttributes */
export type AttributesKey<Type extends EventType> = `${Uncapitalize<Words<Type>>}EventAttributes`;

/** One event. 64-bit numbers are decimal text, times ISO text, as in proto3 JSON. */
export type HistoryEvent = {
  [Type in EventType]: {
    readonly eventId: string;
    readonly eventTime: string;
    readonly eventType: `EVENT_TYPE_${Type}`;
    /** Short text for people, where the API that led to the event takes one. */
    readonly userMetadata?: JsonObject;
  } & { readonly [Key in AttributesKey<Type>]: JsonObject };
}[EventType];

export function attributesKey<Type extends EventType>(type: Type): AttributesKey<Type> {
  const words = type.toLowerCase().replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return `${words}EventAttributes` as AttributesKey<Type>;
}
