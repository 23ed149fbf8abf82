import { type BlockMeta, decodeBucketIndex, decodeMeta, isUlid } from "@cinderblock/block-meta";
import { Semaphore } from "@cinderblock/async";
import { replacementOf, tenantsIn } from "@cinderblock/compact";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type {
  BlockInfo,
  ExecuteAnswer,
  Exclusions,
  LabelAnswer,
  LabelAsk,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceClient,
  SourceQuery,
  Until,
} from "@cinderblock/query";
import type { QueryPool } from "@cinderblock/query-worker";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";

export interface StoreGatewayConfig {
  syncIntervalMs: number;
  metaConcurrency: number;
  ignoreDeletionMarksDelayMs: number;
  maxStaleMs: number;
}

/** Answers for the blocks in the bucket. Learns them from the bucket index, and lists the bucket where there is none or a stale one. */
export class StoreGateway implements Service, SourceClient {
  readonly name = "store-gateway";
  private readonly metas = new Map<string, Map<string, BlockMeta>>();
  /** tenant -> block -> when it was learnt, ahead of the index */
  private readonly learnt = new Map<string, Map<string, number>>();
  private timer: NodeJS.Timeout | undefined;
  private syncing: Promise<void> | undefined;
  private readonly config: StoreGatewayConfig;
  private readonly bucket: Bucket;
  private readonly pool: QueryPool;
  private readonly base: Base;
  private readonly fetches: Semaphore;
  private readonly damaged: { inc(): void };
  /** tenants whose index was out of date when it was last read */
  private readonly stale = new Set<string>();
  /** what was said of damaged blocks */
  private readonly reported = new Set<string>();

  constructor(config: StoreGatewayConfig, bucket: Bucket, pool: QueryPool, base: Base) {
    this.config = config;
    this.bucket = bucket;
    this.pool = pool;
    this.base = base;
    this.fetches = new Semaphore(config.metaConcurrency);
    // There from the start, at 0: an alert sees the first one.
    this.damaged = base.metrics.counter(
      "cinderblock_store_gateway_damaged_blocks_total",
      "Blocks left out because they are damaged.",
    );
  }

  async start(): Promise<void> {
    try {
      await this.sync();
    } catch (err) {
      this.base.log.warn({ err }, "bucket could not be read at start, it will be tried again");
    }
    this.timer = setInterval(() => {
      this.sync().catch((err: unknown) => this.base.log.warn({ err }, "bucket sync failed"));
    }, this.config.syncIntervalMs);
    this.timer.unref();
    this.base.metrics.gauge(
      "pyroscope_bucket_store_blocks_loaded",
      "Blocks that this store-gateway answers for.",
      [],
      (g) => {
        let n = 0;
        for (const m of this.metas.values()) n += m.size;
        g.set(n);
      },
    );
  }

  stop(): Promise<void> {
    clearInterval(this.timer);
    return Promise.resolve();
  }

  sync(): Promise<void> {
    this.syncing ??= this.pass().finally(() => {
      this.syncing = undefined;
    });
    return this.syncing;
  }

  private async pass(): Promise<void> {
    const started = this.base.now();
    const tenants = await tenantsIn(this.bucket);
    for (const tenant of tenants) {
      try {
        await this.syncTenant(tenant);
      } catch (err) {
        this.base.log.warn({ tenant, err }, "tenant's blocks could not be read");
      }
    }
    for (const t of this.metas.keys()) if (!tenants.includes(t)) this.metas.delete(t);
    const { metrics } = this.base;
    metrics.counter("pyroscope_storegateway_bucket_sync_total", "Passes over the bucket.").inc();
    metrics.gauge("pyroscope_bucket_stores_tenants_discovered", "Tenants in the bucket.").set(tenants.length);
    metrics
      .gauge(
        "pyroscope_bucket_stores_blocks_last_successful_sync_timestamp_seconds",
        "When the bucket was last read.",
      )
      .set(this.base.now() / 1000);
    metrics
      .histogram(
        "pyroscope_bucket_stores_blocks_sync_seconds",
        "Time to read the bucket.",
        [],
        [0.1, 1, 10, 60, 300],
      )
      .observe((this.base.now() - started) / 1000);
  }

