import { ByteWriter } from "@cinderblock/bytes";
import { fieldSize, fieldSize64, labelSize, lineSize, varintSize, varintSize64 } from "./sizes.ts";

/**
 * Metadata of a merged profile; strings are texts here. `period` is in the unit of `periodType`; the times
 * are nanoseconds. 0 and absent fields are left out.
 */
export interface PprofHeader {
  sampleTypes: readonly { type: string; unit: string }[];
  periodType?: { type: string; unit: string };
  period: bigint;
  timeNanos: bigint;
  durationNanos: bigint;
}

/**
 * Columns of a profile to encode, in the layout of a symbol partition; all references are 0-based. The
 * encoder reads the columns only.
 */
export interface PprofSource {
  /** string i is bytes[offset[i], offset[i + 1]); string 0 must be "" */
  strings: { bytes: Uint8Array; offset: Uint32Array };
  /** [functions * 4] function -> name, system name, filename (strings), start line */
  functionWords: Uint32Array;
  /**
   * [mappings * 9] mapping -> start lo, hi, limit lo, hi, offset lo, hi, filename, build ID (strings), flags
   */
  mappingWords: Uint32Array;
  /**
   * location -> words [locationOffset[i], locationOffset[i + 1]): mapping, address lo, hi, folded, then
   * (function, line) pairs
   */
  locationWords: Uint32Array;
  locationOffset: Uint32Array;
  /** [samples + 1] sample -> sampleLocation[start, end), leaf first */
  sampleOffset: Uint32Array;
  sampleLocation: Uint32Array;
  /**
   * [samples * sample types] sample -> one value per sample type; samples whose values are all 0 are allowed
   */
  value: BigInt64Array;
  /**
   * sample -> its string labels [offset[i], offset[i + 1]), as string indices; `offset` has one entry more
   * than samples
   */
  labels?: { offset: Uint32Array; key: Uint32Array; value: Uint32Array };
}

/** Indices of two strings: a type and its unit. */
export type StringPair = readonly [type: number, unit: number];

/**
 * Places of a header's texts in the string table of `s`: `texts` follow its strings from `base` on, each once.
 * "" is string 0.
 */
export function headerStrings(
  header: PprofHeader,
  s: PprofSource,
): {
  texts: string[];
  base: number;
  types: StringPair[];
  period: StringPair | undefined;
  defaultType: number;
} {
  const texts: string[] = [],
    base = Math.max(0, s.strings.offset.length - 1);
  const index = (text: string): number => {
      if (text === "") return 0;
      let at = texts.indexOf(text);
      if (at < 0) at = texts.push(text) - 1;
      return base + at;
    },
    pair = (t: { type: string; unit: string }): StringPair => [index(t.type), index(t.unit)];
  const types = header.sampleTypes.map(pair);
  return {
    texts,
    base,
    types,
    period: header.periodType && pair(header.periodType),
    defaultType: types[0]?.[0] ?? 0,
  };
}

/**
 * Encodes google.v1.Profile, uncompressed: IDs are positions + 1, because pprof reserves 0. Fields are in
 * ascending order. Format: docs/formats/pprof.md
 *
 * The texts of the header follow the source's strings in the string table (field 6):
 *
 *   string   0    ...   base - 1          base  ...
 *          | "" | strings of the source | header's texts, each once |
 *
 * @returns bytes that the caller owns, in a buffer of exactly their size
 */
