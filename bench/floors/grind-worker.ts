/** Grinds for as long as it is told to, and answers how often it got through (threads.ts). */
import { parentPort } from 'node:worker_threads';
import { grind } from '../grind.js';

parentPort!.on('message', (ms: number) => {
  const until = performance.now() + ms;
  let count = 0;
  let hash = 0;
  while (performance.now() < until) hash ^= grind(count++);
  parentPort!.postMessage({ count, hash });
});
