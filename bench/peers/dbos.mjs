/**
 * DBOS on a PostgreSQL server of its own (postgres.mjs): the library in this process, the server beside it on loopback.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { DBOS } from '@dbos-inc/dbos-sdk';
import { startPostgres } from './postgres.mjs';
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

/** @param {string} name */
function version(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url), 'utf8'))
    .version;
}
