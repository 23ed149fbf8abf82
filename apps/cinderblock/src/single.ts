import { withTimeLimit } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { hostname } from "node:os";
import { AdHocFiles, adHocRpc, debugFilesApi } from "@cinderblock/ad-hoc-profiles";
import { settingsRpc, TenantSettings } from "@cinderblock/tenant-settings";
import { createCompaction } from "@cinderblock/compactor";
import { Distributor, distributorRoutes } from "@cinderblock/distributor";
import { DeletedTenants, Ingester, ingesterConfigOf, ingesterRoutes, Shipper } from "@cinderblock/ingester";
import { exportLimits } from "@cinderblock/overrides-exporter";
import { Querier, QuerierLoop } from "@cinderblock/querier";
import {
  frontendRpc,
  QueryFrontend,
  renderRoutes,
  resultsCacheOf,
  SlowQueries,
  sourceCodeOf,
  slowQueryRoutes,
  webRoutes,
} from "@cinderblock/query-frontend";
import { QueryScheduler } from "@cinderblock/query-scheduler";
import { type Resources, selfProfiling, describeNotRunning, type WiredProgram } from "@cinderblock/runtime";
import { singleMemberRing, ringRoutes } from "@cinderblock/ring";
import { type Service, ServiceGroup } from "@cinderblock/service";
import { storeConfigOf, StoreGateway, storePages } from "@cinderblock/store-gateway";
import type { CinderblockConfig } from "./config.ts";

/** Status pages of the rings; this process is the only member of each ring. */
const RINGS = [
  ["/ring", "ingester"],
  ["/distributor/ring", "distributor"],
  ["/overrides-exporter/ring", "overrides-exporter"],
  ["/store-gateway/ring", "store-gateway"],
  ["/query-scheduler/ring", "query-scheduler"],
  ["/compactor/ring", "compactor"],
] as const;

/**
 * All components in one process, with in-process transports between them. Writes go distributor → ingest
 * worker; reads go frontend → scheduler → querier → ingester and store-gateway.
 */
