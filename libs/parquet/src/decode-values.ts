import { ByteReader, deltaUnpackInt32, deltaUnpackInt64, ShortRead } from "@cinderblock/bytes";
import { decodeHybrid } from "./levels.ts";
import { Encoding, type Leaf, PhysicalType } from "./metadata.ts";

/**
 * Byte strings of a column: value i is bytes[offset[i], offset[i + 1]). `offset` has one entry more than
 * values. It begins at 0 in decoded chunks; slices of runs begin later.
 */
export interface BinaryValues {
  bytes: Uint8Array;
  offset: Uint32Array;
}

/**
 * Existing values in the column's physical type, densely packed; nulls and empty lists have only levels. A
 * Uint8Array holds booleans (one byte each) or fixed-length values (typeLength bytes each).
 */
export type Values = BigInt64Array | Int32Array | Uint8Array | BinaryValues;

/** Limit of the values that a page header may claim: 1 GiB of int64 values. */
const MAX_PAGE_VALUES = 1 << 27;

export function checkCount(count: number, pos: number): number {
  if (count < 0 || count > MAX_PAGE_VALUES)
    throw new ShortRead(pos, `expected a number of values, found ${count}`);
  return count;
}

// Decodes `count` values from body[pos, …). `owned` as in `plain`.
export function decodeValues(
  leaf: Leaf,
  encoding: number,
  body: Uint8Array,
  pos: number,
  count: number,
  dictionary: Values | undefined,
  owned = false,
): Values {
  const r = new ByteReader(body, pos);
  checkCount(count, pos);
  switch (encoding) {
    case Encoding.PLAIN:
      return plain(leaf, r, count, owned);
    case Encoding.DELTA_BINARY_PACKED: {
      const out =
        leaf.type === PhysicalType.INT32
          ? deltaUnpackInt32(r, { max: count })
          : deltaUnpackInt64(r, { max: count });
      if (out.length !== count) throw new ShortRead(r.pos, `expected ${count} values, found ${out.length}`);
      return out;
    }
    case Encoding.DELTA_LENGTH_BYTE_ARRAY:
      return deltaLength(r, count);
    case Encoding.DELTA_BYTE_ARRAY:
      return deltaByteArray(leaf, r, count);
    case Encoding.RLE_DICTIONARY:
    case Encoding.PLAIN_DICTIONARY: {
      // A page without values may lack the bit width, too.
      if (count === 0) return emptyValues(leaf);
      if (!dictionary) throw new ShortRead(pos, "expected a dictionary page first");
      // | bit width <1b> | hybrid runs of dictionary indices |
      const width = r.u8();
      if (width > 32) throw new ShortRead(pos, `expected a bit width, found ${width}`);
      return gather(leaf, dictionary, decodeHybrid(body, r.pos, body.length, width, count));
    }
    case Encoding.RLE: {
      // Booleans only: | size <4b LE> | hybrid runs of one bit |
      const n = r.u32le();
      const v = decodeHybrid(body, r.pos, Math.min(body.length, r.pos + n), 1, count);
      return Uint8Array.from(v);
    }
    case Encoding.BYTE_STREAM_SPLIT: {
      const width =
        leaf.type === PhysicalType.INT32
          ? 4
          : leaf.type === PhysicalType.FIXED_LEN_BYTE_ARRAY
            ? leaf.typeLength
            : 8;
      // Byte k of all values is contiguous: | byte 0 of all | byte 1 of all | ...
      const data = r.readBytes(width * count);
      const out = new Uint8Array(width * count);
      for (let k = 0; k < width; k++)
        for (let i = 0; i < count; i++) out[i * width + k] = data[k * count + i]!;
      return plain(leaf, new ByteReader(out), count);
    }
    default:
      throw new ShortRead(pos, `expected a known encoding, found ${encoding}`);
  }
}

export function emptyValues(leaf: Leaf): Values {
  switch (leaf.type) {
    case PhysicalType.INT32:
      return new Int32Array(0);
    case PhysicalType.INT64:
      return new BigInt64Array(0);
    case PhysicalType.BYTE_ARRAY:
      return { bytes: new Uint8Array(0), offset: new Uint32Array(1) };
    default:
      return new Uint8Array(0);
  }
}

/**
 * PLAIN: numbers little endian, booleans as bits, byte strings as size <4b LE> and bytes.
 * @param owned the bytes belong to this page alone, so aligned ones need no copy
 */
