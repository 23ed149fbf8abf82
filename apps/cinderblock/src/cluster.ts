import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { fnv1a } from "@cinderblock/bytes";
import { sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { Distributor, distributorRoutes, RingWritePath } from "@cinderblock/distributor";
import { ingesterRoutes } from "@cinderblock/ingester";
import { LABEL_SERVICE_NAME } from "@cinderblock/model";
import { Querier, QuerierLoop } from "@cinderblock/querier";
import { QueryFrontend, frontendRpc, renderRoutes } from "@cinderblock/query-frontend";
import { QueryScheduler } from "@cinderblock/query-scheduler";
import { RedisMembers } from "@cinderblock/redis";
import { type Member, RingMember, ringRoutes, RingView } from "@cinderblock/ring";
import { InternalClient, internalRoutes, type Routes } from "@cinderblock/rpc";
import { type Service, ServiceGroup } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { DEFAULT_TENANT, type IngestLimits } from "@cinderblock/tenant";
import { pushMethod, RemoteJobs, RemotePush, RemoteQueue, RemoteSource, RemoteStore, serveScheduler, sourceMethods, storeMethods } from "@cinderblock/transport";
import type { Wired } from "./app.ts";
import { type CinderblockConfig, redisOf } from "./config.ts";
import { type Build, Parts, type Scripts, waitingFor } from "./parts.ts";

const INGESTERS = "ingester", STORES = "store-gateway", SCHEDULERS = "query-scheduler", COMPACTORS = "compactor";
/** How often a process reads the rings. */
const RING_REFRESH_MS = 1000;
/** Where a ring's page is, as in v1. */
const PAGES: Record<string, string> = { [INGESTERS]: "/ring", [STORES]: "/store-gateway/ring", [SCHEDULERS]: "/query-scheduler/ring", [COMPACTORS]: "/compactor/ring" };

/** The address that other processes reach this one at. */
function advertised(config: CinderblockConfig): string {
  const external = Object.values(networkInterfaces()).flat().find((i) => i !== undefined && i.family === "IPv4" && !i.internal)?.address;
  const listens = config.httpAddress === "" || config.httpAddress === "0.0.0.0" || config.httpAddress === "::" ? external : config.httpAddress;
  return `${config.instanceAddr !== "" ? config.instanceAddr : (listens ?? "127.0.0.1")}:${config.httpPort}`;
}

/** Some components in this process, the others over the network: they find each other in the rings. */
export async function wireCluster(config: CinderblockConfig, base: Base, scripts: Scripts, build: Build, onFatal: (reason: string) => void): Promise<Wired> {
  const targets = new Set(config.target.split(",").map((t) => t.trim()));
  const parts = new Parts(config, base, scripts);
  const { limits } = parts;
  const members = new RedisMembers(redisOf(config));
  const traffic = { sentBytes: 0, receivedBytes: 0 };
  const client = new InternalClient(traffic);
  base.metrics.gauge("cinderblock_internal_sent_bytes", "Bytes of calls to other processes, since start.", [], (g) => { g.set(traffic.sentBytes); });
  base.metrics.gauge("cinderblock_internal_received_bytes", "Bytes of answers of other processes, since start.", [], (g) => { g.set(traffic.receivedBytes); });

  const views = new Map<string, RingView>();
  const view = (ring: string): RingView => {
    let v = views.get(ring);
    // Ingesters are never forgotten by themselves: their data may be nowhere else.
    if (!v) views.set(ring, (v = new RingView(members, { ring, refreshMs: RING_REFRESH_MS, heartbeatTimeoutMs: config.heartbeatTimeout, forgetAfterMs: ring === INGESTERS ? 0 : 10 * config.heartbeatTimeout }, base)));
    return v;
  };
  const id = config.instanceId !== "" ? config.instanceId : `${hostname()}-${config.httpPort}`;
  const member = (ring: string, tokens: number, tokensFile = ""): RingMember => new RingMember(members, { ring, id, address: advertised(config), zone: config.zone, tokens, tokensFile, heartbeatMs: config.heartbeatPeriod, unregister: config.unregister }, base);
  const active = (m: RingMember): Service => ({ name: `${m.name}: ACTIVE`, start: () => m.set("ACTIVE"), stop: () => Promise.resolve() });

  const services: Service[] = [], routes: Routes[] = [], late: Service[] = [], notReady: (() => string)[] = [];
  let drain = (): Promise<void> => Promise.resolve();
  let progress = (): string => "";
  let seen: () => Promise<string[]> = () => Promise.resolve([]);

  const storeOf = oneEach((m) => new RemoteStore(client, "StoreGateway", m.id, m.address, config.queryTimeout));
  const stores = (): RemoteStore[] => view(STORES).snapshot.readable.map(storeOf);
  /** Tells every store-gateway of a block; one that misses it finds it at its next sync. */
  const tell = async (tenant: string, ulid: string): Promise<void> => {
    await Promise.all(stores().map((s) => s.learn(tenant, ulid).catch((err: unknown) => base.log.warn({ tenant, blockId: ulid, store: s.name, err }, "a new block was not learnt, the next sync finds it"))));
  };

  const needsBucket = ["ingester", "store-gateway", "compactor"].some((t) => targets.has(t));
  const bucket = needsBucket ? await parts.bucket() : undefined;
  const pool = ["ingester", "store-gateway", "query-frontend"].some((t) => targets.has(t)) ? parts.pool() : undefined;
  if (pool) services.push(pool);

  if (targets.has("store-gateway")) {
    const store = parts.store(bucket!, pool!);
    const me = member(STORES, 1);
    services.push(me, store);
    late.push(active(me));
    routes.push(internalRoutes("StoreGateway", storeMethods(store)));
  }

  if (targets.has("ingester")) {
    const ingester = parts.ingester(pool!, onFatal);
    const me = member(INGESTERS, config.numTokens, config.tokensFile !== "" ? config.tokensFile : join(config.dataPath, "ring-tokens.json"));
    const shipper = parts.shipper(ingester, bucket!, (tenant, meta) => { void tell(tenant, meta.ulid); });
    ingester.onBlock = () => { void shipper.sync(); };
    ingester.answerable = async (tenant, ulid) => {
      for (const s of stores()) { try { if (await s.answers(tenant, ulid)) return true; } catch (err) { base.log.debug({ store: s.name, err }, "store-gateway did not answer"); } }
      return false;
    };
    const ring = view(INGESTERS);
    view(STORES);
    const share = sharedLimits((tenant) => limits.of(tenant), () => Math.min(1, config.replicationFactor / Math.max(1, ring.snapshot.active.length)));
    let leaving = false;
    services.push(me, shipper, ingester);
    late.push(active(me));
    progress = () => ingester.progress;
    routes.push(internalRoutes("Ingester", { ...sourceMethods(ingester), ...pushMethod((tenant, service, push) => (leaving ? Promise.reject(new CinderblockError("unavailable", `ingester ${id} is leaving`)) : ingester.push(tenant, service, push, share(tenant)))) }), ingesterRoutes(ingester, config.multitenancy));
    // It takes no writes any more, but answers for its data until the bucket does.
    drain = async () => {
      await me.set("LEAVING");
      // Every distributor has read by then that it leaves, and its absence will alarm nobody.
      await sleep(2 * RING_REFRESH_MS);
      leaving = true;
      await ingester.flush();
      await shipper.sync();
      const until = Date.now() + config.shutdownTimeout;
      for (const { tenant, meta } of [...ingester.blocksOnDisk.shipped()]) while (Date.now() < until && !(await ingester.answerable(tenant, meta.ulid))) await sleep(200);
      const left = ingester.blocksOnDisk.unshipped().length;
      if (left > 0) base.log.warn({ blocks: left }, "blocks are still to be shipped: start this ingester again before its disk goes away");
    };
  }

  if (targets.has("distributor")) {
    const ring = view(INGESTERS);
    const path = new RingWritePath({ replicationFactor: config.replicationFactor, zoneAware: config.zoneAware, timeoutMs: config.pushTimeout }, () => ring.snapshot, (address) => new RemotePush(client, address), base);
    routes.push(distributorRoutes(new Distributor(path, limits, parts.budgets.inflight, base), config.multitenancy, base.now));
    notReady.push(() => (ring.snapshot.active.length === 0 ? "no ingester is ACTIVE in the ring" : ""));
  }

  if (targets.has("query-scheduler")) {
    const scheduler = new QueryScheduler(config.maxOutstanding, base);
    const served = serveScheduler(scheduler, base);
    const me = member(SCHEDULERS, 1);
    services.push(me, { name: "query-scheduler-transport", start: () => Promise.resolve(), stop: () => { served.stop(); return Promise.resolve(); } }, scheduler);
    late.push(active(me));
    routes.push(internalRoutes("QueryScheduler", served.methods));
  }

  const schedulers = (): string[] => view(SCHEDULERS).snapshot.active.map((m) => m.address);
  if (targets.has("querier")) {
    view(SCHEDULERS);
    view(STORES);
    const ring = view(INGESTERS);
    const source = oneEach((m) => new RemoteSource(client, "Ingester", m.id, m.address, config.queryTimeout));
    // A silent ingester is asked, too: it may be back, and what it alone has must be told.
    const sources = { ingesters: () => ring.snapshot.readable.map(source), stores, maxSilentIngesters: () => config.replicationFactor - (Math.floor(config.replicationFactor / 2) + 1), refresh: async () => { await Promise.all([ring.refresh(), view(STORES).refresh()]); } };
    const jobs = new RemoteJobs(client, schedulers, base);
    const loop = new QuerierLoop(new Querier(sources, base), jobs, config.querierConcurrency, id);
    services.push({ name: loop.name, start: () => loop.start(), stop: () => { jobs.stop(); return loop.stop(); } });
  }

  if (targets.has("query-frontend")) {
    view(SCHEDULERS);
    const frontend = new QueryFrontend(new RemoteQueue(client, schedulers), pool!, limits, base);
    const readConfig = { multitenancy: config.multitenancy, queryTimeoutMs: config.queryTimeout };
    routes.push(frontendRpc(frontend, readConfig), renderRoutes(frontend, readConfig, base.now));
    notReady.push(() => (schedulers().length === 0 ? "no query-scheduler is ACTIVE in the ring" : ""));
    seen = () => frontend.labelValues({ tenants: [DEFAULT_TENANT], deadlineMs: Date.now() + 5000, signal: undefined, warn: () => undefined }, LABEL_SERVICE_NAME, [], 0, 0);
  }

  if (targets.has("compactor")) {
    const ring = view(COMPACTORS);
    const me = member(COMPACTORS, 512);
    const owns = (tenant: string): boolean => { const { active: all } = ring.snapshot; return all.length > 0 && ring.snapshot.write(fnv1a(Buffer.from(tenant)), 1).members[0]?.id === id; };
    const { cleaner, compactor } = parts.compaction(bucket!, owns);
    compactor.onCompacted = async (tenant, outputs) => { for (const o of outputs) await tell(tenant, o.ulid); };
    view(STORES);
    services.push(me, active(me), cleaner, ...(config.compactorEnabled ? [compactor] : []));
  }

  for (const [ring, v] of views) routes.push(ringRoutes(PAGES[ring]!, v));
  const ready = { draining: false };
  const server = parts.server([
    parts.admin(build, () => (ready.draining ? "stopping" : waitingFor(group, progress()) || notReady.map((n) => n()).find((x) => x !== "") || ""), () => seen()),
    ...routes,
  ]);
  // First to start, so last to stop: members leave the rings through it.
  const connections: Service = { name: "connections", start: () => Promise.resolve(), stop: async () => { client.close(); await members.close(); } };
  const group = new ServiceGroup([connections, ...views.values(), ...services, ...late]);
  return { group, server, ready, drain: () => drain() };
}

/** One client for each member, the same one every time: queriers know them by identity. */
function oneEach<T>(make: (m: Member) => T): (m: Member) => T {
  const known = new Map<string, T>();
  return (m) => {
    const key = `${m.id} ${m.address}`;
    let c = known.get(key);
    if (c === undefined) known.set(key, (c = make(m)));
    return c;
  };
}

/** Limits with the part of the ingestion rate that this ingester may take; the same object as long as nothing changed. */
function sharedLimits(of: (tenant: string) => IngestLimits, share: () => number): (tenant: string) => IngestLimits {
  const known = new Map<string, { from: IngestLimits; share: number; limits: IngestLimits }>();
  return (tenant) => {
    const from = of(tenant), part = share();
    const k = known.get(tenant);
    if (k && k.from === from && k.share === part) return k.limits;
    const limits = { ...from, ingestionRateBytes: from.ingestionRateBytes * part };
    known.set(tenant, { from, share: part, limits });
    return limits;
  };
}
