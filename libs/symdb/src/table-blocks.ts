import {
  ByteReader,
  ByteWriter,
  crc32c,
  deltaPackInt32,
  deltaPackInt64,
  deltaUnpackInt32,
  deltaUnpackInt64,
  ShortRead,
} from "@cinderblock/bytes";
import {
  FUNCTION_WORDS,
  LOCATION_HEAD,
  MAPPING_WORDS,
  stringCount,
  locationCount,
  type SymbolTables,
} from "./tables.ts";

/** Table rows per packed block of a symbols file, as in v1. */
export const ITEMS_PER_BLOCK = 1024;

// Appends one delta-packed column of 32-bit values and returns its size in bytes.
function pack32(get: (i: number) => number, count: number, out: ByteWriter): number {
  const from = out.length;
  const values = new Int32Array(count);
  for (let i = 0; i < count; i++) values[i] = get(i);
  deltaPackInt32(values, count, out);
  return out.length - from;
}

// Like pack32 for 64-bit values in two words. A column of zeros is left out; its size of 0 says so.
function pack64(
  lo: (i: number) => number,
  hi: (i: number) => number,
  count: number,
  out: ByteWriter,
): number {
  let any = 0;
  const values = new BigInt64Array(count);
  const words = new Int32Array(values.buffer);
  for (let i = 0; i < count; i++) {
    words[2 * i] = lo(i);
    words[2 * i + 1] = hi(i);
    any |= lo(i) | hi(i);
  }
  if (any === 0) return 0;
  const from = out.length;
  deltaPackInt64(values, count, out);
  return out.length - from;
}

// Appends a block header: the words as u32 big endian, then their crc32c.
function header(out: ByteWriter, words: readonly number[]): void {
  const at = out.length;
  for (const w of words) out.u32be(w);
  out.u32be(crc32c(out.buffer, at, out.length));
}

/**
 * Longest string of a table in bytes, because its length is a u16. Longer strings are cut before their length
 * is written; v1 writes the length modulo 65,536 and damages the table.
 */
const MAX_STRING = 65535;

/**
 * Appends the string table. Each block of at most 1,024 strings:
 *
 *    0       4   5       6     8        12
 *    | count | 0 | width | 0,0 | crc32c | count lengths (u8, or u16 BE) | bytes of all strings |
 *
 * Width is 16 if a string of the block has more than 255 bytes, else 8. The reader ignores byte 4: v1 leaves
 * remains of its buffer there.
 */
export function encodeStrings(t: SymbolTables, out: ByteWriter): void {
  const n = stringCount(t);
  for (let from = 0; from < n; from += ITEMS_PER_BLOCK) {
    const to = Math.min(n, from + ITEMS_PER_BLOCK);
    let wide = false;
    const lengths: number[] = [];
    for (let i = from; i < to; i++) {
      const size = Math.min(MAX_STRING, t.stringOffset[i + 1]! - t.stringOffset[i]!);
      lengths.push(size);
      if (size > 255) wide = true;
    }
    const at = out.length;
    out.u32be(to - from);
    out.u8(0);
    out.u8(wide ? 16 : 8);
    out.u16be(0);
    out.u32be(crc32c(out.buffer, at, out.length));
    for (const size of lengths)
      if (wide) out.u16be(size);
      else out.u8(size);
    for (let i = from; i < to; i++)
      out.bytes(t.stringBytes.subarray(t.stringOffset[i]!, t.stringOffset[i]! + lengths[i - from]!));
  }
}

/**
 * Appends the function table. Each block has a header of 24 bytes and four delta-packed int32 columns:
 *
 *   | count | size of each column, 4 x u32 | crc32c | names | system names | filenames | start lines |
 */
