/**
 * Events of messages to other workflows: signals, cancel requests, updates and signal-with-start.
 *
 *   Initiated -> delivered (ExternalSignaled, ExternalCancelRequested) | Failed
 *
 * Owns: the attributes of each, and the markers that stand for an update and a signal-with-start, which Temporal has no
 * events for.
 * Does not own: the request to cancel a child (cancelChild in children.ts). A signal to a child is one of these.
 *
 * The four count their `seq` together, so one table of answers serves them all.
 */
import { present, toTemporalFailure, toTemporalPayloads } from '../temporal-payload.js';
import {
  type CommandOf,
  cameFrom,
  type External,
  type ExternalKind,
  type History,
  type InputOf,
  type Task,
} from './history.js';
import { headerJson, markerDetail, resultJson, targetAttributes } from './shapes.js';

export function signalExternal(history: History, command: CommandOf<'signalExternal'>, task: Task): void {
  const initiatedId = history.add('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', task.time, {
    ...targetAttributes(history.info.namespace, command.target),
    signalName: command.name,
    input: toTemporalPayloads(command.args),
    childWorkflowOnly: command.target.childOnly ?? false,
    header: headerJson(command.headers),
    ...cameFrom(task),
  });
  history.externals.set(command.seq, { command, initiatedId });
}

export function cancelExternal(history: History, command: CommandOf<'cancelExternal'>, task: Task): void {
  const initiatedId = history.add('REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', task.time, {
    ...targetAttributes(history.info.namespace, command.target),
    childWorkflowOnly: command.target.childOnly ?? false,
    reason: command.reason,
    ...cameFrom(task),
  });
  history.externals.set(command.seq, { command, initiatedId });
}

export function updateExternal(history: History, command: CommandOf<'updateExternal'>, task: Task): void {
  const { workflowId, runId } = command.target;
  const initiatedId = history.add('MARKER_RECORDED', task.time, {
    markerName: 'signalbox_update_external',
    details: {
      update: markerDetail(present({ workflowId, runId, updateId: command.updateId, name: command.name })),
      args: toTemporalPayloads(command.args),
    },
    header: headerJson(command.headers),
    ...cameFrom(task),
  });
  history.externals.set(command.seq, { command, initiatedId });
}

export function signalWithStart(history: History, command: CommandOf<'signalWithStart'>, task: Task): void {
  const { workflowId, workflowType, signalName } = command;
  const initiatedId = history.add('MARKER_RECORDED', task.time, {
    markerName: 'signalbox_signal_with_start',
    details: {
      start: markerDetail({ workflowId, workflowType, signalName }),
      args: toTemporalPayloads(command.args),
      signalArgs: toTemporalPayloads(command.signalArgs),
    },
    header: headerJson(command.headers),
    ...cameFrom(task),
  });
  history.externals.set(command.seq, { command, initiatedId });
}

export function externalResolved(history: History, input: InputOf<'externalResolved'>, time: number): void {
  const external = history.known(history.externals, input.seq, 'external operation');
  const answer = ANSWERS[external.command.kind] as Answer<ExternalKind>;
  answer(history, external, input, time);
}

type Answer<Kind extends ExternalKind> = (
  history: History,
  external: External<Kind>,
  input: InputOf<'externalResolved'>,
  time: number,
) => void;

const ANSWERS: { readonly [Kind in ExternalKind]: Answer<Kind> } = {
  signalExternal: (history, { command, initiatedId }, { failure }, time) => {
    const attributes = {
      initiatedEventId: initiatedId,
      ...targetAttributes(history.info.namespace, command.target),
    };
    if (failure === undefined) history.add('EXTERNAL_WORKFLOW_EXECUTION_SIGNALED', time, attributes);
    else {
      const cause = 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND';
      history.add('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED', time, { ...attributes, cause });
    }
  },
  cancelExternal: (history, { command, initiatedId }, { failure }, time) => {
    const attributes = {
      initiatedEventId: initiatedId,
      ...targetAttributes(history.info.namespace, command.target),
    };
    if (failure === undefined) history.add('EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED', time, attributes);
    else {
      const cause = 'CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND';
      history.add('REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED', time, { ...attributes, cause });
    }
  },
  updateExternal: answerMarker('signalbox_update_external_completed'),
  signalWithStart: answerMarker('signalbox_signal_with_start_completed'),
};

function answerMarker<Kind extends ExternalKind>(markerName: string): Answer<Kind> {
  return (history, { initiatedId }, { result, failure }, time) => {
    history.add('MARKER_RECORDED', time, {
      markerName,
      details: present({ initiatedEventId: markerDetail(initiatedId), result: resultJson(result) }),
      failure: failure && toTemporalFailure(failure, history),
    });
  };
}
