import { mkdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { type ConfigOf, type Schema } from "@cinderblock/config";
import { type DirectoryLock, lockDirectory } from "@cinderblock/files";
import {
  type Bucket,
  bucketName,
  type BucketSpec,
  observeOperations,
  openBucket,
} from "@cinderblock/objstore";
import { diskCacheCounters, QueryPool } from "@cinderblock/query-worker";
import {
  ApiServer,
  type Authorizer,
  BodyBudget,
  type Gate,
  type Routes,
  type ServerConfig,
} from "@cinderblock/rpc";
import { type SymbolizerData, TABLE_RESULTS, tableCounters } from "@cinderblock/symbolizer";
import { profileRoutes } from "@cinderblock/self-profiling";
import type { ServiceGroup } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { TenantLimits } from "@cinderblock/tenant";
import { adminRoutes, type InternalListener } from "./admin.ts";
import { type Budgets, budgetsOf } from "./budgets.ts";
import { type CommonConfig, limitsOf } from "./config.ts";
import { internalListenAddress } from "./internal-address.ts";
import { bucketSpecOf } from "./storage-config.ts";
import { authorizerOf } from "./auth.ts";
import { RuntimeOverrides } from "./overrides.ts";
import { serverTlsOf } from "./tls-config.ts";

/** Entry points of the worker threads. */
export interface Scripts {
  ingest: URL;
  query: URL;
  compact: URL;
  validate: URL;
  debugFiles: URL;
  web: URL;
}
/** Version and Git revision of the program. */
export interface Build {
  version: string;
  revision: string;
}

/** Shared resources of a process's components, created from its configuration in every deployment mode. */
export class Resources {
  readonly budgets: Budgets;
  readonly limits: TenantLimits;
  /** memory for request bodies of clients */
  readonly bodies: BodyBudget;
  /** memory for request bodies of other processes */
  private readonly internalBodies: BodyBudget;
  readonly spec: BucketSpec;
  readonly base: Base;
  readonly scripts: Scripts;
  /** limits of single tenants */
  readonly overrides: RuntimeOverrides;
  private readonly schema: Schema;
  private readonly config: CommonConfig;
  readonly build: Build;
  /** authorizes callers of the public port */
  readonly authorizer: Authorizer;
  private opened: Promise<Bucket> | undefined;
  private workers: QueryPool | undefined;
  private symbolizer: SymbolizerData | undefined;

  constructor(schema: Schema, config: CommonConfig, base: Base, scripts: Scripts, build: Build) {
    this.schema = schema;
    this.config = config;
    this.base = base;
    this.scripts = scripts;
    this.build = build;
    this.budgets = budgetsOf(config);
    const { limit, runtime, heads, inflight, blocks, compactor, workers, ingestWorkers } = this.budgets;
    base.log.info(
      {
        limit,
        runtime,
        heads,
        inflight,
        blocks,
        compactor,
        queryThreads: workers,
        ingestThreads: ingestWorkers,
      },
      "memory budgets in bytes, and numbers of threads",
    );
    this.bodies = new BodyBudget(this.budgets.inflight, base.metrics);
    this.internalBodies = new BodyBudget(2 * this.budgets.inflight, base.metrics, "processes");
    this.limits = new TenantLimits(limitsOf(config));
    this.spec = bucketSpecOf(config);
    this.overrides = new RuntimeOverrides(config, this.limits, base);
    this.authorizer = authorizerOf(config);
  }

  /** locks of the folders that this process owns, by their real path */
  private readonly claims = new Map<string, DirectoryLock>();

  /**
   * Claims a folder exclusively for this process, before anything reads it (docs/correctness.md, "One process
   * per data path"). Components of one process may claim the same folder.
   * @param flag the flag that names the folder
   * @throws {DirectoryInUse} when another process has claimed it
   */
  claimDirectory(path: string, flag: string): void {
    mkdirSync(path, { recursive: true });
    const real = realpathSync(path);
    if (!this.claims.has(real)) this.claims.set(real, lockDirectory(real, flag));
  }

  /** The process's only bucket. */
  bucket(): Promise<Bucket> {
    const { spec } = this;
    if (this.opened) return this.opened;
    if (spec.backend === "filesystem") mkdirSync(spec.directory, { recursive: true });
    observeOperations(spec.counters, bucketName(spec), this.base.metrics);
    return (this.opened = openBucket(spec));
  }

  /** Configuration of the symbolizer for threads that read profiles; undefined if it is disabled. */
  get symbols(): SymbolizerData | undefined {
    const { config, base } = this;
    if (!config.symbolizerEnabled) return undefined;
    if (!this.symbolizer) {
      const counters = tableCounters(),
        threads = 2 * this.budgets.workers;
      this.symbolizer = {
        bucket: this.spec,
        config: {
          directory: join(config.syncDir, "symbols"),
          urls: config.debuginfodUrl
            .split(",")
            .map((u) => u.trim())
            .filter((u) => u !== ""),
          script: this.scripts.debugFiles.href,
          maxFileBytes: config.symbolizerMaxFile,
          fetchTimeoutMs: config.symbolizerFetchTimeout,
          waitMs: config.symbolizerQueryWait,
          absentMs: config.symbolizerAbsent,
          memoryBytes: Math.floor(config.symbolizerMemory / threads),
          diskBytes: config.symbolizerDisk,
          counters,
        },
      };
      base.metrics.gauge(
        "cinderblock_symbolizer_tables_total",
        "Debug file tables that were not in memory, by source.",
        ["result"],
        (g) => {
          TABLE_RESULTS.forEach((result, i) => {
            g.set({ result }, Number(Atomics.load(new BigInt64Array(counters), i)));
          });
        },
      );
    }
    return this.symbolizer;
  }

  /** The process's only query pool. */
  get pool(): QueryPool {
    const { budgets, config } = this;
    return (this.workers ??= new QueryPool(
      this.scripts.query,
      budgets.workers,
      {
        bucket: this.spec,
        localDirectory: config.dataPath,
        cacheBytes: budgets.blocks,
        idleMs: config.blockIdle,
        symbols: this.symbols,
        // A filesystem bucket needs no disk cache.
        disk:
          this.spec.backend === "filesystem" || config.diskCacheBytes === 0
            ? undefined
            : {
                dir: join(config.syncDir, "cache"),
                bytes: config.diskCacheBytes,
                counters: diskCacheCounters(),
              },
      },
      Math.max(128, Math.floor(budgets.limit / 1048576 / 2)),
      this.base,
    ));
  }

  private listening(address: string, port: number, protocol: ServerConfig["protocol"]): ServerConfig {
    const { config } = this;
    return {
      address,
      port,
      protocol,
      multitenancy: config.multitenancy,
      readTimeoutMs: config.httpReadTimeout,
      idleTimeoutMs: config.httpIdleTimeout,
      shutdownTimeoutMs: config.shutdownTimeout,
      maxConcurrentStreams: config.maxConcurrentStreams,
      maxHeaderBytes: config.httpMaxHeaderBytes,
      largeHeadersBytes: Math.max(4 * config.httpMaxHeaderBytes, this.budgets.headers),
      writeTimeoutMs: config.httpWriteTimeout,
      maxConnections: config.httpConnections > 0 ? config.httpConnections : this.budgets.connections,
      bodies: this.bodies,
      internalBodies: { budget: this.internalBodies, limitBytes: Math.floor(this.budgets.limit / 2) },
      tls: serverTlsOf(config),
    };
  }

  /** Listener of internal methods, only for other processes of the cluster. */
  internalServer(routes: readonly Routes[], port: number, gate: Gate): ApiServer {
    return new ApiServer(
      this.listening(internalListenAddress(this.config), port, "internal"),
      routes,
      this.base,
      gate,
      "internal server",
    );
  }

  server(routes: readonly Routes[]): ApiServer {
    const { config } = this;
    return new ApiServer(
      this.listening(config.httpAddress, config.httpPort, "http"),
      [...routes, this.overrides.routes(), profileRoutes(this.base.now)],
      this.base,
      this.authorizer,
    );
  }

  admin(
    notReady: () => string,
    starting: () => string,
    hasFront: boolean,
    internal?: () => InternalListener | undefined,
  ): Routes {
    return adminRoutes({
      schema: this.schema,
      config: this.config as ConfigOf<Schema>,
      metrics: this.base.metrics,
      log: this.base.log,
      ...this.build,
      notReady,
      starting,
      hasFront,
      internal: internal ?? (() => undefined),
    });
  }
}

/** Services that do not run yet, as text for /ready. */
export function describeNotRunning(group: ServiceGroup, progress: string): string {
  const waiting = group.notRunning();
  if (waiting.length === 0) return "";
  return `Some services are not Running:\n${waiting.map((w) => `${w.state}: ${w.name}${w.name === "ingester" && progress !== "" ? ` (${progress})` : ""}`).join("\n")}`;
}
