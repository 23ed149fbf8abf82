import {
  BLOCK, BLOCK_HASHES, C_FUNC_FILENAME, C_FUNC_HASH, C_FUNC_MAP, C_FUNC_NAME, C_FUNC_START_LINE, C_FUNC_SYSTEM, C_GROUP, C_LINE_FUNCTION, C_LINE_NUMBER, C_LOC_ADDRESS, C_LOC_FOLDED, C_LOC_HASH, C_LOC_LINES,
  C_LOC_MAP, C_LOC_MAPPING, C_LOC_VALID, C_MAPPING_BUILD_ID, C_MAPPING_FILENAME, C_MAPPING_FLAGS, C_MAPPING_HASH, C_MAPPING_LIMIT, C_MAPPING_MAP, C_MAPPING_OFFSET, C_MAPPING_START, C_NODES, C_REF_LOCATION, C_SAMPLE_FROM,
  C_SAMPLE_TO, C_STRING_END, C_STRING_HASH, C_STRING_MAP, C_STRING_START, FUNCTIONS, LOCATIONS, MAPPINGS, MAX_DEPTH, MAX_WORDS, PREFIXES, STACK_LINES, STACK_TABLE, STRINGS, SYMBOL_LINES, SYMBOL_TABLE, UNKNOWN, WORDS,
  col, get, getLong, put, putLong, word,
} from "./layout";

// A hash of its content identifies a symbol: the bytes of a string, the hashes of a function's strings, of a location's
// functions, and of a stack's locations. Hashes have 64 bits and a seed per process. One table maps
// (symbol partition, hash) -> ID. Most stacks of a profile were in the previous profile of the service; then only stacks
// are looked up, and no strings, functions or locations. Two contents with the same hash would share an ID: among a
// million symbols this happens in one of about ten million processes, and the seed prevents crafted collisions (ADR 5).

@external("head", "missString") declare function missString(start: u32, end: u32): u32;
@external("head", "missFunction") declare function missFunction(name: u32, systemName: u32, filename: u32, startLine: u32): u32;
@external("head", "missMapping") declare function missMapping(index: u32): u32;
@external("head", "missLocation") declare function missLocation(wordsAt: u32, words: u32): u32;
@external("head", "missStack") declare function missStack(parent: u32, wordsAt: u32, words: u32): u32;


const KIND_STRING: u32 = 0, KIND_FUNCTION: u32 = 1, KIND_LOCATION: u32 = 2, KIND_STACK: u32 = 3, KIND_MAPPING: u32 = 4;
/** mapping flag: the mapping has function names, so its locations need no addresses */
const HAS_FUNCTIONS: u32 = 8;

let seed: u64 = 0x243f6a8885a308d3;
export function setSeed(s: u64): void { seed = s; }

let profileAt: usize = 0;
/** tag of an entry without its kind: the symbol partition above the three lowest bits, which are the kind */
let partitionTag: u32 = 0;
let turn: usize = 0;
let unfit: bool = false;
/** mapping ID of locations without a mapping */
let stub: u32 = UNKNOWN;
/** sink of prefetching reads, so that the compiler keeps them */
let touched: u32 = 0;

// ---- hashes

@inline function mix(h: u64, w: u64): u64 { h = (h ^ w) * 0x9e3779b97f4a7c15; return h ^ (h >> 29); }
@inline function finish(h: u64): u64 { h *= 0xd6e8feb86659fd93; return h ^ (h >> 32); }

function hashBytes(p: usize, n: u32): u64 {
  let h = mix(seed, n);
  if (n >= 8) {
    const last = p + n - 8;
    while (p < last) { h = mix(h, load<u64>(p)); p += 8; }
    h = mix(h, load<u64>(last));
  } else if (n >= 4) h = mix(h, <u64>load<u32>(p) | (<u64>load<u32>(p + n - 4) << 32));
  else if (n > 0) h = mix(h, <u64>load<u8>(p) | (<u64>load<u8>(p + (n >>> 1)) << 8) | (<u64>load<u8>(p + n - 1) << 16));
  return finish(h);
}

