import { constants, crc32, zstdCompressSync } from "node:zlib";
import { ByteWriter, deltaPackInt32, deltaPackInt64, encodeUtf8 } from "@cinderblock/bytes";
import { encodeHybrid } from "./levels.ts";
import { Codec, Encoding, PageType, PhysicalType } from "./metadata.ts";
import { ThriftWriter } from "./thrift.ts";
import type { BinaryValues, Values } from "./read.ts";

/** One element of the schema in depth-first order; a group states its number of children. */
export interface SchemaElement {
  name: string;
  type?: number;
  typeLength?: number;
  /** 0 required, 1 optional, 2 repeated */
  repetition?: number;
  children?: number;
  converted?: number;
  /** logical type: a field of the LogicalType union, and for INTEGER its width and sign */
  logical?:
    | { kind: "string" | "list" | "uuid" | "timestampNanos" }
    | { kind: "int"; bits: number; signed: boolean };
}

/** Input of the writer: a column of one row group. */
export interface ColumnSource {
  path: string;
  type: number;
  typeLength?: number;
  encoding: number;
  maxDef: number;
  maxRep: number;
  /** the values of the column that are not null */
  values: Values | Uint32Array;
  /** number of values that are not null */
  count: number;
  /** list columns: row i owns the entries [offset[i], offset[i + 1]); absent for flat columns */
  offset?: Uint32Array;
  /** for columns with nulls: entry -> whether it has a value; absent if every entry has one */
  present?: Uint8Array;
  /** definition level above which no value exists: for a column that is empty in every row */
  allNullAt?: number;
}

interface WrittenPage {
  offset: number;
  sizeBytes: number;
  firstRow: number;
  min: Uint8Array;
  max: Uint8Array;
  nulls: number;
  nullPage: boolean;
}
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

/** Creator, compression and page sizes of a written file. */
export interface ParquetOptions {
  createdBy: string;
  codec: number;
  level: number;
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
 * Writes row groups of columns: data page V2, page CRCs, and a column and an offset index for every column,
 * because v1's reader needs both.
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

  writeRowGroup(rows: number, columns: readonly ColumnSource[]): void {
    this.alike.clear();
    this.groups.push({ rows, chunks: columns.map((c) => this.chunk(rows, c)) });
    const { sink } = this.options;
    if (!sink) return;
    sink(this.out.finish());
    this.flushed += this.out.length;
    this.out.reset();
  }

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

  /** Writes indexes and footer. @returns the file, or the bytes that the sink did not receive */
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

/** Encoded levels of one page; empty if the column has none. */
interface Levels {
  /** number of entries of the page */
  count: number;
  /** number of entries that have a value */
  defined: number;
  rep: Uint8Array;
  def: Uint8Array;
}

const NO_LEVELS = new Uint8Array(0);

function encodeLevels(levels: Uint8Array, max: number): Uint8Array {
  const out = new ByteWriter(64);
  encodeHybrid(levels, levels.length, 32 - Math.clz32(max), out);
  return out.finish();
}

function pageLevels(s: ColumnSource, from: number, to: number, alike: Alike): Levels {
  if (s.maxDef === 0) return { count: to - from, defined: to - from, rep: NO_LEVELS, def: NO_LEVELS };
  if (s.offset) return listLevels(s, s.offset, from, to, alike);
  const count = to - from,
    def = new Uint8Array(count);
  let defined = 0;
  if (s.present)
    for (let i = from; i < to; i++) {
      const there = s.present[i]! ? 1 : 0;
      def[i - from] = s.maxDef - 1 + there;
      defined += there;
    }
  else {
    def.fill(s.allNullAt ?? s.maxDef);
    defined = s.allNullAt === undefined ? count : 0;
  }
  return { count, defined, rep: NO_LEVELS, def: encodeLevels(def, s.maxDef) };
}

/**
 * Cache of encoded levels: columns of one list share their repetition, and most are absent in the same
 * places. Offsets of a list -> rows and form -> encoded levels.
 */
type Alike = Map<Uint32Array, Map<string, Uint8Array>>;

function listLevels(s: ColumnSource, offset: Uint32Array, from: number, to: number, alike: Alike): Levels {
  const { maxDef, maxRep, allNullAt } = s,
    entries = offset[to]! - offset[from]!;
  const present = allNullAt === undefined ? s.present : undefined;
  let count = entries;
  // an empty list is an entry with repetition and definition 0
  for (let i = from; i < to; i++) if (offset[i] === offset[i + 1]) count++;
  let forms = alike.get(offset);
  if (!forms) alike.set(offset, (forms = new Map()));
  const once = (form: string, max: number, levels: () => Uint8Array): Uint8Array => {
    const key = `${from} ${to} ${form} ${32 - Math.clz32(max)}`;
    let bytes = forms.get(key);
    if (!bytes) forms.set(key, (bytes = encodeLevels(levels(), max)));
    return bytes;
  };
  const rep = once("rep", maxRep, () => {
    const out = new Uint8Array(count).fill(1);
    for (let i = from, at = 0; i < to; i++) {
      out[at] = 0;
      at += Math.max(1, offset[i + 1]! - offset[i]!);
    }
    return out;
  });
  const level = allNullAt ?? maxDef;
  const def = (): Uint8Array => {
    const out = new Uint8Array(count).fill(level);
    if (count > entries)
      for (let i = from, at = 0; i < to; i++) {
        const n = offset[i + 1]! - offset[i]!;
        if (n === 0) out[at] = 0;
        at += Math.max(1, n);
      }
    return out;
  };
  if (!present)
    return { count, defined: level === maxDef ? entries : 0, rep, def: once(`def ${level}`, maxDef, def) };
  const own = def();
  let defined = 0;
  for (let i = from, at = 0; i < to; i++) {
    const a = offset[i]!,
      b = offset[i + 1]!;
    for (let k = a; k < b; k++) {
      const there = present[k]! ? 1 : 0;
      own[at + k - a] = maxDef - 1 + there;
      defined += there;
    }
    at += Math.max(1, b - a);
  }
  return { count, defined, rep, def: encodeLevels(own, maxDef) };
}

function encodeValues(s: ColumnSource, from: number, to: number, out: ByteWriter): void {
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

/** Distinct values in order of first use, and the index of each value. */
function buildDictionary(s: ColumnSource): { index: Uint32Array; size: number; plain: Uint8Array } {
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

function minMax(s: ColumnSource, from: number, to: number): { min: Uint8Array; max: Uint8Array } {
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
 * allocation.
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
