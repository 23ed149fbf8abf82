// Layout of the kernel's memory, the same as in src/layout.ts:
//   header (counts, capacities, column addresses) | symbol table | scratch | profile | columns

/** Header words that TypeScript reads; see `HeaderWord` in src/layout.ts. */
export const HEADER: usize = 64;
export const OFFSETS: usize = HEADER + 256;

// Header words.
export const STRINGS = 0, TYPES = 1, SAMPLES = 2, REFS = 3, VALUES = 4, LABELS = 5, MAPPINGS = 6, LOCATIONS = 7, LINES = 8, FUNCTIONS = 9, COMMENTS = 10;
export const DROP_FRAMES = 12, KEEP_FRAMES = 13, HAS_PERIOD_TYPE = 14, PERIOD_TYPE = 15, PERIOD_UNIT = 16, DEFAULT_SAMPLE_TYPE = 17, TIME_NANOS = 18, DURATION_NANOS = 20, PERIOD = 22, KEPT = 24;
/** first of eleven words: capacity in rows of each table's columns */
export const CAPACITY = 32;

// Column numbers, in the order of `COLUMNS` in src/layout.ts.
export const C_STRING_START = 0, C_STRING_END = 1, C_STRING_MAP = 2, C_TYPE_TYPE = 3, C_TYPE_UNIT = 4, C_SAMPLE_LOCATIONS = 5, C_SAMPLE_VALUES = 6, C_SAMPLE_LABELS = 7, C_SAMPLE_FROM = 8, C_SAMPLE_TO = 9, C_KEEP = 10,
  C_GROUP = 11, C_NODES = 12, C_REF_LO = 13, C_REF_HI = 14, C_REF_LOCATION = 15, C_VALUE = 16, C_LABEL_KEY = 17, C_LABEL_STR = 18, C_MAPPING_LO = 19, C_MAPPING_HI = 20, C_MAPPING_START = 21, C_MAPPING_LIMIT = 22,
  C_MAPPING_OFFSET = 23, C_MAPPING_FILENAME = 24, C_MAPPING_BUILD_ID = 25, C_MAPPING_FLAGS = 26, C_MAPPING_MAP = 27, C_LOC_LO = 28, C_LOC_HI = 29, C_LOC_MAPPING_LO = 30, C_LOC_MAPPING_HI = 31, C_LOC_ADDRESS = 32,
  C_LOC_FOLDED = 33, C_LOC_LINES = 34, C_LOC_MAPPING = 35, C_LOC_VALID = 36, C_LOC_MAP = 37, C_LINE_LO = 38, C_LINE_HI = 39, C_LINE_NUMBER = 40, C_LINE_FUNCTION = 41, C_FUNC_LO = 42, C_FUNC_HI = 43, C_FUNC_NAME = 44,
  C_FUNC_SYSTEM = 45, C_FUNC_FILENAME = 46, C_FUNC_START_LINE = 47, C_FUNC_MAP = 48, C_COMMENTS = 49,
  C_STRING_HASH = 50, C_FUNC_HASH = 51, C_MAPPING_HASH = 52, C_LOC_HASH = 53;

export const UNKNOWN: u32 = 0xffffffff;

@inline export function col(i: i32): usize { return <usize>load<u32>(OFFSETS + (<usize>i << 2)); }
@inline export function word(i: i32): u32 { return load<u32>(HEADER + (<usize>i << 2)); }
@inline export function setWord(i: i32, v: u32): void { store<u32>(HEADER + (<usize>i << 2), v); }
@inline export function setLong(i: i32, v: u64): void { store<u64>(HEADER + (<usize>i << 2), v); }
@inline export function put(base: usize, i: u32, v: u32): void { store<u32>(base + (<usize>i << 2), v); }
@inline export function get(base: usize, i: u32): u32 { return load<u32>(base + (<usize>i << 2)); }
@inline export function putLong(base: usize, i: u32, v: u64): void { store<u64>(base + (<usize>i << 3), v); }
@inline export function getLong(base: usize, i: u32): u64 { return load<u64>(base + (<usize>i << 3)); }

/** the symbol table's two regions, in lines of 64 bytes; separate, so that short-lived stacks do not evict symbols */
export const SYMBOL_LINES: usize = 1 << 14, STACK_LINES: usize = 1 << 15;
export const SYMBOL_TABLE: usize = 65536;
export const STACK_TABLE: usize = SYMBOL_TABLE + (SYMBOL_LINES << 6);
/** words of one location, or of one step of a stack */
export const WORDS: usize = STACK_TABLE + (STACK_LINES << 6);
export const MAX_WORDS: u32 = 1 << 14;
/** hashes of all prefixes of one stack */
export const PREFIXES: usize = WORDS + (<usize>MAX_WORDS << 2);
export const MAX_DEPTH: u32 = 1 << 16;
/** stack hash of each sample of a block */
export const BLOCK: u32 = 64;
export const BLOCK_HASHES: usize = 4096;
