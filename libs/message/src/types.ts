/**
 * First byte of every message. A reader refuses another version; new fields of an object need no new version.
 */
export const VERSION = 1;

/** Tags of values. Format: docs/formats/message.md */
export const Tag = {
  nothing: 0,
  none: 1,
  no: 2,
  yes: 3,
  natural: 4,
  negative: 5,
  real: 6,
  big: 7,
  text: 8,
  bytes: 9,
  column: 10,
  list: 11,
  record: 12,
} as const;

/** Typed arrays that a message carries as columns. */
export type Column = Int32Array | Uint32Array | Float64Array | BigInt64Array | BigUint64Array;

/** Typed arrays that are copied as they lie in memory, little-endian; the index is the kind byte. */
export const COLUMNS = [Int32Array, Uint32Array, Float64Array, BigInt64Array, BigUint64Array] as const;

/** Maximum nesting depth of a message. */
export const MAX_DEPTH = 64;
