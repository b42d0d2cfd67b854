/** Event history: child workflows. */
import { expect } from 'chai';
import type { EventType } from '../../../codec/history-event.js';
import type { ChildOutcome, Command, JournalEntry } from '../../../codec/journal-entry.js';
import type { JsonObject } from '../../../codec/temporal-payload.js';
import {
  activity,
  child,
  completed,
  type DistributiveOmit,
  journal,
  last,
  names,
  payloads,
  resolved,
  short,
  signal,
  started,
  stored,
  TASK,
  turn,
} from '../../support/history-words.js';

describe('history: children', () => {
  const begun = (...rest: DistributiveOmit<JournalEntry, 'time'>[]) =>
    journal(
      started(),
      turn([], [child(1)]),
      turn([{ kind: 'childStarted', seq: 1, runId: 'child-run' }], []),
      ...rest,
    );

  it('child: started -> Initiated, then Started, which name id, run and type', () => {
    const entries = begun();
    expect(names(entries).slice(4)).to.deep.equal([
      'StartChildWorkflowExecutionInitiated',
      'ChildWorkflowExecutionStarted',
      ...TASK,
    ]);
    expect(last('START_CHILD_WORKFLOW_EXECUTION_INITIATED', entries)).to.deep.equal({
      namespace: 'default',
      workflowId: 'child-1',
      workflowType: { name: 'parcel' },
      taskQueue: { name: 'shop', kind: 'TASK_QUEUE_KIND_NORMAL' },
      input: payloads(),
      parentClosePolicy: 'PARENT_CLOSE_POLICY_TERMINATE',
      workflowTaskCompletedEventId: '4',
    });
    expect(last('CHILD_WORKFLOW_EXECUTION_STARTED', entries)).to.deep.equal({
      namespace: 'default',
      initiatedEventId: '5',
      workflowExecution: { workflowId: 'child-1', runId: 'child-run' },
      workflowType: { name: 'parcel' },
    });
  });

  it('child: reuse policy with or without its prefix -> the enum value', () => {
    for (const policy of ['REJECT_DUPLICATE', 'WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE']) {
      const command = { ...child(1), workflowIdReusePolicy: policy } as Command;
      const attributes = last(
        'START_CHILD_WORKFLOW_EXECUTION_INITIATED',
        journal(started(), turn([], [command])),
      );
      expect(attributes.workflowIdReusePolicy).to.equal('WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE');
    }
  });

  it('child: id taken -> StartFailed with the cause', () => {
    const entries = journal(
      started(),
      turn([], [child(1)]),
      turn([{ kind: 'childStartFailed', seq: 1, cause: 'WORKFLOW_ALREADY_EXISTS' }], []),
    );
    expect(last('START_CHILD_WORKFLOW_EXECUTION_FAILED', entries)).to.deep.equal({
      namespace: 'default',
      workflowId: 'child-1',
      workflowType: { name: 'parcel' },
      cause: 'START_CHILD_WORKFLOW_EXECUTION_FAILED_CAUSE_WORKFLOW_ALREADY_EXISTS',
      initiatedEventId: '5',
    });
  });

  const failure = { message: 'f' };
  const ends: [ChildOutcome, EventType, JsonObject][] = [
    [
      { status: 'completed', result: stored(1) },
      'CHILD_WORKFLOW_EXECUTION_COMPLETED',
      { result: payloads(1) },
    ],
    [
      { status: 'failed', failure, retryState: 'RETRY_POLICY_NOT_SET' },
      'CHILD_WORKFLOW_EXECUTION_FAILED',
      { failure: { message: 'f', source: 'TypeScriptSDK' }, retryState: 'RETRY_STATE_RETRY_POLICY_NOT_SET' },
    ],
    [{ status: 'cancelled', failure }, 'CHILD_WORKFLOW_EXECUTION_CANCELED', {}],
    [{ status: 'terminated', failure }, 'CHILD_WORKFLOW_EXECUTION_TERMINATED', {}],
    [
      { status: 'timedOut', failure },
      'CHILD_WORKFLOW_EXECUTION_TIMED_OUT',
      { retryState: 'RETRY_STATE_TIMEOUT' },
    ],
  ];
  for (const [outcome, type, attributes] of ends) {
    it(`child: ${outcome.status} -> ${short(type)} names Initiated and Started`, () => {
      expect(last(type, begun(turn([{ kind: 'childClosed', seq: 1, outcome }], [])))).to.deep.equal({
        namespace: 'default',
        initiatedEventId: '5',
        startedEventId: '6',
        workflowExecution: { workflowId: 'child-1', runId: 'child-run' },
        workflowType: { name: 'parcel' },
        ...attributes,
      });
    });
  }

  it('child cancel: TRY_CANCEL -> RequestCancel for a child only, then the continuation', () => {
    const cancel: Command = { kind: 'cancelChild', seq: 1, workflowId: 'child-1', reason: 'r' };
    const entries = begun(turn([signal('x')], [cancel, activity(1)]));
    expect(names(entries).slice(-2)).to.deep.equal([
      'RequestCancelExternalWorkflowExecutionInitiated',
      'ActivityTaskScheduled',
    ]);
    expect(last('REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED', entries)).to.deep.equal({
      namespace: 'default',
      workflowExecution: { workflowId: 'child-1', runId: 'child-run' },
      childWorkflowOnly: true,
      reason: 'r',
      workflowTaskCompletedEventId: '13',
    });
  });

  it('workflow: fails by a child and an activity -> the failure names where they began', () => {
    const cause = {
      message: 'c',
      info: {
        kind: 'activity' as const,
        activityType: 'charge',
        activityId: '1',
        retryState: 'TIMEOUT' as const,
      },
    };
    const info = {
      kind: 'childWorkflow' as const,
      workflowId: 'child-1',
      workflowType: 'parcel',
      retryState: 'TIMEOUT' as const,
    };
    const entries = begun(
      turn([], [activity(1)]),
      turn([resolved(1, completed)], [{ kind: 'failWorkflow', failure: { message: 'm', cause, info } }]),
    );
    const { failure: found } = last('WORKFLOW_EXECUTION_FAILED', entries) as { failure: any };
    expect(found.childWorkflowExecutionFailureInfo).to.include({
      initiatedEventId: '5',
      startedEventId: '6',
    });
    expect(found.cause.activityFailureInfo).to.include({ scheduledEventId: '13', startedEventId: '14' });
  });
});
