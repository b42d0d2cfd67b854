/**
 * The process that is killed: a runtime under load, that says what it will do before and what it did after.
 *
 *      node child.js <plan file>
 *
 * Owns: making the calls of its plan, and then load of its own until it is killed.
 * Does not own: any judgement; what it says is checked by the parent (ledger.ts).
 *
 * Every line is written straight to the file descriptor. What was written is in the pipe, and survives the process.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Context } from '../../runtime/activities/index.js';
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '../../runtime/client/index.js';
import { Runtime } from '../../runtime/index.js';
import { BLOCKED } from './ledger.js';
import {
  accountId,
  type Call,
  firstNumber,
  type Lane,
  type Line,
  type Load,
  type Op,
  type Outcome,
  type Plan,
} from './operations.js';
import { Random } from './random.js';

/** An account with that many messages is finished and followed by a new one, so that replays stay short. */
const MESSAGES_PER_ACCOUNT = 200;
/** Enough that what some processes leave in the journal is moved in several slices. */
const PADDING_BYTES_MAX = 4 * 2 ** 10;
/** A turn that loops longer ends its thread; some of ours do, about half of them. */
const TURN_MS_MAX = 400;
const LOOP_MS_MAX = 2 * TURN_MS_MAX;
/** Only one account loops, so that the threads are there most of the time. */
const LOOPING_SLOT = 0;
/** A child that was told to close is killed soon afterwards; if not, there is no parent. */
const KILLED_BY_THEN_MS = 60_000;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const plan = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Plan;
const random = new Random(plan.seed);
let lastNumber = firstNumber(plan.life);
let lastOp = 0;

function say(line: Line): void {
  const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
  for (let at = 0; at < bytes.length; ) at += written(bytes.subarray(at));
}

