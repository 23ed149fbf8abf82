import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { LABEL_SERVICE_NAME } from "@cinderblock/model";
import { BlocksCleaner, BucketIndexUpdater, Compactor, type CompactorLimits } from "@cinderblock/compactor";
import { Distributor, distributorRoutes } from "@cinderblock/distributor";
import { Ingester, ingesterRoutes, Shipper } from "@cinderblock/ingester";
import { observeOperations, openBucket } from "@cinderblock/objstore";
import { Querier, QuerierLoop } from "@cinderblock/querier";
import { QueryFrontend, frontendRpc, renderRoutes } from "@cinderblock/query-frontend";
import { QueryScheduler } from "@cinderblock/query-scheduler";
import { QueryPool } from "@cinderblock/query-worker";
import { ApiServer } from "@cinderblock/rpc";
import { type Service, ServiceGroup } from "@cinderblock/service";
import { StoreGateway } from "@cinderblock/store-gateway";
import { type Base } from "@cinderblock/telemetry";
import { DEFAULT_TENANT, TenantLimits } from "@cinderblock/tenant";
import { adminRoutes } from "./admin.ts";
import { blockRangesOf, bucketOf, budgetsOf, type CinderblockConfig, limitsOf, schema } from "./config.ts";

export interface Scripts { ingest: URL; query: URL; compact: URL }
export interface Build { version: string; revision: string }

/**
 * The composition root of the single binary: the components and the in-process transports between them. Writes go
 * distributor → ingest worker; reads go frontend → scheduler → querier → ingester and store-gateway. Read this first.
 */
