import { ByteWriter, encodeUtf8 } from "@cinderblock/bytes";
import type { AnnotationSets } from "@cinderblock/model";
import { Codec, type ColumnSource, Encoding, ParquetWriter, PhysicalType } from "@cinderblock/parquet";
import { ColumnPath, DOWNSAMPLED_SCHEMA, PROFILE_SCHEMA } from "./schema.ts";

/**
 * Rows of `profiles.parquet` as columns, ascending by (seriesIndex, timeNanos). Row i owns samples
 * [sampleOffset[i], sampleOffset[i + 1]). Writers check neither order nor sums, and keep no reference to the
 * columns.
 *
 *   row    | id | seriesIndex | partition | totalValue | timeNanos | durationNanos | annotations.set |
 *             `-> sampleOffset -> sample | stacktraceId | value | spanId | hasSpan | traceId |
 */
export interface ProfileRows {
  /** number of rows; the columns of rows have at least this many entries */
  length: number;
  /** [rows * 16] row -> the 16 bytes of its profile ID, which all sample types of one profile share */
  id: Uint8Array;
  /** [rows] row -> ordinal of its series in index.tsdb */
  seriesIndex: Int32Array;
  /** [rows] row -> symbol partition, the bits of a u64 */
  partition: BigInt64Array;
  /** [rows] row -> sum of its samples' values */
  totalValue: BigInt64Array;
  /** [rows] row -> nanoseconds since 1970 */
  timeNanos: BigInt64Array;
  /** [rows] row -> nanoseconds; 0 is stored as null */
  durationNanos: BigInt64Array;
  /** [rows + 1] row -> first sample */
  sampleOffset: Uint32Array;
  /** [samples] sample -> node of the partition's stack tree; 0 for a sample without a stack */
  stacktraceId: Uint32Array;
  /** [samples] sample -> value above 0, in the unit of the series' profile type */
  value: BigInt64Array;
  /** [samples] sample -> span ID, its 8 bytes read little endian; absent if no row has spans */
  spanId?: BigInt64Array;
  /** [samples] sample -> 1 if its row has spans: a sample without one then stores 0, otherwise null */
  hasSpan?: Uint8Array;
  /** [samples * 16] sample -> 16 bytes; all zero is stored as null. Absent if no row has trace IDs */
  traceId?: Uint8Array;
  /** [rows] row -> its list in `sets`; absent if no row has annotations */
  annotations?: { set: Uint32Array; sets: AnnotationSets };
}

/** Maximum number of rows in a row group, as in v1. */
export const ROWS_PER_GROUP = 100_000;
const { INT32, INT64, BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY } = PhysicalType;
const { PLAIN, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, RLE_DICTIONARY } = Encoding;

/**
 * Page sizes that a streaming reader can hold for many files at once: 2 MiB of sample IDs, 2 MiB of values.
 * Bytes in the bucket per profile of the benchmark's load: 1,312 with 65,536 entries, 1,276 with 131,072,
 * 1,183 with these.
 */
const OPTIONS = { codec: Codec.ZSTD, level: 3, rowsPerPage: 8192, entriesPerPage: 262_144 };

/**
 * Encodes a whole table with zstd pages, which v1's readers accept
 * (docs/formats/profiles-parquet.md#compression). A table without rows has one empty row group.
 * @returns the file's bytes, and the number of row groups for `meta.json`
 */
export function encodeProfileTable(
  rows: ProfileRows,
  createdBy: string,
): { bytes: Uint8Array; rowGroups: number } {
  const writer = new ParquetWriter(PROFILE_SCHEMA, { createdBy, ...OPTIONS });
  for (let from = 0; from === 0 || from < rows.length; from += ROWS_PER_GROUP) {
    writer.writeRowGroup(
      Math.min(ROWS_PER_GROUP, rows.length - from),
      columnsOf(rows, from, Math.min(rows.length, from + ROWS_PER_GROUP)),
    );
  }
  return { bytes: writer.finish(), rowGroups: writer.rowGroups };
}

