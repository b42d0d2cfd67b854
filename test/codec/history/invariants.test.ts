/** Event history: H1 to H4 of codec/history-event.ts, for any journal. */
import { expect } from 'chai';
import fc from 'fast-check';
import { eventCount, expandHistory } from '../../../codec/history-event.js';
import { journals } from '../../support/any-journal.js';
import { attributesOf, typeOf } from '../../support/history-words.js';

/** What each reference to an earlier event may point at. */
const REFERENCES: Record<string, RegExp> = {
  scheduledEventId: /(WORKFLOW|ACTIVITY)_TASK_SCHEDULED$/,
  startedEventId: /(TASK|TIMER|EXECUTION)_STARTED$/,
  workflowTaskCompletedEventId: /WORKFLOW_TASK_COMPLETED$/,
  latestCancelRequestedEventId: /ACTIVITY_TASK_CANCEL_REQUESTED$/,
  initiatedEventId: /INITIATED$/,
  acceptedEventId: /UPDATE_ACCEPTED$/,
  acceptedRequestSequencingEventId: /WORKFLOW_TASK_SCHEDULED$/,
};

describe('history: any journal', () => {
  it('eventCount: every entry of every journal -> the events that expandHistory gives for it (H1)', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(journals, (entries) => {
        let count = 0;
        for (const [index, entry] of entries.entries()) {
          count += eventCount(entry);
          expect(expandHistory(entries.slice(0, index + 1)).length, `after entry ${index}`).to.equal(count);
          kinds.add(entry.kind);
          if (entry.kind === 'turn')
            for (const { kind } of [...entry.inputs, ...entry.commands]) kinds.add(kind);
        }
      }),
      { numRuns: 150 },
    );
    // 8 entry kinds, 9 input kinds, 20 command kinds: the journals really hold them all.
    expect(kinds.size).to.equal(8 + 9 + 20);
  });

  it('ids: any journal -> 1, 2, 3 ... without a gap (H2)', () => {
    fc.assert(
      fc.property(journals, (entries) => {
        const ids = expandHistory(entries).map(({ eventId }) => Number(eventId));
        expect(ids).to.deep.equal(ids.map((_, index) => index + 1));
      }),
    );
  });

  it('tasks: any journal -> nothing between Started and its end; commands name the task before them (H3)', () => {
    fc.assert(
      fc.property(journals, (entries) => {
        const events = expandHistory(entries);
        let completedId: string | undefined;
        for (const [index, event] of events.entries()) {
          if (typeOf(event) === 'WORKFLOW_TASK_STARTED') {
            expect(typeOf(events[index - 1]!)).to.equal('WORKFLOW_TASK_SCHEDULED');
            expect(typeOf(events[index + 1]!)).to.match(/WORKFLOW_TASK_(COMPLETED|FAILED)/);
          }
          if (typeOf(event) === 'WORKFLOW_TASK_COMPLETED') completedId = event.eventId;
          const { workflowTaskCompletedEventId } = attributesOf(event);
          if (workflowTaskCompletedEventId !== undefined)
            expect(workflowTaskCompletedEventId).to.equal(completedId);
        }
      }),
    );
  });

  it('references: any journal -> each points at an earlier event of the right type (H4)', () => {
    fc.assert(
      fc.property(journals, (entries) => {
        const events = expandHistory(entries);
        for (const event of events) {
          for (const [key, value] of Object.entries(attributesOf(event))) {
            const pattern = REFERENCES[key];
            if (pattern === undefined) continue;
            expect(Number(value)).to.be.within(1, Number(event.eventId) - 1);
            expect(events[Number(value) - 1]!.eventType, `${key} of ${event.eventType}`).to.match(pattern);
          }
        }
      }),
    );
  });

  it('json: any journal -> events survive JSON unchanged', () => {
    fc.assert(
      fc.property(journals, (entries) => {
        const events = expandHistory(entries);
        expect(JSON.parse(JSON.stringify(events))).to.deep.equal(events);
      }),
      { numRuns: 30 },
    );
  });
});
