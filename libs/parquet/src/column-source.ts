import { ByteWriter, deltaPackInt32, deltaPackInt64 } from "@cinderblock/bytes";
import { Encoding, PhysicalType } from "./metadata.ts";
import type { BinaryValues, Values } from "./decode-values.ts";

/** Input of the writer: a column of one row group. The writer reads it during the call only. */
export interface ColumnSource {
  /** leaf of the schema, names joined by "." */
  path: string;
  type: number;
  typeLength?: number;
  /** Encoding of the values; DELTA_LENGTH_BYTE_ARRAY for byte strings, RLE_DICTIONARY for any type */
  encoding: number;
  maxDef: number;
  maxRep: number;
  /** [count] the values of the column that are not null, densely packed */
  values: Values | Uint32Array;
  /** number of values that are not null */
  count: number;
  /** [rows + 1] list columns: row i owns the entries [offset[i], offset[i + 1]); absent for flat columns */
  offset?: Uint32Array;
  /** [entries] for columns with nulls: entry -> 1 if it has a value; absent if every entry has one */
  present?: Uint8Array;
  /** definition level at which all entries end: for a column without any value */
  allNullAt?: number;
}

/** Appends values [from, to) in the column's encoding, which is not RLE_DICTIONARY. */
export function encodeValues(s: ColumnSource, from: number, to: number, out: ByteWriter): void {
  const v = s.values;
  const n = to - from;
  if (s.encoding === Encoding.DELTA_BINARY_PACKED) {
    if (s.type === PhysicalType.INT32) deltaPackInt32((v as Int32Array).subarray(from, to), n, out);
    else deltaPackInt64((v as BigInt64Array).subarray(from, to), n, out);
    return;
  }
  if (s.encoding === Encoding.DELTA_LENGTH_BYTE_ARRAY) {
    const { bytes, offset } = v as BinaryValues;
    const lengths = new Int32Array(n);
    for (let i = 0; i < n; i++) lengths[i] = offset[from + i + 1]! - offset[from + i]!;
    deltaPackInt32(lengths, n, out);
    out.bytes(bytes.subarray(offset[from]!, offset[to]!));
    return;
  }
  out.bytes(plainBytes(s, from, to));
}

// Values [from, to) in PLAIN encoding. A view where memory has that layout already: this assumes little
// endian.
function plainBytes(s: ColumnSource, from: number, to: number): Uint8Array {
  const v = s.values;
  if (v instanceof Uint8Array) {
    if (s.type === PhysicalType.BOOLEAN) {
      const out = new Uint8Array((to - from + 7) >>> 3);
      for (let i = from; i < to; i++) if (v[i]) out[(i - from) >>> 3]! |= 1 << ((i - from) & 7);
      return out;
    }
    const w = s.typeLength ?? 1;
    return v.subarray(from * w, to * w);
  }
  if ("offset" in v) {
    const out = new ByteWriter(v.offset[to]! - v.offset[from]! + 4 * (to - from));
    for (let i = from; i < to; i++) {
      out.u32le(v.offset[i + 1]! - v.offset[i]!);
      out.bytes(v.bytes.subarray(v.offset[i]!, v.offset[i + 1]!));
    }
    return out.finish();
  }
  return new Uint8Array(
    v.buffer,
    v.byteOffset + from * v.BYTES_PER_ELEMENT,
    (to - from) * v.BYTES_PER_ELEMENT,
  );
}

/**
 * Distinct values in order of first use, and the index of each value.
 * @returns index: [count] value -> position in the dictionary; plain: the dictionary page's body
 */
export function buildDictionary(s: ColumnSource): { index: Uint32Array; size: number; plain: Uint8Array } {
  const index = new Uint32Array(s.count);
  const seen = new Map<string | bigint, number>();
  const plain = new ByteWriter(256),
    numbers = s.values instanceof BigInt64Array ? s.values : undefined;
  for (let i = 0; i < s.count; i++) {
    const raw = numbers ? undefined : plainBytes(s, i, i + 1);
    const key = raw ? Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString("latin1") : numbers![i]!;
    let at = seen.get(key);
    if (at === undefined) {
      at = seen.size;
      seen.set(key, at);
      plain.bytes(raw ?? plainBytes(s, i, i + 1));
    }
    index[i] = at;
  }
  return { index, size: seen.size, plain: plain.finish() };
}

