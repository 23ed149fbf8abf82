import { constants, crc32, zstdCompressSync } from "node:zlib";
import { ByteWriter, encodeUtf8 } from "@cinderblock/bytes";
import { buildDictionary, type ColumnSource, encodeValues, minMax } from "./column-source.ts";
import { encodeHybrid } from "./levels.ts";
import { Codec, Encoding, PageType } from "./metadata.ts";
import { type Alike, type Levels, pageLevels } from "./page-levels.ts";
import { ThriftWriter } from "./thrift.ts";

/**
 * One element of the schema in depth-first order; a group states its number of children. Numbers are those of
 * parquet.thrift (`SchemaElement`).
 */
export interface SchemaElement {
  name: string;
  /** PhysicalType; absent for groups */
  type?: number;
  typeLength?: number;
  /** 0 required, 1 optional, 2 repeated */
  repetition?: number;
  children?: number;
  /** ConvertedType, which older readers use instead of the logical type */
  converted?: number;
  /** logical type: a field of the LogicalType union, and for INTEGER its width and sign */
  logical?:
    | { kind: "string" | "list" | "uuid" | "timestampNanos" }
    | { kind: "int"; bits: number; signed: boolean };
}

// Entry of both page indexes: file range, first row in the row group, bounds and nulls.
interface WrittenPage {
  offset: number;
  sizeBytes: number;
  firstRow: number;
  min: Uint8Array;
  max: Uint8Array;
  nulls: number;
  nullPage: boolean;
}
// Facts of a written chunk for the footer. Positions count from the start of the file; -1: no dictionary
// page.
interface WrittenChunk {
  path: string;
  type: number;
  start: number;
  dictionaryAt: number;
  dataAt: number;
  size: number;
  plainSize: number;
  numValues: number;
  pages: WrittenPage[];
  encodings: number[];
}

/**
 * Creator, compression and page sizes of a written file. `level` is zstd's and without effect for another
 * codec.
 */
export interface ParquetOptions {
  createdBy: string;
  codec: number;
  level: number;
  /** a page ends after this number of rows at the latest */
  rowsPerPage: number;
  /** a page of a list ends with the row that reaches this number of entries */
  entriesPerPage: number;
  /**
   * receives finished row groups, as views that are valid during the call. The writer then holds one group at
   * a time, and `finish` returns the rest
   */
  sink?: (bytes: Uint8Array) => void;
}

const MAGIC = encodeUtf8("PAR1");

/**
 * Writes row groups of columns: page CRCs, and a column and an offset index for every column, because v1's
 * reader needs both. Flat columns have data pages of version 2, repeated ones of version 1.
 *
 *   "PAR1"
 *   row group: column chunk: dictionary page? | data page ...      in schema order
 *   column index of every chunk | offset index of every chunk      as readers fetch a kind in one range
 *   footer | size of the footer <4b LE> | "PAR1"
 *
 * The schema, the order of columns and the number of rows are the caller's duty: nothing is checked here.
 */
export class ParquetWriter {
  private readonly out: ByteWriter;
  private readonly groups: { rows: number; chunks: WrittenChunk[] }[] = [];
  private readonly schema: readonly SchemaElement[];
  private readonly options: ParquetOptions;

  constructor(schema: readonly SchemaElement[], options: ParquetOptions) {
    this.schema = schema;
    this.options = options;
    this.out = new ByteWriter(1 << 12);
    this.out.bytes(MAGIC);
  }

  /** Number of row groups written. */
  get rowGroups(): number {
    return this.groups.length;
  }

  /** bytes passed to the sink */
  private flushed = 0;
  /** file position of the next byte */
  private get position(): number {
    return this.flushed + this.out.length;
  }

  /** cache of encoded levels for the columns of the current row group */
  private readonly alike: Alike = new Map();

