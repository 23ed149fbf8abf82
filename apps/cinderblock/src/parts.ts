import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { BlocksCleaner, BucketIndexUpdater, Compactor, type CompactorLimits } from "@cinderblock/compactor";
import { Ingester, Shipper } from "@cinderblock/ingester";
import { type Bucket, type BucketSpec, observeOperations, openBucket } from "@cinderblock/objstore";
import { QueryPool } from "@cinderblock/query-worker";
import { ApiServer, type Routes } from "@cinderblock/rpc";
import type { ServiceGroup } from "@cinderblock/service";
import { StoreGateway } from "@cinderblock/store-gateway";
import type { Base } from "@cinderblock/telemetry";
import { DEFAULT_TENANT, TenantLimits } from "@cinderblock/tenant";
import { adminRoutes } from "./admin.ts";
import { blockRangesOf, bucketOf, type Budgets, budgetsOf, type CinderblockConfig, limitsOf, schema } from "./config.ts";

export interface Scripts { ingest: URL; query: URL; compact: URL }
export interface Build { version: string; revision: string }

/** What every wiring builds from the configuration, whatever connects it. */
export class Parts {
  readonly budgets: Budgets;
  readonly limits: TenantLimits;
  readonly spec: BucketSpec;
  readonly config: CinderblockConfig;
  readonly base: Base;
  private readonly scripts: Scripts;

  constructor(config: CinderblockConfig, base: Base, scripts: Scripts) {
    this.config = config;
    this.base = base;
    this.scripts = scripts;
    this.budgets = budgetsOf(config);
    this.limits = new TenantLimits(limitsOf(config));
    this.spec = bucketOf(config);
  }

  async bucket(): Promise<Bucket> {
    const { spec } = this;
    if (spec.backend === "filesystem") mkdirSync(spec.directory, { recursive: true });
    observeOperations(spec.counters, spec.backend === "s3" ? spec.s3.bucket : spec.directory, this.base.metrics);
    return openBucket(spec);
  }

  pool(): QueryPool {
    const { budgets, config } = this;
    return new QueryPool(this.scripts.query, budgets.workers, { bucket: this.spec, localDirectory: config.dataPath, cacheBytes: budgets.blocks }, Math.max(128, Math.floor(budgets.limit / 1048576 / 2)), this.base);
  }

  ingester(pool: QueryPool, onFatal: (reason: string) => void): Ingester {
    const { config, budgets } = this;
    return new Ingester(this.scripts.ingest, {
      dataPath: config.dataPath, workers: config.ingestWorkers, windowMs: Math.max(5000, config.maxBlockDuration), headBytes: budgets.heads, logBytes: config.logMb * 1048576, segmentBytes: config.segmentMb * 1048576,
      idleMs: config.headIdle, localBudgetBytes: config.localBudget, retentionMs: config.queryStoreAfter, minFreeDiskBytes: config.minFreeDiskGb * 1024 ** 3, minDiskAvailable: config.minDiskAvailable,
      retentionDisabled: config.retentionDisabled, retentionIntervalMs: config.retentionInterval, sync: config.logSync,
    }, pool, this.base, onFatal);
  }

  shipper(ingester: Ingester, bucket: Bucket, onShipped: ConstructorParameters<typeof Shipper>[3]): Shipper { return new Shipper(ingester.blocksOnDisk, bucket, this.config.shipInterval, onShipped, this.base); }

  store(bucket: Bucket, pool: QueryPool): StoreGateway {
    const { config } = this;
    return new StoreGateway({ syncIntervalMs: config.syncInterval, metaConcurrency: config.metaConcurrency, ignoreDeletionMarksDelayMs: config.ignoreDeletionMarksDelay, maxStaleMs: 3600_000 }, bucket, pool, this.base);
  }

  /** @param owns whether this process looks after a tenant's blocks */
  compaction(bucket: Bucket, owns: (tenant: string) => boolean): { index: BucketIndexUpdater; cleaner: BlocksCleaner; compactor: Compactor } {
    const { config, limits, base } = this;
    const list = (text: string): string[] => text.split(",").map((t) => t.trim()).filter((t) => t !== "");
    const blockLimits: CompactorLimits = {
      retentionMs: (t) => limits.of(t).blocksRetentionMs, splitShards: (t) => limits.of(t).splitShards, splitGroups: (t) => limits.of(t).splitGroups,
      partialBlockDeletionDelayMs: (t) => limits.of(t).partialBlockDeletionDelayMs, downsample: (t) => limits.of(t).downsamplerEnabled,
    };
    const index = new BucketIndexUpdater(bucket, base);
    const cleaner = new BlocksCleaner(bucket, index, { intervalMs: config.cleanupInterval, deletionDelayMs: config.deletionDelay, removeEmptyTenants: config.noBlocksFileCleanup, owns }, blockLimits, base);
    const compactor = new Compactor(this.scripts.compact, { bucket: this.spec }, bucket, index, {
      dataDir: config.compactorDataDir, rangesMs: blockRangesOf(config), intervalMs: config.compactionInterval, firstLevelWaitMs: config.firstLevelWait, maxTenantMs: config.maxCompactionTime, retries: config.compactionRetries,
      jobsOrder: config.compactionOrder as "newest-blocks-first", splitBy: config.compactionSplitBy as "fingerprint", downsampler: config.downsamplerEnabled, memoryBytes: this.budgets.compactor,
      enabledTenants: list(config.compactorEnabledTenants), disabledTenants: list(config.compactorDisabledTenants), hostname: hostname(), owns,
    }, blockLimits, base);
    return { index, cleaner, compactor };
  }

  server(routes: readonly Routes[]): ApiServer {
    const { config } = this;
    return new ApiServer({
      address: config.httpAddress, port: config.httpPort, readTimeoutMs: config.httpReadTimeout, idleTimeoutMs: config.httpIdleTimeout, shutdownTimeoutMs: config.shutdownTimeout,
      maxConcurrentStreams: config.maxConcurrentStreams, bodyLimitBytes: this.limits.of(DEFAULT_TENANT).ingestionBodyLimitBytes,
    }, routes, this.base);
  }

  admin(build: Build, notReady: () => string, services: () => Promise<string[]>): Routes {
    return adminRoutes({ schema, config: this.config, metrics: this.base.metrics, version: build.version, revision: build.revision, notReady, services });
  }
}

/** What is not running yet, as /ready says it. */
export function waitingFor(group: ServiceGroup, progress: string): string {
  const waiting = group.notRunning();
  if (waiting.length === 0) return "";
  return `Some services are not Running:\n${waiting.map((w) => `${w.state}: ${w.name}${w.name === "ingester" && progress !== "" ? ` (${progress})` : ""}`).join("\n")}`;
}
