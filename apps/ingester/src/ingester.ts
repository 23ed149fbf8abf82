import { statSync } from "node:fs";
import { CinderblockError, kindOf, messageOf, noRoom } from "@cinderblock/errors";
import { type BlockMeta, ulidTimeMs } from "@cinderblock/block-meta";
import { isUnwritable } from "@cinderblock/files";
import { lastLoggedMs } from "@cinderblock/head";
import { emptyOutcome, type PushAnswer, type PushOrigin, type RawPush } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import type { QueryPool } from "@cinderblock/query-worker";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { type WorkerNotices, WorkerPool } from "@cinderblock/threads";
import { ballastPath, DiskGuard } from "./disk-guard.ts";
import { DiskCounters } from "./disk-counters.ts";
import { observeIngester } from "./ingester-metrics.ts";
import { IngesterSource } from "./ingester-source.ts";
import { LocalBlocks } from "./local-blocks.ts";
import { LogShards } from "./log-shards.ts";
import type { IngestWorkerData, IngestWorkerMethods, IngestWorkerNotices } from "./protocol.ts";
import { PushDispatcher } from "./push-dispatcher.ts";
import { RoomRefusals } from "./room-refusals.ts";

export interface IngesterConfig {
  dataPath: string;
  workers: number;
  windowMs: number;
  headBytes: number;
  logBytes: number;
  segmentBytes: number;
  idleMs: number;
  localBudgetBytes: number;
  /** names native frames in the heads; absent: native frames stay unnamed */
  symbols: SymbolizerData | undefined;
  retentionMs: number;
  /** size of the ballast file, which is deleted when the disk is full */
  ballastBytes: number;
  /** folder of a bucket that may be on the data path's disk; undefined: the bucket is remote */
  bucketDirectory: string | undefined;
  minFreeDiskBytes: number;
  minDiskAvailable: number;
  retentionDisabled: boolean;
  retentionIntervalMs: number;
  /** only tests may turn syncing off */
  sync: boolean;
}

/** Maximum interval between two passes of the disk guard; deadline of a pass, which asks store-gateways. */
const DISK_LOOK_MS = 10_000,
  DISK_PASS_MS = 300_000;

/** Whether the bucket's folder is on the disk of the data path. */
function isSameDisk(dataPath: string, directory: string | undefined): boolean {
  const other = directory === undefined ? undefined : statSync(directory, { throwIfNoEntry: false });
  return other !== undefined && other.dev === statSync(dataPath).dev;
}

/** Stores pushes in the heads of its shards, and keeps local blocks; `source` answers queries from both. */
export class Ingester implements Service {
  readonly name = "ingester";
  readonly blocksOnDisk: LocalBlocks;
  /** called for each new local block: its upload may start */
  onBlock: (tenant: string, meta: BlockMeta) => void = () => undefined;
  /** whether a store-gateway answers for a block: the local copy must stay until then */
  answerable: (tenant: string, ulid: string) => Promise<boolean> = () => Promise.resolve(false);
  /** whether a deletion covers a tenant's data that was received at a time */
  isDeleted: (tenant: string, receivedMs: number) => boolean = () => false;
  /** called when an ingest thread has died, before the process ends */
  onThreadDeath: () => void = () => undefined;
  /** how far the replay is; empty: it has not begun, or has ended */
  progress = "";
  /** whether all logs are replayed */
  started = false;
  /** whether the disk was empty at the start */
  readonly isNew: boolean;
  private readonly shards: WorkerPool<IngestWorkerMethods, IngestWorkerNotices>;
  private readonly dispatcher: PushDispatcher;
  /** answers queries from heads and local blocks */
  readonly source: IngesterSource;
  /** called when uploads should start at once */
  ship: () => void = () => undefined;
  readonly disk: DiskGuard;
  private readonly diskCounters: DiskCounters;
  private readonly threads: number;
  private readonly diskLoop;
  private readonly refusals: RoomRefusals;
  private readonly forgotten: { inc(n: number): void };
  /** shard -> used thousandths of the memory for its heads */
  private used = new Int32Array(new SharedArrayBuffer(0));
  private readonly config: IngesterConfig;
  private readonly pool: QueryPool;
  private readonly base: Base;
  private readonly onFatal: (reason: string) => void;
  /** how the logs are divided among the threads; read at the start */
  private logs: LogShards | undefined;