/**
 * Smallest and largest of values [from, to), not empty, as PLAIN bytes without a length. Order as the logical
 * type says: signed or unsigned numbers, bytes as unsigned; byte strings are not shortened.
 */
export function minMax(s: ColumnSource, from: number, to: number): { min: Uint8Array; max: Uint8Array } {
  const v = s.values;
  const { lo, hi } =
    v instanceof BigInt64Array ? bounds64(v, from, to, unsigned(s)) : bounds(comparator(v, s), from, to);
  const one = (i: number): Uint8Array => {
    if (typeof v === "object" && "offset" in v) return v.bytes.slice(v.offset[i]!, v.offset[i + 1]!);
    if (s.type === PhysicalType.BOOLEAN) return Uint8Array.of((v as Uint8Array)[i]!);
    if (v instanceof Uint32Array && s.type === PhysicalType.INT64) {
      const b = new Uint8Array(8);
      new DataView(b.buffer).setUint32(0, v[i]!, true);
      return b;
    }
    return plainBytes(s, i, i + 1).slice();
  };
  return { min: one(lo), max: one(hi) };
}

/** Columns of profiles.parquet with an unsigned logical type, so that their bounds have unsigned order. */
const UNSIGNED = new Set([
  "SeriesIndex",
  "StacktracePartition",
  "TotalValue",
  "Samples.list.element.StacktraceID",
  "Samples.list.element.SpanID",
]);
/** Whether the bounds of a column are ordered as unsigned numbers, as its logical type requires. */
function unsigned(s: ColumnSource): boolean {
  return UNSIGNED.has(s.path);
}

/**
 * Positions of the smallest and the largest value, compared as 32-bit halves: a BigInt per value would be an
 * allocation. `flip` maps signed order to unsigned order of the high half.
 */
function bounds64(v: BigInt64Array, from: number, to: number, unsigned: boolean): { lo: number; hi: number } {
  const low = new Uint32Array(v.buffer, v.byteOffset, v.length * 2),
    flip = unsigned ? 0 : 0x8000_0000;
  let lo = from,
    hi = from,
    minHigh = (low[2 * from + 1]! ^ flip) >>> 0,
    minLow = low[2 * from]!,
    maxHigh = minHigh,
    maxLow = minLow;
  for (let i = from + 1; i < to; i++) {
    const h = (low[2 * i + 1]! ^ flip) >>> 0,
      l = low[2 * i]!;
    if (h < minHigh || (h === minHigh && l < minLow)) {
      lo = i;
      minHigh = h;
      minLow = l;
    }
    if (h > maxHigh || (h === maxHigh && l > maxLow)) {
      hi = i;
      maxHigh = h;
      maxLow = l;
    }
  }
  return { lo, hi };
}

function bounds(
  compare: (a: number, b: number) => number,
  from: number,
  to: number,
): { lo: number; hi: number } {
  let lo = from,
    hi = from;
  for (let i = from + 1; i < to; i++) {
    if (compare(i, lo) < 0) lo = i;
    if (compare(i, hi) > 0) hi = i;
  }
  return { lo, hi };
}

function comparator(
  v: Exclude<ColumnSource["values"], BigInt64Array>,
  s: ColumnSource,
): (a: number, b: number) => number {
  if (v instanceof Int32Array || v instanceof Uint32Array)
    return (a, b) => (unsigned(s) ? (v[a]! >>> 0) - (v[b]! >>> 0) : v[a]! - v[b]!);
  if (v instanceof Uint8Array) {
    const w = s.type === PhysicalType.BOOLEAN ? 1 : (s.typeLength ?? 1);
    return (a, b) => Buffer.compare(v.subarray(a * w, a * w + w), v.subarray(b * w, b * w + w));
  }
  return (a, b) =>
    Buffer.compare(
      v.bytes.subarray(v.offset[a]!, v.offset[a + 1]!),
      v.bytes.subarray(v.offset[b]!, v.offset[b + 1]!),
    );
}