  /** Appends a row group of `rows` rows; `columns` has one source for each leaf, in the schema's order. */
  writeRowGroup(rows: number, columns: readonly ColumnSource[]): void {
    this.alike.clear();
    this.groups.push({ rows, chunks: columns.map((c) => this.chunk(rows, c)) });
    const { sink } = this.options;
    if (!sink) return;
    sink(this.out.finish());
    this.flushed += this.out.length;
    this.out.reset();
  }

  // Writes one column: the dictionary page, if its encoding has one, then pages within the limits of rows
  // and entries. A row group without rows has one empty page.
  private chunk(rows: number, source: ColumnSource): WrittenChunk {
    const chunk: WrittenChunk = {
      path: source.path,
      type: source.type,
      start: this.position,
      dictionaryAt: -1,
      dataAt: 0,
      size: 0,
      plainSize: 0,
      numValues: 0,
      pages: [],
      encodings: [source.encoding, Encoding.RLE],
    };
    let dictionary: { index: Uint32Array; size: number } | undefined;
    if (source.encoding === Encoding.RLE_DICTIONARY) {
      const built = buildDictionary(source);
      dictionary = { index: built.index, size: built.size };
      chunk.dictionaryAt = this.position;
      this.page(chunk, PageType.DICTIONARY, new Uint8Array(0), 0, built.plain, {
        count: built.size,
        rows: 0,
        nulls: 0,
        encoding: Encoding.PLAIN,
      });
      chunk.encodings.push(Encoding.PLAIN);
    }
    chunk.dataAt = this.position;
    let value = 0;
    const { rowsPerPage, entriesPerPage } = this.options;
    for (let row = 0, to = 0; row === 0 || row < rows; row = to) {
      to = Math.min(rows, row + rowsPerPage);
      const { offset } = source;
      if (offset) {
        to = row;
        while (
          to < rows &&
          to - row < rowsPerPage &&
          (to === row || offset[to + 1]! - offset[row]! <= entriesPerPage)
        )
          to++;
      }
      value = this.dataPage(chunk, source, row, to, value, dictionary);
      if (rows === 0) break;
    }
    chunk.size = this.position - chunk.start;
    return chunk;
  }

  /**
   * Writes rows [from, to), whose first value has the index `value`.
   * @returns index of the next page's first value
   */
  private dataPage(
    chunk: WrittenChunk,
    source: ColumnSource,
    from: number,
    to: number,
    value: number,
    dictionary: { index: Uint32Array; size: number } | undefined,
  ): number {
    const levels = pageLevels(source, from, to, this.alike),
      { count, defined } = levels;
    const body = new ByteWriter(Math.max(64, defined * 2));
    if (dictionary) {
      const width = Math.max(1, 32 - Math.clz32(Math.max(0, dictionary.size - 1)));
      // The bit width is written even without values, because readers expect it.
      body.u8(width);
      encodeHybrid(dictionary.index.subarray(value, value + defined), defined, width, body);
    } else {
      encodeValues(source, value, value + defined, body);
    }
    if (source.maxRep > 0) return this.pageV1(chunk, source, from, value, levels, body);
    const at = this.position;
    this.page(chunk, PageType.DATA_V2, levels.def, levels.def.length, body.finish(), {
      count,
      rows: to - from,
      nulls: count - defined,
      encoding: source.encoding,
    });
    return this.finishPage(chunk, source, at, from, value, count, defined);
  }

  // Records the page that was written from file position `at` on.
  private finishPage(
    chunk: WrittenChunk,
    source: ColumnSource,
    at: number,
    firstRow: number,
    value: number,
    count: number,
    defined: number,
  ): number {
    const bounds = defined === 0 ? undefined : minMax(source, value, value + defined);
    chunk.numValues += count;
    chunk.pages.push({
      offset: at,
      sizeBytes: this.position - at,
      firstRow,
      min: bounds?.min ?? new Uint8Array(0),
      max: bounds?.max ?? new Uint8Array(0),
      nulls: count - defined,
      nullPage: defined === 0,
    });
    return value + defined;
  }

