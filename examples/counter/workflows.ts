// The smallest stateful workflow: an actor that adds up what it is sent.
import * as wf from 'signalbox/workflow';

export const add = wf.defineSignal<[number]>('add');
export const addAndGet = wf.defineUpdate<number, [number]>('addAndGet');
export const total = wf.defineQuery<number>('total');
export const stop = wf.defineSignal('stop');

export async function counter(): Promise<number> {
  let sum = 0;
  let stopped = false;
  wf.setHandler(add, (amount) => {
    sum += amount;
  });
  wf.setHandler(addAndGet, (amount) => {
    sum += amount;
    return sum;
  });
  wf.setHandler(total, () => sum);
  wf.setHandler(stop, () => {
    stopped = true;
  });
  await wf.condition(() => stopped);
  return sum;
}
