/**
 * Payloads as the programming model makes them: encoded values that may leave the sandbox.
 *
 * Owns: nothing but the way there. Bytes made inside the sandbox are of its own Uint8Array class; what packs them
 * (codec/packed/) takes bytes of any realm, so that none has to be made anew.
 */
export { decodePayload, encodePayload } from '../codec/payload.js';
