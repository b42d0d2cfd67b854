/**
 * The stored format's number. It is written once into a new store and compared whenever a store is opened: a store
 * of a newer format is refused, never guessed at. Bump it when a key, a journal entry or a run record changes shape.
 */
export const FORMAT_VERSION = 6;

/**
 * The oldest format that is read. 1 had run records with names of fields in them, and history chunks elsewhere. In 2 a run had no
 * history chunk beyond its record. In 3 and 4 redo files had other checksums; in 3 they were there with durability 'commit' only.
 * In 5 no entry said that an activity attempt began.
 */
export const FORMAT_VERSION_MIN = 2;
