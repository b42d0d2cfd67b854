/** Event history: timers. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import {
  activity,
  attributesOf,
  cancelTimer,
  done,
  fired,
  journal,
  json,
  last,
  namesAfterFirst,
  signal,
  started,
  TASK,
  timer,
  turn,
  typeOf,
} from '../../support/history-words.js';

describe('history: timers', () => {
  it('timer: fires -> TimerFired names its start', () => {
    const rest = turn([fired(1)], [done()]);
    expect(namesAfterFirst([timer(1)], rest)).to.deep.equal([
      'TimerStarted',
      'TimerFired',
      ...TASK,
      'ExecutionCompleted',
    ]);
    expect(last('TIMER_FIRED', journal(started(), turn([], [timer(1)]), rest))).to.deep.equal({
      timerId: '1',
      startedEventId: '5',
    });
  });

  it('condition with timeout: signal first -> TimerCanceled before what follows', () => {
    expect(namesAfterFirst([timer(1)], turn([signal('go')], [cancelTimer(1), activity(1)]))).to.deep.equal([
      'TimerStarted',
      ...['ExecutionSignaled', ...TASK, 'TimerCanceled', 'ActivityTaskScheduled'],
    ]);
  });

  it('timer: summary -> user metadata of the event', () => {
    const [event] = expandHistory(
      journal(started(), turn([], [{ kind: 'startTimer', seq: 1, ms: 1, summary: 'wait' }])),
    ).slice(4);
    expect(event!.userMetadata).to.deep.equal({ summary: json('wait') });
  });

  it('two timers: second fires first -> each keeps its number', () => {
    const events = expandHistory(
      journal(started(), turn([], [timer(1), timer(2)]), turn([fired(2), fired(1)], [])),
    );
    const ends = events.filter((event) => typeOf(event) === 'TIMER_FIRED').map(attributesOf);
    expect(ends).to.deep.equal([
      { timerId: '2', startedEventId: '6' },
      { timerId: '1', startedEventId: '5' },
    ]);
  });
});