export function encodeFunctions(t: SymbolTables, out: ByteWriter): void {
  const w = t.functionWords,
    n = w.length / FUNCTION_WORDS;
  for (let from = 0; from < n; from += ITEMS_PER_BLOCK) {
    const count = Math.min(n, from + ITEMS_PER_BLOCK) - from;
    const body = new ByteWriter(count * 8);
    const sizes = [0, 1, 2, 3].map((k) => pack32((i) => w[(from + i) * FUNCTION_WORDS + k]!, count, body));
    header(out, [count, ...sizes]);
    out.bytes(body.finish());
  }
}

/**
 * Appends the mapping table. Each block has a header of 32 bytes and six delta-packed columns:
 *
 *   | count | 6 sizes | crc32c | filenames | build IDs | flags | starts | limits | file offsets |
 *                              | int32     | int32     | int32 | int64; absent with size 0 if all are 0
 */
export function encodeMappings(t: SymbolTables, out: ByteWriter): void {
  const w = t.mappingWords,
    n = w.length / MAPPING_WORDS;
  for (let from = 0; from < n; from += ITEMS_PER_BLOCK) {
    const count = Math.min(n, from + ITEMS_PER_BLOCK) - from;
    const body = new ByteWriter(256);
    const at = (i: number, k: number): number => w[(from + i) * MAPPING_WORDS + k]!;
    const sizes = [6, 7, 8].map((k) => pack32((i) => at(i, k), count, body));
    for (const k of [0, 2, 4])
      sizes.push(
        pack64(
          (i) => at(i, k),
          (i) => at(i, k + 1),
          count,
          body,
        ),
      );
    header(out, [count, ...sizes]);
    out.bytes(body.finish());
  }
}

/**
 * Appends the location table with its lines. Each block has a header of 28 bytes, seven u32:
 *
 *   | count | size of mappings | lines | size of lines | size of addresses | size of bitmap | crc32c |
 *   | mappings, int32 | line counts, u8 each | (function, line) pairs, int32 | addresses, int64 | folded bits |
 *
 * Lines after the 255th of a location are dropped, because their number is one byte.
 */
export function encodeLocations(t: SymbolTables, out: ByteWriter): void {
  const w = t.locationWords,
    o = t.locationOffset,
    n = locationCount(t);
  for (let from = 0; from < n; from += ITEMS_PER_BLOCK) {
    const count = Math.min(n, from + ITEMS_PER_BLOCK) - from;
    const body = new ByteWriter(count * 8);
    const mappingSize = pack32((i) => w[o[from + i]!]!, count, body);
    const lines: number[] = [];
    let folded = false;
    for (let i = 0; i < count; i++) {
      const start = o[from + i]! + LOCATION_HEAD;
      const end = Math.min(o[from + i + 1]!, start + 2 * 255);
      body.u8((end - start) / 2);
      for (let k = start; k < end; k++) lines.push(w[k]!);
      if (w[o[from + i]! + 3] !== 0) folded = true;
    }
    const linesSize = pack32((i) => lines[i]!, lines.length, body);
    const addressSize = pack64(
      (i) => w[o[from + i]! + 1]!,
      (i) => w[o[from + i]! + 2]!,
      count,
      body,
    );
    // The bitmap keeps only the first three flags of a block, as v1 writes and reads it; a block without
    // addresses has no bitmap.
    let foldedSize = 0;
    if (folded && addressSize > 0) {
      foldedSize = (count >>> 3) + 1;
      let bits = 0;
      for (let i = 0; i < Math.min(3, count); i++) if (w[o[from + i]! + 3] !== 0) bits |= 1 << i;
      body.u8(bits);
      body.zeros(foldedSize - 1);
    }
    header(out, [count, mappingSize, lines.length / 2, linesSize, addressSize, foldedSize]);
    out.bytes(body.finish());
  }
}