  /**
   * Writes a page of version 1, used for repeated columns: it compresses the levels together with the values,
   * unlike version 2.
   */
  private pageV1(
    chunk: WrittenChunk,
    source: ColumnSource,
    from: number,
    value: number,
    levels: Levels,
    values: ByteWriter,
  ): number {
    const { count, defined, rep, def } = levels;
    const body = new ByteWriter(values.length + rep.length + def.length + 8);
    for (const level of [rep, def]) {
      body.u32le(level.length);
      body.bytes(level);
    }
    body.bytes(values.finish());
    const at = this.position;
    this.page(chunk, PageType.DATA, new Uint8Array(0), 0, body.finish(), {
      count,
      rows: 0,
      nulls: 0,
      encoding: source.encoding,
    });
    return this.finishPage(chunk, source, at, from, value, count, defined);
  }

  // Writes a page: header, levels (version 2 only, never compressed), body. The CRC covers levels and
  // stored body.
  private page(
    chunk: WrittenChunk,
    type: number,
    levels: Uint8Array,
    defLength: number,
    body: Uint8Array,
    h: { count: number; rows: number; nulls: number; encoding: number },
  ): void {
    const { codec, level } = this.options;
    const compressed =
      codec === Codec.ZSTD && (body.length > 0 || type !== PageType.DATA_V2)
        ? zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: level } })
        : body;
    // A chunk has one codec, but a data page V2 may declare itself uncompressed; a dictionary page cannot.
    const plain = type === PageType.DATA_V2 && compressed.length >= body.length;
    const stored = plain ? body : compressed;
    const crc = crc32(stored, crc32(levels));
    const t = new ThriftWriter();
    t.nested(() => {
      t.i32(1, type);
      t.i32(2, levels.length + body.length);
      t.i32(3, levels.length + stored.length);
      t.i32(4, crc | 0);
      if (type === PageType.DICTIONARY)
        t.struct(7, () => {
          t.i32(1, h.count);
          t.i32(2, Encoding.PLAIN);
        });
      else if (type === PageType.DATA)
        t.struct(5, () => {
          t.i32(1, h.count);
          t.i32(2, h.encoding);
          t.i32(3, Encoding.RLE);
          t.i32(4, Encoding.RLE);
        });
      else
        t.struct(8, () => {
          t.i32(1, h.count);
          t.i32(2, h.nulls);
          t.i32(3, h.rows);
          t.i32(4, h.encoding);
          t.i32(5, defLength);
          t.i32(6, 0);
          t.bool(7, codec !== Codec.UNCOMPRESSED && !plain);
        });
    });
    this.out.bytes(t.out.finish());
    this.out.bytes(levels);
    this.out.bytes(stored);
    chunk.plainSize += t.out.length + levels.length + body.length;
  }

  /**
   * Writes indexes and footer; the writer is of no use afterwards.
   * @returns a view of the file, or of the bytes that the sink did not receive
   */
  finish(): Uint8Array {
    const { out } = this;
    const columnIndex: { offset: number; length: number }[][] = [];
    const offsetIndex: { offset: number; length: number }[][] = [];
    for (const g of this.groups) columnIndex.push(g.chunks.map((c) => this.index(() => writeColumnIndex(c))));
    for (const g of this.groups) offsetIndex.push(g.chunks.map((c) => this.index(() => writeOffsetIndex(c))));
    const footer = this.footer(columnIndex, offsetIndex);
    out.bytes(footer);
    out.u32le(footer.length);
    out.bytes(MAGIC);
    return out.finish();
  }

  private index(write: () => Uint8Array): { offset: number; length: number } {
    const offset = this.position;
    const bytes = write();
    this.out.bytes(bytes);
    return { offset, length: bytes.length };
  }

  // FileMetaData with version 2, as v1 writes it. Field numbers: parquet.thrift.
  private footer(
    columnIndex: { offset: number; length: number }[][],
    offsetIndex: { offset: number; length: number }[][],
  ): Uint8Array {
    const t = new ThriftWriter();
    let rows = 0;
    for (const g of this.groups) rows += g.rows;
    t.nested(() => {
      t.i32(1, 2);
      t.structs(2, this.schema.length, (i) => writeSchemaElement(t, this.schema[i]!));
      t.i64(3, rows);
      t.structs(4, this.groups.length, (i) => {
        const g = this.groups[i]!;
        t.structs(1, g.chunks.length, (k) => {
          const c = g.chunks[k]!;
          t.i64(2, 0);
          t.struct(3, () => {
            t.i32(1, c.type);
            t.i32s(2, c.encodings);
            t.strs(3, c.path.split("."));
            t.i32(4, this.options.codec);
            t.i64(5, c.numValues);
            t.i64(6, c.plainSize);
            t.i64(7, c.size);
            t.i64(9, c.dataAt);
            if (c.dictionaryAt >= 0) t.i64(11, c.dictionaryAt);
          });
          t.i64(4, offsetIndex[i]![k]!.offset);
          t.i32(5, offsetIndex[i]![k]!.length);
          t.i64(6, columnIndex[i]![k]!.offset);
          t.i32(7, columnIndex[i]![k]!.length);
        });
        t.i64(
          2,
          g.chunks.reduce((s, c) => s + c.plainSize, 0),
        );
        t.i64(3, g.rows);
        t.i64(5, g.chunks[0]!.start);
        t.i64(
          6,
          g.chunks.reduce((s, c) => s + c.size, 0),
        );
      });
      t.str(6, this.options.createdBy);
    });
    return t.out.finish();
  }
}

