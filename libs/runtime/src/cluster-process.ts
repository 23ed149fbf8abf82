import { CinderblockError } from "@cinderblock/errors";
import { RedisMembers } from "@cinderblock/redis";
import {
  Holders,
  type Member,
  RingMember,
  ringRoutes,
  type RingSource,
  RingView,
  Roster,
  RosterMember,
} from "@cinderblock/ring";
import {
  type ApiServer,
  InternalClient,
  type InternalCredentials,
  InternalGate,
  type Routes,
  tlsAgent,
} from "@cinderblock/rpc";
import { periodic, type Service, ServiceGroup } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { RemoteStore } from "@cinderblock/transport";
import { type CommonConfig, redisConfigOf } from "./config.ts";
import {
  advertisedHost,
  hostAndPort,
  internalListenAddress,
  chooseInternalPort,
} from "./internal-address.ts";
import { instanceIdOf } from "./instance-id.ts";
import { checkInternalTokens, internalCredentialsOf } from "./internal-tokens.ts";
import { type Resources, describeNotRunning } from "./resources.ts";
import { DnsSchedulers, RingSchedulers, type Schedulers } from "./schedulers.ts";
import type { WiredProgram } from "./run.ts";
import { selfProfiling } from "./self-profiling.ts";
import { checkClusterTls, clientTlsOf } from "./tls-config.ts";

/** Names of the rings of a cluster. */
export const INGESTERS = "ingester",
  DISTRIBUTORS = "distributor",
  STORES = "store-gateway",
  SCHEDULERS = "query-scheduler",
  COMPACTORS = "compactor";
/** Interval between reads of a ring. */
export const RING_REFRESH_MS = 1000;
/** Path of a ring's status page, as in v1. */
const PAGES: Record<string, string> = {
  [INGESTERS]: "/ring",
  [DISTRIBUTORS]: "/distributor/ring",
  [STORES]: "/store-gateway/ring",
  [SCHEDULERS]: "/query-scheduler/ring",
  [COMPACTORS]: "/compactor/ring",
};

/**
 * A process of a cluster: its membership in the rings, its views of the rings, and the services, routes and
 * shutdown steps that its components register. Components find each other in the rings and call each other
 * over the network.
 */
export class ClusterProcess {
  readonly id: string;
  readonly base: Base;
  readonly client: InternalClient;
  readonly resources: Resources;
  readonly onFatal: (reason: string) => void;
  /** start-up progress of a component, for /ready */
  progress: () => string = () => "";
  /** whether a component of this process serves its own front page */
  hasFront = false;
  private readonly component: string;
  private readonly config: CommonConfig;
  private readonly members: RedisMembers;
  private readonly views = new Map<string, RingView>();
  /** rings that a component of this process reads */
  private readonly needed = new Set<string>();
  private readonly services: Service[] = [];
  private readonly late: Service[] = [];
  private readonly routes: Routes[] = [];
  private readonly internal: Routes[] = [];
  private readonly credentials: InternalCredentials & Partial<Service>;
  private internalServer: ApiServer | undefined;
  private readonly obstacles: (() => string)[] = [];
  private readonly drains: (() => Promise<void>)[] = [];
  private readonly found: Schedulers;
  private readonly storeOf: (m: Member) => RemoteStore;
  private pooled = false;

