/** Whose message an envelope is (live.ts). */
import { expect } from 'chai';
import type { Envelope } from '../../codec/envelope.js';
import type { SignalInput } from '../../codec/journal-entry.js';
import { senderOf } from '../../runtime/live.js';
import { info } from '../support/journal.js';

const signal = (runNo?: number): SignalInput => ({
  kind: 'signal',
  name: 'add',
  args: new Uint8Array(),
  ...(runNo && { sender: { workflowId: 'sender', runId: 'run', runNo, seq: 1 } }),
});
const parent = { namespace: 'default', workflowId: 'parent', runId: 'run', runNo: 7, seq: 1 };

describe('the run that a message comes from', () => {
  const cases: [what: string, envelope: Envelope, sender: number | undefined][] = [
    ['a signal of a client', { kind: 'input', runNo: 1, input: signal() }, undefined],
    ['a signal of a workflow', { kind: 'input', runNo: 1, input: signal(5) }, 5],
    [
      'the same, noted',
      { kind: 'note', runNo: 1, entry: { kind: 'received', time: 0, inputs: [signal(5)] } },
      5,
    ],
    ['a start by a client', { kind: 'start', info: info(1, 'w'), inputs: [signal()] }, undefined],
    ['signal-with-start by a workflow', { kind: 'start', info: info(1, 'w'), inputs: [signal(5)] }, 5],
    ['a child', { kind: 'start', info: info(1, 'w', { parent }), inputs: [] }, 7],
    [
      'the run that a child continues as, with what it leaves',
      { kind: 'start', info: info(1, 'w', { parent, continuedFromRunId: 'before' }), inputs: [signal(5)] },
      undefined,
    ],
    ['a query', { kind: 'query', runNo: 1, name: 'q', args: new Uint8Array() }, undefined],
  ];
  for (const [what, envelope, sender] of cases)
    it(`${what}: ${sender ?? 'none'}`, () => expect(senderOf(envelope)).to.equal(sender));
});
