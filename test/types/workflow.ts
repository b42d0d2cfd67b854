// What the types of the authoring API allow and refuse of message definitions and handlers. Nothing here runs: the compiler
// checks it, and an expectation that is not met is an error of the build.
import { defineQuery, defineSignal, defineUpdate, setHandler } from '../../actors/workflow.js';

const add = defineSignal<[item: string, count: number]>('add');
const stop = defineSignal('stop');
const total = defineQuery<number>('total');
const priceOf = defineQuery<number, [item: string]>('priceOf');
const put = defineUpdate<boolean, [item: string]>('put');
const clear = defineUpdate<void>('clear');

export function allowed(): void {
  setHandler(add, (item, count) => void item.repeat(count));
  setHandler(add, async (item: string) => void item);
  setHandler(add, () => undefined, { description: 'adds', unfinishedPolicy: 'ABANDON' });
  setHandler(stop, () => undefined);
  setHandler(stop, undefined);
  setHandler(total, () => 1);
  setHandler(priceOf, (item) => item.length, { description: 'of one' });
  setHandler(put, (item) => item === 'a');
  setHandler(put, async (item) => item === 'a', { validator: (item) => void item.length });
  setHandler(put, undefined);
  setHandler(clear, () => undefined);
  setHandler(clear, async () => undefined, { unfinishedPolicy: 'WARN_AND_ABANDON' });
}

export function refused(): void {
  // @ts-expect-error takes another type
  setHandler(add, (item: number) => void item);
  // @ts-expect-error takes more than is sent
  setHandler(stop, (item: string) => void item);
  // @ts-expect-error a signal gives nothing back
  setHandler(add, () => 'value');
  // @ts-expect-error a signal has no validator
  setHandler(add, () => undefined, { validator: () => undefined });
  // @ts-expect-error the answer is another
  setHandler(total, () => 'many');
  // @ts-expect-error a query is answered at once
  setHandler(total, async () => 1);
  // @ts-expect-error takes another type
  setHandler(priceOf, (item: Date) => item.getTime());
  // @ts-expect-error a query has no policy for unfinished handlers
  setHandler(total, () => 1, { unfinishedPolicy: 'ABANDON' });
  // @ts-expect-error the result is another
  setHandler(put, () => 'value');
  // @ts-expect-error the promised result is another
  setHandler(put, async () => 1);
  // @ts-expect-error takes another type
  setHandler(put, (item: number) => item > 1);
  // @ts-expect-error the validator takes another type
  setHandler(put, () => true, { validator: (item: number) => void item });
  // @ts-expect-error the validator takes more than is sent
  setHandler(clear, () => undefined, { validator: (item: string) => void item });
  // @ts-expect-error a policy that does not exist
  setHandler(put, () => true, { unfinishedPolicy: 'IGNORE' });
  // @ts-expect-error a name is no definition
  setHandler('add', () => undefined);
  // @ts-expect-error no handler
  setHandler(add, 1);
}