  /** @param component name of the component, for people */
  constructor(
    config: CommonConfig,
    resources: Resources,
    component: string,
    onFatal: (reason: string) => void,
  ) {
    this.component = component;
    this.config = config;
    this.resources = resources;
    this.base = resources.base;
    this.onFatal = onFatal;
    this.id = instanceIdOf(config);
    this.members = new RedisMembers(redisConfigOf(config), this.base.metrics);
    const traffic = { sentBytes: 0, receivedBytes: 0 };
    const tls = clientTlsOf(config);
    this.credentials = internalCredentialsOf(config, this.members, config.heartbeatPeriod, this.base);
    this.client = new InternalClient(
      this.credentials,
      traffic,
      tls && ((options) => tlsAgent(tls, this.base.log, options)),
      this.base.tracer,
    );
    this.base.metrics.gauge(
      "cinderblock_internal_sent_bytes",
      "Request bytes of calls to other processes.",
      [],
      (g) => {
        g.set(traffic.sentBytes);
      },
    );
    this.base.metrics.gauge(
      "cinderblock_internal_received_bytes",
      "Response bytes of calls to other processes.",
      [],
      (g) => {
        g.set(traffic.receivedBytes);
      },
    );
    if (config.schedulerDiscovery === "dns") {
      const dns = new DnsSchedulers(
        config.frontendScheduler !== "" ? config.frontendScheduler : config.querierScheduler,
        this.base,
      );
      this.found = dns;
      this.services.push(dns);
    } else this.found = new RingSchedulers(this.view(SCHEDULERS), config.schedulersUsed);
    this.storeOf = memoizeByMember((m) => new RemoteStore(this.client, m.id, m.address, config.queryTimeout));
  }

  /** Refuses a configuration that no process of a cluster can run with. @throws `invalid` */
  static checkConfig(config: CommonConfig, what: string): void {
    if (config.ringStore !== "redis")
      throw new CinderblockError(
        "invalid",
        `${what} as a separate process needs -ring.store=redis; a Cinderblock ring and a Pyroscope v1 ring cannot be mixed: the two systems may share a bucket, never a ring`,
      );
    if (config.httpPort === 0)
      throw new CinderblockError(
        "invalid",
        "-server.http-listen-port=0 is not allowed: other processes need a known port of this component",
      );
    if (config.internalPort === config.httpPort)
      throw new CinderblockError(
        "invalid",
        `-server.internal-listen-port=${config.internalPort} equals -server.http-listen-port: internal methods need a separate port`,
      );
    redisConfigOf(config);
    checkClusterTls(config);
    checkInternalTokens(config);
  }

  /** This process's view of a ring that a component reads: it is not ready before the first read. */
  ringView(ring: string): RingView {
    this.needed.add(ring);
    return this.view(ring);
  }

  /**
   * This process's view of a ring, kept up to date. Ingesters are never forgotten automatically: no other
   * place may have their data.
   */
  private view(ring: string): RingView {
    const { heartbeatTimeout } = this.config;
    let v = this.views.get(ring);
    if (!v)
      this.views.set(
        ring,
        (v = new RingView(
          this.members,
          {
            ring,
            refreshMs: RING_REFRESH_MS,
            heartbeatTimeoutMs: heartbeatTimeout,
            forgetAfterMs: ring === INGESTERS ? 0 : 10 * heartbeatTimeout,
          },
          this.base,
        )),
      );
    return v;
  }

  /** This process as a member of a ring; JOINING until `becomeActive`, and not ready before it is ACTIVE. */
  ringMember(ring: string, tokens: number, tokensFile = ""): RingMember {
    const { config } = this;
    const member = new RingMember(
      this.members,
      {
        ring,
        id: this.id,
        address: () => this.address,
        zone: config.zone,
        tokens,
        tokensFile,
        heartbeatMs: config.heartbeatPeriod,
        unregister: config.unregister,
        // Stop as on an operator's signal: first hand over the data that only this process has.
        onSuperseded: () => process.kill(process.pid, "SIGTERM"),
      },
      this.base,
    );
    this.readyWhen(() => member.obstacle);
    return member;
  }

  /** This ingester's roster entry. @param file local file that records that the bucket has the entry */
  async rosterMember(file: string): Promise<RosterMember> {
    return new RosterMember(
      await this.resources.bucket(),
      { id: this.id, address: () => this.address, zone: this.config.zone, file },
      this.base,
    );
  }

