import {
  CAPACITY, COMMENTS, C_COMMENTS, C_FUNC_FILENAME, C_FUNC_HI, C_FUNC_LO, C_FUNC_NAME, C_FUNC_START_LINE, C_FUNC_SYSTEM, C_LABEL_KEY, C_LABEL_STR, C_LINE_HI, C_LINE_LO, C_LINE_NUMBER, C_LOC_ADDRESS,
  C_LOC_FOLDED, C_LOC_HI, C_LOC_LINES, C_LOC_LO, C_LOC_MAPPING_HI, C_LOC_MAPPING_LO, C_MAPPING_BUILD_ID, C_MAPPING_FILENAME, C_MAPPING_FLAGS, C_MAPPING_HI, C_MAPPING_LIMIT, C_MAPPING_LO,
  C_MAPPING_OFFSET, C_MAPPING_START, C_REF_HI, C_REF_LO, C_SAMPLE_LABELS, C_SAMPLE_LOCATIONS, C_SAMPLE_VALUES, C_STRING_END, C_STRING_START, C_TYPE_TYPE, C_TYPE_UNIT, C_VALUE, DEFAULT_SAMPLE_TYPE,
  DROP_FRAMES, DURATION_NANOS, FUNCTIONS, HAS_PERIOD_TYPE, KEEP_FRAMES, LABELS, LINES, LOCATIONS, MAPPINGS, PERIOD, PERIOD_TYPE, PERIOD_UNIT, REFS, SAMPLES, STRINGS, TIME_NANOS, TYPES, UNKNOWN, VALUES,
  col, put, setLong, setWord, word,
} from "./layout";

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

/** Reads the rest of the varint at `p`, which has more than one byte, and moves `at` behind it. */
function longAt(p: usize, end: usize): u64 { at = p; return longVarint(end); }

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

/** Reads a string index. An impossible index becomes 0xffffffff, which validation refuses. */
@inline function indexOf(v: u64): u32 { return v > 0xffffffff ? UNKNOWN : <u32>v; }
@inline function index(end: usize): u32 { return indexOf(varint(end)); }

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

/** Counts the varints in [from, to): the bytes without the continuation bit. */
function countVarints(from: usize, to: usize): u32 {
  let n: u32 = 0;
  while (from + 16 <= to) { n += 16 - popcnt<i32>(i8x16.bitmask(v128.load(from))); from += 16; }
  for (; from < to; from++) n += load<u8>(from) < 128 ? 1 : 0;
  return n;
}

function setCounts(strings: u32, types: u32, samples: u32, refs: u32, values: u32, labels: u32, mappings: u32, locations: u32, lines: u32, functions: u32, comments: u32): void {
  setWord(STRINGS, strings); setWord(TYPES, types); setWord(SAMPLES, samples); setWord(REFS, refs); setWord(VALUES, values); setWord(LABELS, labels);
  setWord(MAPPINGS, mappings); setWord(LOCATIONS, locations); setWord(LINES, lines); setWord(FUNCTIONS, functions); setWord(COMMENTS, comments);
}

/** Counts the rows of every table for the layout of the columns. False: the plain decoder must decode the input. */
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
  setCounts(strings, types, samples, refs, values, labels, mappings, locations, lines, functions, comments);
  return !bad;
}

export const REFUSED: u32 = 0, DECODED: u32 = 1, NO_ROOM: u32 = 2;

@inline function room(table: i32, rows: u32): bool { return rows <= word(CAPACITY + table); }

/**
 * Fills the columns and counts their rows. REFUSED: the input is not a pprof, and the plain decoder reports the error.
 * NO_ROOM: a column may be too short; the caller lays the columns out by `count` and repeats. Counting every input first
 * would cost as much as decoding.
 */
