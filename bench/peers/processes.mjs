/**
 * Servers of peers: started on loopback with a folder of their own, waited for, stopped by their process id.
 *
 * Owns: their lives. A server that this process started does not outlive it, unless this process is killed with SIGKILL.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;

/** @typedef {{ stop(signal: NodeJS.Signals): Promise<void> }} Server */

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} options
 * @param {() => Promise<unknown>} ready resolves once it answers; throws before that
 * @returns {Promise<Server>}
 */
export async function startServer(command, args, options, ready) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  const exited = once(child, 'exit');
  const killed = () => child.kill('SIGKILL');
  process.once('exit', killed);
  /** @type {Server} */
  const server = {
    async stop(signal) {
      child.kill(signal);
      const timer = setTimeout(killed, STOP_MS_MAX);
      await exited;
      clearTimeout(timer);
      process.off('exit', killed);
    },
  };
  try {
    const died = exited.then(([code]) => {
      throw new Error(`${command} ended with ${code} before it was ready`);
    });
    await Promise.race([untilReady(ready), died]);
    return server;
  } catch (error) {
    await server.stop('SIGKILL');
    throw error;
  }
}

/** @param {() => Promise<unknown>} ready */
async function untilReady(ready) {
  const until = performance.now() + READY_MS_MAX;
  for (;;) {
    try {
      return await ready();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/**
 * Ports that nobody listens on now.
 * @param {number} count
 */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map(
    (server) => /** @type {import('node:net').AddressInfo} */ (server.address()).port,
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
