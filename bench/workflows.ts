// The workflows that the benchmarks run: as little work as a handler can have, so that what is measured is the runtime.
import * as wf from 'signalbox/workflow';
import type * as activities from './activities.js';
import { grind } from './grind.js';

export const add = wf.defineSignal<[number]>('add');
export const increment = wf.defineUpdate<number, [number]>('increment');
export const incrementChecked = wf.defineUpdate<number, [number]>('incrementChecked');
export const compute = wf.defineSignal<[number]>('compute');
export const total = wf.defineQuery<number>('total');
export const collectGarbage = wf.defineSignal('collectGarbage');
export const note = wf.defineSignal<[string]>('note');

const { echo } = wf.proxyActivities<typeof activities>({ startToCloseTimeout: '1 minute' });

/** An entity that counts and never ends. */
export async function counter(): Promise<void> {
  let sum = 0;
  wf.setHandler(add, (by) => {
    sum += by;
  });
  wf.setHandler(compute, (seed) => {
    sum += grind(seed) === 0 ? 2 : 1;
  });
  const addAndTell = (by: number): number => {
    sum += by;
    return sum;
  };
  wf.setHandler(increment, addAndTell);
  wf.setHandler(incrementChecked, addAndTell, {
    validator: (by) => {
      if (by <= 0) throw new Error('only upwards');
    },
  });
  wf.setHandler(total, () => sum);
  await wf.condition(() => false);
}

/** Start, one activity, result. */
export async function step(value: number): Promise<number> {
  return await echo(value);
}

/** Collects the garbage of its thread when told to, in a process that runs with --expose-gc (memory.ts). */
export async function collector(): Promise<void> {
  let runs = 0;
  wf.setHandler(total, () => runs);
  wf.setHandler(collectGarbage, () => {
    runs += 1;
    (globalThis as { gc?: () => void }).gc?.();
  });
  await wf.condition(() => false);
}

/** Takes notes and keeps none of them. */
export async function notes(): Promise<void> {
  wf.setHandler(note, () => undefined);
  await wf.condition(() => false);
}

/** An entity that has done its work after so many signals. */
export async function page(lines: number): Promise<number> {
  let written = 0;
  wf.setHandler(add, () => {
    written += 1;
  });
  wf.setHandler(increment, (by) => written + by);
  wf.setHandler(total, () => written);
  await wf.condition(() => written >= lines);
  return written;
}

/** Its handlers compute for as long as they are told. */
export async function burner(): Promise<void> {
  let handled = 0;
  let sum = 0;
  const work = (rounds: number): number => {
    handled += 1;
    sum += burn(rounds);
    return sum;
  };
  wf.setHandler(add, (rounds) => {
    work(rounds);
  });
  wf.setHandler(increment, work);
  wf.setHandler(total, () => handled);
  await wf.condition(() => false);
}

function burn(rounds: number): number {
  let value = 1;
  for (let i = 0; i < rounds; i++) value = (value * 1_103_515_245 + 12_345) & 0x7fffffff;
  return value & 1;
}