/** Starts interning the profile at `from` into a symbol partition: hashes its symbols, without looking up IDs. */
export function begin(from: usize, partition: u32): void {
  profileAt = from;
  partitionTag = partition << 3;
  stub = UNKNOWN;
  const strings = word(STRINGS), stringHash = col(C_STRING_HASH), start = col(C_STRING_START), end = col(C_STRING_END);
  for (let i: u32 = 0; i < strings; i++) { const s = get(start, i); putLong(stringHash, i, hashBytes(from + s, get(end, i) - s)); }
  hashFunctions();
  hashMappings();
  hashLocations();
  memory.fill(col(C_STRING_MAP), 255, <usize>strings << 2);
  memory.fill(col(C_FUNC_MAP), 255, <usize>word(FUNCTIONS) << 2);
  memory.fill(col(C_MAPPING_MAP), 255, <usize>word(MAPPINGS) << 2);
  memory.fill(col(C_LOC_MAP), 255, <usize>word(LOCATIONS) << 2);
}

function hashFunctions(): void {
  const n = word(FUNCTIONS), hash = col(C_FUNC_HASH), strings = col(C_STRING_HASH), names = col(C_FUNC_NAME), systems = col(C_FUNC_SYSTEM), filenames = col(C_FUNC_FILENAME), lines = col(C_FUNC_START_LINE);
  for (let i: u32 = 0; i < n; i++) {
    let h = mix(seed + KIND_FUNCTION, getLong(strings, get(names, i)));
    h = mix(h, getLong(strings, get(systems, i)));
    h = mix(h, getLong(strings, get(filenames, i)));
    putLong(hash, i, finish(mix(h, get(lines, i))));
  }
}

function hashMappings(): void {
  const n = word(MAPPINGS), hash = col(C_MAPPING_HASH), strings = col(C_STRING_HASH);
  for (let i: u32 = 0; i < n; i++) {
    let h = mix(seed + KIND_MAPPING, getLong(col(C_MAPPING_START), i));
    h = mix(h, getLong(col(C_MAPPING_LIMIT), i));
    h = mix(h, getLong(col(C_MAPPING_OFFSET), i));
    h = mix(h, getLong(strings, get(col(C_MAPPING_FILENAME), i)));
    h = mix(h, getLong(strings, get(col(C_MAPPING_BUILD_ID), i)));
    putLong(hash, i, finish(mix(h, get(col(C_MAPPING_FLAGS), i))));
  }
}

/** Marks the valid locations: their mapping and functions exist. */
function hashLocations(): void {
  const n = word(LOCATIONS), hash = col(C_LOC_HASH), mappings = col(C_MAPPING_HASH), flags = col(C_MAPPING_FLAGS), functions = col(C_FUNC_HASH), locMapping = col(C_LOC_MAPPING), locLines = col(C_LOC_LINES),
    lineFunction = col(C_LINE_FUNCTION), lineNumber = col(C_LINE_NUMBER), valid = col(C_LOC_VALID), address = col(C_LOC_ADDRESS), folded = col(C_LOC_FOLDED);
  for (let i: u32 = 0; i < n; i++) {
    if (load<u8>(valid + i) == 0) continue;
    const m = get(locMapping, i), from = get(locLines, i), to = get(locLines, i + 1);
    let h = seed + KIND_LOCATION, at = getLong(address, i);
    if (m != UNKNOWN) {
      h = mix(h, getLong(mappings, m));
      if ((get(flags, m) & HAS_FUNCTIONS) != 0) at = 0;
    }
    if (at != 0) h = mix(h, at);
    h = mix(h, <u64>get(folded, i) | (<u64>(to - from) << 1));
    for (let k = from; k < to; k++) { h = mix(h, getLong(functions, get(lineFunction, k))); h = mix(h, get(lineNumber, k)); }
    putLong(hash, i, finish(h));
  }
}

// ---- table: (symbol partition, kind, hash) -> id, in lines of four entries
//   entry: partition and kind <4b>, 0 is free | id <4b> | hash <8b>

