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
  /** row -> 16 bytes */
  id: Uint8Array;
}

/** Which columns a question needs; blocks load no others. */
export type RowColumns = "totals" | "samples" | "spans" | "ids";
