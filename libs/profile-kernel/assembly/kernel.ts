// The hot loops of the write path, in AssemblyScript (ADR 5). Plain TypeScript twins exist for everything here and are
// the tests' oracle: pprof's `decode`, ingest's `normalise`, and the interner of `head`. Whatever is unusual (an error, a
// table that does not fit) is left to them: the functions below then answer "not here".
//
// Memory, laid out by src/kernel.ts:
//   header (counts, column addresses) | symbol cache | scratch | profile | columns

/** Words that TypeScript reads: see `HeaderWord` in src/layout.ts. */
const HEADER: usize = 64;
const OFFSETS: usize = HEADER + 256;

// Header words.
const STRINGS = 0, TYPES = 1, SAMPLES = 2, REFS = 3, VALUES = 4, LABELS = 5, MAPPINGS = 6, LOCATIONS = 7, LINES = 8, FUNCTIONS = 9, COMMENTS = 10;
const DROP_FRAMES = 12, KEEP_FRAMES = 13, HAS_PERIOD_TYPE = 14, PERIOD_TYPE = 15, PERIOD_UNIT = 16, DEFAULT_SAMPLE_TYPE = 17, TIME_NANOS = 18, DURATION_NANOS = 20, PERIOD = 22, KEPT = 24;

// Columns: the order of `COLUMNS` in src/layout.ts.
const C_STRING_START = 0, C_STRING_END = 1, C_STRING_MAP = 2, C_TYPE_TYPE = 3, C_TYPE_UNIT = 4, C_SAMPLE_LOCATIONS = 5, C_SAMPLE_VALUES = 6, C_SAMPLE_LABELS = 7, C_SAMPLE_FROM = 8, C_SAMPLE_TO = 9, C_KEEP = 10,
  C_GROUP = 11, C_NODES = 12, C_REF_LO = 13, C_REF_HI = 14, C_REF_LOCATION = 15, C_VALUE = 16, C_LABEL_KEY = 17, C_LABEL_STR = 18, C_MAPPING_LO = 19, C_MAPPING_HI = 20, C_MAPPING_START = 21, C_MAPPING_LIMIT = 22,
  C_MAPPING_OFFSET = 23, C_MAPPING_FILENAME = 24, C_MAPPING_BUILD_ID = 25, C_MAPPING_FLAGS = 26, C_MAPPING_MAP = 27, C_LOC_LO = 28, C_LOC_HI = 29, C_LOC_MAPPING_LO = 30, C_LOC_MAPPING_HI = 31, C_LOC_ADDRESS = 32,
  C_LOC_FOLDED = 33, C_LOC_LINES = 34, C_LOC_MAPPING = 35, C_LOC_VALID = 36, C_LOC_MAP = 37, C_LINE_LO = 38, C_LINE_HI = 39, C_LINE_NUMBER = 40, C_LINE_FUNCTION = 41, C_FUNC_LO = 42, C_FUNC_HI = 43, C_FUNC_NAME = 44,
  C_FUNC_SYSTEM = 45, C_FUNC_FILENAME = 46, C_FUNC_START_LINE = 47, C_FUNC_MAP = 48, C_COMMENTS = 49;

const UNKNOWN: u32 = 0xffffffff;

@external("head", "missString") declare function missString(start: u32, end: u32): u32;
@external("head", "missFunction") declare function missFunction(name: u32, systemName: u32, filename: u32, startLine: u32): u32;
@external("head", "missMapping") declare function missMapping(index: u32): u32;
@external("head", "missLocation") declare function missLocation(wordsAt: u32, words: u32): u32;
@external("head", "missStack") declare function missStack(parent: u32, wordsAt: u32, words: u32): u32;

@inline function col(i: i32): usize { return <usize>load<u32>(OFFSETS + (<usize>i << 2)); }
@inline function word(i: i32): u32 { return load<u32>(HEADER + (<usize>i << 2)); }
@inline function setWord(i: i32, v: u32): void { store<u32>(HEADER + (<usize>i << 2), v); }
@inline function setLong(i: i32, v: u64): void { store<u64>(HEADER + (<usize>i << 2), v); }
@inline function put(base: usize, i: u32, v: u32): void { store<u32>(base + (<usize>i << 2), v); }
@inline function get(base: usize, i: u32): u32 { return load<u32>(base + (<usize>i << 2)); }

// ---- decode

let at: usize = 0;
let bad: bool = false;

function longVarint(end: usize): u64 {
  let p = at;
  let v: u64 = 0, shift: u64 = 0;
  for (;;) {
    if (p >= end || shift > 63) { bad = true; at = end; return 0; }
    const b: u64 = load<u8>(p++);
    v |= (b & 127) << shift;
    if (b < 128) break;
    shift += 7;
  }
  at = p;
  return v;
}

@inline function varint(end: usize): u64 {
  if (at < end) {
    const b = load<u8>(at);
    if (b < 128) { at++; return b; }
  }
  return longVarint(end);
}

@inline function size(end: usize): usize {
  const n = varint(end);
  if (n > <u64>(end - at)) { bad = true; at = end; return 0; }
  return <usize>n;
}