  constructor(
    script: URL,
    config: IngesterConfig,
    pool: QueryPool,
    base: Base,
    onFatal: (reason: string) => void,
  ) {
    this.config = config;
    this.pool = pool;
    this.base = base;
    this.onFatal = onFatal;
    this.blocksOnDisk = new LocalBlocks(config.dataPath, base.log);
    this.threads = config.workers;
    this.shards = new WorkerPool<IngestWorkerMethods, IngestWorkerNotices>(
      {
        name: "ingest",
        script,
        count: this.threads,
        data: (shard) => this.threadData(shard),
        notices: (shard) => this.notices(shard),
        // docs/correctness.md, "Workers die whole"
        onDeath: (shard, reason) => {
          this.onThreadDeath();
          onFatal(`ingest worker ${shard} died: ${reason}`);
        },
      },
      base,
    );
    this.dispatcher = new PushDispatcher(this.shards);
    this.source = new IngesterSource(this.shards, this.blocksOnDisk, pool, base.metrics, this);
    this.diskCounters = new DiskCounters(this.threads);
    this.disk = new DiskGuard(
      config,
      {
        blocks: this.blocksOnDisk,
        usage: this.diskCounters,
        headBytes: () => this.headBytes(),
        copies: () => (this.bucketIsHere ? 2 : 1),
        answerable: (tenant, ulid) => this.answerable(tenant, ulid),
        onRemove: (tenant, ulid) => pool.forget("local", tenant, [ulid]),
        flush: () => this.flush(),
        ship: () => this.ship(),
      },
      base,
    );
    this.diskLoop = periodic(
      {
        name: "disk-guard",
        everyMs: Math.min(config.retentionIntervalMs, DISK_LOOK_MS),
        deadlineMs: DISK_PASS_MS,
      },
      () => this.disk.removeExpired(),
      base,
    );
    this.blocksOnDisk.onUnwritable = (err) => this.disk.noteFailure("state", messageOf(err));
    this.isNew = lastLoggedMs(config.dataPath) === undefined && !this.blocksOnDisk.hasFolders();
    this.forgotten = base.metrics.counter(
      "cinderblock_ingester_forgotten_baselines_total",
      "Cumulative series whose baseline this ingester dropped because other ingesters had later profiles.",
    );
    this.refusals = new RoomRefusals(base);
  }

  async start(): Promise<void> {
    const { config, base } = this;
    this.blocksOnDisk.scan();
    this.bucketIsHere = isSameDisk(config.dataPath, config.bucketDirectory);
    await this.disk.makeRoomForReplay();
    this.used = new Int32Array(new SharedArrayBuffer(4 * this.threads));
    const logs = (this.logs = new LogShards(config.dataPath, this.threads));
    this.shards.start();
    const lines = await this.shards.each((call) => call.replay());
    lines.forEach((r, shard) => {
      const level = r.damaged.length > 0 || r.lostSymbols > 0 ? "warn" : "info";
      base.log[level](
        {
          shard,
          segments: r.segments,
          records: r.records,
          rows: r.rows,
          seconds: Number(r.seconds.toFixed(3)),
          tornBytes: r.tornBytes,
          damaged: r.damaged,
          lostSymbols: r.lostSymbols,
        },
        "log replayed",
      );
      base.metrics
        .counter(
          "cinderblock_ingester_log_damaged_records_total",
          "Damaged log records that were quarantined.",
        )
        .inc(r.damaged.length);
    });
    await this.settleLogs(logs);
    this.progress = "";
    this.started = true;
    observeIngester(
      base.metrics,
      () => this.shards.each((call) => call.stats()),
      this.blocksOnDisk,
      config.headBytes,
    );
    this.diskLoop.start();
    await this.disk.removeExpired();
  }

  private threadData(shard: number): IngestWorkerData {
    const { config, threads, logs } = this;
    if (!logs)
      throw new CinderblockError("internal", "an ingest thread cannot start before the logs are known");
    return {
      shard,
      replay: logs.replayOf(shard),
      dataPath: config.dataPath,
      windowMs: config.windowMs,
      headBytes: Math.floor(config.headBytes / threads),
      logBytes: Math.floor(config.logBytes / threads),
      segmentBytes: config.segmentBytes,
      idleMs: config.idleMs,
      sync: config.sync,
      bodies: this.dispatcher.bodies.buffer,
      pressure: this.used.buffer,
      disk: this.diskCounters.buffer,
      ballast: ballastPath(config.dataPath),
      symbols: config.symbols,
    };
  }

  /** Saves how the logs are divided. When the disk is full, the next start divides them again. */
  private async settleLogs(logs: LogShards): Promise<void> {
    try {
      if (logs.resharding) await this.reshard();
      logs.settle();
    } catch (err) {
      if (kindOf(err) !== "no-room" && !isUnwritable(err)) throw err;
      this.disk.noteFailure("state", messageOf(err));
      this.base.log.warn(
        { err },
        "log shard assignment could not be saved; the next start reassigns the logs",
      );
    }
  }

