// A short measurement for `npm start`. The real ones, with their floors, are in bench/.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Runtime } from 'signalbox';
import { add, addAndGet, counter, total } from '../counter/workflows.js';

const EXECUTIONS = 100;
const SENDERS = 256;
const MS_EACH = 1_500;

export async function measure(): Promise<string> {
  const folder = mkdtempSync(path.join(tmpdir(), 'signalbox-measure-'));
  const runtime = await Runtime.open({
    path: folder,
    workflowsPath: new URL('../counter/workflows.js', import.meta.url),
  });
  try {
    const handles = await Promise.all(
      Array.from({ length: EXECUTIONS }, (_, i) =>
        runtime.client.workflow.start(counter, { workflowId: `counter-${i}` }),
      ),
    );
    const pick = (n: number) => handles[n % EXECUTIONS]!;
    const signals = await perSecond((n) => pick(n).signal(add, 1));
    const updates = await perSecond((n) => pick(n).executeUpdate(addAndGet, { args: [1] }));
    const queries = await perSecond((n) => pick(n).query(total));
    return `${signals} signals/s   ${updates} updates/s   ${queries} queries/s   (${SENDERS} at a time, ${EXECUTIONS} executions)`;
  } finally {
    await runtime.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Calls made and answered per second, after a warm-up. */
async function perSecond(call: (n: number) => Promise<unknown>): Promise<string> {
  await sendFor(call, MS_EACH / 3);
  const { calls, ms } = await sendFor(call, MS_EACH);
  return Math.round((calls * 1_000) / ms).toLocaleString('en-US');
}

async function sendFor(
  call: (n: number) => Promise<unknown>,
  ms: number,
): Promise<{ calls: number; ms: number }> {
  const began = performance.now();
  let calls = 0;
  const sender = async () => {
    while (performance.now() - began < ms) await call(calls++);
  };
  await Promise.all(Array.from({ length: SENDERS }, sender));
  return { calls, ms: performance.now() - began };
}
