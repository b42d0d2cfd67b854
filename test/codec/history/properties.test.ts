/** Event history: patches, memo and search attributes. */
import { expect } from 'chai';
import { expandHistory } from '../../../codec/history-event.js';
import type { Command } from '../../../codec/journal-entry.js';
import type { JsonObject } from '../../../codec/temporal-payload.js';
import {
  attributesOf,
  journal,
  json,
  last,
  names,
  payloads,
  started,
  stored,
  turn,
} from '../../support/history-words.js';

describe('history: what a run says about itself', () => {
  it('patch: two ids -> marker and search attribute each, the second lists both', () => {
    const patch = (id: string, deprecated: boolean): Command => ({ kind: 'patch', id, deprecated });
    const events = expandHistory(journal(started(), turn([], [patch('b', false), patch('a', true)]))).slice(
      4,
    );
    expect(events.map(attributesOf)).to.deep.equal([
      {
        markerName: 'core_patch',
        details: { 'patch-data': payloads({ id: 'b', deprecated: false }) },
        workflowTaskCompletedEventId: '4',
      },
      changeVersion(['b']),
      {
        markerName: 'core_patch',
        details: { 'patch-data': payloads({ id: 'a', deprecated: true }) },
        workflowTaskCompletedEventId: '4',
      },
      changeVersion(['a', 'b']),
    ]);
  });

  function changeVersion(ids: string[]): JsonObject {
    const { metadata, data } = json(ids);
    const type = Buffer.from('KeywordList').toString('base64');
    return {
      workflowTaskCompletedEventId: '4',
      searchAttributes: {
        indexedFields: { TemporalChangeVersion: { metadata: { ...metadata, type }, data: data! } },
      },
    };
  }

  it('upserts: memo and search attributes -> PropertiesModified and UpsertSearchAttributes', () => {
    const commands: Command[] = [
      { kind: 'upsertMemo', memo: stored({ a: 1 }) },
      { kind: 'upsertSearchAttributes', attributes: stored({ Customer: 'Ann' }) },
    ];
    const entries = journal(started(), turn([], commands));
    expect(names(entries).slice(4)).to.deep.equal([
      'WorkflowPropertiesModified',
      'UpsertWorkflowSearchAttributes',
    ]);
    expect(last('WORKFLOW_PROPERTIES_MODIFIED', entries).upsertedMemo).to.deep.equal({
      fields: { a: json(1) },
    });
    expect(last('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', entries)).to.have.nested.property(
      'searchAttributes.indexedFields.Customer',
    );
  });
});