export function encodePprof(header: PprofHeader, s: PprofSource): Uint8Array {
  const out = new ByteWriter(
    4096 +
      s.strings.bytes.length +
      s.sampleLocation.length * 2 +
      s.locationWords.length * 3 +
      s.functionWords.length * 3,
  );
  const { texts, base, types: sampleTypes, period, defaultType } = headerStrings(header, s);
  const valueType = (field: number, [type, unit]: StringPair): void => {
    head(out, field, fieldSize(type) + fieldSize(unit));
    put(out, 1, type);
    put(out, 2, unit);
  };
  const int64 = (n: number, value: bigint): void => {
    if (value !== 0n) {
      out.uvarint(n * 8);
      out.uvarint64(value);
    }
  };
  const types = Math.max(1, sampleTypes.length);

  for (const t of sampleTypes) valueType(1, t);
  const words = new Int32Array(s.value.buffer, s.value.byteOffset, s.value.length * 2);
  for (let i = 0; i + 1 < s.sampleOffset.length; i++) putSample(out, s, words, i, types);
  for (let i = 0; i * 9 < s.mappingWords.length; i++) putMapping(out, s.mappingWords, i);
  for (let i = 0; i + 1 < s.locationOffset.length; i++)
    putLocation(out, s.locationWords, s.locationOffset[i]!, s.locationOffset[i + 1]!, i + 1);
  const f = s.functionWords;
  for (let i = 0; i * 4 < f.length; i++) {
    const name = f[i * 4]!,
      systemName = f[i * 4 + 1]!,
      filename = f[i * 4 + 2]!,
      startLine = f[i * 4 + 3]!;
    head(
      out,
      5,
      fieldSize(i + 1) + fieldSize(name) + fieldSize(systemName) + fieldSize(filename) + fieldSize(startLine),
    );
    put(out, 1, i + 1);
    put(out, 2, name);
    put(out, 3, systemName);
    put(out, 4, filename);
    put(out, 5, startLine);
  }
  for (let i = 0; i < base; i++) {
    const at = s.strings.offset[i]!,
      end = s.strings.offset[i + 1]!;
    head(out, 6, end - at);
    putBytes(out, s.strings.bytes, at, end);
  }
  if (base === 0) head(out, 6, 0);
  for (const text of texts) {
    out.u8(50);
    out.str(text);
  }
  int64(9, header.timeNanos);
  int64(10, header.durationNanos);
  if (period) valueType(11, period);
  int64(12, header.period);
  if (defaultType !== 0) {
    out.uvarint(14 * 8);
    out.uvarint(defaultType);
  }
  return out.transferBytes();
}

// Messages are measured first and then written in place, without copies. The loops over the content of a
// sample or a location are separate functions, so that they are compiled early, even in a process that
// answers its first query.

/** Writes tag and size of a message in a field below 16. */
function head(out: ByteWriter, field: number, size: number): void {
  out.u8(field * 8 + 2);
  out.uvarint(size);
}
function put(out: ByteWriter, field: number, value: number): void {
  if (value !== 0) {
    out.u8(field * 8);
    out.uvarint(value);
  }
}
function put64(out: ByteWriter, field: number, lo: number, hi: number): void {
  if ((lo | hi) !== 0) {
    out.u8(field * 8);
    varint64(out, lo, hi);
  }
}

function varint64(out: ByteWriter, lo: number, hi: number): void {
  if (hi >>> 0 < 0x200000) out.uvarint((hi >>> 0) * 4294967296 + (lo >>> 0));
  else out.uvarint64((BigInt(hi) << 32n) | BigInt(lo >>> 0));
}

/** Copies short texts byte by byte, which is faster than a call. */
function putBytes(out: ByteWriter, bytes: Uint8Array, from: number, end: number): void {
  out.reserve(end - from);
  const { buffer } = out;
  if (end - from > 64) buffer.set(bytes.subarray(from, end), out.length);
  else for (let i = from, at = out.length; i < end; i++) buffer[at++] = bytes[i]!;
  out.length += end - from;
}