/** A string index: one that cannot be valid becomes 0xffffffff, which validation refuses. */
@inline function index(end: usize): u32 {
  const v = varint(end);
  return v > 0xffffffff ? UNKNOWN : <u32>v;
}

function skip(wire: u32, end: usize): void {
  if (wire == 0) { varint(end); return; }
  let n: usize = 0;
  if (wire == 1) n = 8;
  else if (wire == 2) n = size(end);
  else if (wire == 5) n = 4;
  else { bad = true; at = end; return; }
  if (n > end - at) { bad = true; at = end; return; }
  at += n;
}

/** Varints in [from, to): bytes without the continuation bit. */
function countVarints(from: usize, to: usize): u32 {
  let n: u32 = 0;
  while (from + 16 <= to) { n += 16 - popcnt<i32>(i8x16.bitmask(v128.load(from))); from += 16; }
  for (; from < to; from++) n += load<u8>(from) < 128 ? 1 : 0;
  return n;
}

/** Counts the rows of every table, so that columns can be laid out. False: this is no pprof that is decoded here. */
export function count(from: usize, length: usize): bool {
  const end = from + length;
  at = from;
  bad = false;
  let strings: u32 = 0, types: u32 = 0, samples: u32 = 0, refs: u32 = 0, values: u32 = 0, labels: u32 = 0, mappings: u32 = 0, locations: u32 = 0, lines: u32 = 0, functions: u32 = 0, comments: u32 = 0;
  while (at < end) {
    const tag = <u32>varint(end);
    if ((tag & 7) != 2) { if (tag == 104) comments++; skip(tag & 7, end); continue; }
    const n = size(end), to = at + n;
    switch (tag >>> 3) {
      case 1: types++; break;
      case 2: {
        samples++;
        while (at < to) {
          const t = <u32>varint(to);
          if (t == 10) { const e = size(to) + at; refs += countVarints(at, e); at = e; }
          else if (t == 18) { const e = size(to) + at; values += countVarints(at, e); at = e; }
          else { if (t == 8) refs++; else if (t == 16) values++; else if (t == 26) labels++; skip(t & 7, to); }
        }
        break;
      }
      case 3: mappings++; break;
      case 4: {
        locations++;
        while (at < to) { const t = <u32>varint(to); if (t == 34) lines++; skip(t & 7, to); }
        break;
      }
      case 5: functions++; break;
      case 6: strings++; break;
      case 13: comments += countVarints(at, to); break;
      default: break;
    }
    at = to;
  }
  setWord(STRINGS, strings); setWord(TYPES, types); setWord(SAMPLES, samples); setWord(REFS, refs); setWord(VALUES, values); setWord(LABELS, labels);
  setWord(MAPPINGS, mappings); setWord(LOCATIONS, locations); setWord(LINES, lines); setWord(FUNCTIONS, functions); setWord(COMMENTS, comments);
  return !bad;
}

