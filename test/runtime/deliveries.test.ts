/** What is asked of children (deliveries.ts), with a host that only notes it. Whole deliveries are in workflow-*.test.ts. */
import { expect } from 'chai';
import type { Input } from '../../codec/journal-entry.js';
import type { OutboxItem } from '../../codec/run-record.js';
import { GrpcStatus, RpcError, WorkflowNotFoundError } from '../../runtime/client/index.js';
import { Deliveries, type DeliveryHost } from '../../runtime/deliveries.js';
import { Live } from '../../runtime/live.js';
import { Run } from '../../runtime/run.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import { info } from '../support/journal.js';
import { eventually, ManualClock } from '../support/runtime.js';

const CANCEL = { kind: 'cancelChild', seq: 7, workflowId: 'child' } as const;
const START = {
  kind: 'startChild',
  seq: 7,
  command: {
    kind: 'startChild',
    seq: 7,
    workflowId: 'child',
    workflowType: 'type',
    args: new Uint8Array(),
    taskQueue: 'default',
    parentClosePolicy: 'TERMINATE',
  },
} as const;

const unexpected = (): never => {
  throw new Error('Not asked for by these tests');
};

function made({ refuse }: { refuse?: Error } = {}) {
  const clock = new ManualClock();
  const parent = new Live(new Run(info(1, 'parent'), false));
  const child = new Live(
    new Run(
      info(2, 'child', {
        parent: { namespace: 'default', workflowId: 'parent', runId: 'run-1', runNo: 1, seq: 7 },
      }),
      false,
    ),
  );
  const stranger = new Live(new Run(info(3, 'child'), false));
  const sent: Input[] = [];
  const tried: number[] = [];
  const world = { latest: child as Live | undefined, refuse };
  const host: DeliveryHost = {
    closing: false,
    live: unexpected,
    latest: () => world.latest,
    startFor: unexpected,
    sendFor: async (_, input) => {
      if ('sender' in input) tried.push(input.sender!.seq);
      if (world.refuse !== undefined) throw world.refuse;
      sent.push(input);
    },
    updateFor: unexpected,
    terminate: unexpected,
    continueRun: unexpected,
    answer: (_runNo, _input, done) => done(),
    changed: () => undefined,
    broken: unexpected,
  };
  const deliveries = new Deliveries(host, openMemoryStore(), clock);
  const ask = (...items: OutboxItem[]) => {
    for (const item of items) parent.run.outbox.add(item);
    deliveries.do(parent, CANCEL, false);
  };
  const isDone = () => !parent.run.outbox.has('cancelChild', 7);
  return { deliveries, clock, world, parent, child, stranger, sent, tried, ask, isDone };
}

describe('deliveries: a cancel of a child', () => {
  it('is sent without a number: the numbers belong to messages, and one of those may have the same', async () => {
    const { sent, ask, isDone } = made();
    ask(CANCEL);
    await eventually(isDone);
    expect(sent).to.have.length(1);
    expect(sent[0]).to.have.nested.property('sender.seq', 0);
  });

  it('has arrived: nobody has to remember that, as it is not answered', () => {
    const { deliveries } = made();
    deliveries.delivered({ senderRunNo: 1, kind: 'message', seq: 0 }, 2);
    expect([...deliveries.takers()]).to.deep.equal([]);
    deliveries.delivered({ senderRunNo: 1, kind: 'message', seq: 1 }, 2);
    expect([...deliveries.takers()]).to.deep.equal([2]);
  });

  it('its child has not started, as the disk failed: waits for the start that is tried again', async () => {
    const { clock, world, child, sent, ask, isDone } = made();
    world.latest = undefined;
    ask(START, CANCEL);
    await eventually(() => clock.pending.length === 1);
    expect(isDone()).to.equal(false);
    world.latest = child;
    clock.advance(1_000);
    await eventually(isDone);
    expect(sent).to.have.length(1);
  });

  it('its child has ended: done, nothing to send', async () => {
    const { ask, isDone, sent } = made({ refuse: new WorkflowNotFoundError('ended', 'child', undefined) });
    ask(CANCEL);
    await eventually(isDone);
    expect(sent).to.deep.equal([]);
  });

  it('another execution has the id of its child: is not cancelled, and nothing is left to do', async () => {
    const { world, stranger, sent, ask, isDone } = made();
    world.latest = stranger;
    ask(CANCEL);
    await eventually(isDone);
    expect(sent).to.deep.equal([]);
  });
});

describe('deliveries: what the disk refused', () => {
  const signal = (seq: number): OutboxItem => ({
    kind: 'external',
    seq,
    command: {
      kind: 'signalExternal',
      seq,
      name: `signal ${seq}`,
      args: new Uint8Array(),
      target: { workflowId: 'child' },
    },
  });

  it('is done again in the order in which it was asked for, before what is asked for meanwhile (D3)', async () => {
    const { deliveries, parent, clock, world, tried } = made();
    const doIt = (seq: number) => {
      const item = signal(seq);
      parent.run.outbox.add(item);
      deliveries.do(parent, item, false);
    };
    world.refuse = new RpcError(GrpcStatus.RESOURCE_EXHAUSTED, 'the disk is full');
    doIt(1);
    doIt(2);
    await eventually(() => clock.pending.length === 1);
    world.refuse = undefined;
    doIt(3);
    expect(tried).to.deep.equal([1, 2]);
    clock.advance(1_000);
    expect(tried).to.deep.equal([1, 2, 1, 2, 3]);
    await eventually(() => parent.run.outbox.size === 0);
    doIt(4);
    expect(tried.at(-1)).to.equal(4);
    expect(clock.pending).to.deep.equal([]);
  });

  it('does not hold up what another run asks for', async () => {
    const { deliveries, parent, stranger, clock, world, tried } = made();
    world.refuse = new RpcError(GrpcStatus.RESOURCE_EXHAUSTED, 'the disk is full');
    parent.run.outbox.add(signal(1));
    deliveries.do(parent, signal(1), false);
    await eventually(() => clock.pending.length === 1);
    world.refuse = undefined;
    stranger.run.outbox.add(signal(2));
    deliveries.do(stranger, signal(2), false);
    expect(tried).to.deep.equal([1, 2]);
  });
});
