/**
 * Namespaces: separate sets of workflow ids in one store.
 *
 *   client -> DeclaredNamespaces (is it there?) -> host
 *
 * Owns: what the embedder may declare, and refusing every call to a namespace that was not declared (semantics.md 11).
 * Does not own: what a namespace holds; its executions are found by namespace and workflow id (runs.ts). How long closed
 * ones are kept: retention.ts.
 *
 * The border is here and not in the host, because only calls need a declaration: executions of a namespace that is not
 * declared any more stay in the store, and their timers, activities and messages to each other go on. A deployment that
 * forgets a name must not stop what runs, and no namespace's executions are ever removed because of it.
 */
import { type Duration, msToNumber } from '../actors/duration.js';
import type { Payload, SignalInput } from '../codec/journal-entry.js';
import { utf8Length } from '../codec/keys.js';
import { NamespaceNotFoundError } from './client/errors.js';
import { ConfigurationError } from './errors.js';
import type {
  OnGivenUp,
  QueryReject,
  StartRequest,
  Target,
  UpdateRequest,
  WorkflowService,
} from './service.js';
import type { WatchRequest } from './watch.js';

export interface NamespaceOptions {
  /**
   * How long a closed run is kept after it closed: a number of ms or text such as '3 days'. Then it is removed with its
   * history, and its workflow id is as if it had never been used. Absent: for ever, so that nothing is removed that nobody
   * asked to remove.
   */
  retention?: Duration;
}

/** The namespaces that calls may name, and how long each keeps closed runs, ms; undefined: for ever. */
export type Namespaces = ReadonlyMap<string, { retentionMs: number | undefined }>;

/** Longest namespace or task queue, bytes. */
const NAME_BYTES_MAX = 900;

/** @throws ConfigurationError for a name or a retention that makes no sense */
export function declaredNamespaces(own: string, declared: Record<string, NamespaceOptions> = {}): Namespaces {
  if (typeof declared !== 'object' || declared === null || Array.isArray(declared))
    throw new ConfigurationError('namespaces must be an object with a namespace as each key');
  const namespaces = new Map<string, { retentionMs: number | undefined }>([
    [own, { retentionMs: undefined }],
  ]);
  for (const [name, options] of Object.entries(declared)) {
    checkName('A name in namespaces', name);
    namespaces.set(name, { retentionMs: retentionOf(name, options) });
  }
  return namespaces;
}

function retentionOf(namespace: string, options: NamespaceOptions): number | undefined {
  const where = `namespaces['${namespace}']`;
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError(`${where} must be an object, such as { retention: '3 days' } or {}`);
  // A misspelt retention would keep everything for ever, and nobody would notice.
  for (const name of Object.keys(options))
    if (name !== 'retention')
      throw new ConfigurationError(`${where} has no option called '${name}'. There is only: retention`);
  if (options.retention === undefined) return undefined;
  const ms = durationOf(`${where}.retention`, options.retention);
  if (!(ms > 0) || !Number.isFinite(ms))
    throw new ConfigurationError(
      `${where}.retention must be longer than 0 ms and finite, got ${String(options.retention)}. Leave it out to keep closed executions for ever`,
    );
  return ms;
}

function durationOf(option: string, value: Duration): number {
  try {
    return msToNumber(value);
  } catch (error) {
    throw new ConfigurationError(`${option}: ${(error as Error).message}`);
  }
}

/** Names are part of keys: they must be short, and the character that ends them there must not be in them. */
export function checkName(option: string, value: string | undefined): void {
  if (value === undefined) return;
  if (typeof value !== 'string' || value === '')
    throw new ConfigurationError(`${option} must be a text that is not empty`);
  const problem = value.includes('\0')
    ? 'must not have the character NUL in it'
    : `must have at most ${NAME_BYTES_MAX} bytes`;
  if (value.includes('\0') || utf8Length(value) > NAME_BYTES_MAX)
    throw new ConfigurationError(`${option} ${problem}`);
}

/** The service, for calls to declared namespaces. Any other call fails with NamespaceNotFoundError, and nothing is done. */
export class DeclaredNamespaces implements WorkflowService {
  readonly #service: WorkflowService;
  readonly #namespaces: Namespaces;

  constructor(service: WorkflowService, namespaces: Namespaces) {
    this.#service = service;
    this.#namespaces = namespaces;
  }

  patient(): WorkflowService {
    return new DeclaredNamespaces(this.#service.patient(), this.#namespaces);
  }

  start(request: StartRequest, onGivenUp?: OnGivenUp) {
    return this.#refused(request) ?? this.#service.start(request, onGivenUp);
  }

  signal(target: Target, input: SignalInput, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.signal(target, input, onGivenUp);
  }

  query(target: Target, name: string, args: Payload, reject: QueryReject, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.query(target, name, args, reject, onGivenUp);
  }

  watch(request: WatchRequest) {
    const { namespace } = request.target;
    return this.#namespaces.has(namespace) ? this.#service.watch(request) : refusedWatch(namespace);
  }

  update(target: Target, request: UpdateRequest, onGivenUp?: OnGivenUp) {
    if (!this.#namespaces.has(target.namespace)) throw new NamespaceNotFoundError(target.namespace);
    return this.#service.update(target, request, onGivenUp);
  }

  findUpdate(target: Target, updateId: string, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.findUpdate(target, updateId, onGivenUp);
  }

  cancel(target: Target, reason: string | undefined, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.cancel(target, reason, onGivenUp);
  }

  terminate(target: Target, reason: string | undefined, details: Payload | undefined, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.terminate(target, reason, details, onGivenUp);
  }

  result(target: Target, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.result(target, onGivenUp);
  }

  describe(target: Target, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.describe(target, onGivenUp);
  }

  history(target: Target, onGivenUp?: OnGivenUp) {
    return this.#refused(target) ?? this.#service.history(target, onGivenUp);
  }

  #refused({ namespace }: { namespace: string }): Promise<never> | undefined {
    return this.#namespaces.has(namespace)
      ? undefined
      : Promise.reject(new NamespaceNotFoundError(namespace));
  }
}

/** As every watch does, it tells of what is wrong when it is read. */
function refusedWatch(namespace: string): AsyncIterableIterator<Payload> {
  return {
    next: () => Promise.reject(new NamespaceNotFoundError(namespace)),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
