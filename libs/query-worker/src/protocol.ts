import type { SampleTable, TreeFormat } from "@cinderblock/exports/formats";
import type { Unit } from "@cinderblock/flame";
import type { BucketSpec } from "@cinderblock/objstore";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import type {
  ExecuteAnswer,
  HeatmapRequest,
  StackFilter,
  TablePage,
  LabelAnswer,
  LabelAsk,
  PartialResult,
  SelectRequest,
  SeriesRanges,
  SourceQuery,
  Exclusions,
  RowKeys,
  RowTimes,
} from "@cinderblock/query";

/** Where blocks lie: the shared bucket, or the ingester's own data directory. */
export type Root = "bucket" | "local";

/** How a worker reaches both roots. */
export interface QueryWorkerData {
  bucket: BucketSpec;
  localDirectory: string;
  /** decoded columns and symbols in memory */
  cacheBytes: number;
  /** blocks that nobody asked for are closed after so long */
  idleMs: number;
  /** parts of far files on disk; absent: none are kept */
  disk: { dir: string; bytes: number; counters: SharedArrayBuffer } | undefined;
  /** names of native frames; absent: they have none */
  symbols: SymbolizerData | undefined;
}
/** A thread's own data: which of how many it is. */
export interface QueryThreadData extends QueryWorkerData {
  index: number;
  count: number;
}

/** Stops work in another thread. */
export interface Stoppable {
  /** [0] becomes 1 when no caller waits for the answer anymore; looked at between blocks and between time slices */
  stop?: Int32Array | undefined;
}
export interface BlocksCall extends Stoppable {
  root: Root;
  tenant: string;
  ulids: readonly string[];
}

/** One selection, or two that are compared, and which of their stacks count. */
export interface Sides {
  parts: PartialResult[];
  base: PartialResult[] | undefined;
  filter: StackFilter;
  baseFilter: StackFilter;
}

/** Final forms of merged results. */
export type RenderCall =
  | (Sides & { kind: "call-tree"; maxNodes: number })
  | (Sides & { kind: "functions"; page: TablePage })
  | { kind: "heatmap"; parts: PartialResult[]; startMs: number; endMs: number; columns: number; rows: number }
  | (Sides & { kind: "neighbours"; name: string; maxNodes: number })
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

/** Answers as files; their libraries are loaded when the first is asked for. */
export type ExportCall =
  | (Sides & { kind: "tree"; format: TreeFormat; title: string; unit: Unit; atMs: number })
  | { kind: "otlp"; pprof: Uint8Array; service: string }
  /** a piece of an Arrow stream */
  | { kind: "samples"; parts: PartialResult[]; table: SampleTable; first: boolean; last: boolean }
  /** an Arrow stream as a Parquet file */
  | { kind: "parquet"; stream: Uint8Array };

/** One file, or two that are compared; without a type the first one that they have. */
export interface FilesCall {
  files: { name: string; bytes: Uint8Array }[];
  type: string | undefined;
  maxNodes: number;
  limitBytes: number;
}
/** What is in them, and v1's flamebearer of one type as JSON. */
export interface FilesAnswer {
  types: string[];
  type: string;
  flamebearer: string;
}

export type Levels = {
  names: string[];
  levels: (number | bigint)[][];
  total: bigint;
  maxSelf: bigint;
  leftTotal: bigint;
  rightTotal: bigint;
};
export type RenderAnswer = { bytes: Uint8Array } | { levels: Levels } | { empty: true };

/** Methods of the worker. */
export interface QueryWorkerMethods {
  execute(call: BlocksCall & { query: SourceQuery; exclude: Exclusions }): Promise<ExecuteAnswer>;
  ranges(call: BlocksCall & { select: SelectRequest }): Promise<SeriesRanges[]>;
  times(call: BlocksCall & { select: SelectRequest }): Promise<RowTimes[]>;
  keys(call: BlocksCall & { select: SelectRequest }): Promise<RowKeys[]>;
  labels(call: BlocksCall & { ask: LabelAsk }): Promise<LabelAnswer & { missing: string[] }>;
  render(call: RenderCall & Stoppable): Promise<RenderAnswer>;
  /** rows: of a piece of a table, else 0 */
  export(call: ExportCall & Stoppable): Promise<{ bytes: Uint8Array; rows: number }>;
  files(call: FilesCall): Promise<FilesAnswer>;
  forget(call: BlocksCall): void;
}
