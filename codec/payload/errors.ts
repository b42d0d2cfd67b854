/**
 * The three ways in which storing or reading a user value goes wrong.
 *
 * Owns: the classes, their messages, and what a caller can read from them.
 * Does not own: when they are thrown.
 * Called by: all files here; users meet the first two by way of runtime/client.
 */

/** A value holds something that cannot be stored. Not worth a retry: the caller must pass something else. */
export class PayloadEncodeError extends TypeError {
  /** Where in the value, e.g. `args[0].users.get("me").onClick`. */
  readonly path: string;

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`Cannot store ${path}: ${reason}`, options);
    this.path = path;
  }
}

/** A value needs more bytes than its limit allows. The caller must pass less, or the setting must be raised. */
export class PayloadTooLargeError extends Error {
  /** Size of the encoded value; at least this much where encoding stopped early. */
  readonly bytes: number;
  /** Bytes that were allowed. */
  readonly limit: number;

  constructor(what: string, bytes: number, limit: number, isWholeSize = true) {
    const size = `${isWholeSize ? '' : 'more than '}${bytes} bytes`;
    super(`Cannot store ${what}: it needs ${size} and the limit is ${limit} bytes (limits.payloadBytesMax)`);
    this.bytes = bytes;
    this.limit = limit;
  }
}

/** Bytes are not a value that `encodePayload` wrote: torn, damaged, or of a newer format. */
export class PayloadDecodeError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(`Cannot read a stored value: ${reason}`, options);
  }
}

// On the prototypes, so that a name is no enumerable property of each error.
for (const errorClass of [PayloadEncodeError, PayloadTooLargeError, PayloadDecodeError]) {
  Object.defineProperty(errorClass.prototype, 'name', {
    value: errorClass.name,
    writable: true,
    configurable: true,
  });
}