export function decode(from: usize, length: usize): u32 {
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
        case 6: if (!room(STRINGS, strings + 1)) return NO_ROOM; put(stringStart, strings, <u32>(at - from)); put(stringEnd, strings++, <u32>(to - from)); break;
        case 4: {
          if (!room(LOCATIONS, locations + 1)) return NO_ROOM;
          let id: u64 = 0, mapping: u64 = 0, address: u64 = 0, folded: u32 = 0;
          // A local position in the loops over most bytes: with the global, each byte would wait for a store.
          let p = at;
          while (p < to) {
            let t: u64 = load<u8>(p);
            if (t < 128) p++; else { t = longAt(p, to); p = at; }
            if (t == 34) {
              if (!room(LINES, lines + 1)) return NO_ROOM;
              at = p;
              const e = size(to) + at;
              p = at;
              let fn: u64 = 0, line: u64 = 0;
              while (p < e) {
                let t2: u64 = load<u8>(p);
                if (t2 < 128) p++; else { t2 = longAt(p, e); p = at; }
                if ((t2 & 7) != 0 || p >= e) { at = p; skip(<u32>t2 & 7, e); p = at; continue; }
                let v: u64 = load<u8>(p);
                if (v < 128) p++; else { v = longAt(p, e); p = at; }
                if (t2 == 8) fn = v; else if (t2 == 16) line = v;
              }
              put(col(C_LINE_LO), lines, <u32>fn); put(col(C_LINE_HI), lines, <u32>(fn >> 32)); put(col(C_LINE_NUMBER), lines++, <u32>line);
              continue;
            }
            if ((t & 7) != 0 || p >= to) { at = p; skip(<u32>t & 7, to); p = at; continue; }
            let v: u64 = load<u8>(p);
            if (v < 128) p++; else { v = longAt(p, to); p = at; }
            if (t == 8) id = v; else if (t == 16) mapping = v; else if (t == 24) address = v; else if (t == 40) folded = <u32>v == 0 ? 0 : 1;
          }
          put(col(C_LOC_LO), locations, <u32>id); put(col(C_LOC_HI), locations, <u32>(id >> 32));
          put(col(C_LOC_MAPPING_LO), locations, <u32>mapping); put(col(C_LOC_MAPPING_HI), locations, <u32>(mapping >> 32));
          store<u64>(col(C_LOC_ADDRESS) + (<usize>locations << 3), address);
          put(col(C_LOC_FOLDED), locations++, folded);
          put(col(C_LOC_LINES), locations, lines);
          break;
        }
        case 5: {
          if (!room(FUNCTIONS, functions + 1)) return NO_ROOM;
          let id: u64 = 0, name: u64 = 0, system: u64 = 0, filename: u64 = 0, line: u64 = 0;
          let p = at;
          while (p < to) {
            let t: u64 = load<u8>(p);
            if (t < 128) p++; else { t = longAt(p, to); p = at; }
            if ((t & 7) != 0 || p >= to) { at = p; skip(<u32>t & 7, to); p = at; continue; }
            let v: u64 = load<u8>(p);
            if (v < 128) p++; else { v = longAt(p, to); p = at; }
            if (t == 8) id = v; else if (t == 16) name = v; else if (t == 24) system = v; else if (t == 32) filename = v; else if (t == 40) line = v;
          }
          put(col(C_FUNC_LO), functions, <u32>id); put(col(C_FUNC_HI), functions, <u32>(id >> 32));
          put(col(C_FUNC_NAME), functions, indexOf(name)); put(col(C_FUNC_SYSTEM), functions, indexOf(system)); put(col(C_FUNC_FILENAME), functions, indexOf(filename));
          put(col(C_FUNC_START_LINE), functions++, <u32>line);
          break;
        }
        case 2: {
          // A varint has at least one byte, so the number of bytes bounds the number of new rows.
          if (!room(SAMPLES, samples + 1) || !room(REFS, refs + <u32>n) || !room(VALUES, values + <u32>n) || !room(LABELS, labels + <u32>n)) return NO_ROOM;
          while (at < to) {
            const t = <u32>varint(to);
            if (t == 10) {
              const e = size(to) + at;
              let p = at;
              while (p < e) {
                let v: u64 = load<u8>(p);
                if (v < 128) p++;
                else if (p + 1 < e && load<u8>(p, 1) < 128) { v = (v & 127) | (<u64>load<u8>(p, 1) << 7); p += 2; }
                else { v = longAt(p, e); p = at; }
                put(refLo, refs, <u32>v); put(refHi, refs++, <u32>(v >> 32));
              }
              at = p;
            } else if (t == 18) {
              const e = size(to) + at;
              let p = at;
              while (p < e) {
                let v: u64 = load<u8>(p);
                if (v < 128) p++; else { v = longAt(p, e); p = at; }
                store<u64>(value + (<usize>(values++) << 3), v);
              }
              at = p;
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
          if (field == 1) { if (!room(TYPES, types + 1)) return NO_ROOM; put(typeType, types, type); put(typeUnit, types++, unit); }
          else { setWord(HAS_PERIOD_TYPE, 1); setWord(PERIOD_TYPE, type); setWord(PERIOD_UNIT, unit); }
          break;
        }
        case 3: {
          if (!room(MAPPINGS, mappings + 1)) return NO_ROOM;
          let id: u64 = 0, start: u64 = 0, limit: u64 = 0, offset: u64 = 0;
          let filename: u32 = 0, buildId: u32 = 0, flags: u32 = 0;
          while (at < to) {
            const t = <u32>varint(to);
            if ((t & 7) != 0) { skip(t & 7, to); continue; }
            const v = varint(to);
            const i = indexOf(v);
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
        case 13: if (!room(COMMENTS, comments + <u32>n)) return NO_ROOM; while (at < to) put(comment, comments++, index(to)); break;
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
        case 13: if (!room(COMMENTS, comments + 1)) return NO_ROOM; put(comment, comments++, indexOf(v)); break;
        case 14: setWord(DEFAULT_SAMPLE_TYPE, <u32>v); break;
        case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 11: bad = true; break;
        default: break;
      }
    } else skip(wire, end);
    if (bad) return REFUSED;
  }
  setCounts(strings, types, samples, refs, values, labels, mappings, locations, lines, functions, comments);
  return DECODED;
}
