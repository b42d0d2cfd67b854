/**
 * Restate: its server, a service behind it in a process of its own, and its TypeScript client here.
 *
 * Everything at the server's default but addresses, folder and telemetry.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '@restatedev/restate-sdk-clients';
import { freePorts, startServer } from './processes.mjs';
import { ENTITIES } from './work.mjs';

const { resolve } = createRequire(import.meta.url);

/**
 * @param {string} folder
 * @returns {Promise<import('./work.mjs').System>}
 */
export async function open(folder) {
  const [node, ingress, admin] = /** @type {[number, number, number]} */ (await freePorts(3));
  const config = path.join(folder, 'restate.toml');
  writeFileSync(config, configuration(folder, { node, ingress, admin }));
  const server = await startServer(
    resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`),
    ['--no-logo', '--config-file', config],
    { cwd: folder, env: {} },
    () =>
      Promise.all([
        get(`http://127.0.0.1:${admin}/health`),
        get(`http://127.0.0.1:${ingress}/restate/health`),
      ]),
  );
  const service = fork(fileURLToPath(new URL('./restate-service.mjs', import.meta.url)), {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [port] = await once(service, 'message');
  await register(admin, port);
  const { counters, workflow } = clients(`http://127.0.0.1:${ingress}`);
  return {
    about: [
      `restate-server ${version('restate-server')}, restate-sdk ${version('restate-sdk')}, restate-sdk-clients ${version('restate-sdk-clients')}`,
      'one node, replication 1, 24 partitions, all defaults; rocksdb-disable-wal-fsync = false, the default, in the log server, so ' +
        'that each record of the log is fsynced before it counts; telemetry off; server, service and caller are three processes ' +
        'that talk HTTP on loopback',
    ],
    signalsAreOneWay: false,
    signal: (entity) => counter(entity).add(1),
    update: (entity) => counter(entity).increment(1),
    query: (entity) => counter(entity).total(),
    workflow,
    async close() {
      await server.stop('SIGTERM');
      const ended = once(service, 'exit');
      service.kill('SIGTERM');
      await ended;
    },
  };

  /** @param {number} entity */
  function counter(entity) {
    return /** @type {Counter} */ (counters[entity]);
  }
}

/**
 * @typedef {object} Counter
 * @property {(by: number) => Promise<void>} add
 * @property {(by: number) => Promise<number>} increment
 * @property {() => Promise<number>} total
 */

/** @param {string} url */
function clients(url) {
  const client = /** @type {any} */ (connect({ url }));
  /** @type {Counter[]} */
  const counters = Array.from({ length: ENTITIES }, (_, entity) =>
    client.objectClient({ name: 'counter' }, `counter-${entity}`),
  );
  /** @type {(k: number) => Promise<number>} */
  const workflow = (k) => client.workflowClient({ name: 'step' }, `step-${k}`).run(k);
  return { counters, workflow };
}

/**
 * @param {string} folder
 * @param {{ node: number, ingress: number, admin: number }} ports
 */
function configuration(folder, { node, ingress, admin }) {
  return `
base-dir = ${JSON.stringify(path.join(folder, 'data'))}
node-name = "bench"
listen-mode = "tcp"
bind-ip = "127.0.0.1"
bind-port = ${node}
advertised-host = "127.0.0.1"
disable-telemetry = true
log-filter = "error,octocrab=off"

[ingress]
bind-port = ${ingress}

[admin]
bind-port = ${admin}
disable-web-ui = true
`;
}

/** @param {string} url */
async function get(url) {
  const response = await fetch(url);
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
}

/**
 * @param {number} admin
 * @param {number} port
 */
async function register(admin, port) {
  const response = await fetch(`http://127.0.0.1:${admin}/deployments`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
  });
  if (!response.ok) throw new Error(`Restate does not take the service: ${await response.text()}`);
}

/** @param {string} name */
function version(name) {
  const file = new URL(`./node_modules/@restatedev/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')).version;
}
