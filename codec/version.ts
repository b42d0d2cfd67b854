/**
 * The stored format's number. It is written once into a new store and compared whenever a store is opened: a store
 * of a newer format is refused, never guessed at. Bump it when a key or a journal entry changes shape.
 */
export const FORMAT_VERSION = 1;