  /** Ingesters that may hold data that the bucket lacks, known without the ring as well; kept up to date. */
  async holders(): Promise<{ holders: Holders; roster: Roster }> {
    const ring = this.ringView(INGESTERS);
    const roster = new Roster(await this.resources.bucket(), this.base),
      holders = new Holders(ring, roster);
    roster.isStale = (id) => !holders.inRing(id);
    this.base.metrics.gauge(
      "cinderblock_querier_absent_ingesters",
      "Ingesters outside of the ring that may hold data.",
      [],
      (g) => {
        g.set(holders.members.filter((m) => !holders.inRing(m.id)).length);
      },
    );
    const loop = periodic(
      { name: "holders", everyMs: RING_REFRESH_MS, deadlineMs: RING_REFRESH_MS },
      () => Promise.resolve(holders.recordMembers()),
      this.base,
    );
    this.services.push(roster, {
      name: "holders",
      start: () => Promise.resolve(loop.start()),
      stop: () => loop.stop(0).then(() => undefined),
    });
    return { holders, roster };
  }

  /**
   * Source of the ingester ring's page: adds the roster's ingesters that the ring lacks, and forgets
   * ingesters in both.
   */
  private ingesterPage(view: RingView): RingSource {
    let known: Promise<{ roster: Roster; holders: Holders }> | undefined;
    const both = (): Promise<{ roster: Roster; holders: Holders }> =>
      (known ??= this.resources.bucket().then((bucket) => {
        const roster = new Roster(bucket, this.base),
          holders = new Holders(view, roster);
        roster.isStale = (id) => !holders.inRing(id);
        return { roster, holders };
      }));
    return {
      ring: view.ring,
      get snapshot() {
        return view.snapshot;
      },
      msSinceHeartbeat: (id) => view.msSinceHeartbeat(id),
      refresh: () => view.refresh(),
      absent: async () => {
        const { roster, holders } = await both();
        await roster.refresh();
        return holders.members.filter((m) => !holders.inRing(m.id));
      },
      forget: async (id) => {
        const { roster } = await both();
        const had = await roster.forget(id);
        return (await view.forget(id)) || had;
      },
    };
  }

  /** Registers services: they start in this order and stop in reverse. */
  addServices(...services: Service[]): void {
    this.services.push(...services);
  }
  /** Registers the query threads once; they start before the services of later `add` calls. */
  addPool(): Resources["pool"] {
    const { pool } = this.resources;
    if (!this.pooled) {
      this.pooled = true;
      this.services.push(pool);
    }
    return pool;
  }
  /**
   * Makes a member ACTIVE once all registered services run and `condition` resolves; `condition` does not
   * delay the start.
   */
  becomeActive(m: RingMember, condition?: Promise<void>): void {
    let stopped = false;
    const activate = async (): Promise<void> => {
      await condition;
      if (!stopped && m.state === "JOINING") await m.setState("ACTIVE");
    };
    this.late.push({
      name: `${m.name}: ACTIVE`,
      start: () => {
        const active = activate();
        return condition ? Promise.resolve() : active;
      },
      stop: () => {
        stopped = true;
        return Promise.resolve();
      },
    });
  }
  addRoutes(...routes: Routes[]): void {
    this.routes.push(...routes);
  }
  /** Serves services to the other processes of the cluster, on a listener that refuses all other callers. */
  serveInternal(...routes: Routes[]): void {
    this.internal.push(...routes);
  }

  /** Address in the rings: the listener of internal methods, if the process serves any. */
  private get address(): string {
    const { config, internalServer } = this;
    return internalServer
      ? hostAndPort(advertisedHost(config, internalListenAddress(config)), internalServer.port)
      : hostAndPort(advertisedHost(config, config.httpAddress), config.httpPort);
  }

  private async startInternal(): Promise<void> {
    if (this.internal.length === 0) return;
    const { resources, internal, config } = this;
    this.internalServer = resources.internalServer(
      internal,
      await chooseInternalPort(config),
      new InternalGate(this.credentials, this.base),
    );
    await this.internalServer.start();
  }
  /** Registers a reason why /ready is not 200; "" means no obstacle. */
  readyWhen(obstacle: () => string): void {
    this.obstacles.push(obstacle);
  }
  /** Registers work to do at a stop, before the server closes. */
  beforeStop(drain: () => Promise<void>): void {
    this.drains.push(drain);
  }

