import type { BlockMeta } from "@cinderblock/block-meta";
import type { BaselineService, ShardStats } from "@cinderblock/head";
import type { PushAnswer, PushOrigin, RawPush } from "@cinderblock/ingest";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import type { IngestLimits } from "@cinderblock/tenant";
import type {
  BlockInfo,
  ExecuteAnswer,
  Exclusions,
  LabelAnswer,
  LabelRequest,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceQuery,
} from "@cinderblock/query";

/** Logs that a thread replays in addition to its own. */
export interface ShardReplay {
  /** number of ingest threads */
  count: number;
  /** shards without a thread whose heads this thread takes over */
  orphans: readonly number[];
  /** shards whose logs are read for baselines, because the number of threads changed */
  baselinesOf: readonly number[];
  /** shard -> its last segment whose baselines were adopted before */
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
  /** shared memory for the bodies of pushes */
  bodies: SharedArrayBuffer;
  /** shard -> used thousandths of the memory for its heads; each worker writes its own */
  pressure: SharedArrayBuffer;
  /** shared disk counters (`DiskCounters`), and the path of the ballast file */
  disk: SharedArrayBuffer;
  ballast: string;
  /** names native frames; absent: native frames stay unnamed */
  symbols: SymbolizerData | undefined;
}

/**
 * `settings` are present in a tenant's first push to a worker, and after they changed. With `at`, the body is
 * in the shared memory, `length` bytes from there, and `push.body` is empty. `nowMs` is the time of receipt,
 * if not now. With `learn`, another ingester stores the push: the worker only updates its baselines.
 */
export interface PushCall {
  tenant: string;
  /** routing key that chose this thread; baselines keep it */
  route: string;
  push: RawPush;
  at: number | undefined;
  length: number;
  nowMs?: number;
  learn?: true;
  /** Kafka partition of the push; absent: a direct push, or a push that names no service */
  origin?: PushOrigin;
  settings?: {
    limits: IngestLimits;
    gate: SharedArrayBuffer;
    /** active series of the tenant in all threads */
    series: SharedArrayBuffer;
  };
}
interface ReplayLine {
  records: number;
  rows: number;
  seconds: number;
  segments: number;
  damaged: { segment: number; offset: number; bytes: number }[];
  tornBytes: number;
  lostSymbols: number;
}

/** A query of heads. */
interface HeadsCall {
  tenant: string;
  ulids: readonly string[];
  /** [0] becomes 1 when the caller no longer waits for the answer */
  stop?: Int32Array | undefined;
}

/** Methods of an ingest worker. */
export interface IngestWorkerMethods {
  replay(): ReplayLine;
  /** adopts this thread's baselines from other threads' logs; resolves when they are in this thread's log */
  adoptBaselines(): Promise<number>;
  /** drops baselines that other threads have adopted */
  dropForeignBaselines(): Promise<number>;
  push(call: PushCall): Promise<PushAnswer>;
  /** active series of all tenants, by hash */
  activeSeries(): { tenant: string; series: BigUint64Array }[];
  /** tenants, services and Kafka partitions with baselines of cumulative profiles */
  baselineServices(): BaselineService[];
  forgetBaselines(services: readonly BaselineService[]): Promise<number>;
  /** cuts the heads of one tenant; undefined: of all tenants */
  flush(tenant: string | undefined): Promise<void>;
  blocks(call: { tenant: string; startMs: number; endMs: number }): BlockInfo[];
  tenants(): string[];
  execute(call: HeadsCall & { query: SourceQuery; exclude: Exclusions }): Promise<ExecuteAnswer>;
  ranges(call: HeadsCall & { select: SelectRequest }): Promise<SeriesRanges[]>;
  times(call: HeadsCall & { select: SelectRequest }): Promise<RowTimes[]>;
  keys(call: HeadsCall & { select: SelectRequest }): Promise<RowKeys[]>;
  labels(call: HeadsCall & { ask: LabelRequest }): Promise<LabelAnswer & { missing: string[] }>;
  stats(): ShardStats;
  close(): Promise<void>;
}

/** Notices of an ingest worker to the main thread. */
export interface IngestWorkerNotices {
  /** a head became a block */
  block(notice: { tenant: string; meta: BlockMeta }): void;
  /** replayed segments, during the replay */
  progress(notice: { done: number; total: number }): void;
  /** a write found no disk space, or, without a reason, writes succeed again */
  unwritable(notice: { operation: "log" | "block"; reason: string | undefined }): void;
  /** the log can no longer be trusted: the process must end and replay it */
  failed(reason: string): void;
}
