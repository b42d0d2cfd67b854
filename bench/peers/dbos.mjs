/**
 * DBOS on a PostgreSQL server of its own: the library in this process, the server beside it on loopback.
 *
 * PostgreSQL at its defaults but for addresses; `initdb` and `postgres` must be on the PATH (Debian: package postgresql). Both refuse
 * to run as root, so root has them run as the user `postgres`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { DBOS } from '@dbos-inc/dbos-sdk';
// @ts-expect-error It brings no types, and four calls need none.
import pg from 'pg';
import { freePorts, startServer } from './processes.mjs';
import { ENTITIES } from './work.mjs';

const TOPIC = 'add';
const TOTAL = 'total';
const WAIT_SECONDS = 3_600;

/** @typedef {{ by: number, answerAs?: string }} Message */

/** An entity that counts and never ends: it takes messages one by one, as many as there come. */
async function counter() {
  let sum = 0;
  await DBOS.setEvent(TOTAL, sum);
  for (;;) {
    const message = /** @type {Message | null} */ (await DBOS.recv(TOPIC, WAIT_SECONDS));
    if (message === null) continue;
    sum += message.by;
    await DBOS.setEvent(TOTAL, sum);
    if (message.answerAs !== undefined) await DBOS.setEvent(message.answerAs, sum);
  }
}

/** @param {number} value */
async function step(value) {
  return DBOS.runStep(async () => value, { name: 'echo' });
}

/**
 * @param {string} folder
 * @returns {Promise<import('./work.mjs').System>}
 */
export async function open(folder) {
  const postgres = await startPostgres(path.join(folder, 'postgres'));
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: `${postgres.url}/bench`,
    logLevel: 'error',
    runAdminServer: false,
  });
  const startable = {
    counter: DBOS.registerWorkflow(counter, { name: 'counter' }),
    step: DBOS.registerWorkflow(step, { name: 'step' }),
  };
  await DBOS.launch();
  for (let entity = 0; entity < ENTITIES; entity++)
    await DBOS.startWorkflow(startable.counter, { workflowID: id(entity) })();
  let answers = 0;
  return {
    about: [
      `dbos-sdk ${version('@dbos-inc/dbos-sdk')}, ${postgres.version}`,
      `fsync = ${postgres.settings.fsync}, synchronous_commit = ${postgres.settings.synchronous_commit}, wal_sync_method = ` +
        `${postgres.settings.wal_sync_method}, all PostgreSQL's defaults; an entity is a workflow that loops over DBOS.recv and tells its ` +
        'sum by DBOS.setEvent; a signal is DBOS.send, an update a send and the event that answers it, a query DBOS.getEvent; the ' +
        'library and the caller in one process, PostgreSQL over TCP on loopback',
    ],
    signalsAreOneWay: true,
    signal: (entity) => DBOS.send(id(entity), { by: 1 }, TOPIC),
    async update(entity) {
      const answerAs = `answer-${answers++}`;
      await DBOS.send(id(entity), { by: 1, answerAs }, TOPIC);
      return /** @type {number} */ (await DBOS.getEvent(id(entity), answerAs, WAIT_SECONDS));
    },
    query: async (entity) => /** @type {number} */ (await DBOS.getEvent(id(entity), TOTAL, WAIT_SECONDS)),
    workflow: async (k) =>
      (await DBOS.startWorkflow(startable.step, { workflowID: `step-${k}` })(k)).getResult(),
    async close() {
      // Its entities never end, so nothing waits for them: the server goes, then this process.
      await postgres.stop();
    },
  };
}

/** @param {number} entity */
function id(entity) {
  return `counter-${entity}`;
}

/** @param {string} folder */
async function startPostgres(folder) {
  const user = unprivileged();
  mkdirSync(folder);
  if (user !== undefined) {
    chownSync(folder, user.uid, user.gid);
    // The run's own folder is closed to everybody else; that user must get through it.
    for (const above of [path.dirname(folder), path.dirname(path.dirname(folder))]) chmodSync(above, 0o711);
  }
  const options = { cwd: folder, ...user };
  const data = path.join(folder, 'data');
  execFileSync('initdb', ['-D', data, '-U', 'bench', '--auth=trust'], {
    ...options,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [port] = await freePorts(1);
  const url = `postgresql://bench@127.0.0.1:${port}`;
  const set = [
    '-c',
    'listen_addresses=127.0.0.1',
    '-c',
    `port=${port}`,
    '-c',
    'unix_socket_directories=',
    '-c',
    'log_min_messages=panic',
  ];
  const server = await startServer('postgres', ['-D', data, ...set], options, () => ask(url, ['SELECT 1']));
  const names = ['fsync', 'synchronous_commit', 'wal_sync_method', 'server_version'];
  const [, ...settings] = await ask(url, ['CREATE DATABASE bench', ...names.map((name) => `SHOW ${name}`)]);
  const [fsync, synchronous_commit, wal_sync_method, server_version] = settings;
  return {
    url,
    version: `PostgreSQL ${server_version}`,
    settings: { fsync, synchronous_commit, wal_sync_method },
    stop: () => server.stop('SIGINT'),
  };
}

/**
 * The first column of the first row of each.
 * @param {string} url
 * @param {readonly string[]} statements
 */
async function ask(url, statements) {
  const client = new pg.Client({ connectionString: `${url}/postgres` });
  await client.connect();
  try {
    const values = [];
    for (const statement of statements) {
      const { rows } = await client.query({ text: statement, rowMode: 'array' });
      values.push(rows[0]?.[0]);
    }
    return values;
  } finally {
    await client.end();
  }
}

/** Who runs PostgreSQL, where this process is root. */
function unprivileged() {
  if (userInfo().uid !== 0) return undefined;
  const number = (/** @type {string} */ flag) =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: number('-u'), gid: number('-g') };
}

/** @param {string} name */
function version(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url), 'utf8'))
    .version;
}