/**
 * Writes a table to a sink, row group by row group; the sink gets views that are valid during the call.
 * Memory is that of one row group.
 */
export class ProfileTableWriter {
  private readonly writer: ParquetWriter;
  private readonly sink: (bytes: Uint8Array) => void;
  constructor(createdBy: string, sink: (bytes: Uint8Array) => void) {
    this.sink = sink;
    this.writer = new ParquetWriter(PROFILE_SCHEMA, { createdBy, ...OPTIONS, sink });
  }
  /** Number of row groups written. */
  get rowGroups(): number {
    return this.writer.rowGroups;
  }
  /** Appends all rows as one row group; the caller keeps to ROWS_PER_GROUP. */
  write(rows: ProfileRows): void {
    this.writer.writeRowGroup(rows.length, columnsOf(rows, 0, rows.length));
  }
  /** Writes indexes and footer. */
  finish(): void {
    this.sink(this.writer.finish());
  }
}

/**
 * Rows of `profiles_5m_sum.parquet` and `profiles_1h_sum.parquet`: sums of a series' profiles by time bucket,
 * without IDs and spans, with the annotations of all its profiles.
 */
export type DownsampledRows = Pick<
  ProfileRows,
  | "length"
  | "seriesIndex"
  | "partition"
  | "totalValue"
  | "timeNanos"
  | "sampleOffset"
  | "stacktraceId"
  | "value"
  | "annotations"
>;

/** Writes a downsampled table, one row group per call; rules as for ProfileTableWriter. */
export class DownsampledTableWriter {
  private readonly writer: ParquetWriter;
  private readonly sink: (bytes: Uint8Array) => void;
  constructor(createdBy: string, sink: (bytes: Uint8Array) => void) {
    this.sink = sink;
    this.writer = new ParquetWriter(DOWNSAMPLED_SCHEMA, { createdBy, ...OPTIONS, sink });
  }
  get rowGroups(): number {
    return this.writer.rowGroups;
  }
  write(rows: DownsampledRows): void {
    this.writer.writeRowGroup(rows.length, downsampledColumns(rows));
  }
  finish(): void {
    this.sink(this.writer.finish());
  }
}

// A required column of the top level: one value per row, no levels.
function flatColumn(
  path: string,
  type: number,
  encoding: number,
  values: ColumnSource["values"],
  count: number,
  typeLength?: number,
): ColumnSource {
  return {
    path,
    type,
    encoding,
    maxDef: 0,
    maxRep: 0,
    values,
    count,
    ...(typeLength === undefined ? {} : { typeLength }),
  };
}

/**
 * Keys and values of the annotations of rows [from, to), as lists of equal length. They have a dictionary
 * only if there are annotations, which `mayHaveAnnotations` detects in the footer.
 */
function annotationColumns(r: Pick<ProfileRows, "annotations">, from: number, to: number): ColumnSource[] {
  const offset = new Uint32Array(to - from + 1),
    keys = new ByteWriter(64),
    values = new ByteWriter(256),
    keyOffset = [0],
    valueOffset = [0];
  for (let i = from; i < to; i++) {
    const list = r.annotations ? r.annotations.sets.annotationsAt(r.annotations.set[i]!) : [];
    for (const a of list) {
      keys.bytes(encodeUtf8(a.key));
      values.bytes(encodeUtf8(a.value));
      keyOffset.push(keys.length);
      valueOffset.push(values.length);
    }
    offset[i - from + 1] = offset[i - from]! + list.length;
  }
  const count = offset[to - from]!;
  const column = (path: string, bytes: ByteWriter, at: number[]): ColumnSource => ({
    path,
    type: BYTE_ARRAY,
    encoding: count > 0 ? RLE_DICTIONARY : DELTA_LENGTH_BYTE_ARRAY,
    maxDef: 1,
    maxRep: 1,
    values: { bytes: bytes.finish(), offset: Uint32Array.from(at) },
    count,
    offset,
  });
  return [
    column(ColumnPath.annotationKey, keys, keyOffset),
    column(ColumnPath.annotationValue, values, valueOffset),
  ];
}

