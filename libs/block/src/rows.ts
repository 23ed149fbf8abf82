import type { AnnotationSets } from "@cinderblock/model";

/**
 * Rows of a head or a block as columns: what queries scan. Row i owns samples [sampleStart[i], sampleEnd[i]).
 * Columns may be longer than what is in use.
 */
export interface RowTable {
  timeNanos: BigInt64Array;
  totalValue: BigInt64Array;
  /** row -> position in the source's list of symbol partitions */
  partition: Uint32Array;
  sampleStart: Uint32Array;
  sampleEnd: Uint32Array;
  /** sample -> stack node of the row's symbol partition; 0 for a sample without a stack */
  stacktraceId: Uint32Array;
  value: BigInt64Array;
  /** row -> first entry of `spans`, or -1; sample k of the row has the words spans[2 * (spanStart + k)] */
  spanStart: Int32Array;
  spans: Uint32Array;
  /** the same for trace ids, of four words each, as their 16 bytes lie: traces[4 * (traceStart + k)] */
  traceStart: Int32Array;
  traces: Uint32Array;
  /** row -> 16 bytes */
  id: Uint8Array;
  /** row -> its list of `annotations` */
  annotation: Uint32Array;
  annotations: AnnotationSets;
}

/** Which columns a question needs; blocks load no others. */
export type RowColumns = "keys" | "totals" | "samples" | "spans" | "traces" | "ids" | "annotations";

/** Rows that are asked for: ascending within each list. */
export type WantedRows = readonly { rows: Uint32Array }[];

/** Where rows come from: a head, a block's table, or one of its downsampled tables. */
export interface RowSource {
  /** rows of series `index` with a time in [start, end], both inclusive, in a stable order; the keys must be loaded */
  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array;
  /**
   * Loads the columns that `need` names. Samples, spans and traces are there for the rows in `wanted` (all, without it); the
   * table stays valid for them whatever is loaded or released later.
   */
  load(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable>;
  /** rows whose samples may be in memory at once; Infinity where they are there anyway */
  readonly batchRows: number;
  /** forgets samples that were loaded */
  release(): void;
}