/** How much of it the pipe took. A full one makes the load wait for the parent. */
function written(bytes: Uint8Array): number {
  try {
    return writeSync(1, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    return 0;
  }
}

async function close(): Promise<void> {
  say({ say: 'closing' });
  await runtime.close();
  await sleep(KILLED_BY_THEN_MS);
  process.exit(1);
}

/** Takes long enough to be cut off by a kill now and then, and some so long that their execution leaves memory meanwhile. */
async function double(n: number): Promise<number> {
  await sleep(n % 4 === 0 ? 150 : n % 20);
  if (n % 5 === 0 && Context.current().info.attempt === 1) throw new Error('once more');
  return 2 * n;
}

/** An attempt that is never to begin again, whatever becomes of this process. */
async function charge(n: number): Promise<number> {
  const { attempt } = Context.current().info;
  say({ say: 'charged', n, attempt });
  await sleep(n % 30);
  return attempt;
}

async function follow({ ops, load }: Lane): Promise<void> {
  for (const op of ops) await make(op);
  if (load !== undefined) await loads[load.kind](load as never);
}

// ----- calls ----------------------------------------------------------------------------------------------------

function ask(to: string, call: Call): Promise<void> {
  lastOp += 1;
  return make({ ...call, id: `${plan.life}.${lastOp}`, to });
}

/** Synchronous up to the call itself, so that calls are made in the order in which they are asked for. */
async function make(op: Op): Promise<void> {
  say({ say: 'ask', op });
  try {
    const value = await perform(op);
    say({ say: 'answer', id: op.id, value: value ?? null });
  } catch (error) {
    const { name, message } = error as Error;
    say({ say: 'refusal', id: op.id, error: name, message });
    await sleep(5);
  }
}

function perform(op: Op): Promise<unknown> {
  const handle = client.getHandle(op.to);
  switch (op.do) {
    case 'start':
      return start(op);
    case 'signal':
      if (op.stumble !== undefined)
        return handle.signal('stumble', op.n, Date.now() + op.stumble.ms, op.stumble.how);
      return handle.signal('signal', op.n, 'x'.repeat(op.bytes ?? 0));
    case 'signalOnce':
      return signalTwice(handle, op.n);
    case 'remind':
      return handle.signal('remind', op.n, op.ms);
    case 'update': {
      const options = { updateId: `u${op.n}`, args: [op.n, op.ms] as [number, number | undefined] };
      if (op.stage === 'COMPLETED') return handle.executeUpdate(op.name, options);
      return handle.startUpdate(op.name, { ...options, waitForStage: 'ACCEPTED' }).then(() => null);
    }
    case 'recall':
      return handle.getUpdateHandle(`u${op.n}`).result();
    case 'settle':
      return handle.executeUpdate('settle', { updateId: `settle${op.n}` });
    case 'position':
    case 'report':
      return handle.query(op.do);
    case 'history':
      return handle.fetchHistory().then(hashOf);
    case 'finish':
      return handle.signal('finish');
    case 'cancel':
      return handle.cancel();
    case 'terminate':
      return handle.terminate('enough');
    case 'result':
      return outcomeOf(handle);
  }
}

async function start({ type, n, to }: Op & { do: 'start' }): Promise<string> {
  try {
    await client.start(type, { workflowId: to, args: [n], workflowIdReusePolicy: 'REJECT_DUPLICATE' });
    return 'started';
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return 'already';
    throw error;
  }
}

async function signalTwice(handle: WorkflowHandle, n: number): Promise<number> {
  const send = () => handle.signalWithOptions('signalOnce', { args: [n], requestId: `r${n}` });
  const both = n % 2 === 0 ? [await send(), await send()] : await Promise.all([send(), send()]);
  return both.filter(({ duplicate }) => !duplicate).length;
}

async function outcomeOf(handle: WorkflowHandle): Promise<Outcome> {
  try {
    return { value: await handle.result() };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return { failed: `${error.cause?.name}: ${error.cause?.message}` };
  }
}

function hashOf(history: unknown): string {
  const text = JSON.stringify(history, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  return createHash('sha256').update(text).digest('hex');
}

// ----- load -----------------------------------------------------------------------------------------------------

type LoadOf<K extends Load['kind']> = Extract<Load, { kind: K }>;

const loads: { [K in Load['kind']]: (load: LoadOf<K>) => Promise<void> } = {
  async account({ slot, generation, sent }) {
    for (let id = accountId(slot, generation); ; id = accountId(slot, ++generation)) {
      if (sent === 0) await ask(id, { do: 'start', type: 'account', n: number() });
      while (sent < MESSAGES_PER_ACCOUNT) {
        sent += await send(id);
        if (slot === LOOPING_SLOT && random.below(10) === 0) sent += await loop(id);
      }
      await ask(id, { do: 'finish' });
      await ask(id, { do: 'result' });
      await ask(id, { do: 'history' });
      sent = 0;
    }
  },

  async jobs() {
    for (;;) {
      const n = number();
      await ask(`job-${n}`, { do: 'start', type: 'job', n });
      if (random.below(2) === 0) await ask(`job-${n}`, { do: 'result' });
      await sleep(random.below(30));
    }
  },

  async waiters() {
    for (;;) {
      const n = number();
      const id = `waiter-${n}`;
      await ask(id, { do: 'start', type: 'waiter', n });
      await sleep(random.below(60));
      // One in three waits on.
      if (n % 3 === 0) continue;
      await ask(id, { do: n % 3 === 1 ? 'cancel' : 'terminate' });
      if (random.below(2) === 0) await ask(id, { do: 'result' });
    }
  },
};

function number(): number {
  lastNumber += 1;
  return lastNumber;
}

async function loop(to: string): Promise<number> {
  await ask(to, { do: 'signal', n: number(), stumble: { ms: random.below(LOOP_MS_MAX), how: 'loops' } });
  return 1;
}

/** One step of an account's load. Returns how many messages it sent. */
async function send(to: string): Promise<number> {
  const dice = random.below(100);
  const count = 1 + random.below(dice < 40 ? 30 : 4);
  const calls = Array.from({ length: count }, (): Call => {
    const n = number();
    if (dice < 40 && random.below(100) === 0)
      return { do: 'signal', n, stumble: { ms: random.below(100), how: 'throws' } };
    if (dice < 55) return { do: 'signal', n, bytes: random.below(PADDING_BYTES_MAX) };
    if (dice < 65) return { do: 'signalOnce', n };
    if (dice < 75) return { do: 'update', name: 'add', n, stage: 'COMPLETED' };
    if (dice < 90)
      return {
        do: 'update',
        name: 'fetch',
        n,
        ms: random.below(80),
        stage: dice < 83 ? 'COMPLETED' : 'ACCEPTED',
      };
    if (dice < 96) return { do: 'remind', n, ms: random.below(400) };
    if (dice < 98) return { do: 'signal', n, stumble: { ms: random.below(200), how: 'throws' } };
    return { do: 'update', name: 'add', n: -n, stage: 'COMPLETED' };
  });
  // From 40 to 54 one after another, otherwise without waiting for the answer: in one go, or spread over some batches.
  const asked: Promise<void>[] = [];
  const pause = random.below(2) === 0;
  for (const call of calls) {
    const answered = ask(to, call);
    asked.push(answered);
    if (dice >= 40 && dice < 55) await answered;
    else if (pause) await setImmediate();
  }
  await Promise.all(asked);
  if (random.below(3) === 0) await ask(to, { do: 'position' });
  return count;
}

// ----- the life of the process -----------------------------------------------------------------------------------

say({ say: 'opening' });
const runtime = await Runtime.open({
  path: plan.folder,
  workflowsPath: `${ROOT}test/fixtures/crash/workflows.ts`,
  activities: { double, charge },
  threads: random.one([1, 2, 3]),
  durability: 'flush',
  limits: {
    // Either entries are moved many times within a second, or hardly ever, and the next process has much to move.
    journalBytesMax: random.one([16 * 2 ** 10, 16 * 2 ** 10, 4 * 2 ** 20]),
    // Either activations leave memory and come back all the time, or there is more load.
    activationsPerThreadMax: random.one([3, 6, 100]),
    turnRetryMsMin: 20,
    turnRetryMsMax: 100,
    turnMsMax: TURN_MS_MAX,
  },
  logger: {
    log(level, message) {
      const isOurs = message.endsWith('not yet') || message.includes(BLOCKED);
      if (level === 'ERROR' && !isOurs) say({ say: 'trouble', text: message });
    },
  },
});
const client = runtime.client.workflow;
say({ say: 'opened' });
// The parent tells so, or died and cannot kill its child any more.
process.stdin.on('end', () => void close()).resume();
(process.stdin as { unref?: () => void }).unref?.();
await Promise.all(plan.lanes.map(follow));
say({ say: 'done' });
if (plan.atEnd === 'close') await runtime.close();
