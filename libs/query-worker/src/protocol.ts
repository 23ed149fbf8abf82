import type { SampleTable, TreeFormat } from "@cinderblock/exports/formats";
import type { Unit } from "@cinderblock/flame";
import type { BucketSpec } from "@cinderblock/objstore";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import type {
  ExecuteAnswer,
  HeatmapRequest,
  TimelineRequest,
  StackFilter,
  FunctionTablePage,
  LabelAnswer,
  LabelRequest,
  PartialResult,
  SelectRequest,
  SeriesRanges,
  SourceQuery,
  Exclusions,
  RowKeys,
  RowTimes,
} from "@cinderblock/query";

/** Location of blocks: the shared bucket, or the ingester's data directory. */
export type BlockLocation = "bucket" | "local";

/** Configuration that a worker needs to read from both roots. */
export interface QueryWorkerData {
  bucket: BucketSpec;
  localDirectory: string;
  /** bytes for decoded columns and symbols in memory */
  cacheBytes: number;
  /** idle time after which blocks are closed, in milliseconds */
  idleMs: number;
  /** disk cache for files of the bucket; absent: no cache */
  disk: { dir: string; bytes: number; counters: SharedArrayBuffer } | undefined;
  /** symbolizer for native frames; absent: they stay without names */
  symbols: SymbolizerData | undefined;
}
/** Data of one thread: its index among `count` threads. */
export interface QueryThreadData extends QueryWorkerData {
  index: number;
  count: number;
}

/** A call that another thread can stop. */
export interface StoppableCall {
  /** [0] becomes 1 when no caller waits for the answer; checked between blocks and between time slices */
  stop?: Int32Array | undefined;
}
/** Blocks of a tenant below a root. */
export interface BlocksCall extends StoppableCall {
  root: BlockLocation;
  tenant: string;
  ulids: readonly string[];
}

/** One selection, or two to compare, with a stack filter for each. */
export interface ComparisonInput {
  parts: PartialResult[];
  base: PartialResult[] | undefined;
  filter: StackFilter;
  baseFilter: StackFilter;
}

/** Merges of partial results, by final form. */
export type RenderCall =
  | (ComparisonInput & { kind: "call-tree"; maxNodes: number })
  | (ComparisonInput & { kind: "functions"; page: FunctionTablePage })
  | { kind: "heatmap"; parts: PartialResult[]; startMs: number; endMs: number; columns: number; rows: number }
  | ({ kind: "timeline"; parts: PartialResult[] } & TimelineRequest)
  | (ComparisonInput & { kind: "neighbours"; name: string; maxNodes: number })
  | { kind: "function-lines"; parts: PartialResult[]; name: string; filter: StackFilter }
  | ({ kind: "select-heatmap"; parts: PartialResult[] } & HeatmapRequest)
  | {
      kind: "flame";
      parts: PartialResult[];
      callSite: string[];
      maxNodes: number;
      as: "proto" | "levels" | "flamebearer";
    }
  | { kind: "tree"; parts: PartialResult[]; callSite: string[]; maxNodes: number }
  | {
      kind: "diff";
      left: PartialResult[];
      right: PartialResult[];
      callSite: [left: string[], right: string[]];
      maxNodes: number;
      as: "proto" | "levels" | "flamebearer";
    }
  | {
      kind: "pprof";
      parts: PartialResult[];
      sampleType: { type: string; unit: string };
      periodType: { type: string; unit: string };
      period: bigint;
      timeNanos: bigint;
      durationNanos: bigint;
      maxNodes: number;
      goPgo?: { keepLocations: number; aggregateCallees: boolean };
    };

/** Answers as files; the encoder libraries are loaded on first use. */
export type ExportCall =
  | (ComparisonInput & { kind: "tree"; format: TreeFormat; title: string; unit: Unit; atMs: number })
  | { kind: "otlp"; pprof: Uint8Array; service: string }
  /** one piece of an Arrow stream */
  | { kind: "samples"; parts: PartialResult[]; table: SampleTable; first: boolean; last: boolean }
  /** converts an Arrow stream to a Parquet file */
  | { kind: "parquet"; stream: Uint8Array };

/** One file, or two to compare; without a type, the first type that they share. */
export interface FilesCall {
  files: { name: string; bytes: Uint8Array }[];
  type: string | undefined;
  maxNodes: number;
  limitBytes: number;
}
/** Types in the files, and v1's flamebearer of one type as JSON. */
export interface FilesAnswer {
  types: string[];
  type: string;
  flamebearer: string;
}

/** Levels of a flame graph, with the totals of both sides of a comparison. */
export type RenderedLevels = {
  names: string[];
  levels: (number | bigint)[][];
  total: bigint;
  maxSelf: bigint;
  leftTotal: bigint;
  rightTotal: bigint;
};
/** Rendered answer: encoded bytes, flame graph levels, or no data. */
export type RenderAnswer = { bytes: Uint8Array } | { levels: RenderedLevels } | { empty: true };

/** Methods of a query worker. */
export interface QueryWorkerMethods {
  execute(call: BlocksCall & { query: SourceQuery; exclude: Exclusions }): Promise<ExecuteAnswer>;
  ranges(call: BlocksCall & { select: SelectRequest }): Promise<SeriesRanges[]>;
  times(call: BlocksCall & { select: SelectRequest }): Promise<RowTimes[]>;
  keys(call: BlocksCall & { select: SelectRequest }): Promise<RowKeys[]>;
  labels(call: BlocksCall & { ask: LabelRequest }): Promise<LabelAnswer & { missing: string[] }>;
  render(call: RenderCall & StoppableCall): Promise<RenderAnswer>;
  /** `rows`: number of rows in a piece of a table, otherwise 0 */
  export(call: ExportCall & StoppableCall): Promise<{ bytes: Uint8Array; rows: number }>;
  files(call: FilesCall): Promise<FilesAnswer>;
  forget(call: BlocksCall): void;
}