export async function wire(config: CinderblockConfig, base: Base, scripts: Scripts, build: Build, onFatal: (reason: string) => void): Promise<{ group: ServiceGroup; server: ApiServer; ready: { draining: boolean } }> {
  const budgets = budgetsOf(config);
  const limits = new TenantLimits(limitsOf(config));
  const spec = bucketOf(config);
  if (spec.backend === "filesystem") mkdirSync(spec.directory, { recursive: true });
  const bucket = await openBucket(spec);
  observeOperations(spec.counters, spec.backend === "s3" ? spec.s3.bucket : spec.directory, base.metrics);
  const pool = new QueryPool(scripts.query, budgets.workers, { bucket: spec, localDirectory: config.dataPath, cacheBytes: budgets.blocks }, Math.max(128, Math.floor(budgets.limit / 1048576 / 2)), base);

  const ingester = new Ingester(scripts.ingest, {
    dataPath: config.dataPath, workers: config.ingestWorkers, windowMs: Math.max(5000, config.maxBlockDuration), headBytes: budgets.heads, logBytes: config.logMb * 1048576, segmentBytes: config.segmentMb * 1048576,
    idleMs: config.headIdle, localBudgetBytes: config.localBudget, retentionMs: config.queryStoreAfter, minFreeDiskBytes: config.minFreeDiskGb * 1024 ** 3, minDiskAvailable: config.minDiskAvailable,
    retentionDisabled: config.retentionDisabled, retentionIntervalMs: config.retentionInterval, sync: config.logSync,
  }, pool, base, onFatal);
  const store = new StoreGateway({ syncIntervalMs: config.syncInterval, metaConcurrency: config.metaConcurrency, ignoreDeletionMarksDelayMs: config.ignoreDeletionMarksDelay, maxStaleMs: 3600_000 }, bucket, pool, base);
  const index = new BucketIndexUpdater(bucket, base);
  const list = (text: string): string[] => text.split(",").map((t) => t.trim()).filter((t) => t !== "");
  const blockLimits: CompactorLimits = {
    retentionMs: (t) => limits.of(t).blocksRetentionMs, splitShards: (t) => limits.of(t).splitShards, splitGroups: (t) => limits.of(t).splitGroups,
    partialBlockDeletionDelayMs: (t) => limits.of(t).partialBlockDeletionDelayMs, downsample: (t) => limits.of(t).downsamplerEnabled,
  };
  const cleaner = new BlocksCleaner(bucket, index, { intervalMs: config.cleanupInterval, deletionDelayMs: config.deletionDelay, removeEmptyTenants: config.noBlocksFileCleanup }, blockLimits, base);
  const compactor = new Compactor(scripts.compact, { bucket: spec }, bucket, index, {
    dataDir: config.compactorDataDir, rangesMs: blockRangesOf(config), intervalMs: config.compactionInterval, firstLevelWaitMs: config.firstLevelWait, maxTenantMs: config.maxCompactionTime, retries: config.compactionRetries,
    jobsOrder: config.compactionOrder as "newest-blocks-first", splitBy: config.compactionSplitBy as "fingerprint", downsampler: config.downsamplerEnabled, memoryBytes: budgets.compactor,
    enabledTenants: list(config.compactorEnabledTenants), disabledTenants: list(config.compactorDisabledTenants), hostname: hostname(),
  }, blockLimits, base);
  compactor.onCompacted = async (tenant, outputs) => { for (const o of outputs) await store.learn(tenant, o.ulid); };
  const shipper = new Shipper(ingester.blocksOnDisk, bucket, config.shipInterval, (tenant, meta) => {
    store.learn(tenant, meta.ulid).catch((err: unknown) => base.log.warn({ tenant, blockId: meta.ulid, err }, "a new block was not learnt, the next sync finds it"));
    index.updateTenant(tenant).catch((err: unknown) => base.log.warn({ tenant, err }, "bucket index could not be updated"));
  }, base);
  ingester.onBlock = () => { void shipper.sync(); };
  ingester.answerable = (tenant, ulid) => store.answers(tenant, ulid);

  const distributor = new Distributor(ingester, limits, budgets.inflight, base);
  const scheduler = new QueryScheduler(config.maxOutstanding, base);
  const querier = new QuerierLoop(new Querier([ingester], [store], base), scheduler, config.querierConcurrency, hostname());
  const frontend = new QueryFrontend(scheduler, pool, limits, base);

  const ready = { draining: false };
  const readConfig = { multitenancy: config.multitenancy, queryTimeoutMs: config.queryTimeout };
  const server = new ApiServer({
    address: config.httpAddress, port: config.httpPort, readTimeoutMs: config.httpReadTimeout, idleTimeoutMs: config.httpIdleTimeout, shutdownTimeoutMs: config.shutdownTimeout,
    maxConcurrentStreams: config.maxConcurrentStreams, bodyLimitBytes: limits.of(DEFAULT_TENANT).ingestionBodyLimitBytes,
  }, [
    adminRoutes({
      schema, config, metrics: base.metrics, version: build.version, revision: build.revision,
      notReady: () => (ready.draining ? "stopping" : reasons(group, ingester)),
      services: () => frontend.labelValues({ tenants: [DEFAULT_TENANT], deadlineMs: Date.now() + 5000, signal: undefined, warn: () => undefined }, LABEL_SERVICE_NAME, [], 0, 0),
    }),
    distributorRoutes(distributor, config.multitenancy, base.now), ingesterRoutes(ingester, config.multitenancy),
    frontendRpc(frontend, readConfig), renderRoutes(frontend, readConfig, base.now),
  ], base);

  // The server listens before the log is replayed, so that /ready shows its progress.
  // Stopping goes the other way: no more queries, heads become blocks, blocks are shipped, then the threads end.
  const adopted: Service = { name: "first-shipment", start: () => { void shipper.sync(); return Promise.resolve(); }, stop: () => Promise.resolve() };
  const services: Service[] = [pool, store, cleaner, ...(config.compactorEnabled ? [compactor] : []), shipper, ingester, adopted, querier, scheduler];
  const group = new ServiceGroup(services);
  return { group, server, ready };
}

function reasons(group: ServiceGroup, ingester: Ingester): string {
  const waiting = group.notRunning();
  if (waiting.length === 0) return "";
  return `Some services are not Running:\n${waiting.map((w) => `${w.state}: ${w.name}${w.name === "ingester" && ingester.progress !== "" ? ` (${ingester.progress})` : ""}`).join("\n")}`;
}
