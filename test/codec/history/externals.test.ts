/** Event history: messages to other workflows. */
import { expect } from 'chai';
import type { Command, Input, Payload } from '../../../codec/journal-entry.js';
import {
  journal,
  last,
  names,
  namesAfterFirst,
  payloads,
  signal,
  started,
  stored,
  TASK,
  turn,
} from '../../support/history-words.js';

describe('history: messages to other workflows', () => {
  const target = { workflowId: 'other', runId: 'o-run' };
  const signalOther: Command = { kind: 'signalExternal', seq: 1, target, name: 'hi', args: stored([1]) };
  const cancelOther: Command = { kind: 'cancelExternal', seq: 2, target, reason: 'r' };
  const updateOther: Command = {
    kind: 'updateExternal',
    stage: 'completed',
    seq: 3,
    target,
    updateId: 'u',
    name: 'set',
    args: stored([1]),
  };
  const answer = (seq: number, more: { failure?: { message: string }; result?: Payload } = {}): Input => ({
    kind: 'externalResolved',
    seq,
    ...more,
  });
  const failure = { message: 'gone' };

  it('signal: sent -> Initiated; a child as target is marked', () => {
    expect(
      last('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', journal(started(), turn([], [signalOther]))),
    ).to.deep.equal({
      namespace: 'default',
      workflowExecution: { workflowId: 'other', runId: 'o-run' },
      signalName: 'hi',
      input: payloads(1),
      childWorkflowOnly: false,
      workflowTaskCompletedEventId: '4',
    });
    const toChild = { ...signalOther, target: { workflowId: 'c', childOnly: true } } as Command;
    expect(
      last('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', journal(started(), turn([], [toChild]))),
    ).to.deep.include({
      workflowExecution: { workflowId: 'c' },
      childWorkflowOnly: true,
    });
  });

  it('answers: delivered and refused -> the event of each kind names its Initiated', () => {
    const entries = journal(
      started(),
      turn([], [signalOther, cancelOther]),
      turn(
        [answer(1), answer(2)],
        [
          { ...signalOther, seq: 4 },
          { ...cancelOther, seq: 5 },
        ],
      ),
      turn([answer(4, { failure }), answer(5, { failure })], []),
    );
    expect(last('EXTERNAL_WORKFLOW_EXECUTION_SIGNALED', entries).initiatedEventId).to.equal('5');
    expect(last('EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED', entries).initiatedEventId).to.equal('6');
    expect(last('SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED', entries)).to.deep.equal({
      initiatedEventId: '12',
      namespace: 'default',
      workflowExecution: { workflowId: 'other', runId: 'o-run' },
      cause: 'SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND',
    });
    expect(last('REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED', entries)).to.deep.include({
      initiatedEventId: '13',
      cause: 'CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED_CAUSE_EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND',
    });
  });

  it('signal: cancelled after it was sent -> no event of that', () => {
    expect(
      namesAfterFirst([signalOther], turn([signal('x')], [{ kind: 'cancelSignalExternal', seq: 1 }])),
    ).to.deep.equal(['SignalExternalWorkflowExecutionInitiated', 'ExecutionSignaled', ...TASK]);
  });

  it('update: to another workflow -> markers of our own, the answer names the first', () => {
    const entries = journal(started(), turn([], [updateOther]), turn([answer(3, { result: stored(9) })], []));
    expect(names(entries).slice(4)).to.deep.equal(['MarkerRecorded', 'MarkerRecorded', ...TASK]);
    expect(last('MARKER_RECORDED', journal(started(), turn([], [updateOther])))).to.deep.equal({
      markerName: 'signalbox_update_external',
      details: {
        update: payloads({ workflowId: 'other', runId: 'o-run', updateId: 'u', name: 'set' }),
        args: payloads(1),
      },
      workflowTaskCompletedEventId: '4',
    });
    expect(last('MARKER_RECORDED', entries)).to.deep.equal({
      markerName: 'signalbox_update_external_completed',
      details: { initiatedEventId: payloads('5'), result: payloads(9) },
    });
  });
});
