/**
 * A process for test/runtime/logger.test.ts: a runtime with the default logger, that runs one workflow, closes, opens again
 * and has it replayed. What it prints is what the test looks at.
 *
 * Takes the path of the workflows and of a folder for the store.
 */
import { Runtime } from '../../runtime/runtime.js';

const [workflowsPath, path] = process.argv.slice(2) as [string, string];
const open = () => Runtime.open({ path, workflowsPath, threads: 1 });

const first = await open();
const handle = await first.client.workflow.start('logs', { workflowId: 'the workflow', args: [] });
await handle.signal('say', 'before the reopen');
await first.close();

const second = await open();
const again = second.client.workflow.getHandle('the workflow');
await again.query('ask');
await again.signal('say', 'after the reopen');
process.stdout.write(`runId ${(await again.describe()).runId}\n`);
await second.close();