/** Table line of a hash. If this line is full, the entry is in the line of the hash's other half. */
@inline function lineOf(kind: u32, h: u64): usize {
  return kind == KIND_STACK ? STACK_TABLE + ((<usize>h & (STACK_LINES - 1)) << 6) : SYMBOL_TABLE + ((<usize>h & (SYMBOL_LINES - 1)) << 6);
}

@inline function entryIn(line: usize, tag: u32, h: u64): usize {
  for (let e = line; e < line + 64; e += 16) if (load<u64>(e, 8) == h && load<u32>(e) == tag) return e;
  return 0;
}

@inline function find(kind: u32, h: u64): u32 {
  const line = lineOf(kind, h), tag = partitionTag | kind;
  let e = entryIn(line, tag, h);
  if (e == 0 && load<u32>(line + 48) != 0) e = entryIn(lineOf(kind, h >> 32), tag, h);
  return e == 0 ? UNKNOWN : load<u32>(e, 4);
}

@inline function freeIn(line: usize): usize {
  for (let e = line; e < line + 64; e += 16) if (load<u32>(e) == 0) return e;
  return 0;
}

function remember(kind: u32, h: u64, id: u32): void {
  const line = lineOf(kind, h);
  let e = freeIn(line);
  if (e == 0) e = freeIn(lineOf(kind, h >> 32));
  if (e == 0) { turn = (turn + 16) & 63; e = line + turn; }
  store<u32>(e, partitionTag | kind);
  store<u32>(e, id, 4);
  store<u64>(e, h, 8);
}

// ---- IDs of new symbols, assigned when a sample first refers to them

function stringId(i: u32): u32 {
  let id = get(col(C_STRING_MAP), i);
  if (id != UNKNOWN) return id;
  const h = getLong(col(C_STRING_HASH), i);
  id = find(KIND_STRING, h);
  if (id == UNKNOWN) {
    id = missString(get(col(C_STRING_START), i), get(col(C_STRING_END), i));
    remember(KIND_STRING, h, id);
  }
  put(col(C_STRING_MAP), i, id);
  return id;
}

function functionId(i: u32): u32 {
  let id = get(col(C_FUNC_MAP), i);
  if (id != UNKNOWN) return id;
  const h = getLong(col(C_FUNC_HASH), i);
  id = find(KIND_FUNCTION, h);
  if (id == UNKNOWN) {
    id = missFunction(stringId(get(col(C_FUNC_NAME), i)), stringId(get(col(C_FUNC_SYSTEM), i)), stringId(get(col(C_FUNC_FILENAME), i)), get(col(C_FUNC_START_LINE), i));
    remember(KIND_FUNCTION, h, id);
  }
  put(col(C_FUNC_MAP), i, id);
  return id;
}

function mappingId(i: u32): u32 {
  if (i == UNKNOWN) { if (stub == UNKNOWN) stub = missMapping(UNKNOWN); return stub; }
  let id = get(col(C_MAPPING_MAP), i);
  if (id != UNKNOWN) return id;
  const h = getLong(col(C_MAPPING_HASH), i);
  id = find(KIND_MAPPING, h);
  if (id == UNKNOWN) { id = missMapping(i); remember(KIND_MAPPING, h, id); }
  put(col(C_MAPPING_MAP), i, id);
  return id;
}