/** Fills the columns. False: not a pprof; what is wrong with it is for the plain decoder to say. */
export function decode(from: usize, length: usize): bool {
  const end = from + length;
  at = from;
  bad = false;
  const stringStart = col(C_STRING_START), stringEnd = col(C_STRING_END), typeType = col(C_TYPE_TYPE), typeUnit = col(C_TYPE_UNIT), sampleLocations = col(C_SAMPLE_LOCATIONS), sampleValues = col(C_SAMPLE_VALUES), sampleLabels = col(C_SAMPLE_LABELS),
    refLo = col(C_REF_LO), refHi = col(C_REF_HI), value = col(C_VALUE), labelKey = col(C_LABEL_KEY), labelStr = col(C_LABEL_STR), comment = col(C_COMMENTS);
  let strings: u32 = 0, types: u32 = 0, samples: u32 = 0, refs: u32 = 0, values: u32 = 0, labels: u32 = 0, mappings: u32 = 0, locations: u32 = 0, lines: u32 = 0, functions: u32 = 0, comments: u32 = 0;
  setWord(DROP_FRAMES, 0); setWord(KEEP_FRAMES, 0); setWord(HAS_PERIOD_TYPE, 0); setWord(PERIOD_TYPE, 0); setWord(PERIOD_UNIT, 0); setWord(DEFAULT_SAMPLE_TYPE, 0);
  setLong(TIME_NANOS, 0); setLong(DURATION_NANOS, 0); setLong(PERIOD, 0);
  put(sampleLocations, 0, 0); put(sampleValues, 0, 0); put(sampleLabels, 0, 0); put(col(C_LOC_LINES), 0, 0);
  while (at < end) {
    const tag = <u32>varint(end);
    const field = tag >>> 3, wire = tag & 7;
    if (wire == 2) {
      const n = size(end), to = at + n;
      switch (field) {
        case 6: put(stringStart, strings, <u32>(at - from)); put(stringEnd, strings++, <u32>(to - from)); break;
        case 4: {
          let id: u64 = 0, mapping: u64 = 0, address: u64 = 0, folded: u32 = 0;
          while (at < to) {
            const t = <u32>varint(to);
            if (t == 8) id = varint(to);
            else if (t == 16) mapping = varint(to);
            else if (t == 24) address = varint(to);
            else if (t == 34) {
              const e = size(to) + at;
              let fn: u64 = 0;
              let line: u32 = 0;
              while (at < e) {
                const t2 = <u32>varint(e);
                if (t2 == 8) fn = varint(e);
                else if (t2 == 16) line = <u32>varint(e);
                else skip(t2 & 7, e);
              }
              put(col(C_LINE_LO), lines, <u32>fn); put(col(C_LINE_HI), lines, <u32>(fn >> 32)); put(col(C_LINE_NUMBER), lines++, line);
            } else if (t == 40) folded = <u32>varint(to) == 0 ? 0 : 1;
            else skip(t & 7, to);
          }
          put(col(C_LOC_LO), locations, <u32>id); put(col(C_LOC_HI), locations, <u32>(id >> 32));
          put(col(C_LOC_MAPPING_LO), locations, <u32>mapping); put(col(C_LOC_MAPPING_HI), locations, <u32>(mapping >> 32));
          store<u64>(col(C_LOC_ADDRESS) + (<usize>locations << 3), address);
          put(col(C_LOC_FOLDED), locations++, folded);
          put(col(C_LOC_LINES), locations, lines);
          break;
        }
        case 5: {
          let id: u64 = 0;
          let name: u32 = 0, system: u32 = 0, filename: u32 = 0, line: u32 = 0;
          while (at < to) {
            const t = <u32>varint(to);
            if (t == 8) id = varint(to);
            else if (t == 16) name = index(to);
            else if (t == 24) system = index(to);
            else if (t == 32) filename = index(to);
            else if (t == 40) line = <u32>varint(to);
            else skip(t & 7, to);
          }
          put(col(C_FUNC_LO), functions, <u32>id); put(col(C_FUNC_HI), functions, <u32>(id >> 32));
          put(col(C_FUNC_NAME), functions, name); put(col(C_FUNC_SYSTEM), functions, system); put(col(C_FUNC_FILENAME), functions, filename);
          put(col(C_FUNC_START_LINE), functions++, line);
          break;
        }
        case 2: {
          while (at < to) {
            const t = <u32>varint(to);
            if (t == 10) {
              const e = size(to) + at;
              while (at < e) { const v = varint(e); put(refLo, refs, <u32>v); put(refHi, refs++, <u32>(v >> 32)); }
            } else if (t == 18) {
              const e = size(to) + at;
              while (at < e) store<u64>(value + (<usize>(values++) << 3), varint(e));
            } else if (t == 8) { const v = varint(to); put(refLo, refs, <u32>v); put(refHi, refs++, <u32>(v >> 32)); }
            else if (t == 16) store<u64>(value + (<usize>(values++) << 3), varint(to));
            else if (t == 26) {
              const e = size(to) + at;
              let key: u32 = 0, str: u32 = 0;
              while (at < e) {
                const t2 = <u32>varint(e);
                if (t2 == 8) key = index(e);
                else if (t2 == 16) str = index(e);
                else skip(t2 & 7, e);
              }
              put(labelKey, labels, key); put(labelStr, labels++, str);
            } else skip(t & 7, to);
          }
          samples++;
          put(sampleLocations, samples, refs); put(sampleValues, samples, values); put(sampleLabels, samples, labels);
          break;
        }
        case 1: case 11: {
          let type: u32 = 0, unit: u32 = 0;
          while (at < to) {
            const t = <u32>varint(to);
            if (t == 8) type = index(to);
            else if (t == 16) unit = index(to);
            else skip(t & 7, to);
          }
          if (field == 1) { put(typeType, types, type); put(typeUnit, types++, unit); }
          else { setWord(HAS_PERIOD_TYPE, 1); setWord(PERIOD_TYPE, type); setWord(PERIOD_UNIT, unit); }
          break;
        }
        case 3: {
          let id: u64 = 0, start: u64 = 0, limit: u64 = 0, offset: u64 = 0;
          let filename: u32 = 0, buildId: u32 = 0, flags: u32 = 0;
          while (at < to) {
            const t = <u32>varint(to);
            if ((t & 7) != 0) { skip(t & 7, to); continue; }
            const v = varint(to);
            const i = v > 0xffffffff ? UNKNOWN : <u32>v;
            switch (t >>> 3) {
              case 1: id = v; break;
              case 2: start = v; break;
              case 3: limit = v; break;
              case 4: offset = v; break;
              case 5: filename = i; break;
              case 6: buildId = i; break;
              case 7: if (<u32>v != 0) flags |= 8; break;
              case 8: if (<u32>v != 0) flags |= 4; break;
              case 9: if (<u32>v != 0) flags |= 2; break;
              case 10: if (<u32>v != 0) flags |= 1; break;
              default: break;
            }
          }
          put(col(C_MAPPING_LO), mappings, <u32>id); put(col(C_MAPPING_HI), mappings, <u32>(id >> 32));
          store<u64>(col(C_MAPPING_START) + (<usize>mappings << 3), start);
          store<u64>(col(C_MAPPING_LIMIT) + (<usize>mappings << 3), limit);
          store<u64>(col(C_MAPPING_OFFSET) + (<usize>mappings << 3), offset);
          put(col(C_MAPPING_FILENAME), mappings, filename); put(col(C_MAPPING_BUILD_ID), mappings, buildId);
          put(col(C_MAPPING_FLAGS), mappings++, flags);
          break;
        }
        case 13: while (at < to) put(comment, comments++, index(to)); break;
        default: break;
      }
      at = to;
    } else if (wire == 0) {
      const v = varint(end);
      switch (field) {
        case 7: setWord(DROP_FRAMES, <u32>v); break;
        case 8: setWord(KEEP_FRAMES, <u32>v); break;
        case 9: setLong(TIME_NANOS, v); break;
        case 10: setLong(DURATION_NANOS, v); break;
        case 12: setLong(PERIOD, v); break;
        case 13: put(comment, comments++, v > 0xffffffff ? UNKNOWN : <u32>v); break;
        case 14: setWord(DEFAULT_SAMPLE_TYPE, <u32>v); break;
        case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 11: bad = true; break;
        default: break;
      }
    } else skip(wire, end);
    if (bad) return false;
  }
  return true;
}

