import { ByteReader, ShortRead } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { list, numberField, readStruct, structField, textField, type ThriftStruct } from "./thrift.ts";

/**
 * Physical types by their number in parquet.thrift (`Type`). INT64 becomes BigInt64Array, INT32 Int32Array,
 * BOOLEAN one byte per value; INT96, FLOAT and DOUBLE are not read.
 */
export const PhysicalType = {
  BOOLEAN: 0,
  INT32: 1,
  INT64: 2,
  INT96: 3,
  FLOAT: 4,
  DOUBLE: 5,
  BYTE_ARRAY: 6,
  FIXED_LEN_BYTE_ARRAY: 7,
} as const;
/**
 * Encodings by their number in parquet.thrift (`Encoding`). Tables are written with PLAIN, RLE_DICTIONARY and
 * the two DELTA encodings of numbers and lengths; BIT_PACKED is not read.
 */
export const Encoding = {
  PLAIN: 0,
  PLAIN_DICTIONARY: 2,
  RLE: 3,
  BIT_PACKED: 4,
  DELTA_BINARY_PACKED: 5,
  DELTA_LENGTH_BYTE_ARRAY: 6,
  DELTA_BYTE_ARRAY: 7,
  RLE_DICTIONARY: 8,
  BYTE_STREAM_SPLIT: 9,
} as const;
/**
 * Compression codecs by their number in parquet.thrift (`CompressionCodec`). Only UNCOMPRESSED and ZSTD are
 * written; LZO and the old LZ4 framing are not read.
 */
export const Codec = {
  UNCOMPRESSED: 0,
  SNAPPY: 1,
  GZIP: 2,
  LZO: 3,
  BROTLI: 4,
  LZ4: 5,
  ZSTD: 6,
  LZ4_RAW: 7,
} as const;
/**
 * Page types by their number in parquet.thrift (`PageType`). INDEX is reserved by the format and never used.
 */
export const PageType = { DATA: 0, INDEX: 1, DICTIONARY: 2, DATA_V2: 3 } as const;

/**
 * A leaf of the schema, with the limits of its column's levels.
 *
 *   schema                                        path           maxDef  maxRep
 *   required a                                    a              0       0
 *   optional group g { required h }               g.h            1       0
 *   repeated group list { optional element }      list.element   2       1
 *
 * A value exists where the definition level equals maxDef. Repetition level 0 starts a row.
 */
export interface Leaf {
  /** names from below the root, joined by "." */
  path: string;
  type: number;
  /** bytes of a FIXED_LEN_BYTE_ARRAY value */
  typeLength: number;
  maxDef: number;
  maxRep: number;
}

/**
 * Position and encoding of one column in a row group: one contiguous range of pages.
 *
 *   start                 data page offset                         start + sizeBytes
 *   | dictionary page? | data page | data page | ... |
 */
export interface ColumnChunk {
  leaf: Leaf;
  /** Codec of all pages; a data page of version 2 may be stored uncompressed nevertheless */
  codec: number;
  /** entries of the chunk: values, nulls and empty lists */
  numValues: number;
  /** first byte of the chunk: its dictionary page, or else its first data page */
  start: number;
  /** whether the chunk begins with a dictionary page */
  dictionary: boolean;
  /** compressed size with all page headers */
  sizeBytes: number;
  /** file range of the pages' positions; absent in files of writers without page indexes */
  offsetIndex: { offset: number; length: number } | undefined;
  /** file range of the pages' bounds */
  columnIndex: { offset: number; length: number } | undefined;
}

/** A row group: its number of rows, and column path -> column chunk. */
export interface RowGroup {
  numRows: number;
  columns: Map<string, ColumnChunk>;
}

/**
 * Decoded footer (`FileMetaData` of parquet.thrift): schema leaves in depth-first order and row groups in
 * file order.
 */
export interface ParquetFooter {
  /** rows of all row groups */
  numRows: number;
  leaves: Leaf[];
  rowGroups: RowGroup[];
  /** the writer's name and version, "" if absent */
  createdBy: string;
}

/**
 * Size in bytes of the footer, from the last eight bytes of a file.
 *
 *   ... | footer, thrift compact | size of the footer <4b LE> | "PAR1" |
 *
 * @throws CorruptError for another magic; encrypted files ("PARE") are not supported
 */
export function footerLength(tail: Uint8Array, file = "parquet"): number {
  const n = tail.length;
  if (n < 8 || tail[n - 4] !== 0x50 || tail[n - 3] !== 0x41 || tail[n - 2] !== 0x52 || tail[n - 1] !== 0x31)
    throw new CorruptError(file, n, "expected the magic PAR1 at the end");
  return new DataView(tail.buffer, tail.byteOffset + n - 8, 4).getUint32(0, true);
}

/**
 * Decodes the footer's bytes (without size and magic). Format: docs/formats/profiles-parquet.md
 * @throws CorruptError for bytes that are not thrift, an incomplete schema, or more columns than leaves
 */
