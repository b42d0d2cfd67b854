/**
 * The work that every system does, and how it is measured: one round of one system.
 *
 * Owns: which calls there are, over how many entities, with how many senders, and what counts as done.
 * Does not own: how a system does it (signalbox.mjs, restate.mjs, dbos.mjs), the order of rounds (main.mjs).
 *
 * A message counts when it has been applied, not when somebody has promised to apply it. Where a call is answered earlier,
 * the clock runs on until all were applied (`settle`), and the rate is that of applied messages.
 */
import { load } from '../../dist/bench/measure.js';

/** Entities that the messages go to. */
export const ENTITIES = 100;
export const CONCURRENCIES = [1, 64, 256];
/** @typedef {'signal' | 'update' | 'query' | 'workflow'} Kind */
/** @type {readonly Kind[]} */
export const KINDS = ['signal', 'update', 'query', 'workflow'];

/**
 * @typedef {object} System One that has been opened and has its entities.
 * @property {(entity: number) => Promise<unknown>} signal adds one to an entity's number
 * @property {(entity: number) => Promise<number>} update the same, and answers with the sum
 * @property {(entity: number) => Promise<number>} query answers with the sum
 * @property {(k: number) => Promise<number>} workflow starts a workflow of its own, which does one step with k; its result
 * @property {boolean} signalsAreOneWay whether `signal` is answered before it is applied
 * @property {readonly string[]} about versions, and what was configured for durability
 * @property {() => Promise<void>} close
 */

/** @typedef {{ kind: Kind, concurrency: number, perSecond: number, p50: number, p99: number }} Figure */
/** @typedef {{ about: readonly string[], figures: Figure[] }} Round */
/** @typedef {{ warmupMs: number, measureMs: number }} Pace */

const WARMUP_SENDERS = 64;
const SETTLE_POLL_MS = 5;
const SETTLE_MS_MAX = 60_000;

/**
 * @param {System} system
 * @param {Pace} pace
 * @returns {Promise<Round>}
 */
export async function measureRound(system, { warmupMs, measureMs }) {
  /** @type {Figure[]} */
  const figures = [];
  const work = new Work(system);
  for (const kind of KINDS) {
    await work.load(kind, WARMUP_SENDERS, warmupMs);
    for (const concurrency of CONCURRENCIES) {
      figures.push({ kind, concurrency, ...(await work.load(kind, concurrency, measureMs)) });
    }
  }
  await work.check();
  return { about: system.about, figures };
}

/** The calls, counted, so that at the end it is known what the sums must be. */
class Work {
  #system;
  /** Numbers given to calls; no workflow gets one twice. */
  #begun = 0;
  /** What all sums together must be. */
  #added = 0;

  /** @param {System} system */
  constructor(system) {
    this.#system = system;
  }

  /**
   * @param {Kind} kind
   * @param {number} concurrency
   * @param {number} ms
   */
  async load(kind, concurrency, ms) {
    const begun = performance.now();
    const { calls, perSecond, p50, p99 } = await load(concurrency, ms, () => this.#call(kind, this.#begun++));
    if (kind !== 'signal' || !this.#system.signalsAreOneWay) return { perSecond, p50, p99 };
    await this.#settle();
    return { perSecond: (calls / (performance.now() - begun)) * 1_000, p50, p99 };
  }

  /** Nothing was lost, nothing happened twice. */
  async check() {
    const sum = await this.#sum();
    if (sum !== this.#added)
      throw new Error(`${this.#added} was added and acknowledged, the sums are ${sum}`);
  }

  /**
   * @param {Kind} kind
   * @param {number} k
   */
  async #call(kind, k) {
    const system = this.#system;
    const entity = k % ENTITIES;
    switch (kind) {
      case 'signal':
        await system.signal(entity);
        this.#added++;
        return;
      case 'update':
        await system.update(entity);
        this.#added++;
        return;
      case 'query':
        await system.query(entity);
        return;
      case 'workflow': {
        const result = await system.workflow(k);
        if (result !== k) throw new Error(`The workflow with ${k} answered ${result}`);
        return;
      }
    }
  }

  async #settle() {
    const until = performance.now() + SETTLE_MS_MAX;
    while ((await this.#sum()) < this.#added) {
      if (performance.now() > until)
        throw new Error(`Not all signals were applied within ${SETTLE_MS_MAX} ms`);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
  }

  async #sum() {
    const sums = await Promise.all(
      Array.from({ length: ENTITIES }, (_, entity) => this.#system.query(entity)),
    );
    return sums.reduce((sum, each) => sum + each, 0);
  }
}
