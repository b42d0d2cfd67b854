/**
 * The service for clients that wait while there is no room (`whenFull: 'wait'`).
 *
 * Owns: what each call asks of the waiting room. Does not own: turns and limits (waiting-room.ts), the calls themselves (host.ts).
 *
 * Calls that send nothing to a thread need no room, but keep their place: who starts an execution and asks for its result
 * without awaiting the start gets the result. A watch begins only when it is read, and its queries have room of their own.
 */
import type { Payload, SignalInput } from '../codec/journal-entry.js';
import { ENVELOPE_BYTES } from './live.js';
import type {
  OnGivenUp,
  QueryReject,
  StartRequest,
  Target,
  UpdateRequest,
  UpdateTicket,
  WorkflowService,
} from './service.js';
import type { WaitingRoom, Wish } from './waiting-room.js';
import type { WatchRequest } from './watch.js';

/** Where messages would go, for now. */
export interface Slots {
  slotOf(target: Target): number | undefined;
  slotOfStart(request: StartRequest): number;
}

export class PatientService implements WorkflowService {
  readonly #service: WorkflowService;
  readonly #room: WaitingRoom;
  readonly #slots: Slots;

  constructor(service: WorkflowService, room: WaitingRoom, slots: Slots) {
    this.#service = service;
    this.#room = room;
    this.#slots = slots;
  }

  patient(): WorkflowService {
    return this;
  }

  async start(request: StartRequest, onGivenUp?: OnGivenUp) {
    const { namespace, workflowId, args, signal, update } = request;
    const bytes = ENVELOPE_BYTES + args.length + (signal?.args.length ?? 0) + (update?.args.length ?? 0);
    const wish = { namespace, workflowId, bytes, slot: () => this.#slots.slotOfStart(request) };
    return this.#room.enter(wish, () => this.#service.start(request), onGivenUp);
  }

  async signal(target: Target, input: SignalInput, onGivenUp?: OnGivenUp) {
    return this.#send(target, input.args.length, () => this.#service.signal(target, input), onGivenUp);
  }

  async query(target: Target, name: string, args: Payload, reject: QueryReject, onGivenUp?: OnGivenUp) {
    const query = () => this.#service.query(target, name, args, reject);
    return this.#send(target, args.length, query, onGivenUp);
  }

  watch(request: WatchRequest) {
    return this.#service.watch(request);
  }

  update(target: Target, request: UpdateRequest, onGivenUp?: OnGivenUp) {
    const update = () => this.#service.update(target, request);
    return this.#send<UpdateTicket>(target, request.args.length, update, onGivenUp);
  }

  async findUpdate(target: Target, updateId: string, onGivenUp?: OnGivenUp) {
    return this.#look(target, () => this.#service.findUpdate(target, updateId), onGivenUp);
  }

  async cancel(target: Target, reason: string | undefined, onGivenUp?: OnGivenUp) {
    return this.#send(target, 0, () => this.#service.cancel(target, reason), onGivenUp);
  }

  async terminate(
    target: Target,
    reason: string | undefined,
    details: Payload | undefined,
    onGivenUp?: OnGivenUp,
  ) {
    return this.#send(target, 0, () => this.#service.terminate(target, reason, details), onGivenUp);
  }

  async result(target: Target, onGivenUp?: OnGivenUp) {
    return this.#look(target, (given) => this.#service.result(target, given), onGivenUp);
  }

  async describe(target: Target, onGivenUp?: OnGivenUp) {
    return this.#look(target, () => this.#service.describe(target), onGivenUp);
  }

  async history(target: Target, onGivenUp?: OnGivenUp) {
    return this.#look(target, () => this.#service.history(target), onGivenUp);
  }

  #send<T>(target: Target, bytes: number, make: () => T | Promise<T>, onGivenUp?: OnGivenUp): T | Promise<T> {
    return this.#room.enter(this.#wish(target, ENVELOPE_BYTES + bytes), make, onGivenUp);
  }

  #look<T>(
    target: Target,
    make: (onGivenUp?: OnGivenUp) => Promise<T>,
    onGivenUp?: OnGivenUp,
  ): T | Promise<T> {
    return this.#room.enter(this.#wish(target, undefined), make, onGivenUp);
  }

  #wish(target: Target, bytes: number | undefined): Wish {
    const { namespace, workflowId } = target;
    return { namespace, workflowId, bytes, slot: () => this.#slots.slotOf(target) };
  }
}