export function decodeFooter(bytes: Uint8Array, file = "parquet"): ParquetFooter {
  try {
    return toFileMeta(readStruct(new ByteReader(bytes)), file);
  } catch (err) {
    if (err instanceof ShortRead) throw new CorruptError(file, err.at, err.message, { cause: err });
    throw err;
  }
}

// FileMetaData: 2 schema, 3 num_rows, 4 row_groups, 6 created_by. RowGroup: 1 columns, 3 num_rows.
// ColumnChunk: 3 meta_data, 4 and 5 offset index, 6 and 7 column index. ColumnMetaData: 4 codec, 5
// num_values, 7 total_compressed_size, 9 data_page_offset, 11 dictionary_page_offset.
function toFileMeta(s: ThriftStruct, file: string): ParquetFooter {
  const leaves = schemaLeaves(list(s[2]).map(structField), file);
  const rowGroups = list(s[4])
    .map(structField)
    .map((g): RowGroup => {
      const columns = new Map<string, ColumnChunk>();
      list(g[1])
        .map(structField)
        .forEach((c, i) => {
          const leaf = leaves[i];
          if (!leaf) throw new CorruptError(file, 0, `expected ${leaves.length} columns in a row group`);
          const m = structField(c[3]);
          const dictionary = numberField(m[11]);
          const data = numberField(m[9]);
          columns.set(leaf.path, {
            leaf,
            codec: numberField(m[4]),
            numValues: numberField(m[5]),
            // An absent field counts as 0, where no page can be: a file begins with its magic.
            start: dictionary > 0 && dictionary < data ? dictionary : data,
            dictionary: dictionary > 0,
            sizeBytes: numberField(m[7]),
            offsetIndex:
              c[4] === undefined ? undefined : { offset: numberField(c[4]), length: numberField(c[5]) },
            columnIndex:
              c[6] === undefined ? undefined : { offset: numberField(c[6]), length: numberField(c[7]) },
          });
        });
      return { numRows: numberField(g[3]), columns };
    });
  return { numRows: numberField(s[3]), leaves, rowGroups, createdBy: textField(s[6]) };
}

// SchemaElement: 1 type, 2 type_length, 3 repetition (0 required, 1 optional, 2 repeated), 4 name, 5
// num_children. The list is a depth-first walk; a group says how many of the next elements are its
// children. The depth limit keeps a damaged schema from exhausting the call stack.
function schemaLeaves(elements: ThriftStruct[], file: string): Leaf[] {
  const leaves: Leaf[] = [];
  let at = 0;
  const walk = (path: string[], def: number, rep: number, depth: number): void => {
    const e = elements[at++];
    if (!e || depth > 32) throw new CorruptError(file, 0, "expected a complete schema");
    const root = at === 1;
    const repetition = numberField(e[3]);
    if (!root) {
      path = [...path, textField(e[4])];
      if (repetition === 1) def++;
      if (repetition === 2) {
        def++;
        rep++;
      }
    }
    const children = numberField(e[5]);
    if (children === 0 && !root)
      leaves.push({
        path: path.join("."),
        type: numberField(e[1]),
        typeLength: numberField(e[2]),
        maxDef: def,
        maxRep: rep,
      });
    for (let i = 0; i < children; i++) walk(path, def, rep, depth + 1);
  };
  walk([], 0, 0, 0);
  return leaves;
}

/**
 * Position of a data page (`PageLocation` of parquet.thrift): offset in the file, size with its header, and
 * the index of its first row within the row group.
 */
export interface PageLocation {
  offset: number;
  sizeBytes: number;
  firstRow: number;
}

/**
 * Decodes the pages' positions of a chunk (`OffsetIndex`), in file order, ascending by first row.
 * @throws ShortRead for bytes that are not thrift
 */
export function decodeOffsetIndex(bytes: Uint8Array): PageLocation[] {
  return list(readStruct(new ByteReader(bytes))[1])
    .map(structField)
    .map((p) => ({ offset: numberField(p[1]), sizeBytes: numberField(p[2]), firstRow: numberField(p[3]) }));
}

/**
 * Bounds of pages (`ColumnIndex`) as raw little-endian values: [pages] each; empty for an all-null page.
 * Bounds of unsigned columns are in unsigned order.
 */
export interface PageBounds {
  nullPages: boolean[];
  min: Uint8Array[];
  max: Uint8Array[];
}

/**
 * Decodes the pages' bounds of a chunk. Views of `bytes`, valid while it is.
 * @throws ShortRead for bytes that are not thrift
 */
export function decodeColumnIndex(bytes: Uint8Array): PageBounds {
  const s = readStruct(new ByteReader(bytes));
  const raw = (v: unknown): Uint8Array => (v instanceof Uint8Array ? v : new Uint8Array(0));
  return { nullPages: list(s[1]).map((v) => v === true), min: list(s[2]).map(raw), max: list(s[3]).map(raw) };
}
