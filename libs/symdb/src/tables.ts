/**
 * The symbols of one symbol partition as columns. All references are 0-based positions in that partition.
 * Format: docs/formats/symbols-symdb.md
 *
 *   stacktrace id -> stack node -> location -> line -> function -> string
 *                                     \-> mapping -> string
 */
export interface SymbolTables {
  /** string -> stringBytes[stringOffset[i], stringOffset[i + 1]) */
  stringBytes: Uint8Array;
  stringOffset: Uint32Array;
  /** function -> name, systemName, filename (strings), startLine */
  functionWords: Uint32Array;
  /** mapping -> start lo, hi, limit lo, hi, file offset lo, hi, filename, buildId (strings), flags */
  mappingWords: Uint32Array;
  /**
   * location -> locationWords[locationOffset[i], locationOffset[i + 1]): mapping, address lo, hi, folded,
   * then (function, line) innermost first
   */
  locationWords: Uint32Array;
  locationOffset: Uint32Array;
  /** stack node -> parent node, -1 for a root; a parent precedes its children */
  stackParent: Int32Array;
  /** stack node -> location; meaningless for a root */
  stackLocation: Uint32Array;
}

/** Words per function. */
export const FUNCTION_WORDS = 4;
/** Words per mapping. */
export const MAPPING_WORDS = 9;
/** Words of a location before its lines. */
export const LOCATION_HEAD = 4;
/** Mapping flag: its locations have functions. */
export const HAS_FUNCTIONS = 8;
/** Mapping flag: its functions have file names. */
export const HAS_FILENAMES = 4;
/** Mapping flag: its locations have line numbers. */
export const HAS_LINE_NUMBERS = 2;
/** Mapping flag: its locations have inlined frames. */
export const HAS_INLINE_FRAMES = 1;

/** Number of strings. */
export function stringCount(t: SymbolTables): number {
  return Math.max(0, t.stringOffset.length - 1);
}
/** Number of locations. */
export function locationCount(t: SymbolTables): number {
  return Math.max(0, t.locationOffset.length - 1);
}
