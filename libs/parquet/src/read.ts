import { crc32 } from "node:zlib";
import { ByteReader, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { decompress } from "./codecs.ts";
import { type BinaryValues, checkCount, decodeValues, emptyValues, type Values } from "./decode-values.ts";
import { decodeLevels } from "./levels.ts";
import { type ColumnChunk, Encoding, type Leaf, PageType } from "./metadata.ts";
import { numberField, readStruct, structField } from "./thrift.ts";

/**
 * One column of consecutive rows. Levels are absent if the schema has none.
 *
 *   rows [a, b] [] [null, c] of a list of optional elements (maxDef 2, maxRep 1):
 *   rep    | 0 | 1 | 0 | 0 | 1 |        0 starts a row
 *   def    | 2 | 2 | 0 | 1 | 2 |        0: empty list, 1: null, 2: value
 *   values | a | b |         c |        one for each entry with def = maxDef
 */
export interface ColumnData {
  leaf: Leaf;
  /** number of entries: of levels, or of values if there are no levels */
  count: number;
  values: Values;
  /** [count] definition levels */
  def: Uint8Array | undefined;
  /** [count] repetition levels */
  rep: Uint8Array | undefined;
}

// One decoded data page, in the shape of ColumnData.
interface Page {
  count: number;
  values: Values;
  def: Uint8Array | undefined;
  rep: Uint8Array | undefined;
}

/**
 * Decodes the pages in `bytes`, which start at a page header: a complete column chunk, or some of its data
 * pages. In the latter case `dictionary` is the decoded dictionary page of the chunk, if it has one.
 *
 *   page: header, thrift compact | stored bytes
 *   header: 1 type, 2 size, 3 stored size, 4 CRC?, then one struct: 5 data page, 7 dictionary, 8 data page V2
 *
 * @returns the values of all pages in one column; the result may share memory with `bytes` if pages are
 * uncompressed
 * @throws CorruptError with the column's path and the offset in the file for a damaged header, CRC, level or
 * value
 */
export function decodeChunk(
  bytes: Uint8Array,
  chunk: ColumnChunk,
  file = "parquet",
  dictionary?: Values,
): ColumnData {
  return concatPages(chunk.leaf, decodePages(bytes, chunk, file, dictionary).pages);
}

/**
 * Decodes the values of a chunk's dictionary page; undefined if `bytes` has none.
 * @throws CorruptError as decodeChunk does
 */
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
      // IEEE CRC-32 over the stored bytes; thrift's i32 is signed. Optional: many writers leave it out.
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

// Bits of a level: those of the largest one.
function bits(max: number): number {
  return 32 - Math.clz32(max);
}

// Entries of a page that have a value.
function countDefined(def: Uint8Array | undefined, max: number, count: number): number {
  if (!def) return count;
  let n = 0;
  for (let i = 0; i < def.length; i++) if (def[i] === max) n++;
  return n;
}

// DataPageHeaderV2: 1 num_values, 4 encoding, 5 and 6 bytes of the levels, 7 is_compressed (default true).
// Levels come first and are never compressed: | repetition | definition | values |. They have no size
// prefix.
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

// DataPageHeader: 1 num_values, 2 encoding. The whole body is compressed, and each kind of level has a
// prefix:
// | size <4b LE>, repetition | size <4b LE>, definition | values |, where a kind with the maximum 0 is absent.
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

// One column from its pages; a single page is passed on without a copy.
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
  let joined: Values = emptyValues(leaf);
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
 * @returns [rows + 1], ascending from 0; entries of lists inside of the list (repetition above 1) do not
 * count
 * @throws CorruptError if the repetition levels start another number of rows
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