  private async syncTenant(tenant: string): Promise<void> {
    const prefix = `${tenant}/phlaredb/`;
    const now = this.base.now();
    const hidden = new Set<string>();
    let ulids: string[] | undefined;
    try {
      const index = decodeBucketIndex(await this.bucket.get(`${prefix}bucket-index.json.gz`));
      for (const m of index.marks)
        if (now - m.deletionTimeS * 1000 > this.config.ignoreDeletionMarksDelayMs) hidden.add(m.ulid);
      const ageMs = now - index.updatedAtS * 1000,
        stale = ageMs >= this.config.maxStaleMs;
      this.base.metrics
        .gauge(
          "cinderblock_store_gateway_bucket_index_age_seconds",
          "Age of a tenant's bucket index when it was last read.",
          ["user"],
        )
        .set({ user: tenant }, ageMs / 1000);
      if (!stale) ulids = index.blocks.map((b) => b.ulid);
      else if (!this.stale.has(tenant))
        this.base.log.warn(
          { tenant, ageSeconds: Math.round(ageMs / 1000) },
          "bucket index is out of date, listing the bucket: does a compactor run?",
        );
      if (stale) this.stale.add(tenant);
      else this.stale.delete(tenant);
    } catch (err) {
      if (!(err instanceof CinderblockError) || err.kind === "unavailable") throw err;
      if (err.kind === "corrupt")
        this.base.log.warn({ tenant, err }, "bucket index is damaged, listing the bucket");
    }
    ulids ??= (await this.bucket.list(prefix))
      .map((n) => n.slice(prefix.length).replace(/\/$/, ""))
      .filter(isUlid);
    const known = this.metas.get(tenant) ?? new Map<string, BlockMeta>();
    const next = new Map<string, BlockMeta>();
    // An index older than a block does not name it; what was learnt since then stays as long as it is there.
    const learnt = this.learnt.get(tenant);
    if (learnt) {
      for (const [u, at] of learnt)
        if (now - at > this.config.maxStaleMs || ulids.includes(u)) learnt.delete(u);
      for (const u of learnt.keys()) if (await this.fetchMeta(tenant, u)) ulids.push(u);
    }
    await Promise.all(
      ulids
        .filter((u) => !hidden.has(u))
        .map((u) =>
          this.fetches.run(async () => {
            const meta = known.get(u) ?? (await this.fetchMeta(tenant, u));
            if (meta) next.set(u, meta);
          }),
        ),
    );
    const gone = [...known.keys()].filter((u) => !next.has(u));
    if (gone.length > 0) this.pool.forget("bucket", tenant, gone);
    if (next.size > 0) this.metas.set(tenant, next);
    else this.metas.delete(tenant);
  }

  private async fetchMeta(tenant: string, ulid: string): Promise<BlockMeta | undefined> {
    try {
      return decodeMeta(await this.bucket.get(`${tenant}/phlaredb/${ulid}/meta.json`), `${ulid}/meta.json`);
    } catch (err) {
      if (err instanceof CinderblockError && err.kind === "not-found") return undefined; // a partial block: its meta comes last
      if (err instanceof CinderblockError && err.kind === "corrupt") {
        this.base.log.error({ tenant, blockId: ulid, err }, "block is damaged and left out");
        this.damaged.inc();
        return undefined;
      }
      throw err;
    }
  }