export async function wireSingle(
  config: CinderblockConfig,
  resources: Resources,
  onFatal: (reason: string) => void,
): Promise<WiredProgram> {
  const { base, limits, pool, scripts } = resources;
  const bucket = await resources.bucket();
  resources.claimDirectory(config.dataPath, "-pyroscopedb.data-path");
  const ingester = new Ingester(scripts.ingest, ingesterConfigOf(config, resources), pool, base, onFatal);
  const store = new StoreGateway(storeConfigOf(config), bucket, pool, base);
  const { index, cleaner, compactor } = createCompaction(config, resources, bucket, {
    tenant: () => true,
    job: () => true,
  });
  compactor.onCompacted = async (tenant, outputs) => {
    for (const o of outputs) await store.registerBlock(tenant, o.ulid);
  };
  const indexing = new Set<Promise<unknown>>();
  const shipper = new Shipper(
    ingester.blocksOnDisk,
    bucket,
    config.shipInterval,
    (tenant, meta) => {
      store
        .registerBlock(tenant, meta.ulid)
        .catch((err: unknown) =>
          base.log.warn(
            { tenant, blockId: meta.ulid, err },
            "new block not announced to the store-gateway; its next sync finds the block",
          ),
        );
      const written = index
        .updateTenant(tenant)
        .catch((err: unknown) => base.log.warn({ tenant, err }, "bucket index update failed"))
        .finally(() => indexing.delete(written));
      indexing.add(written);
    },
    base,
    config.shutdownTimeout,
  );
  const deleted = new DeletedTenants(ingester, bucket, config.shipInterval, base);
  shipper.skips = (tenant, ulid) => deleted.covers(tenant, ulid);
  shipper.beforePass = () => deleted.refreshIfStale();
  ingester.isDeleted = (tenant, receivedMs) => deleted.deletedAt(tenant, receivedMs);
  shipper.makeRoom = () => ingester.disk.makeRoom();
  ingester.ship = () => {
    void shipper.sync();
  };
  ingester.onBlock = () => {
    void shipper.sync();
  };
  ingester.answerable = (tenant, ulid) => store.canServe(tenant, ulid);

  exportLimits(resources.overrides, base);
  const distributor = new Distributor(ingester, limits, resources.bodies, base, config.maxUsageGroupNames);
  const scheduler = new QueryScheduler(
    { maxOutstanding: config.maxOutstanding, maxQueriers: () => 0, querierForgetMs: 0 },
    base,
  );
  const querier = new QuerierLoop(
    new Querier(
      {
        ingesters: () => [ingester.source],
        stores: () => [store],
        coveredBy: () => Promise.resolve(false),
        reach: () => Promise.resolve([]),
        refresh: () => Promise.resolve(),
      },
      base,
    ),
    scheduler,
    config.querierConcurrency,
    hostname(),
    base.tracer,
  );
  const cache = resultsCacheOf(config, base);
  const frontend = new QueryFrontend(
    {
      queue: scheduler,
      renderer: pool,
      limits,
      cache: cache?.cache,
      ends: undefined,
      slow: new SlowQueries(config.logSlower, base),
    },
    base,
  );

  const ready = { draining: false };
  const readConfig = {
    multitenancy: config.multitenancy,
    queryTimeoutMs: config.queryTimeout,
    version: resources.build.version,
    sources: sourceCodeOf(base.now),
  };
  const starting = (): string => describeNotRunning(group, ingester.progress);
  const server = resources.server([
    resources.admin(() => (ready.draining ? "stopping" : starting()), starting, true),
    distributorRoutes(distributor, resources.bodies, config.multitenancy, base.now),
    ingesterRoutes(ingester, config.multitenancy, resources.authorizer),
    frontendRpc(frontend, readConfig),
    renderRoutes(frontend, readConfig, base.now),
    webRoutes(scripts.web),
    slowQueryRoutes(frontend, config.queryTimeout),
    storePages(store, bucket),
    ...RINGS.map(([path, ring]) =>
      ringRoutes(
        path,
        singleMemberRing(
          ring,
          hostname(),
          `${config.httpAddress === "" ? hostname() : config.httpAddress}:${config.httpPort}`,
          base.now(),
        ),
      ),
    ),
    settingsRpc(new TenantSettings(bucket, base.now), config.multitenancy),
    adHocRpc(new AdHocFiles(bucket, pool, limits, base.now), config.multitenancy),
    debugFilesApi(resources.symbols, bucket, config.multitenancy, base),
  ]);

  const own = selfProfiling(config, resources, "all", hostname(), (tenant, body) =>
    distributor.push(tenant, "cinderblock", { kind: "push", codec: "json", gzip: false, body }, "pprof"),
  );

  // The server listens before replay, so that /ready shows the progress. A stop has the reverse order:
  // queries end, heads become blocks, blocks are uploaded, then the threads end.
  const adopted: Service = {
    name: "first-shipment",
    start: () => {
      void shipper.sync();
      return Promise.resolve();
    },
    stop: () => Promise.resolve(),
  };
  // The bucket index updater stops after the shipper, so that the index lists the last uploads.
  const indexed: Service = {
    name: "bucket-index",
    start: () => Promise.resolve(),
    stop: () =>
      withTimeLimit(
        config.shutdownTimeout,
        Promise.all(indexing).then(() => undefined),
        () =>
          new CinderblockError(
            "deadline",
            `bucket index was not written within -server.graceful-shutdown-timeout (${config.shutdownTimeout} ms)`,
          ),
      ),
  };
  const group = new ServiceGroup([
    ...(cache ? [cache.service] : []),
    pool,
    store,
    cleaner,
    ...(config.compactorEnabled ? [compactor] : []),
    indexed,
    shipper,
    ingester,
    deleted,
    adopted,
    querier,
    scheduler,
    ...own,
  ]);
  return { group, server, ready, drain: () => distributor.drain() };
}
