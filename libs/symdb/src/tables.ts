/**
 * Symbols of one symbol partition as columns. All references are 0-based positions in that partition, unlike
 * pprof, where IDs start at 1 and 0 means "none". Format: docs/formats/symbols-symdb.md
 *
 *   stacktrace ID = stack node -> location -> line -> function -> string
 *          |                         |
 *          `-> parent node           `-> mapping -> string
 *
 * Decoders check the sizes of the columns and not the references. Readers of a damaged block must therefore
 * expect a reference past the end of its column. String 0 is "" in tables of all current writers.
 */
export interface SymbolTables {
  /** UTF-8 bytes without separators; string i is stringBytes[stringOffset[i], stringOffset[i + 1]) */
  stringBytes: Uint8Array;
  /** [strings + 1], ascending from 0 */
  stringOffset: Uint32Array;
  /**
   * [functions * 4] function -> name, system name, filename (strings), start line
   *
   *    word   0      1             2          3
   *         | name | system name | filename | start line |
   */
  functionWords: Uint32Array;
  /**
   * [mappings * 9] mapping -> addresses in bytes as two words each, strings, HAS_* bits
   *
   *    word   0          1          2          3          4           5           6          7          8
   *         | start lo | start hi | limit lo | limit hi | offset lo | offset hi | filename | build ID | flags |
   */
  mappingWords: Uint32Array;
  /**
   * location -> words [locationOffset[i], locationOffset[i + 1]); the size depends on its lines
   *
   *    word   0         1            2            3            4          5      6          7
   *         | mapping | address lo | address hi | folded 0/1 | function | line | function | line | ...
   *
   * Lines are in pprof's order: the innermost inlined call first.
   */
  locationWords: Uint32Array;
  /** [locations + 1] in words, ascending from 0 */
  locationOffset: Uint32Array;
  /** [nodes] node -> parent, -1 for a root; a parent's node number is below those of its children */
  stackParent: Int32Array;
  /** [nodes] node -> location; 0 and without meaning for a root */
  stackLocation: Uint32Array;
}

/** Words per function. */
export const FUNCTION_WORDS = 4;
/** Words per mapping. */
export const MAPPING_WORDS = 9;
/** Words of a location before its lines; a location with n lines has LOCATION_HEAD + 2n words. */
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