// ---- normalise

/** Ids are 1, 2, 3, …: a reference is its position and one. */
function dense(lo: usize, hi: usize, n: u32): bool {
  for (let i: u32 = 0; i < n; i++) if (get(lo, i) != i + 1 || get(hi, i) != 0) return false;
  return true;
}

@inline function position(lo: u32, hi: u32, n: u32): u32 { return hi == 0 && lo - 1 < n ? lo - 1 : UNKNOWN; }

/** As ingest's `normalise`, for profiles whose ids are positions. False: they are not. */
export function normalise(maxDepth: u32): bool {
  const functions = word(FUNCTIONS), mappings = word(MAPPINGS), locations = word(LOCATIONS), lines = word(LINES), refs = word(REFS), samples = word(SAMPLES);
  if (!dense(col(C_FUNC_LO), col(C_FUNC_HI), functions) || !dense(col(C_MAPPING_LO), col(C_MAPPING_HI), mappings) || !dense(col(C_LOC_LO), col(C_LOC_HI), locations)) return false;
  const lineLo = col(C_LINE_LO), lineHi = col(C_LINE_HI), lineFunction = col(C_LINE_FUNCTION);
  for (let i: u32 = 0; i < lines; i++) put(lineFunction, i, position(get(lineLo, i), get(lineHi, i), functions));

  const mappingLo = col(C_LOC_MAPPING_LO), mappingHi = col(C_LOC_MAPPING_HI), locMapping = col(C_LOC_MAPPING), valid = col(C_LOC_VALID), locLines = col(C_LOC_LINES), address = col(C_LOC_ADDRESS);
  for (let i: u32 = 0; i < locations; i++) {
    put(locMapping, i, position(get(mappingLo, i), get(mappingHi, i), mappings));
    const from = get(locLines, i), to = get(locLines, i + 1);
    let ok = to > from || load<u64>(address + (<usize>i << 3)) != 0;
    for (let k = from; k < to; k++) if (get(lineFunction, k) == UNKNOWN) ok = false;
    store<u8>(valid + i, ok ? 1 : 0);
  }

  const refLo = col(C_REF_LO), refHi = col(C_REF_HI), refLocation = col(C_REF_LOCATION);
  for (let i: u32 = 0; i < refs; i++) {
    const p = position(get(refLo, i), get(refHi, i), locations);
    put(refLocation, i, p != UNKNOWN && load<u8>(valid + p) == 1 ? p : UNKNOWN);
  }

  const first = col(C_SAMPLE_LOCATIONS), values = col(C_SAMPLE_VALUES), value = col(C_VALUE), sampleFrom = col(C_SAMPLE_FROM), sampleTo = col(C_SAMPLE_TO), keep = col(C_KEEP);
  let kept: u32 = 0;
  for (let i: u32 = 0; i < samples; i++) {
    const start = get(first, i), to = get(first, i + 1);
    put(sampleFrom, i, maxDepth > 0 && to - start > maxDepth ? to - maxDepth : start);
    put(sampleTo, i, to);
    let ok = true;
    let any: i64 = 0;
    for (let k = get(values, i), e = get(values, i + 1); k < e; k++) {
      const v = load<i64>(value + (<usize>k << 3));
      if (v < 0) { ok = false; break; }
      any |= v;
    }
    ok = ok && any != 0;
    for (let k = start; ok && k < to; k++) if (get(refLocation, k) == UNKNOWN) ok = false;
    store<u8>(keep + i, ok ? 1 : 0);
    if (ok) kept++;
  }
  setWord(KEPT, kept);
  return true;
}

// ---- symbol cache: (symbol partition, kind, content) -> id. Four entries share a cache line; an entry points to a copy
// of its content in a ring, so a hit is always verified. What is not found is asked of the partition itself.
// Lookups go in blocks: all entries of a block are touched, then all their copies, then compared. One by one each
// lookup waits for memory twice: 170 ns instead of about 70 (docs/adr/0005).

/**
 * A region has lines of four entries and a ring of contents. Symbols and stacks have one each: stacks are many and come and
 * go, they must not push out the symbols.
 *   entry: hash <4b> | id <4b> | position in the ring <4b> | content size <4b>; position 0 is free
 *   record in the ring: partition and kind <4b> | – <4b> | content, padded to 8
 */
