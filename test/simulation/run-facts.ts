/**
 * What can be read off one run of the simulated workflow from outside: its history, its list, its status.
 *
 * Owns: reading the history. Does not own: what is right (audit.ts).
 */
import type { HistoryEvent } from '../../codec/history-event.js';
import type { Life } from '../fixtures/workflows/simulation.js';
import { shortType } from '../support/runtime.js';
import type { Outcome } from './calls.js';

/** As the client gives it. */
export interface RunAnswers {
  runId: string;
  status: string;
  /** Its turn fails and is tried again: the list is that of the turn before. */
  suspended: boolean;
  events: HistoryEvent[];
  /** Absent when the run was terminated: it may not be asked. */
  list?: string[];
  /** Of a run that completed. */
  result?: string[];
}

export interface RunFacts extends Omit<RunAnswers, 'events'> {
  life: Life;
  /** The history as text, without its closing bracket: a later one begins with it. */
  history: string;
  signals: { name: string; what: string }[];
  accepted: { updateId: string; what: string; name: string; ms: number }[];
  completed: Map<string, Outcome>;
  cancelRequested: boolean;
  /** The runs before and after it, when one continued as the other. */
  previous?: string | undefined;
  next?: string;
}

export function factsOf({ events, ...answers }: RunAnswers): RunFacts {
  const facts: RunFacts = {
    ...answers,
    life: undefined as unknown as Life,
    history: JSON.stringify(events).slice(0, -1),
    signals: [],
    accepted: [],
    completed: new Map(),
    cancelRequested: false,
  };
  for (const event of events) note(facts, shortType(event), event as unknown as Attributes);
  return facts;
}

type Attributes = Record<string, any>;

function note(facts: RunFacts, type: string, event: Attributes): void {
  switch (type) {
    case 'WorkflowExecutionStarted':
      facts.life = valuesOf(event.workflowExecutionStartedEventAttributes.input)[0] as Life;
      facts.previous = event.workflowExecutionStartedEventAttributes.continuedExecutionRunId || undefined;
      return;
    case 'WorkflowExecutionContinuedAsNew':
      facts.next = event.workflowExecutionContinuedAsNewEventAttributes.newExecutionRunId;
      return;
    case 'WorkflowExecutionSignaled': {
      const { input } = event.workflowExecutionSignaledEventAttributes;
      const [name, what] = valuesOf(input) as [string, string];
      facts.signals.push({ name, what });
      return;
    }
    case 'WorkflowExecutionCancelRequested':
      facts.cancelRequested = true;
      return;
    case 'WorkflowExecutionUpdateAccepted': {
      const { meta, input } = event.workflowExecutionUpdateAcceptedEventAttributes.acceptedRequest;
      const [name, what, ms] = valuesOf(input.args) as [string, string, number];
      facts.accepted.push({ updateId: meta.updateId, what, name, ms });
      return;
    }
    case 'WorkflowExecutionUpdateCompleted': {
      const { meta, outcome } = event.workflowExecutionUpdateCompletedEventAttributes;
      facts.completed.set(meta.updateId, ending(outcome));
      return;
    }
  }
}

function ending(outcome: Attributes): Outcome {
  if (outcome.success !== undefined) return { kind: 'ok', value: valuesOf(outcome.success)[0] };
  const type = outcome.failure?.applicationFailureInfo?.type;
  return { kind: 'failed', why: type === 'Told' || type === 'Left' ? type : 'cancelled' };
}

function valuesOf(input: Attributes): unknown[] {
  return input.payloads.map(({ data }: { data: string }) =>
    JSON.parse(Buffer.from(data, 'base64').toString()),
  );
}

/** The runs before and after it. */
export function neighboursOf(answers: RunAnswers): string[] {
  const { previous, next } = factsOf(answers);
  return [previous, next].filter((runId) => runId !== undefined);
}
