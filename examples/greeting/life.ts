// One life of the process that hosts the workflow. The first ends when it is killed, the second when the workflow is done.
import { Runtime } from 'signalbox';
import { type WorkflowHandle, WorkflowUpdateFailedError } from 'signalbox/client';
import * as activities from './activities.js';
import {
  approve,
  getLanguage,
  getLanguages,
  type greetingWorkflow,
  Language,
  setLanguage,
  setLanguageUsingActivity,
} from './workflows.js';

const [, , which, folder] = process.argv;
const workflowId = 'greeting-1';

const runtime = await Runtime.open({
  path: folder!,
  // Source or compiled, both work: the runtime bundles what it is given.
  workflowsPath: new URL('./workflows.js', import.meta.url),
  activities: which === 'first' ? { ...activities, callGreetingService: neverAnswers } : activities,
});
try {
  await (which === 'first' ? firstLife() : secondLife());
} finally {
  await runtime.close();
}

async function firstLife(): Promise<void> {
  const handle = await runtime.client.workflow.start<typeof greetingWorkflow>('greetingWorkflow', {
    workflowId,
    args: [],
  });
  show('start', `greetingWorkflow '${workflowId}'`, `run ${handle.firstExecutionRunId}`);
  show(
    'query',
    'getLanguages { includeUnsupported: false }',
    await handle.query(getLanguages, { includeUnsupported: false }),
  );
  show(
    'query',
    'getLanguages { includeUnsupported: true }',
    await handle.query(getLanguages, { includeUnsupported: true }),
  );
  show(
    'update',
    'setLanguage CHINESE',
    `was ${await handle.executeUpdate(setLanguage, { args: [Language.CHINESE] })}`,
  );
  await refused(handle);
  await handle.startUpdate(setLanguageUsingActivity, {
    args: [Language.FRENCH],
    updateId: 'to-french',
    waitForStage: 'ACCEPTED',
  });
  show('update', 'setLanguageUsingActivity FRENCH', 'accepted; the greeting service has not answered yet');
  process.send?.('in the middle');
  // Goes on for ever: the parent process kills this one.
  await new Promise(() => undefined);
}

async function refused(handle: WorkflowHandle): Promise<void> {
  try {
    await handle.executeUpdate(setLanguage, { args: [Language.PORTUGUESE] });
  } catch (error) {
    if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    show('update', 'setLanguage PORTUGUESE', `rejected by the validator: ${error.cause?.message}`);
  }
}

async function secondLife(): Promise<void> {
  const handle = runtime.client.workflow.getHandle<typeof greetingWorkflow>(workflowId);
  show('query', 'getLanguage', `${await handle.query(getLanguage)}: the state is intact`);
  const update = handle.getUpdateHandle<Language>('to-french');
  show('update', 'to-french, by its id', `was ${await update.result()}: the accepted update finished`);
  show(
    'query',
    'getLanguages { includeUnsupported: false }',
    await handle.query(getLanguages, { includeUnsupported: false }),
  );
  await handle.signal(approve, { name: 'you' });
  show('signal', "approve { name: 'you' }", 'on disk');
  show('result', workflowId, await handle.result());
  const { events } = await handle.fetchHistory();
  console.log('\n   event history');
  for (const { eventId, eventTime, eventType } of events) {
    console.log(
      `   ${eventId.padStart(4)}  ${String(eventTime).slice(11, 23)}  ${eventType.replace('EVENT_TYPE_', '')}`,
    );
  }
}

function show(kind: string, what: string, answer: unknown): void {
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  console.log(`   ${kind.padEnd(7)} ${what.padEnd(44)} → ${text}`);
}

function neverAnswers(): Promise<never> {
  return new Promise(() => undefined);
}
