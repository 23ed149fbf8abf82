import type { BlockMeta } from "@cinderblock/block-meta";
import type { ShardStats } from "@cinderblock/head";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import type { IngestLimits } from "@cinderblock/tenant";
import type {
  BlockInfo,
  ExecuteAnswer,
  Exclusions,
  LabelAnswer,
  LabelAsk,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceQuery,
} from "@cinderblock/query";

/** What a thread reads at its start beside its own log. */
export interface ShardReplay {
  /** number of threads */
  count: number;
  /** shards that no thread has any more, whose heads this one takes over */
  orphans: readonly number[];
  /** shards whose logs are read for baselines, since the number of threads changed */
  baselinesOf: readonly number[];
  /** shard -> its segments up to this one hold baselines that were taken over before */
  retired: Readonly<Record<number, number>>;
}

export interface IngestWorkerData {
  shard: number;
  replay: ShardReplay;
  dataPath: string;
  windowMs: number;
  headBytes: number;
  logBytes: number;
  segmentBytes: number;
  idleMs: number;
  sync: boolean;
  /** where bodies of pushes lie */
  bodies: SharedArrayBuffer;
  /** shard -> thousandths of its heads' share that are in use, written by its worker */
  pressure: SharedArrayBuffer;
  /** what threads and owner know of the disk (`DiskUsage`), and the file that makes room on it */
  disk: SharedArrayBuffer;
  ballast: string;
  /** names of native frames; absent: they have none */
  symbols: SymbolizerData | undefined;
}

/**
 * `settings` come with a tenant's first push to a worker, and when they changed. With `at` the body lies in the shared
 * bodies, `length` bytes from there, and `push.body` is empty. `nowMs` is when the push was taken, if that was not now.
 * With `learn` it is stored elsewhere: its cumulative profiles are what the next ones are compared with, and that is all.
 */
export interface PushCall {
  tenant: string;
  /** what chose this thread: baselines keep it */
  route: string;
  push: RawPush;
  at: number | undefined;
  length: number;
  nowMs?: number;
  learn?: true;
  settings?: {
    limits: IngestLimits;
    gate: SharedArrayBuffer;
    /** the tenant's active series in all threads */
    series: SharedArrayBuffer;
  };
}
export interface ReplayLine {
  records: number;
  rows: number;
  seconds: number;
  segments: number;
  damaged: { segment: number; offset: number; bytes: number }[];
  tornBytes: number;
  lostSymbols: number;
}

/** A question about heads. */
interface HeadsCall {
  tenant: string;
  ulids: readonly string[];
  /** [0] becomes 1 when no caller waits for the answer anymore */
  stop?: Int32Array | undefined;
}

/** Methods of an ingest worker. */
export interface IngestWorkerMethods {
  replay(): ReplayLine;
  /** takes the baselines that other threads' logs hold of this thread's series; resolves when they are in its log */
  adoptBaselines(): Promise<number>;
  /** drops baselines that other threads have adopted */
  dropForeignBaselines(): Promise<number>;
  push(call: PushCall): Promise<PushAnswer>;
  /** active series of all tenants, by their hashes */
  activeSeries(): { tenant: string; series: BigUint64Array }[];
  /** tenants and services with baselines of cumulative profiles */
  baselineServices(): { tenant: string; service: string }[];
  forgetBaselines(services: readonly { tenant: string; service: string }[]): Promise<number>;
  /** all tenants, or one */
  flush(tenant: string | undefined): Promise<void>;
  blocks(call: { tenant: string; startMs: number; endMs: number }): BlockInfo[];
  tenants(): string[];
  execute(call: HeadsCall & { query: SourceQuery; exclude: Exclusions }): Promise<ExecuteAnswer>;
  ranges(call: HeadsCall & { select: SelectRequest }): Promise<SeriesRanges[]>;
  times(call: HeadsCall & { select: SelectRequest }): Promise<RowTimes[]>;
  keys(call: HeadsCall & { select: SelectRequest }): Promise<RowKeys[]>;
  labels(call: HeadsCall & { ask: LabelAsk }): Promise<LabelAnswer & { missing: string[] }>;
  stats(): ShardStats;
  close(): Promise<void>;
}

/** Sent by a worker when a head became a block. */
export interface BlockNotice {
  tenant: string;
  meta: BlockMeta;
}

/** Sent by a worker when a write found no room, and, without a reason, when writes go on. */
export interface UnwritableNotice {
  operation: "log" | "block";
  reason: string | undefined;
}
