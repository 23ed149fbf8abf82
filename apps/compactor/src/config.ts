import { bool, type ConfigOf, duration, int, parseDuration, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** Flags of the compactor. */
const compactorSection = {
  compactorEnabled: bool(
    "compactor.enabled",
    "compactor.enabled",
    true,
    "Compact blocks. Exactly one system may compact a bucket: turn it off while Pyroscope v1's compactor runs on the same one.",
  ),
  compactorDataDir: str(
    "compactor.data-dir",
    "compactor.data_dir",
    "./data-compactor",
    "Where a compaction's outputs are made before they are uploaded.",
  ),
  blockRanges: str(
    "compactor.block-ranges",
    "compactor.block_ranges",
    "1h0m0s,2h0m0s,8h0m0s",
    "Time ranges that blocks are merged to, ascending, each a multiple of the one before.",
    { list: true },
  ),
  compactionInterval: duration(
    "compactor.compaction-interval",
    "compactor.compaction_interval",
    "30m",
    "How often compactions are planned.",
  ),
  compactionRetries: int(
    "compactor.compaction-retries",
    "compactor.compaction_retries",
    3,
    "Times that a job is tried in one run.",
    { min: 1 },
  ),
  maxCompactionTime: duration(
    "compactor.max-compaction-time",
    "compactor.max_compaction_time",
    "1h",
    "Time of one run after which no new job of a tenant begins.",
  ),
  firstLevelWait: duration(
    "compactor.first-level-compaction-wait-period",
    "compactor.first_level_compaction_wait_period",
    "25m",
    "Age of uploaded level-1 blocks from which they are compacted.",
  ),
  compactionOrder: str(
    "compactor.compaction-jobs-order",
    "compactor.compaction_jobs_order",
    "smallest-range-oldest-blocks-first",
    "Which jobs come first.",
    { choices: ["smallest-range-oldest-blocks-first", "newest-blocks-first"] },
  ),
  compactionSplitBy: str(
    "compactor.compaction-split-by",
    "compactor.compaction_split_by",
    "fingerprint",
    "What decides the shard of a row.",
    { choices: ["fingerprint", "stacktracePartition"] },
  ),
  compactorEnabledTenants: str(
    "compactor.enabled-tenants",
    "compactor.enabled_tenants",
    "",
    "Tenants that are compacted, separated by commas; empty: all.",
    { list: true },
  ),
  compactorDisabledTenants: str(
    "compactor.disabled-tenants",
    "compactor.disabled_tenants",
    "",
    "Tenants that are not compacted, separated by commas.",
    { list: true },
  ),
  downsamplerEnabled: bool(
    "compactor.downsampler-enabled",
    "compactor.downsampler_enabled",
    false,
    "Write tables of five minutes and one hour into blocks of level 3 and above, for tenants that have it enabled.",
  ),
  cleanupInterval: duration(
    "compactor.cleanup-interval",
    "compactor.cleanup_interval",
    "15m",
    "How often retention is applied, marked blocks are deleted and the bucket index is brought up to date.",
  ),
  deletionDelay: duration(
    "compactor.deletion-delay",
    "compactor.deletion_delay",
    "12h",
    "Time between marking a block and deleting it.",
  ),
  retentionDryRun: bool(
    "compactor.retention-dry-run",
    "compactor.retention_dry_run",
    false,
    "Count and log what retention would delete, by period and by rules, and delete nothing.",
  ),
  noBlocksFileCleanup: bool(
    "compactor.no-blocks-file-cleanup-enabled",
    "compactor.no_blocks_file_cleanup_enabled",
    false,
    "Remove index and markers of tenants that have no blocks.",
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
        `-compactor.block-ranges=${c.blockRanges}: ${r / 1000}s is not a multiple of ${before / 1000}s, ${i === 0 ? "the longest time of a block (-pyroscopedb.max-block-duration)" : "the range before it"}`,
      );
  });
  return ranges;
}
