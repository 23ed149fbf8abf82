import { bool, type ConfigOf, duration, float, int, str } from "@cinderblock/config";
import { type CommonConfig, commonSchema, type Resources } from "@cinderblock/runtime";
import type { IngesterConfig } from "./ingester.ts";

/** Flags of the ingester. */
const ingesterSection = {
  numTokens: int(
    "ingester.num-tokens",
    "ingester.lifecycler.num_tokens",
    128,
    "Points of an ingester on the ring.",
    { min: 1 },
  ),
  tokensFile: str(
    "ingester.tokens-file-path",
    "ingester.lifecycler.tokens_file_path",
    "",
    "Where an ingester keeps its tokens; empty: ring-tokens.json in the data path.",
  ),
  kafkaLearn: duration(
    "ingester.kafka-learn-period",
    undefined,
    "10m",
    "How far before its committed offset a new owner of a partition reads, to know the last cumulative profile of each series. At least the longest pause between two pushes of an agent.",
  ),
  headIdle: duration(
    "pyroscopedb.head-idle",
    "pyroscopedb.head_idle",
    "5m",
    "A head whose window is over is cut after this much time without a write.",
  ),
  segmentMb: int("pyroscopedb.log-segment-mb", "pyroscopedb.log_segment_mb", 16, "Size of a log segment.", {
    min: 1,
  }),
  logMb: int(
    "pyroscopedb.log-limit-mb",
    "pyroscopedb.log_limit_mb",
    256,
    "Size of the log on the disk, without the baselines of cumulative series; beyond it the heads that hold the oldest segment are cut. Bounds the replay.",
    { min: 1 },
  ),
  localBudget: int(
    "pyroscopedb.local-budget-bytes",
    "pyroscopedb.local_budget_bytes",
    0,
    "Blocks that may wait for the bucket before pushes get 429; 0: bounded by the disk only.",
    { min: 0 },
  ),
  shipInterval: duration(
    "pyroscopedb.ship-interval",
    "pyroscopedb.ship_interval",
    "5m",
    "How often the local blocks are looked over for uploads; a new block is uploaded at once.",
  ),
  minFreeDiskGb: int(
    "pyroscopedb.retention-policy-min-free-disk-gb",
    "pyroscopedb.min_free_disk_gb",
    10,
    "Free disk below which shipped local blocks go early.",
    { min: 0 },
  ),
  minDiskAvailable: float(
    "pyroscopedb.retention-policy-min-disk-available-percentage",
    "pyroscopedb.min_disk_available_percentage",
    0.05,
    "Free share of the disk below which shipped local blocks go early.",
  ),
  diskBallastMb: int(
    "pyroscopedb.disk-ballast-mb",
    "pyroscopedb.disk_ballast_mb",
    64,
    "Size of a file in the data path that is removed when the disk is full, so that log, cuts and uploads can go on; at most 2% of the disk. 0: none.",
    { min: 0 },
  ),
  retentionInterval: duration(
    "pyroscopedb.retention-policy-enforcement-interval",
    "pyroscopedb.enforcement_interval",
    "5m",
    "How often the disk is looked at; at least every 10s here.",
  ),
  retentionDisabled: bool(
    "pyroscopedb.retention-policy-disable",
    "pyroscopedb.disable_enforcement",
    false,
    "Never remove local blocks.",
  ),
  logSync: bool(
    "pyroscopedb.log-sync",
    "pyroscopedb.log_sync",
    true,
    "Sync the log before a push is acknowledged. Only tests turn it off.",
  ),
  ingestWorkers: int(
    "ingester.workers",
    "ingester.workers",
    0,
    "Ingest threads; 0: one less than there are cores. Heads are sharded over them by service.",
    { min: 0 },
  ),
  queryStoreAfter: duration(
    "querier.query-store-after",
    "querier.query_store_after",
    "4h",
    "Age after which a local block that the bucket answers for is removed.",
  ),
};

export const ingesterSchema = { ...commonSchema, ...ingesterSection };
export type IngesterComponentConfig = CommonConfig & ConfigOf<typeof ingesterSection>;

export function ingesterConfigOf(
  c: IngesterComponentConfig,
  { budgets, symbols, spec }: Resources,
): IngesterConfig {
  return {
    dataPath: c.dataPath,
    workers: c.ingestWorkers,
    windowMs: Math.max(5000, c.maxBlockDuration),
    headBytes: budgets.heads,
    logBytes: c.logMb * 1048576,
    segmentBytes: c.segmentMb * 1048576,
    idleMs: c.headIdle,
    localBudgetBytes: c.localBudget,
    retentionMs: c.queryStoreAfter,
    ballastBytes: c.diskBallastMb * 1048576,
    bucketDirectory: spec.backend === "filesystem" ? spec.directory : undefined,
    minFreeDiskBytes: c.minFreeDiskGb * 1024 ** 3,
    minDiskAvailable: c.minDiskAvailable,
    retentionDisabled: c.retentionDisabled,
    retentionIntervalMs: c.retentionInterval,
    sync: c.logSync,
    symbols,
  };
}