function downsampledColumns(r: DownsampledRows): ColumnSource[] {
  const n = r.length,
    samples = r.sampleOffset[n]!;
  const offset = r.sampleOffset.subarray(0, n + 1);
  return [
    flatColumn(ColumnPath.seriesIndex, INT32, DELTA_BINARY_PACKED, r.seriesIndex.subarray(0, n), n),
    flatColumn(ColumnPath.partition, INT64, DELTA_BINARY_PACKED, r.partition.subarray(0, n), n),
    flatColumn(ColumnPath.totalValue, INT64, DELTA_BINARY_PACKED, r.totalValue.subarray(0, n), n),
    {
      path: ColumnPath.stacktraceId,
      type: INT64,
      encoding: PLAIN,
      maxDef: 1,
      maxRep: 1,
      values: widen(r.stacktraceId, 0, samples),
      count: samples,
      offset,
    },
    {
      path: ColumnPath.value,
      type: INT64,
      encoding: PLAIN,
      maxDef: 1,
      maxRep: 1,
      values: r.value.subarray(0, samples),
      count: samples,
      offset,
    },
    flatColumn(ColumnPath.timeNanos, INT64, PLAIN, r.timeNanos.subarray(0, n), n),
    ...annotationColumns(r, 0, n),
  ];
}

// All leaf columns of rows [from, to), in the order of PROFILE_SCHEMA. A definition level of 1 is an entry
// of the Samples list; its optional leaves reach 2, and Labels' leaves 2 and 3 below a list of their own.
function columnsOf(r: ProfileRows, from: number, to: number): ColumnSource[] {
  const n = to - from;
  const s0 = r.sampleOffset[from]!,
    s1 = r.sampleOffset[to]!;
  const offset = new Uint32Array(n + 1);
  for (let i = 0; i <= n; i++) offset[i] = r.sampleOffset[from + i]! - s0;
  const samples = s1 - s0;
  const none = new BigInt64Array(0);
  const flat = (
    path: string,
    type: number,
    encoding: number,
    values: ColumnSource["values"],
    typeLength?: number,
  ): ColumnSource => flatColumn(path, type, encoding, values, n, typeLength);
  // An optional column of the top level without any value.
  const nulls = (path: string, encoding: number): ColumnSource => ({
    path,
    type: INT64,
    encoding,
    maxDef: 1,
    maxRep: 0,
    values: none,
    count: 0,
    allNullAt: 0,
  });
  // A leaf of the Labels list inside of each sample, always empty: one entry per sample, which ends at
  // level 1.
  const label = (name: string, maxDef: number): ColumnSource => ({
    path: `Samples.list.element.Labels.list.element.${name}`,
    type: INT64,
    encoding: DELTA_BINARY_PACKED,
    maxDef,
    maxRep: 2,
    values: none,
    count: 0,
    offset,
    allNullAt: 1,
  });

  const duration = r.durationNanos.subarray(from, to);
  const hasDuration = new Uint8Array(n);
  for (let i = 0; i < n; i++) hasDuration[i] = duration[i] === 0n ? 0 : 1;
  return [
    flat(ColumnPath.id, FIXED_LEN_BYTE_ARRAY, PLAIN, r.id.subarray(from * 16, to * 16), 16),
    flat(ColumnPath.seriesIndex, INT32, DELTA_BINARY_PACKED, r.seriesIndex.subarray(from, to)),
    flat(ColumnPath.partition, INT64, DELTA_BINARY_PACKED, r.partition.subarray(from, to)),
    flat(ColumnPath.totalValue, INT64, DELTA_BINARY_PACKED, r.totalValue.subarray(from, to)),
    {
      path: ColumnPath.stacktraceId,
      type: INT64,
      encoding: PLAIN,
      maxDef: 1,
      maxRep: 1,
      values: widen(r.stacktraceId, s0, s1),
      count: samples,
      offset,
    },
    {
      path: ColumnPath.value,
      type: INT64,
      encoding: PLAIN,
      maxDef: 1,
      maxRep: 1,
      values: r.value.subarray(s0, s1),
      count: samples,
      offset,
    },
    label("Key", 2),
    label("Str", 3),
    label("Num", 3),
    label("NumUnit", 3),
    spans(r, s0, s1, offset),
    traces(r, s0, s1, offset),
    nulls("DropFrames", DELTA_BINARY_PACKED),
    nulls("KeepFrames", DELTA_BINARY_PACKED),
    flat(ColumnPath.timeNanos, INT64, PLAIN, r.timeNanos.subarray(from, to)),
    {
      path: ColumnPath.durationNanos,
      type: INT64,
      encoding: PLAIN,
      maxDef: 1,
      maxRep: 0,
      ...compact(duration, hasDuration),
      present: hasDuration,
    },
    nulls("Period", PLAIN),
    {
      path: "Comments.list.element",
      type: INT64,
      encoding: DELTA_BINARY_PACKED,
      maxDef: 1,
      maxRep: 1,
      values: none,
      count: 0,
      offset: new Uint32Array(n + 1),
    },
    nulls("DefaultSampleType", PLAIN),
    ...annotationColumns(r, from, to),
  ];
}

