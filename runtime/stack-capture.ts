/**
 * Where workflow code waits: the stacks of its unsettled promises.
 *
 * Nothing is noted while workflows run, since a stack costs more than a turn. (Measured: with a stack for every promise of
 * every turn, 13,000 signals a second were left of 110,000; this way none is lost.) Whoever asks has the run replayed into
 * an activation of its own: once to see which promises stay unsettled, and once more, which makes the same promises in the
 * same order (D5), to take the stacks of those and no others. A run of
 * 20,000 signals takes 0.1 s; with every stack it took 2 s.
 *
 * Two kinds of promises tell where code waits:
 *
 *   one that user code made of another by `await` or `then`        its place is the place of the wait
 *   one that the library made and nobody in user code awaits,      its place is the call that made it
 *   because it was returned or forgotten
 *
 * A function that awaits another function has a stack too, but it is the tail of the other one's and adds nothing.
 *
 * Owns: which stacks these are, as positions in the workflow script. Runs on the thread.
 * Does not own: the replay (shard.ts), naming places in the sources (stack-trace.ts).
 */
import v8 from 'node:v8';
import { WORKFLOW_SCRIPT } from './script-places.js';

/** A call in the workflow script; line from 1, column from 0. */
export interface ScriptFrame {
  /** undefined for one without a name. */
  name: string | undefined;
  line: number;
  column: number;
  /** It waits for the frame before it. */
  async: boolean;
}

/** Frames of one stack that are looked at. */
const FRAMES_MAX = 50;
/** Stacks in one answer: a workflow may wait in a million places, but nobody reads that. */
const STACKS_MAX = 1_000;

interface Made {
  from: Promise<unknown> | undefined;
  stack: Stack;
}

/** Takes the stack when made, and spells it out only when asked. */
class Stack {
  declare readonly stack: NodeJS.CallSite[];
  constructor() {
    Error.captureStackTrace(this);
  }
}

/**
 * Runs `replay` twice, which must do the same both times, and gives the stacks of what it left waiting; innermost frame
 * first, no stack twice.
 */
export function captureWaits(replay: () => void): ScriptFrame[][] {
  const unsettled = new Set(unsettledOf(replay, (no) => no).values());
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = FRAMES_MAX;
  try {
    const made = unsettledOf(replay, (no, from): Made | undefined =>
      unsettled.has(no) ? { from, stack: new Stack() } : undefined,
    );
    return withoutTails(withSites(() => waitsAmong(made)));
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** What was noted for promises that are unsettled at the end. They are numbered in the order in which they are made. */
function unsettledOf<T>(
  replay: () => void,
  note: (no: number, from: Promise<unknown> | undefined) => T | undefined,
): Map<Promise<unknown>, T> {
  const noted = new Map<Promise<unknown>, T>();
  let no = 0;
  const stop = v8.promiseHooks.createHook({
    init(promise, from) {
      const value = note(no++, from);
      if (value !== undefined) noted.set(promise, value);
    },
    settled: (promise) => void noted.delete(promise),
  }) as unknown as () => void;
  try {
    replay();
  } finally {
    stop();
  }
  return noted;
}

/** Stacks are spelled out as call sites while `fn` runs. */
function withSites<T>(fn: () => T): T {
  const { prepareStackTrace } = Error;
  Error.prepareStackTrace = (_, sites) => sites;
  try {
    return fn();
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
  }
}

function waitsAmong(made: ReadonlyMap<Promise<unknown>, Made>): ScriptFrame[][] {
  const awaits = [...made.values()].filter(({ from, stack }) => from !== undefined && isWait(stack.stack));
  const awaited = new Set(awaits.map(({ from }) => from));
  const bare = [...made].filter(
    ([promise, { from, stack }]) => from === undefined && !awaited.has(promise) && isOperation(stack.stack),
  );
  return [...awaits, ...bare.map(([, each]) => each)]
    .map(({ stack }) => framesOf(stack.stack))
    .filter((frames) => frames.length > 0);
}

/** Made in user code, by `await` or `then`. What Promise.all and the like make of each of theirs is none: they are awaited themselves. */
function isWait(sites: readonly NodeJS.CallSite[]): boolean {
  const at = sites.findIndex(isCaller);
  return (
    isUsers(sites[at]) && !sites.slice(0, at).some((site) => COMBINATORS.has(site.getFunctionName() ?? ''))
  );
}

const COMBINATORS = new Set(['all', 'allSettled', 'any', 'race']);

/** Made by `new Promise` in the library: a timer, an activity ... A trigger is no wait until somebody awaits it. */
function isOperation(sites: readonly NodeJS.CallSite[]): boolean {
  const made = sites.find((site) => !isHook(site));
  if (made === undefined || !made.isConstructor() || made.getFunctionName() !== 'Promise') return false;
  return (
    !isUsers(sites.find(isCaller)) &&
    !sites.some((site) => site.isConstructor() && site.getFunctionName() === 'Trigger')
  );
}

/** The first of these is the call that counts: not one into a promise's own methods, which the library guards. */
function isCaller(site: NodeJS.CallSite): boolean {
  return !isHook(site) && site.getFileName() !== null && site.getTypeName() !== 'Promise';
}

/** The hook's own calls. */
function isHook(site: NodeJS.CallSite): boolean {
  const file = site.getFileName();
  return file !== null && (file.startsWith('node:') || file === import.meta.url);
}

function isUsers(site: NodeJS.CallSite | undefined): boolean {
  return site?.getFileName() === WORKFLOW_SCRIPT;
}

function framesOf(sites: readonly NodeJS.CallSite[]): ScriptFrame[] {
  return sites.filter(isUsers).map((site) => ({
    name: nameOf(site),
    line: site.getLineNumber() ?? 0,
    column: (site.getColumnNumber() ?? 1) - 1,
    async: (site as NodeJS.CallSite & { isAsync(): boolean }).isAsync(),
  }));
}

function nameOf(site: NodeJS.CallSite): string | undefined {
  const name = site.getFunctionName() ?? undefined;
  return name !== undefined && site.isConstructor() ? `new ${name}` : name;
}

/** Each stack once, and none that another one ends with. */
function withoutTails(stacks: readonly ScriptFrame[][]): ScriptFrame[][] {
  const whole = new Map<string, ScriptFrame[]>();
  for (const frames of stacks) {
    const key = keyOf(frames);
    if (!whole.has(key)) whole.set(key, frames);
    if (whole.size === STACKS_MAX) break;
  }
  const tails = new Set(
    [...whole.values()].flatMap((frames) => frames.slice(1).map((_, at) => keyOf(frames.slice(at + 1)))),
  );
  return [...whole].filter(([key]) => !tails.has(key)).map(([, frames]) => frames);
}

/** The same call is at another column when it is made than while it is awaited. */
function keyOf(frames: readonly ScriptFrame[]): string {
  return frames.map(({ name, line }) => `${name ?? ''}:${line}`).join(' ');
}
