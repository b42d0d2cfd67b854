/**
 * What tests of a failing store have in common.
 *
 * Owns: a runtime on a store that fails on demand, a store whose writes a test picks out by what is in them, and an ear
 * for unhandled rejections. Does not own: the faults (runtime/store/faulty.ts), workflows (test/fixtures/bad).
 */
import { expect } from 'chai';
import { after, before } from 'mocha';
import { type GrpcStatus, RpcError, ServiceError } from '../../runtime/client/index.js';
import { FaultPlan, faultyStore } from '../../runtime/store/faulty.js';
import { openMemoryStore } from '../../runtime/store/memory.js';
import type { Store, WriteOp } from '../../runtime/store/store.js';
import { TestRuntime, type TestRuntimeOptions } from './runtime.js';
import { rejection } from './store-rows.js';

export interface Faulty {
  test: TestRuntime;
  plan: FaultPlan;
  /** What is in it is on the disk. */
  disk: Store;
}

/** A runtime that runs test/fixtures/bad/collector.ts. */
export async function openFaulty(options: Partial<TestRuntimeOptions> = {}): Promise<Faulty> {
  const disk = openMemoryStore({ durability: 'commit' });
  const plan = new FaultPlan();
  const test = await TestRuntime.open({
    workflows: '../bad/collector',
    store: faultyStore(disk, plan),
    ...options,
  });
  return { test, plan, disk };
}

/** A store of whose writes the test refuses some: before they take effect, or after. */
export function refusing(
  disk: Store,
  refuse: (ops: readonly WriteOp[]) => { when: 'before' | 'after'; error: Error } | undefined,
): Store {
  return {
    get: (key) => disk.get(key),
    range: (from, to, options) => disk.range(from, to, options),
    stats: () => disk.stats(),
    close: () => disk.close(),
    async write(ops) {
      const refusal = refuse(ops);
      if (refusal?.when === 'before') throw refusal.error;
      await disk.write(ops);
      if (refusal !== undefined) throw refusal.error;
    },
  };
}

/** Whether a write puts a row whose key begins with this letter (codec/keys.ts): 'j' a commit, 'r' a compaction. */
export function puts(letter: string, ops: readonly WriteOp[]): boolean {
  return ops.some(({ kind, key }) => kind === 'put' && key[0] === letter.charCodeAt(0));
}

/** The call was refused in a way that tells to try again. Returns the cause. */
export async function refusal(call: Promise<unknown>, code: GrpcStatus): Promise<RpcError> {
  const error = await rejection(call);
  expect(error, error.stack).to.be.instanceOf(ServiceError);
  const { cause } = error;
  expect(cause).to.be.instanceOf(RpcError);
  expect(cause).to.include({ code, retryable: true });
  return cause as RpcError;
}

/** To be called in a suite: nothing in it may end in an unhandled rejection. */
export function noUnhandledRejections(): void {
  const heard: unknown[] = [];
  const listen = (reason: unknown): void => void heard.push(reason);
  before(() => void process.on('unhandledRejection', listen));
  after(async () => {
    // Node tells of them when it has run out of promise jobs.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listen);
    expect(heard).to.deep.equal([]);
  });
}