const SYMBOL_LINES: usize = 1 << 14, STACK_LINES: usize = 1 << 15;
const SYMBOL_RING_BYTES: u32 = 4 << 20, STACK_RING_BYTES: u32 = 8 << 20;
const SYMBOL_CACHE: usize = 65536;
const STACK_CACHE: usize = SYMBOL_CACHE + (SYMBOL_LINES << 6);
const SYMBOL_RING: usize = STACK_CACHE + (STACK_LINES << 6);
const STACK_RING: usize = SYMBOL_RING + SYMBOL_RING_BYTES;
/** words of keys that are being looked up */
const KEYS: usize = STACK_RING + STACK_RING_BYTES;
const KEY_WORDS: u32 = 1 << 15;
/** a location or stack of more words is left to the plain interner */
const MAX_WORDS: u32 = KEY_WORDS / 2;

const KIND_STRING: u32 = 0, KIND_FUNCTION: u32 = 1, KIND_LOCATION: u32 = 2, KIND_STACK: u32 = 3, KIND_MAPPING: u32 = 4;

/** A block of lookups: address and size of each key, its hash, the copy it is compared with, what was found. */
const BLOCK: u32 = 64;
const KEY_AT: usize = 4096, KEY_BYTES: usize = KEY_AT + 4 * 64, KEY_HASH: usize = KEY_BYTES + 4 * 64, KEY_RECORD: usize = KEY_HASH + 8 * 64, KEY_ID: usize = KEY_RECORD + 4 * 64, KEY_ROW: usize = KEY_ID + 4 * 64;

/** positions only grow; a record is intact while its ring has not gone once around since */
let symbolTop: u32 = 8, stackTop: u32 = 8;
let turn: usize = 0;
let keyPrefix: u32 = 0;
let unfit: bool = false;
/** what touching reads goes here, so that it is not optimised away */
let touched: u32 = 0;

@inline function mix(h: u64, w: u64): u64 { h = (h ^ w) * 0x9e3779b97f4a7c15; return h ^ (h >> 29); }

function hashOf(kind: u32, p: usize, n: u32): u64 {
  let h = mix(<u64>(keyPrefix | kind) | (<u64>n << 32), 0xd6e8feb86659fd93);
  if (n >= 8) {
    const last = p + n - 8;
    while (p < last) { h = mix(h, load<u64>(p)); p += 8; }
    h = mix(h, load<u64>(last));
  } else if (n >= 4) h = mix(h, <u64>load<u32>(p) | (<u64>load<u32>(p + n - 4) << 32));
  else if (n > 0) h = mix(h, <u64>load<u8>(p) | (<u64>load<u8>(p + (n >>> 1)) << 8) | (<u64>load<u8>(p + n - 1) << 16));
  h *= 0xd6e8feb86659fd93;
  return h ^ (h >> 32);
}