/** Widens stacktrace IDs to int64, as the schema requires. */
function widen(ids: Uint32Array, from: number, to: number): BigInt64Array {
  const out = new BigInt64Array(to - from);
  const words = new Uint32Array(out.buffer);
  for (let i = from; i < to; i++) words[2 * (i - from)] = ids[i]!;
  return out;
}

// Parquet stores no values for nulls: only the present ones, in order.
function compact(values: BigInt64Array, present: Uint8Array): { values: BigInt64Array; count: number } {
  const out = new BigInt64Array(values.length);
  let at = 0;
  for (let i = 0; i < values.length; i++) if (present[i]) out[at++] = values[i]!;
  return { values: out.subarray(0, at), count: at };
}

// With a dictionary, as in v1: all samples of one span repeat its ID.
function spans(r: ProfileRows, s0: number, s1: number, offset: Uint32Array): ColumnSource {
  const base = {
    path: ColumnPath.spanId,
    type: INT64,
    encoding: RLE_DICTIONARY,
    maxDef: 2,
    maxRep: 1,
    offset,
  };
  if (!r.spanId || !r.hasSpan) return { ...base, values: new BigInt64Array(0), count: 0, allNullAt: 1 };
  const present = r.hasSpan.subarray(s0, s1);
  return { ...base, ...compact(r.spanId.subarray(s0, s1), present), present };
}

// Like spans; presence follows from the bytes, because an all-zero trace ID is invalid in W3C Trace
// Context.
function traces(r: ProfileRows, s0: number, s1: number, offset: Uint32Array): ColumnSource {
  const base = {
    path: ColumnPath.traceId,
    type: FIXED_LEN_BYTE_ARRAY,
    typeLength: 16,
    encoding: RLE_DICTIONARY,
    maxDef: 2,
    maxRep: 1,
    offset,
  };
  if (!r.traceId) return { ...base, values: new Uint8Array(0), count: 0, allNullAt: 1 };
  const present = new Uint8Array(s1 - s0);
  const out = new Uint8Array((s1 - s0) * 16);
  let at = 0;
  for (let i = s0; i < s1; i++) {
    const id = r.traceId.subarray(i * 16, i * 16 + 16);
    if (id.every((b) => b === 0)) continue;
    present[i - s0] = 1;
    out.set(id, 16 * at++);
  }
  return { ...base, values: out.subarray(0, at * 16), count: at, present };
}