  /** Bytes of all threads' heads. */
  private headBytes(): number {
    let thousandths = 0;
    for (let i = 0; i < this.used.length; i++) thousandths += Atomics.load(this.used, i);
    return (thousandths / 1000) * (this.config.headBytes / this.threads);
  }

  private bucketIsHere = false;

  /**
   * Moves baselines to the threads that now receive their pushes. Every thread has them on disk before any
   * thread drops a foreign one.
   */
  private async reshard(): Promise<void> {
    const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
    const adopted = sum(await this.shards.each((call) => call.adoptBaselines())),
      dropped = sum(await this.shards.each((call) => call.dropForeignBaselines()));
    this.base.log.info(
      { threads: this.threads, adopted, dropped },
      "number of ingest threads changed, moving baselines of cumulative series",
    );
  }

  /** Receivers of an ingest thread's notices. */
  private notices(shard: number): WorkerNotices<IngestWorkerNotices> {
    return {
      block: ({ tenant, meta }) => {
        this.blocksOnDisk.add(tenant, meta);
        this.base.metrics.counter("cinderblock_ingester_blocks_cut_total", "Heads cut into blocks.").inc();
        this.onBlock(tenant, meta);
      },
      progress: ({ done, total }) => {
        this.progress = `replaying the log of shard ${shard}: ${done} of ${total} segments`;
        this.base.log.info({ shard, done, total }, "replaying log");
      },
      unwritable: ({ operation, reason }) => {
        if (operation === "log") this.disk.noteLog(shard, reason);
        else if (reason !== undefined) this.disk.noteFailure(operation, reason);
        if (reason !== undefined)
          this.base.log.warn({ shard, operation, reason }, "disk does not accept writes, retrying");
        else this.base.log.info({ shard, operation }, "disk accepts writes again");
      },
      failed: (reason) => this.onFatal(`ingest worker ${shard}: ${reason}`),
    };
  }

  // ---- writes

  /** @throws `no-room` while the disk, or the local blocks that wait for upload, leave no room for a push */
  refuse(): void {
    this.disk.reserveSpace(0)();
    const { localBudgetBytes } = this.config;
    if (localBudgetBytes === 0) return;
    const unshipped = this.blocksOnDisk.unshippedBytes();
    if (unshipped > localBudgetBytes)
      throw noRoom(
        "local-blocks",
        `blocks of ${unshipped} bytes wait for upload; the limit is ${localBudgetBytes} (-pyroscopedb.local-budget-bytes)`,
        { usedBytes: unshipped, limitBytes: localBudgetBytes },
      );
  }

  /**
   * Stores a push from Kafka, or from a distributor of the previous release, which sends no time of its own:
   * see `store`.
   * @param nowMs when the push was received, if not now
   */
  async push(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs?: number,
    origin?: PushOrigin,
  ): Promise<PushAnswer> {
    // A record from before its tenant's deletion was read again: it counts as processed, and is not stored.
    if (nowMs !== undefined && this.isDeleted(tenant, nowMs)) return emptyOutcome();
    return this.store(tenant, service, push, limits, nowMs, origin);
  }

  /**
   * Sends a raw push to the shard of its service; resolves when the push is on disk. A body that does not fit
   * the shared memory is transferred to the worker when it owns its whole buffer, and copied otherwise.
   * @param nowMs the time of the push as its distributor decided; absent: now
   * @param origin Kafka partition of the push; absent: a direct push, or a push that names no service
   * @throws `no-room` when this ingester has no room at this moment; another ingester may have
   */
  async store(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs?: number,
    origin?: PushOrigin,
  ): Promise<PushAnswer> {
    try {
      this.refuse();
      const done = this.disk.reserveSpace(push.body.length);
      try {
        return await this.dispatcher.push(tenant, service, push, limits, {
          ...(nowMs === undefined ? {} : { nowMs }),
          ...(origin ? { origin } : {}),
        });
      } finally {
        done();
      }
    } catch (err) {
      if (kindOf(err) === "no-room") this.refusals.note(err as CinderblockError);
      throw err;
    }
  }

  /** Updates the baselines of cumulative series from a push that other ingesters store. */
  async updateBaselines(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs: number,
    origin: PushOrigin | undefined,
  ): Promise<void> {
    await this.dispatcher.push(tenant, service, push, limits, {
      nowMs,
      learn: true,
      ...(origin ? { origin } : {}),
    });
  }