  /** Learns one block at once: what the ingester shipped, or what a plan names. True when it is there. */
  async learn(tenant: string, ulid: string): Promise<boolean> {
    if (this.metas.get(tenant)?.has(ulid)) return true;
    const meta = await this.fetchMeta(tenant, ulid);
    if (!meta) return false;
    const m = this.metas.get(tenant) ?? new Map<string, BlockMeta>();
    m.set(ulid, meta);
    this.metas.set(tenant, m);
    const learnt = this.learnt.get(tenant) ?? new Map<string, number>();
    learnt.set(ulid, this.base.now());
    this.learnt.set(tenant, learnt);
    return true;
  }

  /** Opens a block, or the blocks that it was compacted into, to see that they answer. */
  async answers(tenant: string, ulid: string): Promise<boolean> {
    const replacement = replacementOf(ulid, this.metasOf(tenant)).map((m) => m.ulid);
    if (replacement.length === 0 && !(await this.learn(tenant, ulid))) return false;
    const { missing } = await this.pool.labels(
      "bucket",
      tenant,
      replacement.length > 0 ? replacement : [ulid],
      { kind: "names", query: { matchers: [], startMs: 0, endMs: 0 } },
    );
    return missing.length === 0;
  }

  metasOf(tenant: string): BlockMeta[] {
    return [...(this.metas.get(tenant)?.values() ?? [])];
  }
  tenants(): string[] {
    return [...this.metas.keys()];
  }

  blocks(tenant: string, startMs: number, endMs: number): Promise<BlockInfo[]> {
    return Promise.resolve(
      this.metasOf(tenant)
        .filter((m) => m.minTimeMs <= endMs && m.maxTimeMs >= startMs)
        .map((m) => ({
          ulid: m.ulid,
          minTimeMs: m.minTimeMs,
          maxTimeMs: m.maxTimeMs,
          level: m.compaction.level,
          sources: m.compaction.sources,
          parents: m.compaction.parents.map((p) => p.ulid),
          shardId: m.labels.__compactor_shard_id__ ?? "",
          hints: m.compaction.hints ?? [],
        })),
    );
  }

  async execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Until,
  ): Promise<ExecuteAnswer> {
    return this.lookingAgain(
      tenant,
      await this.named(tenant, this.pool.execute("bucket", tenant, ulids, query, exclude, until?.signal)),
    );
  }
  ranges(tenant: string, ulids: readonly string[], select: SelectRequest): Promise<SeriesRanges[]> {
    return this.named(tenant, this.pool.ranges("bucket", tenant, ulids, select));
  }
  times(tenant: string, ulids: readonly string[], select: SelectRequest): Promise<RowTimes[]> {
    return this.named(tenant, this.pool.times("bucket", tenant, ulids, select));
  }
  keys(tenant: string, ulids: readonly string[], select: SelectRequest): Promise<RowKeys[]> {
    return this.named(tenant, this.pool.keys("bucket", tenant, ulids, select));
  }
  async labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelAsk,
  ): Promise<LabelAnswer & { missing: string[] }> {
    return this.lookingAgain(
      tenant,
      await this.named(tenant, this.pool.labels("bucket", tenant, ulids, ask)),
    );
  }

  /** A block that cannot be read is named, once; the query plans around it. */
  private async named<T>(tenant: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (err) {
      if (kindOf(err) === "corrupt" && !this.reported.has(messageOf(err))) {
        this.reported.add(messageOf(err));
        this.base.log.error({ tenant, err }, "block is damaged and left out");
        this.damaged.inc();
      }
      throw err;
    }
  }

  /** A block that is gone was compacted and deleted since the bucket was read: what it became is learnt before the next plan. */
  private async lookingAgain<T extends { missing: string[] }>(tenant: string, answer: T): Promise<T> {
    if (answer.missing.length === 0) return answer;
    for (const u of answer.missing) {
      this.metas.get(tenant)?.delete(u);
      this.learnt.get(tenant)?.delete(u);
    }
    try {
      await this.syncTenant(tenant);
    } catch (err) {
      this.base.log.warn({ tenant, err }, "tenant's blocks could not be read");
    }
    return answer;
  }
}
