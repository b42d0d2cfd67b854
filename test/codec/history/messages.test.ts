/** Event history: what others ask of a run. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import type { Command, Input } from '../../../codec/journal-entry.js';
import {
  accept,
  activity,
  attributesOf,
  cancelTimer,
  complete,
  completed,
  journal,
  json,
  last,
  names,
  namesAfterFirst,
  payloads,
  received,
  resolved,
  signal,
  started,
  stored,
  TASK,
  timer,
  turn,
  update,
} from '../../support/history-words.js';

describe('history: signals, updates, cancel requests', () => {
  it('update: accepted and completed in one turn -> no input event, Accepted names the event before TaskStarted', () => {
    const input = { ...update('u1', 'set', 5), identity: 'me', headers: { h: stored(1) } } as Input;
    const entries = journal(started(), turn([], []), turn([input], [accept('u1'), complete('u1', 6)]));
    expect(names(entries).slice(4)).to.deep.equal([
      ...TASK,
      'ExecutionUpdateAccepted',
      'ExecutionUpdateCompleted',
    ]);
    expect(last('WORKFLOW_EXECUTION_UPDATE_ACCEPTED', entries)).to.deep.equal({
      protocolInstanceId: 'u1',
      acceptedRequestMessageId: 'u1/request',
      acceptedRequestSequencingEventId: '5',
      acceptedRequest: {
        meta: { updateId: 'u1', identity: 'me' },
        input: { name: 'set', args: payloads(5), header: { fields: { h: json(1) } } },
      },
    });
    expect(last('WORKFLOW_EXECUTION_UPDATE_COMPLETED', entries)).to.deep.equal({
      meta: { updateId: 'u1' },
      acceptedEventId: '8',
      outcome: { success: payloads(6) },
    });
  });

  it('update-with-start: update in the first turn -> Accepted behind the first task, sequencing id 2', () => {
    const entries = journal(started(), turn([update('u1', 'set')], [accept('u1')]));
    expect(names(entries)).to.deep.equal(['ExecutionStarted', ...TASK, 'ExecutionUpdateAccepted']);
    expect(last('WORKFLOW_EXECUTION_UPDATE_ACCEPTED', entries).acceptedRequestSequencingEventId).to.equal(
      '2',
    );
  });

  it('update: handler waits for an activity -> Accepted before its commands, Completed in the later task', () => {
    expect(
      namesAfterFirst(
        [],
        turn([update('u1', 'set')], [accept('u1'), activity(1)]),
        turn([resolved(1, completed)], [complete('u1', 1)]),
      ),
    ).to.deep.equal([
      ...[...TASK, 'ExecutionUpdateAccepted', 'ActivityTaskScheduled'],
      ...['ActivityTaskStarted', 'ActivityTaskCompleted', ...TASK, 'ExecutionUpdateCompleted'],
    ]);
  });

  it('update: handler fails -> Completed with a failure as outcome', () => {
    const fail: Command = { kind: 'completeUpdate', id: 'u1', failure: { message: 'no' } };
    const entries = journal(started(), turn([update('u1', 'set')], [accept('u1'), fail]));
    expect(last('WORKFLOW_EXECUTION_UPDATE_COMPLETED', entries).outcome).to.deep.equal({
      failure: { message: 'no', source: 'TypeScriptSDK' },
    });
  });

  it('update: two in one turn -> Accepted twice, then Completed twice, each with its own acceptance', () => {
    const commands = [accept('a'), accept('b'), complete('a', 1), complete('b', 2)];
    const events = expandHistory(journal(started(), turn([update('a', 'x'), update('b', 'x')], commands)));
    expect(events.slice(4).map((event) => attributesOf(event).acceptedEventId)).to.deep.equal([
      undefined,
      undefined,
      '5',
      '6',
    ]);
  });

  it('update: request stood in a received entry -> accepted from there', () => {
    const entries = journal(started(), received(update('u1', 'set', 1)), turn([], [accept('u1')], 1));
    expect(names(entries)).to.deep.equal(['ExecutionStarted', ...TASK, 'ExecutionUpdateAccepted']);
  });

  it('taken: turns take a part of what waits -> oldest first', () => {
    const entries = journal(
      started(),
      received(update('u1', 'set'), signal('s'), update('u2', 'set')),
      turn([], [accept('u1')], 1),
      turn([], [accept('u2')], 2),
    );
    expect(names(entries).slice(1)).to.deep.equal([
      'ExecutionSignaled',
      ...[...TASK, 'ExecutionUpdateAccepted'],
      ...[...TASK, 'ExecutionUpdateAccepted'],
    ]);
  });

  it('signal: request id and headers -> attributes', () => {
    const input = { ...signal('s'), requestId: 'r1', headers: { h: stored(1) } } as Input;
    expect(last('WORKFLOW_EXECUTION_SIGNALED', journal(started(), turn([input], [])))).to.deep.include({
      requestId: 'r1',
      header: { fields: { h: json(1) } },
    });
  });

  it('cancel: with a pending sleep -> CancelRequested, task, TimerCanceled, Canceled', () => {
    const request: Input = { kind: 'cancel', reason: 'r', identity: 'me' };
    const rest = turn([request], [cancelTimer(1), { kind: 'cancelWorkflow' }]);
    expect(namesAfterFirst([timer(1)], rest).slice(1)).to.deep.equal([
      ...['ExecutionCancelRequested', ...TASK, 'TimerCanceled', 'ExecutionCanceled'],
    ]);
    expect(
      last('WORKFLOW_EXECUTION_CANCEL_REQUESTED', journal(started(), turn([request], []))),
    ).to.deep.equal({
      cause: 'r',
      identity: 'me',
    });
  });

  it('cancel: before the first turn -> no timer, directly Canceled', () => {
    expect(
      names(journal(started(), received({ kind: 'cancel' }), turn([], [{ kind: 'cancelWorkflow' }], 1))),
    ).to.deep.equal([...['ExecutionStarted', 'ExecutionCancelRequested', ...TASK, 'ExecutionCanceled']]);
  });
});