/** Checks a block header of `words` u32 plus CRC, and returns the words; skips extra header bytes. */
function readHeader(r: ByteReader, size: number, words: number, what: string): number[] {
  const at = r.pos;
  const out: number[] = [];
  for (let i = 0; i < words; i++) out.push(r.u32be());
  const crc = r.u32be();
  if (crc32c(r.bytes, at, at + words * 4) !== crc)
    throw new ShortRead(at, `expected the CRC of a ${what} block header to match`);
  r.requireBytes(Math.max(0, size - words * 4 - 4));
  return out;
}

// Items of one block: at least one, so that a loop over blocks ends, and at most the rest of the table.
function count(value: number, left: number, what: string): number {
  if (value === 0 || value > left)
    throw new ShortRead(0, `expected at most ${left} ${what}, the block header says ${value}`);
  return value;
}

// Reads one packed column of `size` bytes, which must hold exactly `n` values.
function unpack32(r: ByteReader, size: number, n: number): Int32Array {
  const part = new ByteReader(r.bytes, r.requireBytes(size), r.pos);
  const out = deltaUnpackInt32(part, { max: n });
  if (out.length !== n) throw new ShortRead(r.pos, `expected ${n} packed values, found ${out.length}`);
  return out;
}

// Like unpack32; each value is two words, (lo, hi). Size 0 stands for a column of zeros.
function unpack64(r: ByteReader, size: number, n: number): Int32Array {
  if (size === 0) return new Int32Array(2 * n);
  const part = new ByteReader(r.bytes, r.requireBytes(size), r.pos);
  const out = deltaUnpackInt64(part, { max: n });
  if (out.length !== n) throw new ShortRead(r.pos, `expected ${n} packed values, found ${out.length}`);
  return new Int32Array(out.buffer);
}

/**
 * Decodes a string table of `length` strings. `headerSize` is that of the table header: bytes above 12 are
 * skipped in each block.
 * @returns copies of the bytes; stringOffset has length + 1 entries
 * @throws ShortRead for a count, size or CRC that does not fit
 */
export function decodeStrings(
  bytes: Uint8Array,
  length: number,
  headerSize: number,
): Pick<SymbolTables, "stringBytes" | "stringOffset"> {
  const r = new ByteReader(bytes);
  if (length > bytes.length)
    throw new ShortRead(0, `expected at most ${bytes.length} strings, the header says ${length}`);
  const stringOffset = new Uint32Array(length + 1);
  const parts: Uint8Array[] = [];
  let at = 0,
    total = 0;
  while (at < length) {
    const start = r.pos;
    const n = count(r.u32be(), length - at, "strings");
    r.u8();
    const wide = r.u8() === 16;
    r.u16be();
    if (crc32c(bytes, start, r.pos) !== r.u32be())
      throw new ShortRead(start, "expected the CRC of a string block header to match");
    r.requireBytes(Math.max(0, headerSize - 12));
    const from = total;
    for (let i = 0; i < n; i++) {
      total += wide ? r.u16be() : r.u8();
      stringOffset[++at] = total;
    }
    parts.push(r.readBytes(total - from));
  }
  const stringBytes = new Uint8Array(total);
  let pos = 0;
  for (const p of parts) {
    stringBytes.set(p, pos);
    pos += p.length;
  }
  return { stringBytes, stringOffset };
}

/**
 * Decodes a function table of `length` functions into `FUNCTION_WORDS` words each.
 * @throws ShortRead for a count, size or CRC that does not fit
 */
export function decodeFunctions(bytes: Uint8Array, length: number, headerSize: number): Uint32Array {
  const r = new ByteReader(bytes);
  const columns: Int32Array[][] = [];
  let at = 0;
  while (at < length) {
    const [n, ...sizes] = readHeader(r, headerSize, 5, "function");
    count(n!, length - at, "functions");
    columns.push(sizes.map((s) => unpack32(r, s, n!)));
    at += n!;
  }
  const out = new Uint32Array(length * FUNCTION_WORDS);
  let pos = 0;
  for (const c of columns)
    for (let i = 0; i < c[0]!.length; i++) for (let k = 0; k < FUNCTION_WORDS; k++) out[pos++] = c[k]![i]!;
  return out;
}