function locationId(i: u32): u32 {
  let id = get(col(C_LOC_MAP), i);
  if (id != UNKNOWN) return id;
  const h = getLong(col(C_LOC_HASH), i);
  id = find(KIND_LOCATION, h);
  if (id == UNKNOWN) {
    const m = get(col(C_LOC_MAPPING), i), from = get(col(C_LOC_LINES), i), to = get(col(C_LOC_LINES), i + 1), words = 4 + 2 * (to - from);
    if (to - from > MAX_WORDS / 4) { unfit = true; return 0; }
    const mapping = mappingId(m);
    const symbolised = m != UNKNOWN && (get(col(C_MAPPING_FLAGS), m) & HAS_FUNCTIONS) != 0;
    store<u32>(WORDS, mapping);
    store<u64>(WORDS, symbolised ? 0 : getLong(col(C_LOC_ADDRESS), i), 4);
    store<u32>(WORDS, get(col(C_LOC_FOLDED), i), 12);
    for (let k = from, w: u32 = 4; k < to; k++, w += 2) { put(WORDS, w, functionId(get(col(C_LINE_FUNCTION), k))); put(WORDS, w + 1, get(col(C_LINE_NUMBER), k)); }
    id = missLocation(<u32>WORDS, words);
    remember(KIND_LOCATION, h, id);
  }
  put(col(C_LOC_MAP), i, id);
  return id;
}

// ---- stacks

/** Frames per step in which a new stack is added, root first, starting after its longest known prefix. */
const PIECE: u32 = 16;
/** location IDs of one step, after the words of one location */
const PIECE_IDS: usize = WORDS + (<usize>MAX_WORDS << 1);

@inline function stackSeed(): u64 { return seed + KIND_STACK; }
/** Hash of a stack or a prefix: the chained hashes of its locations, root first, and their number. */
@inline function stackHash(chain: u64, depth: u32): u64 { return finish(mix(chain, depth)); }

function placeStack(from: u32, to: u32): u32 {
  const depth = to - from, refLocation = col(C_REF_LOCATION), hash = col(C_LOC_HASH);
  let chain = stackSeed(), pieces: u32 = 0, done: u32 = 0, node: u32 = 0;
  for (let d: u32 = 1; d <= depth; d++) {
    chain = mix(chain, getLong(hash, get(refLocation, to - d)));
    if (d % PIECE == 0 || d == depth) putLong(PREFIXES, pieces++, stackHash(chain, d));
  }
  for (let p = pieces - 1; p > 0; p--) {
    const known = find(KIND_STACK, getLong(PREFIXES, p - 1));
    if (known != UNKNOWN) { node = known; done = p; break; }
  }
  for (; done < pieces; done++) {
    const first = done * PIECE, n = min(PIECE, depth - first);
    for (let i: u32 = 0; i < n; i++) { put(PIECE_IDS, i, locationId(get(refLocation, to - 1 - first - i))); if (unfit) return 0; }
    node = missStack(node, <u32>PIECE_IDS, n);
    remember(KIND_STACK, getLong(PREFIXES, done), node);
  }
  return node;
}

/** Writes the stack node of each of the `n` samples of the group column to the node column. False: a table is too small. */
export function stacks(n: u32): bool {
  unfit = false;
  const group = col(C_GROUP), nodes = col(C_NODES), sampleFrom = col(C_SAMPLE_FROM), sampleTo = col(C_SAMPLE_TO), refLocation = col(C_REF_LOCATION), hash = col(C_LOC_HASH);
  let sink: u32 = 0;
  for (let first: u32 = 0; first < n; first += BLOCK) {
    const rows = min(BLOCK, n - first);
    // Touch all table lines of a block before reading the first: one by one, each lookup would wait for memory.
    for (let i: u32 = 0; i < rows; i++) {
      const s = get(group, first + i), from = get(sampleFrom, s), to = get(sampleTo, s);
      if (to - from > MAX_DEPTH) return false;
      let chain = stackSeed();
      for (let k = to; k > from; k--) chain = mix(chain, getLong(hash, get(refLocation, k - 1)));
      const h = stackHash(chain, to - from);
      putLong(BLOCK_HASHES, i, h);
      sink += load<u32>(lineOf(KIND_STACK, h));
    }
    for (let i: u32 = 0; i < rows; i++) {
      const s = get(group, first + i), from = get(sampleFrom, s), to = get(sampleTo, s);
      let node: u32 = 0;
      if (to > from) {
        node = find(KIND_STACK, getLong(BLOCK_HASHES, i));
        if (node == UNKNOWN) { node = placeStack(from, to); if (unfit) return false; }
      }
      put(nodes, first + i, node);
    }
  }
  touched = sink;
  return true;
}