/** Sample: 1 location_id, packed; 2 value, packed; 3 label, strings only. */
function putSample(out: ByteWriter, s: PprofSource, words: Int32Array, i: number, types: number): void {
  const locations = s.sampleLocation,
    from = s.sampleOffset[i]!,
    end = s.sampleOffset[i + 1]!,
    { labels } = s;
  let ids = 0,
    values = 0,
    others = 0;
  for (let k = from; k < end; k++) ids += varintSize(locations[k]! + 1);
  for (let k = i * types; k < (i + 1) * types; k++)
    values += varintSize64(words[2 * k]! >>> 0, words[2 * k + 1]! >>> 0);
  if (labels)
    for (let k = labels.offset[i]!; k < labels.offset[i + 1]!; k++) {
      const size = labelSize(labels.key[k]!, labels.value[k]!);
      others += 1 + varintSize(size) + size;
    }
  head(out, 2, (ids > 0 ? 1 + varintSize(ids) + ids : 0) + 1 + varintSize(values) + values + others);
  if (ids > 0) {
    head(out, 1, ids);
    putIds(out, locations, from, end, ids);
  }
  head(out, 2, values);
  for (let k = i * types; k < (i + 1) * types; k++) varint64(out, words[2 * k]!, words[2 * k + 1]!);
  if (!labels) return;
  for (let k = labels.offset[i]!; k < labels.offset[i + 1]!; k++) {
    const key = labels.key[k]!,
      value = labels.value[k]!;
    head(out, 3, labelSize(key, value));
    out.u8(8);
    out.uvarint(key);
    out.u8(16);
    out.uvarint(value);
  }
}

/** Writes location IDs, which are positions + 1; `size` is the total size in bytes. */
function putIds(out: ByteWriter, locations: Uint32Array, from: number, end: number, size: number): void {
  out.reserve(size);
  const { buffer } = out;
  let at = out.length;
  for (let k = from; k < end; k++) {
    let v = locations[k]! + 1;
    while (v > 127) {
      buffer[at++] = (v & 127) | 128;
      v >>>= 7;
    }
    buffer[at++] = v;
  }
  out.length = at;
}

function putMapping(out: ByteWriter, m: Uint32Array, i: number): void {
  const at = i * 9,
    flags = m[at + 8]!,
    bits = (flags & 1) + ((flags >> 1) & 1) + ((flags >> 2) & 1) + ((flags >> 3) & 1);
  head(
    out,
    3,
    fieldSize(i + 1) +
      fieldSize64(m[at]!, m[at + 1]!) +
      fieldSize64(m[at + 2]!, m[at + 3]!) +
      fieldSize64(m[at + 4]!, m[at + 5]!) +
      fieldSize(m[at + 6]!) +
      fieldSize(m[at + 7]!) +
      2 * bits,
  );
  put(out, 1, i + 1);
  for (let k = 0; k < 3; k++) put64(out, 2 + k, m[at + 2 * k]!, m[at + 2 * k + 1]!);
  put(out, 5, m[at + 6]!);
  put(out, 6, m[at + 7]!);
  put(out, 7, flags & 8 ? 1 : 0);
  put(out, 8, flags & 4 ? 1 : 0);
  put(out, 9, flags & 2 ? 1 : 0);
  put(out, 10, flags & 1 ? 1 : 0);
}

/** Location: 1 id, 2 mapping, 3 address, 4 line, 5 is_folded. */
function putLocation(out: ByteWriter, w: Uint32Array, at: number, end: number, id: number): void {
  let lines = 0;
  for (let k = at + 4; k + 1 < end; k += 2) {
    const size = lineSize(w[k]!, w[k + 1]!);
    lines += 1 + varintSize(size) + size;
  }
  head(
    out,
    4,
    fieldSize(id) +
      fieldSize(w[at]! + 1) +
      fieldSize64(w[at + 1]!, w[at + 2]!) +
      lines +
      fieldSize(w[at + 3]!),
  );
  put(out, 1, id);
  put(out, 2, w[at]! + 1);
  put64(out, 3, w[at + 1]!, w[at + 2]!);
  for (let k = at + 4; k + 1 < end; k += 2) {
    const line = w[k + 1]!;
    head(out, 4, lineSize(w[k]!, line));
    out.u8(8);
    out.uvarint(w[k]! + 1);
    if (line !== 0) {
      out.u8(16);
      varint64(out, line, line >> 31);
    }
  }
  put(out, 5, w[at + 3]!);
}