// LogicalType is a union: 1 STRING, 3 LIST, 8 TIMESTAMP (1 isAdjustedToUTC, 2 unit: 3 NANOS), 10 INTEGER
// (1 bitWidth, 2 isSigned), 14 UUID.
function writeSchemaElement(t: ThriftWriter, e: SchemaElement): void {
  if (e.type !== undefined) t.i32(1, e.type);
  if (e.typeLength !== undefined) t.i32(2, e.typeLength);
  if (e.repetition !== undefined) t.i32(3, e.repetition);
  t.str(4, e.name);
  if (e.children !== undefined) t.i32(5, e.children);
  if (e.converted !== undefined) t.i32(6, e.converted);
  const { logical } = e;
  if (!logical) return;
  t.struct(10, () => {
    if (logical.kind === "int")
      t.struct(10, () => {
        t.byte(1, logical.bits);
        t.bool(2, logical.signed);
      });
    else if (logical.kind === "timestampNanos")
      t.struct(8, () => {
        t.bool(1, true);
        t.struct(2, () => {
          t.struct(3, () => undefined);
        });
      });
    else t.struct({ string: 1, list: 3, uuid: 14 }[logical.kind], () => undefined);
  });
}

// ColumnIndex: 1 null_pages, 2 min_values, 3 max_values, 4 boundary_order (0: unordered), 5 null_counts.
function writeColumnIndex(c: WrittenChunk): Uint8Array {
  const t = new ThriftWriter();
  t.nested(() => {
    t.bools(
      1,
      c.pages.map((p) => p.nullPage),
    );
    t.binaries(
      2,
      c.pages.map((p) => p.min),
    );
    t.binaries(
      3,
      c.pages.map((p) => p.max),
    );
    t.i32(4, 0);
    t.i64s(
      5,
      c.pages.map((p) => p.nulls),
    );
  });
  return t.out.copy();
}

// OffsetIndex: 1 page_locations (1 offset, 2 compressed_page_size, 3 first_row_index).
function writeOffsetIndex(c: WrittenChunk): Uint8Array {
  const t = new ThriftWriter();
  t.nested(() =>
    t.structs(1, c.pages.length, (i) => {
      const p = c.pages[i]!;
      t.i64(1, p.offset);
      t.i32(2, p.sizeBytes);
      t.i64(3, p.firstRow);
    }),
  );
  return t.out.copy();
}
