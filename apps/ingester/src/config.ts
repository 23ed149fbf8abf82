import { bool, type ConfigOf, duration, float, int, str } from "@cinderblock/config";
import { type CommonConfig, commonSchema, type Resources } from "@cinderblock/runtime";
import type { IngesterConfig } from "./ingester.ts";

/** Flags of the ingester. */
const ingesterSection = {
  numTokens: int(
    "ingester.num-tokens",
    "ingester.lifecycler.num_tokens",
    128,
    "Number of ring tokens per ingester.",
    { min: 1 },
  ),
  tokensFile: str(
    "ingester.tokens-file-path",
    "ingester.lifecycler.tokens_file_path",
    "",
    "File with the ingester's ring tokens. Empty: ring-tokens.json in the data directory.",
  ),
  kafkaLearn: duration(
    "ingester.kafka-learn-period",
    undefined,
    "10m",
    "Distance before its committed offset at which a new owner of a partition starts reading, to restore the baselines of cumulative profiles. At least the longest pause between two pushes of an agent.",
  ),
  headIdle: duration(
    "pyroscopedb.head-idle",
    "pyroscopedb.head_idle",
    "5m",
    "Time without writes after which a head whose time window has ended is cut into a block.",
  ),
  segmentMb: int(
    "pyroscopedb.log-segment-mb",
    "pyroscopedb.log_segment_mb",
    16,
    "Size of a write-ahead log segment in bytes.",
    {
      min: 1,
    },
  ),
  logMb: int(
    "pyroscopedb.log-limit-mb",
    "pyroscopedb.log_limit_mb",
    256,
    "Size of the write-ahead log in bytes, without baselines of cumulative series, above which the heads in the oldest segment are cut. Limits the replay time.",
    { min: 1 },
  ),
  localBudget: int(
    "pyroscopedb.local-budget-bytes",
    "pyroscopedb.local_budget_bytes",
    0,
    "Maximum number of blocks that wait for upload before pushes get 429; 0: limited only by the disk.",
    { min: 0 },
  ),
  shipInterval: duration(
    "pyroscopedb.ship-interval",
    "pyroscopedb.ship_interval",
    "5m",
    "Interval between scans for local blocks to upload; new blocks are uploaded immediately.",
  ),
  minFreeDiskGb: int(
    "pyroscopedb.retention-policy-min-free-disk-gb",
    "pyroscopedb.min_free_disk_gb",
    10,
    "Minimum free disk space in GiB; below it, uploaded local blocks are deleted early.",
    { min: 0 },
  ),
  minDiskAvailable: float(
    "pyroscopedb.retention-policy-min-disk-available-percentage",
    "pyroscopedb.min_disk_available_percentage",
    0.05,
    "Minimum free share of the disk; below it, uploaded local blocks are deleted early.",
  ),
  diskBallastMb: int(
    "pyroscopedb.disk-ballast-mb",
    "pyroscopedb.disk_ballast_mb",
    64,
    "Size in bytes of a reserve file in the data directory that is deleted when the disk is full, so that logging, cuts and uploads can continue; at most 2% of the disk. 0 disables it.",
    { min: 0 },
  ),
  retentionInterval: duration(
    "pyroscopedb.retention-policy-enforcement-interval",
    "pyroscopedb.enforcement_interval",
    "5m",
    "Interval between checks of the free disk space; at most 10s.",
  ),
  retentionDisabled: bool(
    "pyroscopedb.retention-policy-disable",
    "pyroscopedb.disable_enforcement",
    false,
    "Keep local blocks even when disk space is low.",
  ),
  logSync: bool(
    "pyroscopedb.log-sync",
    "pyroscopedb.log_sync",
    true,
    "Sync the write-ahead log to disk before a push is acknowledged. Disable only in tests.",
  ),
  ingestWorkers: int(
    "ingester.workers",
    "ingester.workers",
    0,
    "Number of ingest threads, among which heads are sharded by service; 0 uses one fewer than the CPUs of -process.cpus.",
    { min: 0 },
  ),
  queryStoreAfter: duration(
    "querier.query-store-after",
    "querier.query_store_after",
    "4h",
    "Age at which a local block is deleted, if the bucket's copy can answer queries.",
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
    workers: budgets.ingestWorkers,
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
