import type { Pace } from "@cinderblock/async";
import type { Labels, Selector } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";
import type { FlameIndex } from "./flame-index.ts";
import type { LabelIndex } from "./label-index.ts";
import type { RowSource } from "./rows.ts";

/** A series of a source, with the exact times of its first and last profile. */
export interface SourceSeries {
  labels: Labels;
  fingerprint: bigint;
  minTimeNanos: bigint;
  maxTimeNanos: bigint;
}

/** Series, and the index of their labels. */
export interface IndexedSeries {
  readonly series: readonly SourceSeries[];
  readonly labelIndex: LabelIndex;
}

/** Labels of a source that may be on disk or in a bucket: reads what a label question needs. */
export interface LabelSource {
  /** bounds of the times of all series */
  readonly minTimeNanos: bigint;
  readonly maxTimeNanos: bigint;
  /** names of all series' labels, or values of one; undefined if `seriesFor` knows them without a read */
  list(name?: string): Promise<readonly string[] | undefined>;
  /** at least all series that one of the selectors matches; without selectors: all series */
  seriesFor(selectors: readonly Selector[], pace: Pace): Promise<IndexedSeries>;
}

/** Sums of a block's rows over fixed spans of time: one row per span, whose time is the start of the span. */
export interface DownsampledTable {
  nanos: bigint;
  rows: RowSource;
}

/** Form of a source. A head and its block have one ULID and the same rows in different orders. */
export type SourceForm = "head" | "block";

/** A source of profiles of one tenant: a head in memory, or a block. */
export interface ProfileSource extends RowSource, IndexedSeries {
  readonly ulid: string;
  readonly form: SourceForm;
  /** current number of rows */
  readonly rowCount: number;
  /** whether stacks without any named frame count in call trees, because the answer says why they have none */
  readonly countsUnnamed?: boolean;
  /** downsampled tables, widest first */
  readonly coarse: readonly DownsampledTable[];
  /** symbols of a partition, by its index */
  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }>;
  /**
   * Adds `bytes` to the memory that is held as long as the source: owners that close sources for memory count
   * them.
   */
  addHeldBytes?(bytes: number): void;
}
