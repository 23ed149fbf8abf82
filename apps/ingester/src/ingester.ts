import { statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { CinderblockError, CorruptError, kindOf, messageOf, noRoom } from "@cinderblock/errors";
import { type BlockMeta, ulidTimeMs } from "@cinderblock/block-meta";
import { isUnwritable } from "@cinderblock/files";
import { lastLoggedMs, type ShardStats } from "@cinderblock/head";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import { checkTenantId, type IngestLimits } from "@cinderblock/tenant";
import {
  type BlockInfo,
  type ExecuteAnswer,
  type Exclusions,
  type LabelAnswer,
  type LabelAsk,
  mergePartials,
  reasonOf,
  type RowKeys,
  type RowTimes,
  type SelectRequest,
  type SeriesRanges,
  type SourceClient,
  type SourceQuery,
  type Until,
} from "@cinderblock/query";
import type { QueryPool } from "@cinderblock/query-worker";
import type { SymbolizerData } from "@cinderblock/symbolizer";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { SharedPages, stopOf, WorkerClient } from "@cinderblock/threads";
import { ballastPath, DiskGuard } from "./disk-guard.ts";
import { DiskUsage } from "./disk-usage.ts";
import { blockInfo, damagedInfo, LocalBlocks } from "./local-blocks.ts";
import { LogShards, shardOf } from "./log-shards.ts";
import type { BlockNotice, IngestWorkerData, PushCall, ReplayLine, UnwritableNotice } from "./protocol.ts";

export interface IngesterConfig {
  dataPath: string;
  workers: number;
  windowMs: number;
  headBytes: number;
  logBytes: number;
  segmentBytes: number;
  idleMs: number;
  localBudgetBytes: number;
  /** names of native frames in its heads; absent: they have none */
  symbols: SymbolizerData | undefined;
  retentionMs: number;
  /** size of the file that is removed when the disk is full */
  ballastBytes: number;
  /** folder of a bucket that may lie on the data path's disk; undefined: the bucket is elsewhere */
  bucketDirectory: string | undefined;
  minFreeDiskBytes: number;
  minDiskAvailable: number;
  retentionDisabled: boolean;
  retentionIntervalMs: number;
  /** only a test may turn syncing off */
  sync: boolean;
}

/** While pushes are refused for lack of room, that is logged so often. */
const NO_ROOM_LOG_MS = 10_000;
/** The disk is looked at this often at least; a pass asks store-gateways about blocks. */
const DISK_LOOK_MS = 10_000,
  DISK_PASS_MS = 300_000;

/** Bodies of pushes that are with the workers lie in shared memory of this size; one that is large, or finds no room, moves. */
const BODIES_BYTES = 8 << 20;
const NOTHING_STORED: PushAnswer = {
  profiles: 0,
  compressedBytes: 0,
  decompressedBytes: 0,
  samples: 0,
  discarded: [],
  error: undefined,
};
const NO_BODY = new Uint8Array(0);

/** Whether a bucket's folder lies on the disk of the data path. */
function isSameDisk(dataPath: string, directory: string | undefined): boolean {
  const other = directory === undefined ? undefined : statSync(directory, { throwIfNoEntry: false });
  return other !== undefined && other.dev === statSync(dataPath).dev;
}

/** Takes pushes into the heads of its shards, keeps and serves local blocks, answers for both. */
export class Ingester implements Service, SourceClient {
  readonly name = "ingester";
  readonly blocksOnDisk: LocalBlocks;
  /** told about each new block */
  onBlock: (tenant: string, meta: BlockMeta) => void = () => undefined;
  /** whether a store-gateway answers for a block: only then may the local copy go */
  answerable: (tenant: string, ulid: string) => Promise<boolean> = () => Promise.resolve(false);
  /** whether data of a tenant that was received at a time is deleted */
  isDeleted: (tenant: string, receivedMs: number) => boolean = () => false;
  /** told when an ingest thread has died, before the process ends */
  onThreadDeath: () => void = () => undefined;
  progress = "";
  /** nothing was on its disk when it began */
  private readonly isNew: boolean;
  private shards: WorkerClient[] = [];
  /** told when uploads should begin at once */
  ship: () => void = () => undefined;
  readonly disk: DiskGuard;
  private readonly diskUsage: DiskUsage;
  private readonly threads: number;
  private readonly diskLoop;
  private readonly damaged: { inc(): void };
  private readonly withoutRoom: { inc(labels: { resource: string }, n?: number): void };
  private readonly forgotten: { inc(n: number): void };
  /** what the threads count together of each tenant */
  private readonly shared = new Map<string, { gate: SharedArrayBuffer; series: SharedArrayBuffer }>();
  /** worker -> tenant -> the limits it was sent */
  private readonly sent = new Map<WorkerClient, Map<string, IngestLimits>>();
  private readonly bodies = new SharedPages(BODIES_BYTES);
  /** shard -> thousandths of its heads' share that are in use */
  private used = new Int32Array(new SharedArrayBuffer(0));
  private readonly script: URL;
  private readonly config: IngesterConfig;
  private readonly pool: QueryPool;
  private readonly base: Base;
  private readonly onFatal: (reason: string) => void;

  constructor(
    script: URL,
    config: IngesterConfig,
    pool: QueryPool,
    base: Base,
    onFatal: (reason: string) => void,
  ) {
    this.script = script;
    this.config = config;
    this.pool = pool;
    this.base = base;
    this.onFatal = onFatal;
    this.blocksOnDisk = new LocalBlocks(config.dataPath, base.log);
    this.threads = config.workers > 0 ? config.workers : Math.max(1, availableParallelism() - 1);
    this.diskUsage = new DiskUsage(this.threads);
    this.disk = new DiskGuard(
      config,
      {
        blocks: this.blocksOnDisk,
        usage: this.diskUsage,
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
      () => this.disk.pass(),
      base,
    );
    this.blocksOnDisk.onUnwritable = (err) => this.disk.noteFailure("state", messageOf(err));
    this.isNew = lastLoggedMs(config.dataPath) === undefined && !this.blocksOnDisk.any();
    this.forgotten = base.metrics.counter(
      "cinderblock_ingester_forgotten_baselines_total",
      "Cumulative series of which this ingester forgot the last profile, since others had later ones.",
    );
    this.withoutRoom = base.metrics.counter(
      "cinderblock_ingester_pushes_without_room_total",
      "Pushes and records that this ingester could not take for the moment, by what was used up.",
      ["resource"],
    );
    for (const resource of ["heads", "disk", "local-blocks"]) this.withoutRoom.inc({ resource }, 0);
    this.damaged = base.metrics.counter(
      "cinderblock_ingester_damaged_blocks_total",
      "Local blocks that could not be read and were set aside.",
    );
  }

  async start(): Promise<void> {
    const { config, base } = this;
    this.blocksOnDisk.scan();
    this.bucketIsHere = isSameDisk(config.dataPath, config.bucketDirectory);
    await this.disk.open();
    const count = this.threads;
    this.used = new Int32Array(new SharedArrayBuffer(4 * count));
    const logs = new LogShards(config.dataPath, count);
    for (let shard = 0; shard < count; shard++) {
      const data: IngestWorkerData = {
        shard,
        replay: logs.replayOf(shard),
        dataPath: config.dataPath,
        windowMs: config.windowMs,
        headBytes: Math.floor(config.headBytes / count),
        logBytes: Math.floor(config.logBytes / count),
        segmentBytes: config.segmentBytes,
        idleMs: config.idleMs,
        sync: config.sync,
        bodies: this.bodies.buffer,
        pressure: this.used.buffer,
        disk: this.diskUsage.buffer,
        ballast: ballastPath(config.dataPath),
        symbols: config.symbols,
      };
      const worker = new WorkerClient(
        (name, value) => this.notice(shard, name, value),
        (reason) => {
          this.onThreadDeath();
          this.onFatal(`ingest worker ${shard} died: ${reason}`);
        },
      );
      worker.start(this.script, data, `ingest-${shard}`, {});
      this.shards.push(worker);
    }
    const lines = await Promise.all(this.shards.map((s) => s.call<ReplayLine>("replay", undefined)));
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
          "Log records that were damaged and set aside.",
        )
        .inc(r.damaged.length);
    });
    await this.settleLogs(logs);
    this.progress = "";
    this.started = true;
    this.observe();
    this.diskLoop.start();
    await this.disk.pass();
  }

  /** Notes how the logs are divided. Without room for that the next start divides them again. */
  private async settleLogs(logs: LogShards): Promise<void> {
    try {
      if (logs.resharding) await this.reshard();
      logs.settle();
    } catch (err) {
      if (kindOf(err) !== "no-room" && !isUnwritable(err)) throw err;
      this.disk.noteFailure("state", messageOf(err));
      this.base.log.warn({ err }, "log division could not be saved, the next start divides the logs again");
    }
  }

  /** Memory of all threads' heads. */
  private headBytes(): number {
    let thousandths = 0;
    for (let i = 0; i < this.used.length; i++) thousandths += Atomics.load(this.used, i);
    return (thousandths / 1000) * (this.config.headBytes / this.threads);
  }

  private bucketIsHere = false;

  /** Baselines go to the threads that take their pushes now: all have them on disk before any drops what is not its own. */
  private async reshard(): Promise<void> {
    const sum = async (method: "adoptBaselines" | "dropForeignBaselines"): Promise<number> =>
      (await Promise.all(this.shards.map((s) => s.call<number>(method, undefined)))).reduce(
        (a, b) => a + b,
        0,
      );
    const adopted = await sum("adoptBaselines"),
      dropped = await sum("dropForeignBaselines");
    this.base.log.info(
      { threads: this.shards.length, adopted, dropped },
      "number of ingest threads changed, baselines of cumulative series were moved",
    );
  }

  private notice(shard: number, name: string, value: unknown): void {
    if (name === "block") {
      const { tenant, meta } = value as BlockNotice;
      this.blocksOnDisk.add(tenant, meta);
      this.base.metrics.counter("cinderblock_ingester_blocks_cut_total", "Heads that became blocks.").inc();
      this.onBlock(tenant, meta);
    } else if (name === "progress") {
      const { done, total } = value as { done: number; total: number };
      this.progress = `replaying log of shard ${shard}: ${done} of ${total} segments`;
      this.base.log.info({ shard, done, total }, "replaying log");
    } else if (name === "unwritable") {
      const { operation, reason } = value as UnwritableNotice;
      if (operation === "log") this.disk.noteLog(shard, reason);
      else if (reason !== undefined) this.disk.noteFailure(operation, reason);
      if (reason !== undefined)
        this.base.log.warn({ shard, operation, reason }, "disk takes no writes now, trying again");
      else this.base.log.info({ shard, operation }, "disk takes writes again");
    } else if (name === "failed") this.onFatal(`ingest worker ${shard}: ${String(value)}`);
  }

  private observe(): void {
    const { metrics } = this.base;
    const all = (): Promise<ShardStats[]> =>
      Promise.all(this.shards.map((s) => s.call<ShardStats>("stats", undefined)));
    const gauge = (name: string, help: string, pick: (s: ShardStats) => number): void => {
      metrics.gauge(name, help, [], async (g) => {
        g.set((await all()).reduce((n, s) => n + pick(s), 0));
      });
    };
    gauge("pyroscope_head_size_bytes", "Memory of all heads.", (s) => s.headBytes);
    gauge("pyroscope_head_profiles", "Profiles in all heads.", (s) => s.rows);
    gauge("pyroscope_tsdb_head_series", "Series in all heads.", (s) => s.series);
    gauge("cinderblock_ingester_heads", "Heads, those that are being cut included.", (s) => s.heads);
    gauge("cinderblock_ingester_log_bytes", "Bytes of log segments on the disk.", (s) => s.logBytes);
    gauge("cinderblock_ingester_log_syncs", "Syncs of the log since start.", (s) => s.syncs);
    gauge(
      "cinderblock_ingester_first_cumulative_profiles",
      "Cumulative profiles that were only a baseline.",
      (s) => s.firstCumulative,
    );
    metrics.gauge(
      "cinderblock_ingester_unshipped_bytes",
      "Blocks that the bucket does not have yet.",
      [],
      (g) => {
        g.set(this.blocksOnDisk.unshippedBytes());
      },
    );
    metrics.gauge(
      "cinderblock_ingester_damaged_unshipped_blocks",
      "Quarantined blocks that were never shipped; answers that cover them are partial.",
      [],
      (g) => {
        g.set(this.blocksOnDisk.allDamaged().length);
      },
    );
    metrics.gauge("cinderblock_ingester_head_limit_bytes", "Memory that heads may use.", [], (g) => {
      g.set(this.config.headBytes);
    });
  }

  // ---- writes

  /** @throws `no-room` while the disk, or the blocks that wait for the bucket, leave no room for another push */
  refuse(): void {
    this.disk.admit(0)();
    const { localBudgetBytes } = this.config;
    if (localBudgetBytes === 0) return;
    const unshipped = this.blocksOnDisk.unshippedBytes();
    if (unshipped > localBudgetBytes)
      throw noRoom(
        "local-blocks",
        `blocks of ${unshipped} bytes wait for the bucket; the limit is ${localBudgetBytes} (-pyroscopedb.local-budget-bytes)`,
        { usedBytes: unshipped, limitBytes: localBudgetBytes },
      );
  }

  /**
   * Takes a push of Kafka, or of a distributor of the release before, which has no time of its own: see `store`.
   * @param nowMs when the push was taken, if that was not now
   */
  async push(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs?: number,
  ): Promise<PushAnswer> {
    // A record from before its tenant's deletion was read again: it counts as taken in, and nothing of it is stored.
    if (nowMs !== undefined && this.isDeleted(tenant, nowMs)) return NOTHING_STORED;
    return this.store(tenant, service, push, limits, nowMs);
  }

  /**
   * Hands a raw push to the shard of its service; resolves when it is on disk. The buffer of a large body that is all of it moves to the worker.
   * @param nowMs the time of the push as its distributor decided it; absent: now
   * @throws `no-room` when this ingester cannot take it for the moment: nothing says that another one cannot
   */
  async store(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs?: number,
  ): Promise<PushAnswer> {
    try {
      this.refuse();
      const done = this.disk.admit(push.body.length);
      try {
        return await this.hand(tenant, service, push, limits, nowMs === undefined ? {} : { nowMs });
      } finally {
        done();
      }
    } catch (err) {
      if (kindOf(err) === "no-room") this.noteRefusal(err as CinderblockError);
      throw err;
    }
  }

  private lastNoRoomLog = -Infinity;

  private noteRefusal(err: CinderblockError): void {
    this.withoutRoom.inc({ resource: String(err.detail.resource) });
    const now = performance.now();
    if (now - this.lastNoRoomLog < NO_ROOM_LOG_MS) return;
    this.lastNoRoomLog = now;
    this.base.log.warn({ ...err.detail, err }, "pushes are refused: this ingester has no room for them now");
  }

  /** Takes from a push that others store what the next cumulative profiles of its series are compared with. */
  async learn(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs: number,
  ): Promise<void> {
    await this.hand(tenant, service, push, limits, { nowMs, learn: true });
  }

  /** Active series of tenants, by their hashes. */
  async activeSeries(): Promise<{ tenant: string; series: BigUint64Array }[]> {
    return (
      await Promise.all(
        this.shards.map((s) =>
          s.call<{ tenant: string; series: BigUint64Array }[]>("activeSeries", undefined),
        ),
      )
    ).flat();
  }

  /** Forgets what cumulative profiles are compared with, of the services that `gone` names: others had their profiles meanwhile. */
  async forgetBaselines(gone: (tenant: string, service: string) => boolean): Promise<void> {
    const n = await Promise.all(
      this.shards.map(async (s) => {
        const services = (
          await s.call<{ tenant: string; service: string }[]>("baselineServices", undefined)
        ).filter((x) => gone(x.tenant, x.service));
        return services.length === 0 ? 0 : s.call<number>("forgetBaselines", services);
      }),
    );
    const all = n.reduce((a, b) => a + b, 0);
    if (all === 0) return;
    this.forgotten.inc(all);
    this.base.log.info(
      { series: all },
      "cumulative series went elsewhere, their next profile here is a baseline",
    );
  }

  private async hand(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    how: { nowMs?: number; learn?: true },
  ): Promise<PushAnswer> {
    let shared = this.shared.get(tenant);
    if (!shared)
      this.shared.set(
        checkTenantId(tenant),
        (shared = { gate: new SharedArrayBuffer(8), series: new SharedArrayBuffer(4) }),
      );
    const worker = this.shards[shardOf(service, this.shards.length)]!;
    let known = this.sent.get(worker);
    if (!known) this.sent.set(worker, (known = new Map()));
    const fresh = known.get(tenant) !== limits;
    if (fresh) known.set(tenant, limits);
    const { body } = push;
    const at = this.bodies.put(body);
    const call: PushCall = {
      tenant,
      route: service,
      push: at === undefined ? push : { ...push, body: NO_BODY },
      at,
      length: body.length,
      ...how,
      ...(fresh ? { settings: { limits, ...shared } } : {}),
    };
    if (at !== undefined) {
      try {
        return await worker.call<PushAnswer>("push", call);
      } finally {
        this.bodies.give(at);
      }
    }
    // A view is copied and stays with its owner; what lies behind it would be cloned whole.
    const own =
      body.buffer instanceof ArrayBuffer && body.buffer.byteLength === body.byteLength
        ? (body as Uint8Array<ArrayBuffer>)
        : new Uint8Array(body);
    return worker.call<PushAnswer>(
      "push",
      { ...call, push: { ...push, body: own } },
      own.length > 0 ? [own.buffer] : [],
    );
  }

  /** When the oldest head was begun whose data is not in the bucket: whatever was taken in before that is. Infinity: all is. */
  async oldestUnuploadedMs(): Promise<number> {
    // Heads first: one that becomes a block meanwhile is told of before its shard answers.
    const heads = await Promise.all(this.shards.map((s) => s.call<ShardStats>("stats", undefined)));
    const blocks = this.blocksOnDisk.unshipped().map(({ meta }) => ulidTimeMs(meta.ulid));
    // A damaged block was not uploaded: Kafka must bring its records again.
    blocks.push(...this.blocksOnDisk.allDamaged().map((b) => ulidTimeMs(b.ulid)));
    return [...heads.map((s) => s.oldestHeadMs), ...blocks].reduce((a, b) => Math.min(a, b), Infinity);
  }

  /** Part of its heads' memory that the fullest ingest thread uses: pushes are refused at 1. */
  pressure(): number {
    let most = 0;
    for (let i = 0; i < this.used.length; i++) most = Math.max(most, Atomics.load(this.used, i));
    return most / 1000;
  }

  get shardCount(): number {
    return this.shards.length;
  }

  /** Tenants with heads or local blocks. */
  async tenants(): Promise<string[]> {
    const heads = (await Promise.all(this.shards.map((s) => s.call<string[]>("tenants", undefined)))).flat();
    return [
      ...new Set([
        ...heads,
        ...this.blocksOnDisk.tenants().filter((t) => this.blocksOnDisk.metas(t).length > 0),
      ]),
    ];
  }

  /** Forgets everything of a tenant: heads are cut, so that the log knows, and their blocks go with the others. How many went. */
  async drop(tenant: string): Promise<number> {
    await Promise.all(this.shards.map((s) => s.call("flush", tenant)));
    const metas = this.blocksOnDisk.metas(tenant);
    this.pool.forget(
      "local",
      tenant,
      metas.map((m) => m.ulid),
    );
    for (const m of metas) this.blocksOnDisk.remove(tenant, m.ulid);
    for (const { ulid } of this.blocksOnDisk.damaged(tenant)) this.blocksOnDisk.removeDamaged(tenant, ulid);
    return metas.length;
  }

  /** Forgets the heads and local blocks of a tenant that began up to a time. @returns how many blocks went */
  async dropBefore(tenant: string, ms: number): Promise<number> {
    const isOld = ({ ulid }: { ulid: string }): boolean => ulidTimeMs(ulid) <= ms;
    if (!(await this.blocks(tenant, 0, Number.MAX_SAFE_INTEGER)).some(isOld)) return 0;
    await this.flush(tenant);
    const old = this.blocksOnDisk.metas(tenant).filter(isOld);
    this.pool.forget(
      "local",
      tenant,
      old.map((m) => m.ulid),
    );
    for (const m of old) this.blocksOnDisk.remove(tenant, m.ulid);
    for (const b of this.blocksOnDisk.damaged(tenant).filter(isOld))
      this.blocksOnDisk.removeDamaged(tenant, b.ulid);
    return old.length;
  }

  /** Cuts the heads of one tenant, or of all; resolves when their blocks are on disk. */
  async flush(tenant?: string): Promise<void> {
    await Promise.all(this.shards.map((s) => s.call("flush", tenant)));
  }

  // ---- reads

  private started = false;
  /** Until its log is read it does not know what it has; a new one knows that it has nothing. */
  private known(): void {
    if (!this.started)
      throw new CinderblockError(
        "unavailable",
        `the ingester is starting${this.progress === "" ? "" : `: ${this.progress}`}`,
      );
  }

  async blocks(tenant: string, startMs: number, endMs: number): Promise<BlockInfo[]> {
    if (!this.started && this.isNew) return [];
    this.known();
    const heads = (
      await Promise.all(this.shards.map((s) => s.call<BlockInfo[]>("blocks", { tenant, startMs, endMs })))
    ).flat();
    const local = this.blocksOnDisk
      .metas(tenant)
      .filter((m) => m.minTimeMs <= endMs && m.maxTimeMs >= startMs)
      .map(blockInfo);
    const known = new Set(heads.map((h) => h.ulid));
    const damaged = this.blocksOnDisk
      .damaged(tenant)
      .filter((b) => b.minTimeMs <= endMs && b.maxTimeMs >= startMs)
      .map((b) => damagedInfo(b));
    return [...heads, ...[...local, ...damaged].filter((b) => !known.has(b.ulid))];
  }

  /** ULIDs that are blocks on disk, and the others, which may be heads. A head that became a block meanwhile is found in both ways. */
  private divide(tenant: string, ulids: readonly string[]): { local: string[]; heads: string[] } {
    const local: string[] = [],
      heads: string[] = [];
    for (const u of ulids) {
      const damaged = this.blocksOnDisk.damagedOf(tenant, u);
      // The querier plans around it and says that the answer is partial, each time.
      if (damaged)
        throw new CorruptError(`${u}/quarantine`, 0, `set aside before it was shipped: ${damaged.reason}`);
      (this.blocksOnDisk.has(tenant, u) ? local : heads).push(u);
    }
    return { local, heads };
  }

  private async onHeads<T>(method: string, ulids: readonly string[], args: object): Promise<T[]> {
    return ulids.length === 0
      ? []
      : Promise.all(this.shards.map((s) => s.call<T>(method, { ulids, ...args })));
  }

  /** A ULID is missing when no shard has it. */
  private missingOf(answers: readonly { missing: string[] }[]): string[] {
    return answers.length === 0
      ? []
      : answers[0]!.missing.filter((u) => answers.every((a) => a.missing.includes(u)));
  }

  /** Heads that became blocks while they were asked. */
  private cutMeanwhile(
    tenant: string,
    heads: readonly string[],
    answered: readonly { ulid: string }[],
  ): string[] {
    return heads.filter((u) => !answered.some((a) => a.ulid === u) && this.blocksOnDisk.has(tenant, u));
  }

  async execute(
    tenant: string,
    ulids: readonly string[],
    query: SourceQuery,
    exclude: Exclusions,
    until?: Until,
  ): Promise<ExecuteAnswer> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = stopOf(until?.signal);
    const [onHeads, onDisk] = await Promise.all([
      this.onHeads<ExecuteAnswer>("execute", heads, { tenant, query, exclude, stop }),
      local.length > 0
        ? this.setAside(
            tenant,
            local,
            this.pool.execute("local", tenant, local, query, exclude, until?.signal),
          )
        : undefined,
    ]);
    const results = [...onHeads.map((a) => a.result), onDisk?.result].filter((r) => r !== undefined);
    const missing = [...this.missingOf(onHeads), ...(onDisk?.missing ?? [])];
    // A head whose rows were compared with others' is not asked as the block that it became: its rows have other numbers there.
    const late = missing.filter(
      (u) => heads.includes(u) && exclude[u] === undefined && this.blocksOnDisk.has(tenant, u),
    );
    let again: ExecuteAnswer | undefined;
    if (late.length > 0) {
      again = await this.pool.execute("local", tenant, late, query, {}, until?.signal);
      if (again.result) results.push(again.result);
    }
    return {
      result: results.length > 0 ? mergePartials(results) : undefined,
      missing: missing.filter((u) => !late.includes(u)),
      ...reasonOf([...onHeads, onDisk, again]),
    };
  }

  /** A local block that cannot be read is set aside: the bucket may have it whole, and the query plans around it. */
  private async setAside<T>(tenant: string, ulids: readonly string[], work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (err) {
      const damaged = kindOf(err) === "corrupt" ? ulids.find((u) => messageOf(err).includes(u)) : undefined;
      if (damaged !== undefined && this.blocksOnDisk.has(tenant, damaged)) {
        this.blocksOnDisk.quarantine(tenant, damaged, err);
        this.damaged.inc();
      }
      throw err;
    }
  }

  ranges(
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until?: Until,
  ): Promise<SeriesRanges[]> {
    return this.ofRows("ranges", tenant, ulids, select, until);
  }
  times(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Until): Promise<RowTimes[]> {
    return this.ofRows("times", tenant, ulids, select, until);
  }
  keys(tenant: string, ulids: readonly string[], select: SelectRequest, until?: Until): Promise<RowKeys[]> {
    return this.ofRows("keys", tenant, ulids, select, until);
  }

  /** Asks heads and local blocks for the ranges, times or keys of their rows. */
  private async ofRows<T extends { ulid: string }>(
    method: "ranges" | "times" | "keys",
    tenant: string,
    ulids: readonly string[],
    select: SelectRequest,
    until: Until | undefined,
  ): Promise<T[]> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = stopOf(until?.signal);
    const onDisk = (list: readonly string[]): Promise<T[]> =>
      this.setAside(
        tenant,
        list,
        this.pool[method]("local", tenant, list, select, until?.signal) as Promise<unknown> as Promise<T[]>,
      );
    const [a, b] = await Promise.all([
      this.onHeads<T[]>(method, heads, { tenant, select, stop }),
      onDisk(local),
    ]);
    const late = this.cutMeanwhile(tenant, heads, a.flat());
    return [...a.flat(), ...b, ...(late.length > 0 ? await onDisk(late) : [])];
  }

  async labels(
    tenant: string,
    ulids: readonly string[],
    ask: LabelAsk,
    until?: Until,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const { local, heads } = this.divide(tenant, ulids),
      stop = stopOf(until?.signal);
    const [a, b] = await Promise.all([
      this.onHeads<LabelAnswer & { missing: string[] }>("labels", heads, { tenant, ask, stop }),
      this.setAside(tenant, local, this.pool.labels("local", tenant, local, ask, until?.signal)),
    ]);
    return {
      names: [...a, b].flatMap((x) => x.names),
      sets: [...a, b].flatMap((x) => x.sets),
      missing: [...this.missingOf(a), ...b.missing],
    };
  }

  async stop(): Promise<void> {
    await this.diskLoop.stop(0);
    if (this.shards.length === 0) return;
    try {
      await this.flush();
    } catch (err) {
      if (kindOf(err) !== "no-room") throw err;
      this.base.log.warn(
        { err },
        "stopping with heads that found no room as blocks, the next start replays them",
      );
    }
    await Promise.all(this.shards.map((s) => s.call("close", undefined)));
    await Promise.all(this.shards.map((s) => s.stop()));
    this.shards = [];
  }
}