  storeGateways(): RemoteStore[] {
    return this.ringView(STORES).snapshot.readable.map(this.storeOf);
  }
  /** Addresses of the query-schedulers. */
  schedulerAddresses(): string[] {
    return this.found.addresses();
  }

  /**
   * Announces a new block to every store-gateway; a store-gateway that misses the call finds the block at its
   * next sync.
   */
  async announceBlock(tenant: string, ulid: string): Promise<void> {
    await Promise.all(
      this.storeGateways().map((s) =>
        s
          .registerBlock(tenant, ulid)
          .catch((err: unknown) =>
            this.base.log.warn(
              { tenant, blockId: ulid, store: s.name, err },
              "new block not announced to a store-gateway; its next sync finds the block",
            ),
          ),
      ),
    );
  }

  /**
   * Whether every healthy store-gateway can serve a block, and at least one can. A plan uses the list of any
   * store-gateway, so one without the block would hide it. A store-gateway that is away lists the bucket when
   * it returns.
   */
  async storesCanServe(tenant: string, ulid: string): Promise<boolean> {
    const { snapshot } = this.ringView(STORES);
    const answers = await Promise.all(
      snapshot.readable
        .filter((m) => snapshot.isHealthy(m))
        .map(async (m) => {
          try {
            return await this.storeOf(m).canServe(tenant, ulid);
          } catch (err) {
            this.base.log.debug({ store: m.id, err }, "store-gateway did not respond");
            return false;
          }
        }),
    );
    return answers.length > 0 && answers.every((a) => a);
  }

  finish(): WiredProgram {
    for (const [ring, v] of this.views) {
      if (this.needed.has(ring)) this.readyWhen(() => v.obstacle);
      this.addRoutes(ringRoutes(PAGES[ring]!, ring === INGESTERS ? this.ingesterPage(v) : v));
    }
    const own = selfProfiling(this.config, this.resources, this.component, this.id);
    // Connections to other processes start first and stop last: members leave the rings through them.
    const connections: Service = {
      name: "connections",
      start: () => Promise.resolve(),
      stop: async () => {
        this.client.close();
        await this.members.close();
      },
    };
    const { credentials } = this;
    const token: Service = {
      name: "internal token",
      start: async () => credentials.start?.(),
      stop: async () => credentials.stop?.(),
    };
    const group = new ServiceGroup([
      connections,
      token,
      ...this.views.values(),
      ...this.services,
      ...this.late,
      ...own,
    ]);
    const ready = { draining: false };
    const starting = (): string => describeNotRunning(group, this.progress());
    const notReady = (): string =>
      ready.draining
        ? "stopping"
        : starting() ||
          this.obstacles
            .map((o) => o())
            .filter((x) => x !== "")
            .join("\n");
    const admin = this.resources.admin(notReady, starting, this.hasFront, () =>
      this.internalServer ? { address: this.address, paths: this.internalServer.paths } : undefined,
    );
    const server = this.resources.server([admin, ...this.routes]);
    return {
      group,
      server: {
        name: server.name,
        start: async () => {
          await server.start();
          await this.startInternal();
        },
        stop: async () => {
          await Promise.all([server.stop(), this.internalServer?.stop()]);
        },
      },
      ready,
      drain: async () => {
        for (const d of this.drains) await d();
      },
    };
  }
}

/** Memoizes one client per member: queriers identify clients by object identity. */
export function memoizeByMember<T>(make: (m: Member) => T): (m: Member) => T {
  const known = new Map<string, T>();
  return (m) => {
    const key = `${m.id} ${m.address}`;
    let c = known.get(key);
    if (c === undefined) known.set(key, (c = make(m)));
    return c;
  };
}
