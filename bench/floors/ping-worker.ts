/** Answers every message with the message (threads.ts). */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { PingWorkerData } from './threads.js';

const { shared } = workerData as PingWorkerData;

parentPort!.once('message', (port: MessagePort) => {
  if (shared === undefined) port.on('message', (message) => port.postMessage(message));
  else sleepBetween(port, shared);
});

function sleepBetween(port: MessagePort, counter: Int32Array): never {
  for (let seen = 0; ; seen = Atomics.load(counter, 0)) {
    for (let got = receiveMessageOnPort(port); got !== undefined; got = receiveMessageOnPort(port)) {
      port.postMessage(got.message);
    }
    Atomics.wait(counter, 0, seen);
  }
}
