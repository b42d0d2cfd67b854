// What the types of the client allow and refuse. Nothing here runs: the compiler checks it, and an expectation that is not
// met is an error of the build.

import { defineQuery, defineSignal, defineUpdate } from '../../actors/workflow.js';
import {
  type Client,
  WithStartWorkflowOperation,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  type WorkflowHandleWithSignaledRunId,
} from '../../runtime/client/index.js';

declare const client: Client;
declare function order(id: string, count: number): Promise<{ total: number }>;
declare function simple(): Promise<string>;
declare function optional(limit?: number): Promise<void>;

const add = defineSignal<[item: string, count: number]>('add');
const stop = defineSignal('stop');
const total = defineQuery<number>('total');
const priceOf = defineQuery<number, [item: string]>('priceOf');
const put = defineUpdate<boolean, [item: string]>('put');
const clear = defineUpdate<void>('clear');

/** Compiles only when both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expectType<Expected>() {
  return <Actual>(_actual: Actual, _same: Same<Expected, Actual>): void => undefined;
}

const workflowId = 'id';
const { workflow } = client;

export async function starts(): Promise<void> {
  const handle = await workflow.start(order, { workflowId, args: ['a', 1] });
  expectType<{ total: number }>()(await handle.result(), true);
  expectType<{ total: number }>()(await workflow.execute(order, { workflowId, args: ['a', 1] }), true);
  expectType<string>()(await workflow.execute(simple, { workflowId }), true);
  handle satisfies WorkflowHandleWithFirstExecutionRunId<typeof order>;
  await workflow.start(simple, { workflowId, args: [] });
  await workflow.start(optional, { workflowId, args: [1] });
  await workflow.start(optional, { workflowId });
  await workflow.start('byName', {
    workflowId,
    args: [1, 'anything'],
    startDelay: '1500 ms',
    followRuns: false,
  });
  await workflow.start(order, { workflowId, args: ['a', 1] as const });

  // @ts-expect-error no arguments
  await workflow.start(order, { workflowId });
  // @ts-expect-error too few
  await workflow.start(order, { workflowId, args: ['a'] });
  // @ts-expect-error too many
  await workflow.start(order, { workflowId, args: ['a', 1, 2] });
  // @ts-expect-error of the wrong type
  await workflow.start(order, { workflowId, args: [1, 'a'] });
  // @ts-expect-error arguments for a workflow that takes none
  await workflow.start(simple, { workflowId, args: [1] });
  // @ts-expect-error no workflow id
  await workflow.start(simple, { args: [] });
  // @ts-expect-error a policy that does not exist
  await workflow.start(simple, { workflowId, workflowIdConflictPolicy: 'PERHAPS' });
  // @ts-expect-error a policy of the other kind
  await workflow.start(simple, { workflowId, workflowIdReusePolicy: 'USE_EXISTING' });
  // @ts-expect-error no duration
  await workflow.start(simple, { workflowId, startDelay: 'soon' });
  // @ts-expect-error an option that does not exist
  await workflow.start(simple, { workflowId, timeout: 1 });
  // @ts-expect-error no workflow: it gives no promise
  await workflow.start(() => 1, { workflowId });
  // @ts-expect-error the result is another
  const wrong: number = await workflow.execute(simple, { workflowId });
  // @ts-expect-error too few
  await workflow.execute(order, { workflowId, args: ['a'] });
  void wrong;
}

export async function handles(): Promise<void> {
  expectType<{ total: number }>()(await workflow.getHandle<typeof order>(workflowId).result(), true);
  expectType<WorkflowHandle<typeof order>>()(workflow.getHandle<typeof order>(workflowId, 'run'), true);
  workflow.getHandle(workflowId, undefined, { firstExecutionRunId: 'run', followRuns: false });
  // @ts-expect-error the result is another
  const wrong: string = await workflow.getHandle<typeof order>(workflowId).result();
  // @ts-expect-error no workflow
  workflow.getHandle<number>(workflowId);
  // @ts-expect-error no id
  workflow.getHandle<typeof order>();
  void wrong;
}

export async function signals(handle: WorkflowHandle<typeof order>): Promise<void> {
  await handle.signal(add, 'a', 1);
  await handle.signal(stop);
  await handle.signal<[number]>('byName', 1);
  await handle.signalWithOptions(add, { args: ['a', 1], requestId: 'r' });
  await handle.signalWithOptions(stop, { requestId: 'r' });

  // @ts-expect-error no arguments
  await handle.signal(add);
  // @ts-expect-error too few
  await handle.signal(add, 'a');
  // @ts-expect-error too many
  await handle.signal(add, 'a', 1, 2);
  // @ts-expect-error of the wrong type
  await handle.signal(add, 1, 'a');
  // @ts-expect-error arguments for a signal that takes none
  await handle.signal(stop, 1);
  // @ts-expect-error a query is no signal
  await handle.signal(total);
  // @ts-expect-error an update is no signal
  await handle.signal(clear);
  // @ts-expect-error no arguments
  await handle.signalWithOptions(add, { requestId: 'r' });
  // @ts-expect-error of the wrong type
  await handle.signalWithOptions(add, { args: [1, 'a'] });
}

export async function queries(handle: WorkflowHandle<typeof order>): Promise<void> {
  expectType<number>()(await handle.query(total), true);
  expectType<number>()(await handle.query(priceOf, 'a'), true);
  expectType<Date>()(await handle.query<Date, [string]>('byName', 'a'), true);

  // @ts-expect-error no arguments
  await handle.query(priceOf);
  // @ts-expect-error of the wrong type
  await handle.query(priceOf, 1);
  // @ts-expect-error too many
  await handle.query(total, 1);
  // @ts-expect-error the answer is another
  const wrong: string = await handle.query(total);
  // @ts-expect-error a signal is no query
  await handle.query(stop);
  void wrong;
}

export async function updates(handle: WorkflowHandle<typeof order>): Promise<void> {
  expectType<boolean>()(await handle.executeUpdate(put, { args: ['a'], updateId: 'u' }), true);
  expectType<void>()(await handle.executeUpdate(clear), true);
  expectType<void>()(await handle.executeUpdate(clear, { updateId: 'u' }), true);
  const update = await handle.startUpdate(put, { args: ['a'], waitForStage: 'ACCEPTED' });
  expectType<boolean>()(await update.result(), true);
  expectType<string>()(update.updateId, true);
  await handle.startUpdate(clear, { waitForStage: 'ACCEPTED' });
  expectType<number>()(await handle.getUpdateHandle<number>('u', { workflowRunId: 'run' }).result(), true);

  // @ts-expect-error no arguments
  await handle.executeUpdate(put);
  // @ts-expect-error no arguments among the options
  await handle.executeUpdate(put, { updateId: 'u' });
  // @ts-expect-error too many
  await handle.executeUpdate(put, { args: ['a', 1] });
  // @ts-expect-error of the wrong type
  await handle.executeUpdate(put, { args: [1] });
  // @ts-expect-error arguments for an update that takes none
  await handle.executeUpdate(clear, { args: [1] });
  // @ts-expect-error the result is another
  const wrong: string = await handle.executeUpdate(put, { args: ['a'] });
  // @ts-expect-error a signal is no update
  await handle.executeUpdate(stop);
  // @ts-expect-error no stage
  await handle.startUpdate(put, { args: ['a'] });
  // @ts-expect-error no stage, nor any options
  await handle.startUpdate(clear);
  // @ts-expect-error no call returns so early
  await handle.startUpdate(put, { args: ['a'], waitForStage: 'ADMITTED' });
  // @ts-expect-error of the wrong type
  await handle.startUpdate(put, { args: [1], waitForStage: 'ACCEPTED' });
  void wrong;
}

export async function signalWithStart(): Promise<void> {
  const handle = await workflow.signalWithStart(order, {
    workflowId,
    args: ['a', 1],
    signal: add,
    signalArgs: ['a', 1],
  });
  handle satisfies WorkflowHandleWithSignaledRunId<typeof order>;
  await workflow.signalWithStart(simple, { workflowId, signal: stop });
  await workflow.signalWithStart('byName', { workflowId, args: [1], signal: 'byName', signalArgs: [1] });

  // @ts-expect-error no signal
  await workflow.signalWithStart(simple, { workflowId });
  // @ts-expect-error no arguments of the signal
  await workflow.signalWithStart(simple, { workflowId, signal: add });
  // @ts-expect-error arguments of the signal are of the wrong type
  await workflow.signalWithStart(simple, { workflowId, signal: add, signalArgs: [1, 'a'] });
  // @ts-expect-error no arguments of the workflow
  await workflow.signalWithStart(order, { workflowId, signal: stop });
  // @ts-expect-error arguments of the workflow are of the wrong type
  await workflow.signalWithStart(order, { workflowId, args: [1, 'a'], signal: stop });
  // @ts-expect-error an update is no signal
  await workflow.signalWithStart(simple, { workflowId, signal: clear });
}

export async function updateWithStart(): Promise<void> {
  const startWorkflowOperation = new WithStartWorkflowOperation(order, {
    workflowId,
    args: ['a', 1],
    workflowIdConflictPolicy: 'USE_EXISTING',
  });
  expectType<boolean>()(
    await workflow.executeUpdateWithStart(put, { args: ['a'], startWorkflowOperation }),
    true,
  );
  expectType<void>()(await workflow.executeUpdateWithStart(clear, { startWorkflowOperation }), true);
  const update = await workflow.startUpdateWithStart(put, {
    args: ['a'],
    waitForStage: 'ACCEPTED',
    startWorkflowOperation,
  });
  expectType<boolean>()(await update.result(), true);
  const handle = await startWorkflowOperation.workflowHandle();
  expectType<{ total: number }>()(await handle.result(), true);

  // @ts-expect-error no conflict policy
  new WithStartWorkflowOperation(simple, { workflowId });
  // @ts-expect-error no arguments of the workflow
  new WithStartWorkflowOperation(order, { workflowId, workflowIdConflictPolicy: 'FAIL' });
  // @ts-expect-error arguments of the workflow are of the wrong type
  new WithStartWorkflowOperation(order, { workflowId, args: [1], workflowIdConflictPolicy: 'FAIL' });
  // @ts-expect-error no operation
  await workflow.executeUpdateWithStart(put, { args: ['a'] });
  // @ts-expect-error no arguments
  await workflow.executeUpdateWithStart(put, { startWorkflowOperation });
  // @ts-expect-error of the wrong type
  await workflow.executeUpdateWithStart(put, { args: [1], startWorkflowOperation });
  // @ts-expect-error no stage
  await workflow.startUpdateWithStart(put, { args: ['a'], startWorkflowOperation });
  // @ts-expect-error only acceptance can be waited for
  await workflow.startUpdateWithStart(clear, { waitForStage: 'COMPLETED', startWorkflowOperation });
  // @ts-expect-error the result is another
  const wrong: string = await workflow.executeUpdateWithStart(put, { args: ['a'], startWorkflowOperation });
  void wrong;
}

export async function limits(): Promise<void> {
  expectType<number>()(await client.withDeadline(1, async () => 2), true);
  expectType<string>()(
    await client.withDeadline(new Date(), () => workflow.execute(simple, { workflowId })),
    true,
  );
  expectType<void>()(
    await workflow.withAbortSignal(new AbortController().signal, async () => undefined as void),
    true,
  );
  // @ts-expect-error no deadline
  await client.withDeadline('1 s', async () => 2);
  // @ts-expect-error the function gives no promise
  await client.withDeadline(1, () => 2);
  // @ts-expect-error a controller is no signal
  await client.withAbortSignal(new AbortController(), async () => 2);
}
