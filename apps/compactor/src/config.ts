import { bool, type ConfigOf, duration, int, parseDuration, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** Flags of the compactor. */
const compactorSection = {
  compactorEnabled: bool(
    "compactor.enabled",
    "compactor.enabled",
    true,
    "Run compactions. Only one system may compact a bucket: disable this while Pyroscope v1's compactor uses the bucket.",
  ),
  compactorDataDir: str(
    "compactor.data-dir",
    "compactor.data_dir",
    "./data-compactor",
    "Directory for compacted blocks before their upload.",
  ),
  blockRanges: str(
    "compactor.block-ranges",
    "compactor.block_ranges",
    "1h0m0s,2h0m0s,8h0m0s",
    "Time ranges of compacted blocks, ascending; each is a multiple of the previous range.",
    { list: true },
  ),
  compactionInterval: duration(
    "compactor.compaction-interval",
    "compactor.compaction_interval",
    "30m",
    "Interval between compaction runs.",
  ),
  compactionRetries: int(
    "compactor.compaction-retries",
    "compactor.compaction_retries",
    3,
    "Maximum number of attempts per job in one compaction run.",
    { min: 1 },
  ),
  maxCompactionTime: duration(
    "compactor.max-compaction-time",
    "compactor.max_compaction_time",
    "1h",
    "Time after which a compaction run starts no further jobs of a tenant.",
  ),
  firstLevelWait: duration(
    "compactor.first-level-compaction-wait-period",
    "compactor.first_level_compaction_wait_period",
    "25m",
    "Minimum age of an uploaded level-1 block before it is compacted.",
  ),
  compactionOrder: str(
    "compactor.compaction-jobs-order",
    "compactor.compaction_jobs_order",
    "smallest-range-oldest-blocks-first",
    "Order of compaction jobs.",
    { choices: ["smallest-range-oldest-blocks-first", "newest-blocks-first"] },
  ),
  compactionSplitBy: str(
    "compactor.compaction-split-by",
    "compactor.compaction_split_by",
    "fingerprint",
    "Criterion that assigns a row to a shard.",
    { choices: ["fingerprint", "stacktracePartition"] },
  ),
  compactorEnabledTenants: str(
    "compactor.enabled-tenants",
    "compactor.enabled_tenants",
    "",
    "Comma-separated tenants to compact. Empty: all tenants.",
    { list: true },
  ),
  compactorDisabledTenants: str(
    "compactor.disabled-tenants",
    "compactor.disabled_tenants",
    "",
    "Comma-separated tenants to exclude from compaction.",
    { list: true },
  ),
  downsamplerEnabled: bool(
    "compactor.downsampler-enabled",
    "compactor.downsampler_enabled",
    false,
    "Write downsampled tables of five minutes and one hour into blocks of level 3 and higher, for tenants with downsampling enabled.",
  ),
  cleanupInterval: duration(
    "compactor.cleanup-interval",
    "compactor.cleanup_interval",
    "15m",
    "Interval between cleanups: retention, deletion of marked blocks, and bucket index updates.",
  ),
  deletionDelay: duration(
    "compactor.deletion-delay",
    "compactor.deletion_delay",
    "12h",
    "Delay between marking a block for deletion and deleting it.",
  ),
  retentionDryRun: bool(
    "compactor.retention-dry-run",
    "compactor.retention_dry_run",
    false,
    "Count and log the data that retention would delete, by period and by rules, without deleting it.",
  ),
  noBlocksFileCleanup: bool(
    "compactor.no-blocks-file-cleanup-enabled",
    "compactor.no_blocks_file_cleanup_enabled",
    false,
    "Delete the bucket index and markers of tenants without blocks.",
  ),
};

export const compactorSchema = { ...commonSchema, ...compactorSection };
export type CompactorComponentConfig = CommonConfig & ConfigOf<typeof compactorSection>;

/** Time ranges of compacted blocks in ms, checked like v1's. */
export function blockRangesOf(c: CompactorComponentConfig): number[] {
  const ranges = c.blockRanges.split(",").map((t) => parseDuration(t.trim()));
  ranges.forEach((r, i) => {
    const before = i === 0 ? Math.max(5000, c.maxBlockDuration) : ranges[i - 1]!;
    if (!(r > 0) || r % before !== 0)
      throw new CinderblockError(
        "invalid",
        `-compactor.block-ranges=${c.blockRanges}: ${r / 1000}s is not a multiple of ${before / 1000}s, ${i === 0 ? "the time range of an ingester's block (-pyroscopedb.max-block-duration)" : "the previous range"}`,
      );
  });
  return ranges;
}