@inline function equal(a: usize, b: usize, n: u32): bool {
  if (n >= 8) {
    const last = a + n - 8;
    while (a < last) { if (load<u64>(a) != load<u64>(b)) return false; a += 8; b += 8; }
    return load<u64>(last) == load<u64>(b - (a - last));
  }
  if (n >= 4) return load<u32>(a) == load<u32>(b) && load<u32>(a + n - 4) == load<u32>(b + n - 4);
  for (let i: u32 = 0; i < n; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

/** The line where a key lies; when that was full, it lies in the line of the hash's other half. */
@inline function lineOf(kind: u32, h: u64): usize {
  return kind == KIND_STACK ? STACK_CACHE + ((<usize>h & (STACK_LINES - 1)) << 6) : SYMBOL_CACHE + ((<usize>h & (SYMBOL_LINES - 1)) << 6);
}

/** The live entry of a line that may be the key's; 0 when there is none. */
@inline function entryIn(line: usize, tag: u32, bytes: u32, top: u32, ringBytes: u32): usize {
  for (let e = line; e < line + 64; e += 16) {
    if (load<u32>(e) != tag || load<u32>(e, 12) != bytes) continue;
    const position = load<u32>(e, 8);
    if (position != 0 && position + ringBytes >= top) return e;
  }
  return 0;
}

/** An entry of a line that is free or whose content is gone; 0 when there is none. */
function freeIn(line: usize, top: u32, ringBytes: u32): usize {
  for (let e = line; e < line + 64; e += 16) {
    const position = load<u32>(e, 8);
    if (position == 0 || position + ringBytes < top) return e;
  }
  return 0;
}

/** Looks up `n` keys of one kind: KEY_AT and KEY_BYTES in, KEY_HASH and KEY_ID (UNKNOWN where nothing was found) out. */
function findBlock(kind: u32, n: u32): void {
  const ring = kind == KIND_STACK ? STACK_RING : SYMBOL_RING, ringBytes = kind == KIND_STACK ? STACK_RING_BYTES : SYMBOL_RING_BYTES, top = kind == KIND_STACK ? stackTop : symbolTop;
  let sink: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const h = hashOf(kind, get(KEY_AT, i), get(KEY_BYTES, i));
    store<u64>(KEY_HASH + (<usize>i << 3), h);
    sink += load<u32>(lineOf(kind, h));
  }
  for (let i: u32 = 0; i < n; i++) {
    const h = load<u64>(KEY_HASH + (<usize>i << 3)), bytes = get(KEY_BYTES, i);
    const line = lineOf(kind, h), tag = <u32>(h >> 32);
    let e = entryIn(line, tag, bytes, top, ringBytes);
    if (e == 0 && load<u32>(line + 48, 8) != 0) e = entryIn(lineOf(kind, h >> 32), tag, bytes, top, ringBytes);
    if (e == 0) { put(KEY_RECORD, i, 0); continue; }
    const record = <u32>ring + (load<u32>(e, 8) & (ringBytes - 1));
    put(KEY_ID, i, load<u32>(e, 4));
    put(KEY_RECORD, i, record);
    sink += load<u32>(record);
  }
  touched = sink;
  for (let i: u32 = 0; i < n; i++) {
    const record = <usize>get(KEY_RECORD, i);
    if (record == 0 || load<u32>(record) != (keyPrefix | kind) || !equal(record + 8, get(KEY_AT, i), get(KEY_BYTES, i))) put(KEY_ID, i, UNKNOWN);
  }
}

function remember(h: u64, kind: u32, p: usize, n: u32, id: u32): void {
  const ring = kind == KIND_STACK ? STACK_RING : SYMBOL_RING, ringBytes = kind == KIND_STACK ? STACK_RING_BYTES : SYMBOL_RING_BYTES;
  const record: u32 = (n + 15) & 0xfffffff8;
  if (record > ringBytes >>> 4) return;
  let top = kind == KIND_STACK ? stackTop : symbolTop;
  if (top > 0xf0000000) { memory.fill(SYMBOL_CACHE, 0, (SYMBOL_LINES + STACK_LINES) << 6); symbolTop = stackTop = top = 8; }
  const left = ringBytes - (top & (ringBytes - 1));
  if (left < record) top += left;
  const to = ring + (top & (ringBytes - 1));
  store<u32>(to, keyPrefix | kind);
  memory.copy(to + 8, p, n);
  const line = lineOf(kind, h);
  let e = freeIn(line, top, ringBytes);
  if (e == 0) e = freeIn(lineOf(kind, h >> 32), top, ringBytes);
  if (e == 0) { turn = (turn + 16) & 63; e = line + turn; }
  store<u32>(e, <u32>(h >> 32)); store<u32>(e, id, 4); store<u32>(e, top, 8); store<u32>(e, n, 12);
  top += record;
  if (kind == KIND_STACK) stackTop = top; else symbolTop = top;
}

// ---- intern

let profileAt: usize = 0;
/** the mapping of locations that have none */
let stub: u32 = UNKNOWN;

/** Begins interning the profile at `from` into a symbol partition: what the cache knows of it is mapped, the rest is when a sample reaches it. */
export function begin(from: usize, partition: u32): void {
  profileAt = from;
  keyPrefix = partition << 3;
  stub = UNKNOWN;
  findStrings();
  findFunctions();
  findMappings();
  findLocations();
}

function findStrings(): void {
  const n = word(STRINGS), map = col(C_STRING_MAP), start = col(C_STRING_START), end = col(C_STRING_END);
  for (let from: u32 = 0; from < n; from += BLOCK) {
    const rows = min(BLOCK, n - from);
    for (let i: u32 = 0; i < rows; i++) {
      const s = get(start, from + i);
      put(KEY_AT, i, <u32>profileAt + s);
      put(KEY_BYTES, i, get(end, from + i) - s);
    }
    findBlock(KIND_STRING, rows);
    memory.copy(map + (<usize>from << 2), KEY_ID, rows << 2);
  }
}

/** Puts the ids of a block's keys where their rows are. */
@inline function place(map: usize, rows: u32): void { for (let i: u32 = 0; i < rows; i++) put(map, get(KEY_ROW, i), get(KEY_ID, i)); }

function findFunctions(): void {
  const n = word(FUNCTIONS), map = col(C_FUNC_MAP), strings = col(C_STRING_MAP), names = col(C_FUNC_NAME), systems = col(C_FUNC_SYSTEM), filenames = col(C_FUNC_FILENAME), lines = col(C_FUNC_START_LINE);
  let rows: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const name = get(strings, get(names, i)), system = get(strings, get(systems, i)), filename = get(strings, get(filenames, i));
    put(map, i, UNKNOWN);
    if (name == UNKNOWN || system == UNKNOWN || filename == UNKNOWN) continue;
    const key = KEYS + (<usize>rows << 4);
    store<u32>(key, name); store<u32>(key, system, 4); store<u32>(key, filename, 8); store<u32>(key, get(lines, i), 12);
    put(KEY_AT, rows, <u32>key); put(KEY_BYTES, rows, 16); put(KEY_ROW, rows++, i);
    if (rows == BLOCK) { findBlock(KIND_FUNCTION, rows); place(map, rows); rows = 0; }
  }
  findBlock(KIND_FUNCTION, rows);
  place(map, rows);
}

/** A mapping's nine words at `key`. */
function mappingKey(i: u32, key: usize, filename: u32, buildId: u32): void {
  store<u64>(key, load<u64>(col(C_MAPPING_START) + (<usize>i << 3)));
  store<u64>(key, load<u64>(col(C_MAPPING_LIMIT) + (<usize>i << 3)), 8);
  store<u64>(key, load<u64>(col(C_MAPPING_OFFSET) + (<usize>i << 3)), 16);
  store<u32>(key, filename, 24); store<u32>(key, buildId, 28); store<u32>(key, get(col(C_MAPPING_FLAGS), i), 32);
}

