import { hostname } from "node:os";
import { Distributor, distributorRoutes } from "@cinderblock/distributor";
import { ingesterRoutes } from "@cinderblock/ingester";
import { LABEL_SERVICE_NAME } from "@cinderblock/model";
import { Querier, QuerierLoop } from "@cinderblock/querier";
import { QueryFrontend, frontendRpc, renderRoutes } from "@cinderblock/query-frontend";
import { QueryScheduler } from "@cinderblock/query-scheduler";
import { type Service, ServiceGroup } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { DEFAULT_TENANT } from "@cinderblock/tenant";
import type { Wired } from "./app.ts";
import type { CinderblockConfig } from "./config.ts";
import { type Build, Parts, type Scripts, waitingFor } from "./parts.ts";

/**
 * All components in one process, with in-process transports between them. Writes go distributor → ingest worker; reads go
 * frontend → scheduler → querier → ingester and store-gateway.
 */
export async function wireSingle(config: CinderblockConfig, base: Base, scripts: Scripts, build: Build, onFatal: (reason: string) => void): Promise<Wired> {
  const parts = new Parts(config, base, scripts);
  const { limits } = parts;
  const bucket = await parts.bucket();
  const pool = parts.pool();
  const ingester = parts.ingester(pool, onFatal);
  const store = parts.store(bucket, pool);
  const { index, cleaner, compactor } = parts.compaction(bucket, () => true);
  compactor.onCompacted = async (tenant, outputs) => { for (const o of outputs) await store.learn(tenant, o.ulid); };
  const shipper = parts.shipper(ingester, bucket, (tenant, meta) => {
    store.learn(tenant, meta.ulid).catch((err: unknown) => base.log.warn({ tenant, blockId: meta.ulid, err }, "a new block was not learnt, the next sync finds it"));
    index.updateTenant(tenant).catch((err: unknown) => base.log.warn({ tenant, err }, "bucket index could not be updated"));
  });
  ingester.onBlock = () => { void shipper.sync(); };
  ingester.answerable = (tenant, ulid) => store.answers(tenant, ulid);

  const distributor = new Distributor(ingester, limits, parts.budgets.inflight, base);
  const scheduler = new QueryScheduler(config.maxOutstanding, base);
  const querier = new QuerierLoop(new Querier({ ingesters: () => [ingester], stores: () => [store], maxSilentIngesters: () => 0, refresh: () => Promise.resolve() }, base), scheduler, config.querierConcurrency, hostname());
  const frontend = new QueryFrontend(scheduler, pool, limits, base);

  const ready = { draining: false };
  const readConfig = { multitenancy: config.multitenancy, queryTimeoutMs: config.queryTimeout };
  const server = parts.server([
    parts.admin(build, () => (ready.draining ? "stopping" : waitingFor(group, ingester.progress)),
      () => frontend.labelValues({ tenants: [DEFAULT_TENANT], deadlineMs: Date.now() + 5000, signal: undefined, warn: () => undefined }, LABEL_SERVICE_NAME, [], 0, 0)),
    distributorRoutes(distributor, config.multitenancy, base.now), ingesterRoutes(ingester, config.multitenancy),
    frontendRpc(frontend, readConfig), renderRoutes(frontend, readConfig, base.now),
  ]);

  // The server listens before the log is replayed, so that /ready shows its progress.
  // Stopping goes the other way: no more queries, heads become blocks, blocks are shipped, then the threads end.
  const adopted: Service = { name: "first-shipment", start: () => { void shipper.sync(); return Promise.resolve(); }, stop: () => Promise.resolve() };
  const group = new ServiceGroup([pool, store, cleaner, ...(config.compactorEnabled ? [compactor] : []), shipper, ingester, adopted, querier, scheduler]);
  return { group, server, ready, drain: () => Promise.resolve() };
}
