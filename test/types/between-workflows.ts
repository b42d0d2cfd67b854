// What the types of calls from workflow to workflow allow and refuse. Nothing here runs: the compiler checks it, and an
// expectation that is not met is an error of the build.
import * as wf from '../../actors/workflow.js';

const none = async (): Promise<number> => 1;
const one = async (name: string): Promise<string> => name;
const optional = async (name?: string): Promise<void> => void name;
const poke = wf.defineSignal<[number]>('poke');
const add = wf.defineUpdate<boolean, [number, string]>('add');
const reset = wf.defineUpdate<void>('reset');

export async function children(): Promise<unknown[]> {
  const handle: wf.ChildWorkflowHandle<typeof one> = await wf.startChild(one, { args: ['Ada'] });
  const text: string = await handle.result();
  const number: number = await wf.executeChild(none);
  await wf.executeChild(optional);
  await wf.executeChild(optional, { args: ['Ada'], workflowId: 'w' });
  await wf.startChild('byName', {
    args: [1, 'two'],
    parentClosePolicy: 'ABANDON',
    cancellationType: 'TRY_CANCEL',
  });
  await wf.startChild<typeof one>('one', { args: ['Ada'], parentClosePolicy: wf.ParentClosePolicy.ABANDON });
  const named: string = await wf.executeChild<typeof one>('one', { args: ['Ada'] });
  await handle.signal(poke, 1);
  await handle.signal('anything', 1, 'two');
  // @ts-expect-error the workflow takes an argument
  await wf.startChild(one);
  // @ts-expect-error the workflow takes an argument
  await wf.startChild(one, { workflowId: 'w' });
  // @ts-expect-error of another type
  await wf.executeChild(one, { args: [1] });
  // @ts-expect-error one too many
  await wf.executeChild(one, { args: ['Ada', 'Bob'] });
  // @ts-expect-error the result is text
  const wrong: number = await wf.executeChild(one, { args: ['Ada'] });
  // @ts-expect-error there is no such policy
  await wf.startChild(none, { parentClosePolicy: 'KILL' });
  // @ts-expect-error the signal takes a number
  await handle.signal(poke, 'one');
  // @ts-expect-error there is no cancel: cancel the scope
  handle.cancel();
  // @ts-expect-error workflows cannot be queried from workflows
  handle.query('state');
  return [text, number, named, wrong];
}

export async function externals(): Promise<unknown[]> {
  const handle: wf.ExternalWorkflowHandle = wf.getExternalWorkflowHandle('w', 'r');
  await handle.cancel();
  await handle.signal(poke, 1);
  const added: boolean = await handle.executeUpdate(add, { args: [1, 'a'], updateId: 'u' });
  await handle.executeUpdate(reset);
  const update: wf.ExternalUpdateHandle<boolean> = await handle.startUpdate(add, {
    args: [1, 'a'],
    waitForStage: 'ACCEPTED',
  });
  const result: boolean = await update.result();
  const { signaledRunId } = await wf.signalWithStart(one, {
    workflowId: 'w',
    args: ['Ada'],
    signal: poke,
    signalArgs: [1],
    workflowIdConflictPolicy: wf.WorkflowIdConflictPolicy.FAIL,
  });
  await wf.signalWithStart('byName', { workflowId: 'w', signal: 'anything' });
  // @ts-expect-error the update takes two arguments
  await handle.executeUpdate(add, { args: [1] });
  // @ts-expect-error the update takes arguments
  await handle.executeUpdate(add);
  // @ts-expect-error the stage is missing
  await handle.startUpdate(add, { args: [1, 'a'] });
  // @ts-expect-error that is no stage a workflow can wait for
  await handle.startUpdate(reset, { waitForStage: 'ADMITTED' });
  // @ts-expect-error the result is a boolean
  const wrong: string = await handle.executeUpdate(add, { args: [1, 'a'] });
  // @ts-expect-error the workflow takes an argument
  await wf.signalWithStart(one, { workflowId: 'w', signal: poke, signalArgs: [1] });
  // @ts-expect-error the signal takes a number
  await wf.signalWithStart(none, { workflowId: 'w', signal: poke, signalArgs: ['one'] });
  // @ts-expect-error the id is missing
  await wf.signalWithStart(none, { signal: 'anything' });
  return [added, result, signaledRunId, wrong];
}

export async function continues(): Promise<void> {
  if (Math.random() > 2) await wf.continueAsNew<typeof one>('Ada');
  if (Math.random() > 2) await wf.continueAsNew('anything', 1);
  const again = wf.makeContinueAsNewFunc<typeof one>({
    workflowType: 'other',
    memo: { a: 1 },
    backoffStartInterval: 1,
  });
  if (Math.random() > 2) await again('Ada');
  // @ts-expect-error the workflow takes text
  if (Math.random() > 2) await wf.continueAsNew<typeof one>(1);
  // @ts-expect-error the workflow takes an argument
  if (Math.random() > 2) await again();
  // @ts-expect-error there is no such option
  wf.makeContinueAsNewFunc({ workflowId: 'w' });
}
