/**
 * A PostgreSQL server for one round: found, started in a folder of its own on loopback, stopped.
 *
 * Owns: where its programs are, whom they run as. Everything is at PostgreSQL's defaults but addresses and logging.
 *
 * The server refuses to run as root, so root has it run as the user `postgres`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
// @ts-expect-error It brings no types, and four calls need none.
import pg from 'pg';
import { freePorts, startServer } from './processes.mjs';

/** Where Debian puts them, off the PATH, a folder for each version. */
const DEBIAN = '/usr/lib/postgresql';

export const POSTGRES_IS_MISSING = `PostgreSQL's initdb and postgres are neither on the PATH nor in ${DEBIAN}/VERSION/bin; install them (Debian: postgresql)`;

/** The folder with `initdb` and `postgres`; undefined where there is none. */
export function folderOfPrograms() {
  const debian = existsSync(DEBIAN)
    ? readdirSync(DEBIAN).map((version) => path.join(DEBIAN, version, 'bin'))
    : [];
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), ...debian];
  return folders.find((folder) =>
    ['initdb', 'postgres'].every((name) => existsSync(path.join(folder, name))),
  );
}

/**
 * Makes an empty cluster in a new folder and starts its server.
 * @param {string} folder
 */
export async function startPostgres(folder) {
  const programs = folderOfPrograms();
  if (programs === undefined) throw new Error(POSTGRES_IS_MISSING);
  const user = unprivileged();
  mkdirSync(folder);
  if (user !== undefined) {
    chownSync(folder, user.uid, user.gid);
    // The run's own folder is closed to everybody else; that user must get through it.
    for (const above of [path.dirname(folder), path.dirname(path.dirname(folder))]) chmodSync(above, 0o711);
  }
  const options = { cwd: folder, ...user };
  const data = path.join(folder, 'data');
  execFileSync(path.join(programs, 'initdb'), ['-D', data, '-U', 'bench', '--auth=trust'], {
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
  const server = await startServer(path.join(programs, 'postgres'), ['-D', data, ...set], options, () =>
    ask(url, ['SELECT 1']),
  );
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
