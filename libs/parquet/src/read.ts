import { crc32 } from "node:zlib";
import { ByteReader, deltaUnpackInt32, deltaUnpackInt64, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { decompress } from "./codecs.ts";
import { decodeHybrid, decodeLevels } from "./levels.ts";
import { type ColumnChunk, Encoding, type Leaf, PageType, PhysicalType } from "./metadata.ts";
import { numberField, readStruct, structField } from "./thrift.ts";

/** Byte strings of a column: value i is bytes[offset[i], offset[i + 1]). */
export interface BinaryValues {
  bytes: Uint8Array;
  offset: Uint32Array;
}

/** Existing values in the column's physical type; nulls and empty lists have only levels. */
export type Values = BigInt64Array | Int32Array | Uint8Array | BinaryValues;

/** One column of consecutive rows. Levels are absent if the schema has none. */
export interface ColumnData {
  leaf: Leaf;
  /** number of entries: of levels, or of values if there are no levels */
  count: number;
  values: Values;
  def: Uint8Array | undefined;
  rep: Uint8Array | undefined;
}

interface Page {
  count: number;
  values: Values;
  def: Uint8Array | undefined;
  rep: Uint8Array | undefined;
}

const MAX_PAGE_VALUES = 1 << 27;

/**
 * Decodes the pages in `bytes`, which start at a page header: a complete column chunk, or some of its data
 * pages. In the latter case `dictionary` is the decoded dictionary page of the chunk, if it has one.
 */
export function decodeChunk(
  bytes: Uint8Array,
  chunk: ColumnChunk,
  file = "parquet",
  dictionary?: Values,
): ColumnData {
  return concatPages(chunk.leaf, decodePages(bytes, chunk, file, dictionary).pages);
}

/** Decodes the values of a chunk's dictionary page. */
export function decodeDictionary(
  bytes: Uint8Array,
  chunk: ColumnChunk,
  file = "parquet",
): Values | undefined {
  return decodePages(bytes, chunk, file, undefined).dictionary;
}

function decodePages(
  bytes: Uint8Array,
  chunk: ColumnChunk,
  file: string,
  dictionary: Values | undefined,
): { pages: Page[]; dictionary: Values | undefined } {
  const { leaf } = chunk;
  const r = new ByteReader(bytes);
  const pages: Page[] = [];
  try {
    while (r.left > 0) {
      const header = readStruct(r);
      const type = numberField(header[1]);
      const size = numberField(header[2]);
      const body = r.readBytes(numberField(header[3]));
      if (size < 0 || size > 1 << 30) throw new ShortRead(r.pos, `expected a page size, found ${size}`);
      const crc = header[4];
      if (typeof crc === "number" && crc32(body) >>> 0 !== crc >>> 0)
        throw new ShortRead(r.pos, "expected the page's CRC to match");
      if (type === PageType.DICTIONARY) {
        const h = structField(header[7]);
        dictionary = decodeValues(
          leaf,
          Encoding.PLAIN,
          decompress(chunk.codec, body, size),
          0,
          numberField(h[1]),
          undefined,
        );
      } else if (type === PageType.DATA_V2) {
        pages.push(pageV2(leaf, chunk.codec, body, size, structField(header[8]), dictionary));
      } else if (type === PageType.DATA) {
        pages.push(pageV1(leaf, decompress(chunk.codec, body, size), structField(header[5]), dictionary));
      }
    }
  } catch (err) {
    if (
      err instanceof ShortRead ||
      (err as NodeJS.ErrnoException).code?.startsWith("ERR_") ||
      (err as NodeJS.ErrnoException).code?.startsWith("Z")
    ) {
      throw new CorruptError(file, chunk.start + r.pos, `column ${leaf.path}: ${(err as Error).message}`, {
        cause: err,
      });
    }
    throw err;
  }
  return { pages, dictionary };
}

function checkCount(count: number, pos: number): number {
  if (count < 0 || count > MAX_PAGE_VALUES)
    throw new ShortRead(pos, `expected a number of values, found ${count}`);
  return count;
}

function bits(max: number): number {
  return 32 - Math.clz32(max);
}

function countDefined(def: Uint8Array | undefined, max: number, count: number): number {
  if (!def) return count;
  let n = 0;
  for (let i = 0; i < def.length; i++) if (def[i] === max) n++;
  return n;
}

function pageV2(
  leaf: Leaf,
  codec: number,
  body: Uint8Array,
  size: number,
  h: ReturnType<typeof structField>,
  dictionary: Values | undefined,
): Page {
  const count = checkCount(numberField(h[1]), 0);
  const defLength = numberField(h[5]),
    repLength = numberField(h[6]);
  if (defLength < 0 || repLength < 0 || defLength + repLength > body.length)
    throw new ShortRead(0, "expected levels inside the page");
  const rep = leaf.maxRep > 0 ? decodeLevels(body, 0, repLength, bits(leaf.maxRep), count) : undefined;
  const def =
    leaf.maxDef > 0
      ? decodeLevels(body, repLength, repLength + defLength, bits(leaf.maxDef), count)
      : undefined;
  const compressed = h[7] !== false;
  const data = body.subarray(repLength + defLength);
  const plain = compressed && data.length > 0 ? decompress(codec, data, size - repLength - defLength) : data;
  const defined = countDefined(def, leaf.maxDef, count);
  return {
    count,
    rep,
    def,
    values: decodeValues(leaf, numberField(h[4]), plain, 0, defined, dictionary, plain !== data),
  };
}

function pageV1(
  leaf: Leaf,
  body: Uint8Array,
  h: ReturnType<typeof structField>,
  dictionary: Values | undefined,
): Page {
  const count = checkCount(numberField(h[1]), 0);
  let pos = 0;
  const levels = (max: number): Uint8Array | undefined => {
    if (max === 0) return undefined;
    if (pos + 4 > body.length) throw new ShortRead(pos, "expected the length of the levels");
    const n = new DataView(body.buffer, body.byteOffset + pos, 4).getUint32(0, true);
    const out = decodeLevels(body, pos + 4, Math.min(body.length, pos + 4 + n), bits(max), count);
    pos += 4 + n;
    return out;
  };
  const rep = levels(leaf.maxRep);
  const def = levels(leaf.maxDef);
  return {
    count,
    rep,
    def,
    values: decodeValues(
      leaf,
      numberField(h[2]),
      body,
      pos,
      countDefined(def, leaf.maxDef, count),
      dictionary,
    ),
  };
}

function decodeValues(
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
      if (count === 0) return empty(leaf);
      if (!dictionary) throw new ShortRead(pos, "expected a dictionary page first");
      const width = r.u8();
      if (width > 32) throw new ShortRead(pos, `expected a bit width, found ${width}`);
      return gather(leaf, dictionary, decodeHybrid(body, r.pos, body.length, width, count));
    }
    case Encoding.RLE: {
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

function empty(leaf: Leaf): Values {
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

/** @param owned the bytes belong to this page alone, so aligned ones need no copy */
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

function concatPages(leaf: Leaf, pages: Page[]): ColumnData {
  if (pages.length === 1) return { leaf, ...pages[0]! };
  let count = 0,
    values = 0,
    binary = 0;
  for (const p of pages) {
    count += p.count;
    values += "offset" in p.values ? p.values.offset.length - 1 : p.values.length;
    if ("offset" in p.values) binary += p.values.bytes.length;
  }
  const join = (pick: (p: Page) => Uint8Array | undefined): Uint8Array | undefined => {
    if (pages.length === 0 || pick(pages[0]!) === undefined) return undefined;
    const out = new Uint8Array(count);
    let at = 0;
    for (const p of pages) {
      out.set(pick(p)!, at);
      at += p.count;
    }
    return out;
  };
  let joined: Values = empty(leaf);
  if ("offset" in joined) {
    const bytes = new Uint8Array(binary),
      offset = new Uint32Array(values + 1);
    let at = 0,
      byte = 0;
    for (const p of pages) {
      const v = p.values as BinaryValues;
      bytes.set(v.bytes, byte);
      for (let i = 1; i < v.offset.length; i++) offset[++at] = byte + v.offset[i]!;
      byte += v.offset[v.offset.length - 1]!;
    }
    joined = { bytes, offset };
  } else if (joined instanceof BigInt64Array) {
    joined = new BigInt64Array(values);
    let at = 0;
    for (const p of pages) {
      (joined as BigInt64Array).set(p.values as BigInt64Array, at);
      at += (p.values as BigInt64Array).length;
    }
  } else {
    const out = joined instanceof Int32Array ? new Int32Array(values) : new Uint8Array(values);
    let at = 0;
    for (const p of pages) {
      out.set(p.values as Int32Array, at);
      at += (p.values as Int32Array).length;
    }
    joined = out;
  }
  return { leaf, count, values: joined, def: join((p) => p.def), rep: join((p) => p.rep) };
}

/**
 * Row boundaries of a repeated column: row i owns the values [offset[i], offset[i + 1]). `present` is the
 * minimum definition level of an entry with a value, which an empty list does not reach.
 */
export function rowOffsets(column: ColumnData, rows: number, present: number): Uint32Array {
  const offset = new Uint32Array(rows + 1);
  const { rep, def } = column;
  let row = -1,
    entries = 0;
  if (!rep) {
    for (let i = 0; i <= rows; i++) offset[i] = i;
    return offset;
  }
  for (let i = 0; i < rep.length; i++) {
    if (rep[i] === 0) {
      if (++row >= rows) throw new CorruptError(column.leaf.path, i, `expected ${rows} rows`);
      offset[row] = entries;
    }
    if (!def || (def[i]! >= present && rep[i]! <= 1)) entries++;
  }
  if (row !== rows - 1)
    throw new CorruptError(column.leaf.path, row, `expected ${rows} rows, found ${row + 1}`);
  offset[rows] = entries;
  return offset;
}