function plain(leaf: Leaf, r: ByteReader, count: number, owned = false): Values {
  switch (leaf.type) {
    case PhysicalType.INT64: {
      const bytes = r.readBytes(count * 8);
      return owned && bytes.byteOffset % 8 === 0
        ? new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, count)
        : new BigInt64Array(bytes.slice().buffer);
    }
    case PhysicalType.INT32:
      return new Int32Array(r.readBytes(count * 4).slice().buffer);
    case PhysicalType.FIXED_LEN_BYTE_ARRAY:
      return r.readBytes(count * leaf.typeLength).slice();
    case PhysicalType.BOOLEAN: {
      const data = r.readBytes((count + 7) >>> 3);
      const out = new Uint8Array(count);
      for (let i = 0; i < count; i++) out[i] = (data[i >>> 3]! >>> (i & 7)) & 1;
      return out;
    }
    case PhysicalType.BYTE_ARRAY: {
      const offset = new Uint32Array(count + 1);
      const start = r.pos;
      let total = 0;
      for (let i = 0; i < count; i++) {
        const n = r.u32le();
        r.requireBytes(n);
        total += n;
        offset[i + 1] = total;
      }
      const bytes = new Uint8Array(total);
      for (let i = 0, pos = start; i < count; i++) {
        const n = offset[i + 1]! - offset[i]!;
        bytes.set(r.bytes.subarray(pos + 4, pos + 4 + n), offset[i]!);
        pos += 4 + n;
      }
      return { bytes, offset };
    }
    default:
      throw new ShortRead(r.pos, `expected a known physical type, found ${leaf.type}`);
  }
}

// DELTA_LENGTH_BYTE_ARRAY: delta-packed lengths, then all bytes.
function deltaLength(r: ByteReader, count: number): BinaryValues {
  const lengths = deltaUnpackInt32(r, { max: count });
  const offset = new Uint32Array(count + 1);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const n = lengths[i] ?? 0;
    if (n < 0) throw new ShortRead(r.pos, "expected the length of a byte string");
    total += n;
    offset[i + 1] = total;
  }
  return { bytes: r.readBytes(total), offset };
}

// DELTA_BYTE_ARRAY: delta-packed sizes of the prefix shared with the value before, then the suffixes as
// above.
function deltaByteArray(leaf: Leaf, r: ByteReader, count: number): Values {
  const prefixes = deltaUnpackInt32(r, { max: count });
  const suffixes = deltaLength(r, count);
  const offset = new Uint32Array(count + 1);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const n = (prefixes[i] ?? 0) + suffixes.offset[i + 1]! - suffixes.offset[i]!;
    if (
      (prefixes[i] ?? 0) < 0 ||
      (i > 0 ? prefixes[i]! > offset[i]! - offset[i - 1]! : prefixes[i] !== 0) ||
      total > 1 << 30
    )
      throw new ShortRead(r.pos, "expected a prefix of the previous value");
    total += n;
    offset[i + 1] = total;
  }
  const bytes = new Uint8Array(total);
  for (let i = 0; i < count; i++) {
    const p = prefixes[i]!;
    if (p > 0) bytes.copyWithin(offset[i]!, offset[i - 1]!, offset[i - 1]! + p);
    bytes.set(suffixes.bytes.subarray(suffixes.offset[i]!, suffixes.offset[i + 1]!), offset[i]! + p);
  }
  return leaf.type === PhysicalType.FIXED_LEN_BYTE_ARRAY ? bytes : { bytes, offset };
}

// Replaces dictionary indices by values; an index past the dictionary is damage.
function gather(leaf: Leaf, dictionary: Values, index: Uint32Array): Values {
  const n = index.length;
  const size =
    "offset" in dictionary
      ? dictionary.offset.length - 1
      : leaf.type === PhysicalType.FIXED_LEN_BYTE_ARRAY
        ? dictionary.length / leaf.typeLength
        : dictionary.length;
  for (let i = 0; i < n; i++)
    if (index[i]! >= size)
      throw new ShortRead(0, `expected a dictionary index below ${size}, found ${index[i]}`);
  if (dictionary instanceof BigInt64Array) {
    const out = new BigInt64Array(n);
    for (let i = 0; i < n; i++) out[i] = dictionary[index[i]!]!;
    return out;
  }
  if (dictionary instanceof Int32Array) {
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) out[i] = dictionary[index[i]!]!;
    return out;
  }
  if (dictionary instanceof Uint8Array) {
    const w = leaf.type === PhysicalType.FIXED_LEN_BYTE_ARRAY ? leaf.typeLength : 1;
    const out = new Uint8Array(n * w);
    for (let i = 0; i < n; i++) out.set(dictionary.subarray(index[i]! * w, index[i]! * w + w), i * w);
    return out;
  }
  const offset = new Uint32Array(n + 1);
  let total = 0;
  for (let i = 0; i < n; i++) {
    total += dictionary.offset[index[i]! + 1]! - dictionary.offset[index[i]!]!;
    if (total > 0x7fffffff) throw new ShortRead(0, "expected less than 2 GiB of dictionary values");
    offset[i + 1] = total;
  }
  const bytes = new Uint8Array(total);
  for (let i = 0; i < n; i++)
    bytes.set(
      dictionary.bytes.subarray(dictionary.offset[index[i]!]!, dictionary.offset[index[i]! + 1]!),
      offset[i]!,
    );
  return { bytes, offset };
}
