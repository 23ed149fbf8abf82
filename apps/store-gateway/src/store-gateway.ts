import type { BlockMeta } from "@cinderblock/block-meta";
import { replacementBlocksOf } from "@cinderblock/compact";
import { blockOf, kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type {
  BlockInfo,
  ExecuteAnswer,
  Exclusions,
  LabelAnswer,
  LabelRequest,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceClient,
  SourceQuery,
  Deadline,
} from "@cinderblock/query";
import type { QueryPool } from "@cinderblock/query-worker";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { KnownBlocks, type KnownBlocksConfig } from "./known-blocks.ts";

export interface StoreGatewayConfig extends KnownBlocksConfig {
  syncIntervalMs: number;
}

/** Deadline of one pass over the bucket. */
const SYNC_DEADLINE_MS = 1800_000;

/** Answers queries from the blocks in the bucket; lists them at the start and at each sync. */
export class StoreGateway implements Service, SourceClient {
  readonly name = "store-gateway";
  private readonly loop;
  private syncing: Promise<void> | undefined;
  private readonly pool: QueryPool;
  private readonly base: Base;
  private readonly knownBlocks: KnownBlocks;

  constructor(config: StoreGatewayConfig, bucket: Bucket, pool: QueryPool, base: Base) {
    this.pool = pool;
    this.base = base;
    this.loop = periodic(
      { name: "bucket-sync", everyMs: config.syncIntervalMs, deadlineMs: SYNC_DEADLINE_MS },
      () => this.sync(),
      base,
    );
    this.knownBlocks = new KnownBlocks(bucket, config, base);
    this.knownBlocks.onGone = (tenant, ulids) => this.pool.forget("bucket", tenant, ulids);
  }

  async start(): Promise<void> {
    try {
      await this.sync();
    } catch (err) {
      this.base.log.warn({ err }, "listing the bucket at startup failed, retrying at the next query");
    }
    this.loop.start();
    this.base.metrics.gauge(
      "pyroscope_bucket_store_blocks_loaded",
      "Blocks that this store-gateway serves.",
      [],
      (g) => {
        g.set(this.knownBlocks.size);
      },
    );
  }

  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  sync(): Promise<void> {
    this.syncing ??= this.pass().finally(() => {
      this.syncing = undefined;
    });
    return this.syncing;
  }

  private async pass(): Promise<void> {
    const started = this.base.now();
    const tenants = await this.knownBlocks.sync();
    const { metrics } = this.base;
    metrics.counter("pyroscope_storegateway_bucket_sync_total", "Sync passes over the bucket.").inc();
    metrics.gauge("pyroscope_bucket_stores_tenants_discovered", "Tenants in the bucket.").set(tenants);
    metrics
      .gauge(
        "pyroscope_bucket_stores_blocks_last_successful_sync_timestamp_seconds",
        "Unix time of the last sync with the bucket.",
      )
      .set(this.base.now() / 1000);
    metrics
      .histogram(
        "pyroscope_bucket_stores_blocks_sync_seconds",
        "Duration of a sync with the bucket.",
        [],
        [0.1, 1, 10, 60, 300],
      )
      .observe((this.base.now() - started) / 1000);
  }

  /** Adds one block at once: an ingester shipped it, or a plan names it. True when the bucket has it. */
  registerBlock(tenant: string, ulid: string): Promise<boolean> {
    return this.knownBlocks.registerBlock(tenant, ulid);
  }

  /** Whether a block, or the blocks that it was compacted into, can be opened and answer. */
  async canServe(tenant: string, ulid: string): Promise<boolean> {
    const replacement = replacementBlocksOf(ulid, this.metasOf(tenant)).map((m) => m.ulid);
    if (replacement.length === 0 && !(await this.registerBlock(tenant, ulid))) return false;
    const { missing } = await this.pool.labels(
      "bucket",
      tenant,
      replacement.length > 0 ? replacement : [ulid],
      { kind: "names", query: { matchers: [], startMs: 0, endMs: 0 } },
    );
    return missing.length === 0;
  }

  metasOf(tenant: string): BlockMeta[] {
    return this.knownBlocks.metasOf(tenant);
  }
  tenants(): string[] {
    return this.knownBlocks.tenants();
  }

  /** @throws `unavailable` while the tenant's blocks are not listed */
  async blocks(tenant: string, startMs: number, endMs: number): Promise<BlockInfo[]> {
    await this.knownBlocks.blocksOf(tenant);
    return this.metasOf(tenant)
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
      }));
  }

  async execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Deadline,
  ): Promise<ExecuteAnswer> {
    return this.withResync(
      tenant,
      await this.named(tenant, this.pool.execute("bucket", tenant, ulids, query, exclude, until?.signal)),
    );
  }
  ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<SeriesRanges[]> {
    return this.named(tenant, this.pool.ranges("bucket", tenant, ulids, select, until?.signal));
  }
  times(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowTimes[]> {
    return this.named(tenant, this.pool.times("bucket", tenant, ulids, select, until?.signal));
  }
  keys(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Deadline,
  ): Promise<RowKeys[]> {
    return this.named(tenant, this.pool.keys("bucket", tenant, ulids, select, until?.signal));
  }
  async labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelRequest,
    until?: Deadline,
  ): Promise<LabelAnswer & { missing: string[] }> {
    return this.withResync(
      tenant,
      await this.named(tenant, this.pool.labels("bucket", tenant, ulids, ask, until?.signal)),
    );
  }

  /** Reports a damaged block once; the query plans around it. */
  private async named<T>(tenant: string, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (err) {
      if (kindOf(err) === "corrupt") this.knownBlocks.reportDamaged(tenant, blockOf(err) ?? "", err);
      throw err;
    }
  }

  /** Lists the tenant again after a miss: the next plan needs the block that replaced the missing one. */
  private async withResync<T extends { missing: string[] }>(tenant: string, answer: T): Promise<T> {
    if (answer.missing.length === 0) return answer;
    try {
      await this.knownBlocks.dropVanished(tenant, answer.missing);
    } catch (err) {
      this.base.log.warn({ tenant, err }, "reading a tenant's blocks failed");
    }
    return answer;
  }
}