/**
 * Decodes a mapping table of `length` mappings into `MAPPING_WORDS` words each.
 * @throws ShortRead for a count, size or CRC that does not fit
 */
export function decodeMappings(bytes: Uint8Array, length: number, headerSize: number): Uint32Array {
  const r = new ByteReader(bytes);
  const parts: Uint32Array[] = [];
  let at = 0;
  while (at < length) {
    const [n, ...sizes] = readHeader(r, headerSize, 7, "mapping") as [number, ...number[]];
    count(n, length - at, "mappings");
    const names = [0, 1, 2].map((k) => unpack32(r, sizes[k]!, n));
    const wide = [3, 4, 5].map((k) => unpack64(r, sizes[k]!, n));
    const part = new Uint32Array(n * MAPPING_WORDS);
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < 3; k++) {
        part[i * MAPPING_WORDS + 2 * k] = wide[k]![2 * i]!;
        part[i * MAPPING_WORDS + 2 * k + 1] = wide[k]![2 * i + 1]!;
        part[i * MAPPING_WORDS + 6 + k] = names[k]![i]!;
      }
    }
    parts.push(part);
    at += n;
  }
  const out = new Uint32Array(length * MAPPING_WORDS);
  let pos = 0;
  for (const p of parts) {
    out.set(p, pos);
    pos += p.length;
  }
  return out;
}

/**
 * Decodes a location table of `length` locations. The folded flag exists for the first three items of a block
 * only: v1's writer and reader both mask the bitmap with 7.
 * @throws ShortRead for a count, size or CRC that does not fit, or fewer lines than the line counts add up to
 */
export function decodeLocations(
  bytes: Uint8Array,
  length: number,
  headerSize: number,
): Pick<SymbolTables, "locationWords" | "locationOffset"> {
  const r = new ByteReader(bytes);
  // Each location has at least the byte of its line count; the generous bound only stops absurd
  // allocations.
  if (length > bytes.length * 64)
    throw new ShortRead(0, `expected fewer locations, the header says ${length}`);
  const locationOffset = new Uint32Array(length + 1);
  const parts: Uint32Array[] = [];
  let at = 0,
    total = 0;
  while (at < length) {
    const [n, mappingSize, totalLines, linesSize, addressSize, foldedSize] = readHeader(
      r,
      headerSize,
      6,
      "location",
    ) as [number, number, number, number, number, number];
    count(n, length - at, "locations");
    const mappings = unpack32(r, mappingSize, n);
    const lineCounts = r.readBytes(n);
    if (totalLines > n * 255)
      throw new ShortRead(r.pos, `expected at most ${n * 255} lines, the header says ${totalLines}`);
    const lines = unpack32(r, linesSize, totalLines * 2);
    const addresses = unpack64(r, addressSize, n);
    const folded = r.readBytes(foldedSize);
    const part = new Uint32Array(n * LOCATION_HEAD + totalLines * 2);
    let pos = 0,
      line = 0;
    for (let i = 0; i < n; i++) {
      part[pos++] = mappings[i]!;
      part[pos++] = addresses[2 * i]!;
      part[pos++] = addresses[2 * i + 1]!;
      part[pos++] = i < 3 && foldedSize > 0 ? (folded[0]! >>> i) & 1 : 0;
      for (let k = 0; k < lineCounts[i]! * 2; k++) {
        if (line >= lines.length) throw new ShortRead(r.pos, "expected as many lines as the line counts say");
        part[pos++] = lines[line++]!;
      }
      locationOffset[at + i + 1] = total + pos;
    }
    parts.push(part.subarray(0, pos));
    total += pos;
    at += n;
  }
  const locationWords = new Uint32Array(total);
  let pos = 0;
  for (const p of parts) {
    locationWords.set(p, pos);
    pos += p.length;
  }
  return { locationWords, locationOffset };
}
