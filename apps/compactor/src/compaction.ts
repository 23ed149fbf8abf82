import { hostname } from "node:os";
import type { Bucket } from "@cinderblock/objstore";
import type { Resources } from "@cinderblock/runtime";
import { BlocksCleaner } from "./cleaner.ts";
import { Compactor } from "./compactor.ts";
import type { Ownership } from "./compactor-config.ts";
import { blockRangesOf, type CompactorComponentConfig } from "./config.ts";
import { BucketIndexUpdater } from "@cinderblock/compact";
import type { CompactorLimits } from "./limits.ts";

/**
 * The three parts of the compactor: the bucket index, the cleaner and the compactions.
 * @param ownership the tenants and jobs of this process
 */
export function createCompaction(
  config: CompactorComponentConfig,
  resources: Resources,
  bucket: Bucket,
  ownership: Ownership,
): { index: BucketIndexUpdater; cleaner: BlocksCleaner; compactor: Compactor } {
  const { limits, base, scripts, spec, budgets } = resources;
  const list = (text: string): string[] =>
    text
      .split(",")
      .map((t) => t.trim())
      .filter((t) => t !== "");
  const blockLimits: CompactorLimits = {
    retentionMs: (t) => limits.forTenant(t).blocksRetentionMs,
    splitShards: (t) => limits.forTenant(t).splitShards,
    splitGroups: (t) => limits.forTenant(t).splitGroups,
    partialBlockDeletionDelayMs: (t) => limits.forTenant(t).partialBlockDeletionDelayMs,
    downsample: (t) => limits.forTenant(t).downsamplerEnabled,
    retentionRules: (t) => limits.forTenant(t).retentionRules,
  };
  const index = new BucketIndexUpdater(bucket, base);
  const cleaner = new BlocksCleaner(
    bucket,
    index,
    {
      intervalMs: config.cleanupInterval,
      deletionDelayMs: config.deletionDelay,
      removeEmptyTenants: config.noBlocksFileCleanup,
      retentionDryRun: config.retentionDryRun,
      owns: ownership.tenant,
    },
    blockLimits,
    base,
  );
  if (config.compactorEnabled) resources.claimDirectory(config.compactorDataDir, "-compactor.data-dir");
  const compactor = new Compactor(
    { script: scripts.compact, data: { bucket: spec } },
    bucket,
    index,
    {
      dataDir: config.compactorDataDir,
      rangesMs: blockRangesOf(config),
      intervalMs: config.compactionInterval,
      firstLevelWaitMs: config.firstLevelWait,
      maxTenantMs: config.maxCompactionTime,
      retries: config.compactionRetries,
      jobsOrder: config.compactionOrder as "newest-blocks-first",
      splitBy: config.compactionSplitBy as "fingerprint",
      downsampler: config.downsamplerEnabled,
      memoryBytes: budgets.compactor,
      enabledTenants: list(config.compactorEnabledTenants),
      disabledTenants: list(config.compactorDisabledTenants),
      hostname: hostname(),
      retentionDryRun: config.retentionDryRun,
      ownership,
    },
    blockLimits,
    base,
  );
  return { index, cleaner, compactor };
}