  /** Active series of all tenants, by hash. */
  async activeSeries(): Promise<{ tenant: string; series: BigUint64Array }[]> {
    return (await this.shards.each((call) => call.activeSeries())).flat();
  }

  /** Drops the baselines of services that `gone` selects: others may have received later profiles. */
  async forgetBaselines(
    gone: (tenant: string, service: string, kafkaPartition?: number) => boolean,
  ): Promise<void> {
    const n = await this.shards.each(async (call) => {
      const services = (await call.baselineServices()).filter((x) =>
        gone(x.tenant, x.service, x.kafkaPartition),
      );
      return services.length === 0 ? 0 : call.forgetBaselines(services);
    });
    const all = n.reduce((a, b) => a + b, 0);
    if (all === 0) return;
    this.forgotten.inc(all);
    this.base.log.info(
      { series: all },
      "cumulative series moved to another ingester, their next profile here sets a baseline",
    );
  }

  /**
   * Start time in ms of the oldest head or local block that is not in the bucket: everything received before
   * this time is in the bucket. Infinity: everything is.
   */
  async oldestUnuploadedMs(): Promise<number> {
    // Ask for the heads first: a head that becomes a block meanwhile is announced before its shard answers.
    const heads = await this.shards.each((call) => call.stats());
    const blocks = this.blocksOnDisk.unshippedBlocks().map(({ meta }) => ulidTimeMs(meta.ulid));
    // A damaged block was not uploaded: Kafka must deliver its records again.
    blocks.push(...this.blocksOnDisk.allDamaged().map((b) => ulidTimeMs(b.ulid)));
    return [...heads.map((s) => s.oldestHeadMs), ...blocks].reduce((a, b) => Math.min(a, b), Infinity);
  }

  /** Used share of its heads' memory in the fullest ingest thread; pushes are refused at 1. */
  pressure(): number {
    let most = 0;
    for (let i = 0; i < this.used.length; i++) most = Math.max(most, Atomics.load(this.used, i));
    return most / 1000;
  }

  /** Tenants with heads or local blocks. */
  async tenants(): Promise<string[]> {
    const heads = (await this.shards.each((call) => call.tenants())).flat();
    return [
      ...new Set([
        ...heads,
        ...this.blocksOnDisk.tenants().filter((t) => this.blocksOnDisk.metas(t).length > 0),
      ]),
    ];
  }

  /**
   * Drops all data of a tenant. Cuts the heads first, so that the log records their end, then removes all
   * local blocks.
   * @returns the number of blocks removed
   */
  async dropTenant(tenant: string): Promise<number> {
    await this.shards.each((call) => call.flush(tenant));
    const metas = this.blocksOnDisk.metas(tenant);
    this.pool.forget(
      "local",
      tenant,
      metas.map((m) => m.ulid),
    );
    for (const m of metas) this.blocksOnDisk.remove(tenant, m.ulid);
    for (const { ulid } of this.blocksOnDisk.damagedBlocks(tenant))
      this.blocksOnDisk.removeDamaged(tenant, ulid);
    return metas.length;
  }

  /**
   * Drops the heads and local blocks of a tenant that began at or before `ms`.
   * @returns the number of blocks removed
   */
  async dropTenantBefore(tenant: string, ms: number): Promise<number> {
    const isOld = ({ ulid }: { ulid: string }): boolean => ulidTimeMs(ulid) <= ms;
    if (!(await this.source.blocks(tenant, 0, Number.MAX_SAFE_INTEGER)).some(isOld)) return 0;
    await this.flush(tenant);
    const old = this.blocksOnDisk.metas(tenant).filter(isOld);
    this.pool.forget(
      "local",
      tenant,
      old.map((m) => m.ulid),
    );
    for (const m of old) this.blocksOnDisk.remove(tenant, m.ulid);
    for (const b of this.blocksOnDisk.damagedBlocks(tenant).filter(isOld))
      this.blocksOnDisk.removeDamaged(tenant, b.ulid);
    return old.length;
  }

  /** Cuts the heads of one tenant, or all heads; resolves when the blocks are on disk. */
  async flush(tenant?: string): Promise<void> {
    await this.shards.each((call) => call.flush(tenant));
  }

  async stop(): Promise<void> {
    await this.diskLoop.stop(0);
    if (this.shards.threads.length === 0) return;
    try {
      await this.flush();
    } catch (err) {
      if (kindOf(err) !== "no-room") throw err;
      this.base.log.warn(
        { err },
        "shutdown without cutting all heads for lack of disk space; the next start replays them",
      );
    }
    await this.shards.each((call) => call.close());
    await this.shards.stop();
  }
}