function findMappings(): void {
  const n = word(MAPPINGS), map = col(C_MAPPING_MAP), strings = col(C_STRING_MAP), filenames = col(C_MAPPING_FILENAME), buildIds = col(C_MAPPING_BUILD_ID);
  for (let i: u32 = 0; i < n; i++) {
    const filename = get(strings, get(filenames, i)), buildId = get(strings, get(buildIds, i));
    put(map, i, UNKNOWN);
    if (filename == UNKNOWN || buildId == UNKNOWN) continue;
    mappingKey(i, KEYS, filename, buildId);
    put(KEY_AT, 0, <u32>KEYS); put(KEY_BYTES, 0, 36);
    findBlock(KIND_MAPPING, 1);
    put(map, i, get(KEY_ID, 0));
  }
  memory.fill(KEYS, 0, 36);
  put(KEY_AT, 0, <u32>KEYS); put(KEY_BYTES, 0, 36);
  findBlock(KIND_MAPPING, 1);
  stub = get(KEY_ID, 0);
}

/** mapping flag: the mapping's functions are known, so its locations need no addresses */
const HAS_FUNCTIONS: u32 = 8;

/** The words of location `i` at `key`, without its functions; returns how many there are with them. */
function locationKey(i: u32, key: usize, mapping: u32): u32 {
  const m = get(col(C_LOC_MAPPING), i);
  const symbolised = m != UNKNOWN && (get(col(C_MAPPING_FLAGS), m) & HAS_FUNCTIONS) != 0;
  store<u32>(key, mapping);
  store<u64>(key, symbolised ? 0 : load<u64>(col(C_LOC_ADDRESS) + (<usize>i << 3)), 4);
  store<u32>(key, get(col(C_LOC_FOLDED), i), 12);
  return 4 + 2 * (get(col(C_LOC_LINES), i + 1) - get(col(C_LOC_LINES), i));
}

function findLocations(): void {
  const n = word(LOCATIONS), map = col(C_LOC_MAP), mappings = col(C_MAPPING_MAP), functions = col(C_FUNC_MAP), locMapping = col(C_LOC_MAPPING), locLines = col(C_LOC_LINES), lineFunction = col(C_LINE_FUNCTION), lineNumber = col(C_LINE_NUMBER), valid = col(C_LOC_VALID);
  let rows: u32 = 0, key = KEYS;
  for (let i: u32 = 0; i < n; i++) {
    put(map, i, UNKNOWN);
    const m = get(locMapping, i), from = get(locLines, i), to = get(locLines, i + 1);
    const mapping = m == UNKNOWN ? stub : get(mappings, m);
    if (mapping == UNKNOWN || to - from > 64 || load<u8>(valid + i) == 0) continue;
    const words = locationKey(i, key, mapping);
    let known = true;
    for (let k = from, w: u32 = 4; k < to; k++, w += 2) {
      const f = get(functions, get(lineFunction, k));
      if (f == UNKNOWN) { known = false; break; }
      put(key, w, f);
      put(key, w + 1, get(lineNumber, k));
    }
    if (!known) continue;
    put(KEY_AT, rows, <u32>key); put(KEY_BYTES, rows, words << 2); put(KEY_ROW, rows++, i);
    key += <usize>words << 2;
    if (rows == BLOCK) { findBlock(KIND_LOCATION, rows); place(map, rows); rows = 0; key = KEYS; }
  }
  findBlock(KIND_LOCATION, rows);
  place(map, rows);
}

// What the cache did not know, when a sample reaches it.

function stringId(i: u32): u32 {
  const known = get(col(C_STRING_MAP), i);
  if (known != UNKNOWN) return known;
  const start = get(col(C_STRING_START), i), n = get(col(C_STRING_END), i) - start;
  const id = missString(start, start + n);
  remember(hashOf(KIND_STRING, profileAt + start, n), KIND_STRING, profileAt + start, n, id);
  put(col(C_STRING_MAP), i, id);
  return id;
}

/** a function's or a mapping's words, apart from those that a block looks up */
const TUPLE: usize = 32768;

function functionId(i: u32): u32 {
  const known = get(col(C_FUNC_MAP), i);
  if (known != UNKNOWN) return known;
  const name = stringId(get(col(C_FUNC_NAME), i)), system = stringId(get(col(C_FUNC_SYSTEM), i)), filename = stringId(get(col(C_FUNC_FILENAME), i)), line = get(col(C_FUNC_START_LINE), i);
  store<u32>(TUPLE, name); store<u32>(TUPLE, system, 4); store<u32>(TUPLE, filename, 8); store<u32>(TUPLE, line, 12);
  const id = missFunction(name, system, filename, line);
  remember(hashOf(KIND_FUNCTION, TUPLE, 16), KIND_FUNCTION, TUPLE, 16, id);
  put(col(C_FUNC_MAP), i, id);
  return id;
}

