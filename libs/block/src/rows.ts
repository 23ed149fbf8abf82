import type { AnnotationSets } from "@cinderblock/model";

/**
 * Rows of a head or a block as columns, the input of queries. Row i owns samples [sampleStart[i],
 * sampleEnd[i]). Columns may be longer than their used part. Columns that no query asked for yet may be
 * absent.
 *
 *   row    | timeNanos | partition | totalValue | sampleStart, sampleEnd | spanStart | traceStart | id |
 *   sample | stacktraceId | value | spans: 2 words | traces: 4 words |
 */
export interface RowTable {
  /** [rows] row -> nanoseconds since 1970 */
  timeNanos: BigInt64Array;
  /** [rows] row -> sum of its samples */
  totalValue: BigInt64Array;
  /** row -> index in the source's list of symbol partitions */
  partition: Uint32Array;
  sampleStart: Uint32Array;
  sampleEnd: Uint32Array;
  /** sample -> stack node of the row's symbol partition; 0 for a sample without a stack */
  stacktraceId: Uint32Array;
  value: BigInt64Array;
  /**
   * [rows] row -> first entry of `spans`, or -1; sample k of the row has the words spans[2 * (spanStart + k)]
   */
  spanStart: Int32Array;
  spans: Uint32Array;
  /**
   * row -> first entry of `traces`, or -1; sample k has the four words traces[4 * (traceStart + k)], in the
   * order of the 16 bytes of its trace ID
   */
  traceStart: Int32Array;
  traces: Uint32Array;
  /** row -> the 16 bytes of its profile ID */
  id: Uint8Array;
  /** row -> its list in `annotations` */
  annotation: Uint32Array;
  annotations: AnnotationSets;
}

/** Columns that a query needs; blocks load only these. */
export type RowColumns = "keys" | "totals" | "samples" | "spans" | "traces" | "ids" | "annotations";

/** Rows to load, ascending within each list. */
export type WantedRows = readonly { rows: Uint32Array }[];

/** A source of rows: a head, a block's table, or one of its downsampled tables. */
export interface RowSource {
  /**
   * rows of series `index` with a time in [start, end], both inclusive, in a stable order; load the keys
   * first
   */
  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array;
  /**
   * Loads the columns in `need`. Samples, spans and traces are loaded for the rows in `wanted` (without it,
   * for all rows). The returned table stays valid for these rows, whatever is loaded or released later.
   */
  load(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable>;
  /** maximum rows whose samples are in memory at once; Infinity if all samples are in memory anyway */
  readonly batchRows: number;
  /** releases loaded samples */
  release(): void;
}