function mappingId(i: u32): u32 {
  if (i == UNKNOWN) {
    if (stub != UNKNOWN) return stub;
    stub = missMapping(UNKNOWN);
    memory.fill(TUPLE, 0, 36);
    remember(hashOf(KIND_MAPPING, TUPLE, 36), KIND_MAPPING, TUPLE, 36, stub);
    return stub;
  }
  const known = get(col(C_MAPPING_MAP), i);
  if (known != UNKNOWN) return known;
  const filename = stringId(get(col(C_MAPPING_FILENAME), i)), buildId = stringId(get(col(C_MAPPING_BUILD_ID), i));
  const id = missMapping(i);
  mappingKey(i, TUPLE, filename, buildId);
  remember(hashOf(KIND_MAPPING, TUPLE, 36), KIND_MAPPING, TUPLE, 36, id);
  put(col(C_MAPPING_MAP), i, id);
  return id;
}

/** a location's words, apart from the sequences of `stacks` */
const LOCATION: usize = KEYS + (KEY_WORDS << 2);

function locationId(i: u32): u32 {
  const from = get(col(C_LOC_LINES), i), to = get(col(C_LOC_LINES), i + 1);
  if (to - from > MAX_WORDS / 2 - 2) { unfit = true; return 0; }
  const words = locationKey(i, LOCATION, mappingId(get(col(C_LOC_MAPPING), i)));
  for (let k = from, w: u32 = 4; k < to; k++, w += 2) {
    put(LOCATION, w, functionId(get(col(C_LINE_FUNCTION), k)));
    put(LOCATION, w + 1, get(col(C_LINE_NUMBER), k));
  }
  const id = missLocation(<u32>LOCATION, words);
  remember(hashOf(KIND_LOCATION, LOCATION, words << 2), KIND_LOCATION, LOCATION, words << 2, id);
  put(col(C_LOC_MAP), i, id);
  return id;
}

/** A stack is looked up in pieces of so many frames, root first: what stacks share is kept once. */
const PIECE: u32 = 16;
/** stacks of a block: where their locations lie, how many, the node that they have reached */
const STACK_AT: usize = KEY_ROW + 4 * 64, STACK_DEPTH: usize = STACK_AT + 4 * 64, STACK_ROW: usize = STACK_DEPTH + 4 * 64, STACK_NODE: usize = STACK_ROW + 4 * 64;

/** Looks up a block of stacks, piece by piece, and asks for those that are not known. A piece's key is its parent and its locations. */
function placeStacks(stacks: u32): void {
  const nodes = col(C_NODES);
  for (let i: u32 = 0; i < stacks; i++) put(STACK_NODE, i, 0);
  for (let level: u32 = 0; ; level += PIECE) {
    let rows: u32 = 0;
    for (let i: u32 = 0; i < stacks; i++) {
      const depth = get(STACK_DEPTH, i);
      if (depth <= level) continue;
      // the word before a piece is free: the sequence's own, or the last location of the piece before
      const key = <usize>get(STACK_AT, i) + (<usize>level << 2) - 4;
      store<u32>(key, get(STACK_NODE, i));
      put(KEY_AT, rows, <u32>key); put(KEY_BYTES, rows, (min(PIECE, depth - level) + 1) << 2); put(KEY_ROW, rows++, i);
    }
    if (rows == 0) break;
    findBlock(KIND_STACK, rows);
    for (let r: u32 = 0; r < rows; r++) {
      let node = get(KEY_ID, r);
      if (node == UNKNOWN) {
        const key = get(KEY_AT, r), bytes = get(KEY_BYTES, r);
        node = missStack(load<u32>(key), key + 4, (bytes >>> 2) - 1);
        remember(load<u64>(KEY_HASH + (<usize>r << 3)), KIND_STACK, key, bytes, node);
      }
      put(STACK_NODE, get(KEY_ROW, r), node);
    }
  }
  for (let i: u32 = 0; i < stacks; i++) put(nodes, get(STACK_ROW, i), get(STACK_NODE, i));
}

/** Stack node of each of the `n` samples in the group column, into the node column. False: something does not fit here. */
export function stacks(n: u32): bool {
  unfit = false;
  const group = col(C_GROUP), nodes = col(C_NODES), sampleFrom = col(C_SAMPLE_FROM), sampleTo = col(C_SAMPLE_TO), refLocation = col(C_REF_LOCATION), locMap = col(C_LOC_MAP);
  let rows: u32 = 0, key = KEYS;
  for (let i: u32 = 0; i < n; i++) {
    const s = get(group, i);
    const from = get(sampleFrom, s), to = get(sampleTo, s);
    const depth = to - from;
    if (depth == 0) { put(nodes, i, 0); continue; }
    if (depth > MAX_WORDS) return false;
    if (rows == BLOCK || key + (<usize>(depth + 1) << 2) > LOCATION) { placeStacks(rows); rows = 0; key = KEYS; }
    key += 4; // the word for the first piece's parent
    put(STACK_AT, rows, <u32>key); put(STACK_DEPTH, rows, depth); put(STACK_ROW, rows++, i);
    for (let k = to; k > from; k--) {
      const l = get(refLocation, k - 1);
      let id = get(locMap, l);
      if (id == UNKNOWN) { id = locationId(l); if (unfit) return false; }
      store<u32>(key, id);
      key += 4;
    }
  }
  placeStacks(rows);
  return true;
}
