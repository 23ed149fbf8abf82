import { rmSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter, type Hasher, encodeUtf8 } from "@cinderblock/bytes";
import { type BlockMeta, newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { kindOf, messageOf, noRoom } from "@cinderblock/errors";
import { crashPoint, isNoSpace, isUnwritable, syncDirectory } from "@cinderblock/files";
import type { ProcessedProfile, ProfileSink, PushOrigin } from "@cinderblock/ingest";
import { checkTenantId } from "@cinderblock/tenant";
import { type BaselineService, GrowthBaselines } from "./baseline-store.ts";
import type { Baselines } from "./baselines.ts";
import { cutHead } from "./cut.ts";
import { type CutCandidate, selectCuts, isCutDue } from "./cut-policy.ts";
import { Head, type NewRow, partitionKey } from "./head.ts";
import { LogWriter, segmentName } from "./log-file.ts";
import { logDirectory } from "./log-folders.ts";
import { CUT_THRESHOLD_FRACTION, CUT_TARGET_FRACTION, MemoryBudget } from "./memory-budget.ts";
import { SymbolInterner } from "./symbol-interner.ts";
import { LogReclaimer } from "./log-reclaimer.ts";
import {
  encodeAnchorRecord,
  encodeAppendRecord,
  encodeDoneRecord,
  encodeHeadRecord,
  noLoggedSymbols,
} from "./log-records.ts";
import { type OrphanLog, OWN_LOG_ONLY, Replayer, type ReplayPlan, type ReplayReport } from "./replayer.ts";
import { RowAggregates } from "./row-aggregates.ts";
import { SegmentLedger } from "./segment-ledger.ts";
import { newOpenHead, type OpenHead, type ShardOptions, type ShardStats } from "./shard-types.ts";

/**
 * Maximum concurrent cuts per thread. Their disk waits share the process's four I/O threads with the log's
 * syncs.
 */
const CUTS_AT_ONCE = 3;

/** Pause of cuts by maintenance after a block found no disk space. */
const NO_ROOM_PAUSE_MS = 5000;

/** Maximum memory for symbols of profiles that only update baselines. */
const SCRATCH_BYTES = 8 << 20;

/**
 * Write another anchor record after this many bytes of a head's records, and after this many times the
 * anchor's size.
 */
const ANCHOR_BYTES = 256 << 10,
  ANCHOR_SHARE = 32;

/**
 * All heads of one ingest thread, their log and their cuts. All data of a head is in the log; a push is
 * durable when `commit` resolves. A head has the ULID of its future block, so a finished block covers exactly
 * its head.
 */
export class HeadShard implements ProfileSink {
  private readonly heads = new Map<string, OpenHead>();
  private readonly byUlid = new Map<string, OpenHead>();
  private readonly log: LogWriter;
  private readonly ledger = new SegmentLedger<OpenHead>();
  private readonly baselines: GrowthBaselines;
  private readonly reclaimer: LogReclaimer<OpenHead>;
  private readonly record = new ByteWriter(1 << 14);
  private nextHead = 1;
  private orphans: OrphanLog[] = [];
  private orphansMayGo = true;
  /** baselines in other threads' logs, until `adoptBaselines` */
  private foreign: ReadonlyMap<string, Baselines> = new Map();
  private keeps: (route: string) => boolean = () => true;
  private cuts = 0;
  /** no cuts for maintenance before this time, because the last block found no disk space */
  private cutsFromMs = -Infinity;
  private readonly budget: MemoryBudget;
  private readonly hasher: Hasher;
  private readonly interner = new SymbolInterner();
  private readonly options: ShardOptions;

  constructor(hasher: Hasher, options: ShardOptions) {
    this.hasher = hasher;
    this.options = options;
    this.budget = new MemoryBudget(options.headBytes, options.onMemory);
    this.log = new LogWriter(logDirectory(options.dataPath, options.shard), {
      segmentBytes: options.segmentBytes,
      onFailure: options.onFailure,
      ...(options.onNoSpace ? { onNoSpace: options.onNoSpace } : {}),
      ...(options.later ? { later: options.later } : {}),
      onStall: (err) => options.onUnwritable?.("log", err),
      sync: options.sync,
    });
    this.baselines = new GrowthBaselines(this.log);
    this.reclaimer = new LogReclaimer(this.log, this.ledger, this.baselines, () => this.doneInOrphans());
  }

  /**
   * Sets the route of the pushes that follow: when the thread count changes, their baselines follow the
   * route.
   */
  set route(route: string) {
    this.baselines.route = route;
  }

  /** Kafka partition of the following pushes, and whether their growth counts there; undefined: direct pushes. */
  set origin(origin: PushOrigin | undefined) {
    this.baselines.origin = origin;
  }

  /** Replays the log of this shard, and the logs that the plan names; then `resume` must be called. */
  replay(
    plan: ReplayPlan = OWN_LOG_ONLY,
    progress: (done: number, total: number) => void = () => undefined,
  ): ReplayReport {
    const { dataPath, shard, now } = this.options;
    const found = new Replayer(this.hasher, { dataPath, shard, plan, now }, progress).run();
    for (const { segment, sizeBytes } of found.segments) this.log.adopt(segment, sizeBytes);
    for (const { ulid, segment } of found.done) this.ledger.addCutHead(ulid, segment);
    for (const { head, headNo, segments } of found.heads) {
      const open = this.adoptHead(head, headNo);
      for (const s of segments) this.ledger.addRecord(open, s);
    }
    this.nextHead = found.nextHead;
    this.baselines.load(found.baselines);
    this.foreign = found.foreign;
    this.keeps = plan.keeps;
    this.orphans = found.orphans;
    this.orphansMayGo = plan.baselinesOf.length === 0;
    this.log.open((found.segments.at(-1)?.segment ?? 0) + 1);
    for (const h of this.byUlid.values()) this.budget.measure(h.head);
    return found.report;
  }

  /** Continues a replayed head under its number; all its symbols count as logged by the old segments. */
  private adoptHead(head: Head, headNo: number): OpenHead {
    const open = newOpenHead(head, headNo);
    const key = `${head.tenant}\u0000${head.windowEnd}`;
    // Two heads of one window, from two shards' logs: writes go to the first, and the second is cut soon.
    if (!this.heads.has(key) && headNo > 0) this.heads.set(key, open);
    else head.frozen = true;
    this.byUlid.set(head.ulid, open);
    return open;
  }

  /** Sets the logged counters to the head's content after a replay. */
  private settle(open: OpenHead): void {
    open.logged = open.head.partitions.map(({ symbols: s }) => ({
      strings: s.strings.length,
      functions: s.functions.length,
      mappings: s.mappings.length,
      locations: s.locations.length,
      stacks: s.stackParent.length,
    }));
    open.loggedSeries = open.head.series.length;
  }

  /** Must be called once after `replay`: heads accept writes again. */
  resume(): void {
    for (const h of this.byUlid.values()) this.settle(h);
  }

  /**
   * Adopts baselines from other threads' logs after the number of threads changed; resolves when they are in
   * this thread's log. Every thread must have done this before any thread calls `dropForeignBaselines`.
   */
  async adoptBaselines(): Promise<number> {
    const n = this.baselines.adopt(this.foreign);
    this.foreign = new Map();
    if (n > 0) await this.log.commit();
    crashPoint("reshard/baselines-adopted");
    return n;
  }

  /**
   * Drops baselines that other threads have adopted, from the log too. After that, logs of removed shards may
   * be deleted.
   */
  async dropForeignBaselines(): Promise<number> {
    const n = this.baselines.keepOnly(this.keeps);
    if (n > 0) await this.reclaimer.reclaim();
    crashPoint("reshard/foreign-baselines-dropped");
    this.orphansMayGo = true;
    this.removeOrphans();
    return n;
  }

  private headFor(tenant: string, timeNanos: bigint): OpenHead {
    const w = this.options.windowNanos;
    const windowEnd = (timeNanos / w) * w + w;
    const key = `${tenant}\u0000${windowEnd}`;
    const known = this.heads.get(key);
    if (known && !known.head.frozen) return known;
    const head = new Head(
      newUlid(this.options.now()),
      checkTenantId(tenant),
      windowEnd,
      this.hasher,
      this.interner,
    );
    const open = newOpenHead(head, this.nextHead++);
    this.heads.set(key, open);
    this.byUlid.set(head.ulid, open);
    this.record.reset();
    encodeHeadRecord(open.headNo, head, this.record);
    this.ledger.addRecord(open, this.log.append(this.record.finish()));
    return open;
  }

  /** Number of series in the tenant's open heads. */
  seriesOf(tenant: string): number {
    let n = 0;
    for (const h of this.byUlid.values()) if (h.head.tenant === tenant) n += h.head.series.length;
    return n;
  }

  /**
   * Appends a profile to its head and to the log.
   * @throws `no-room` when the heads or the disk are full: nothing of the profile is kept
   */
  append(tenant: string, p: ProcessedProfile): void {
    // An aggregate is stored completely or not at all: room was checked before its first profile.
    if (!this.aggregates) this.requireRoom(tenant);
    const open = this.headFor(tenant, p.profile.timeNanos);
    const { head } = open;
    const baselines = this.baselines.forTenant(tenant);
    for (const group of p.groups) {
      const id = this.hasher.h64(encodeUtf8(partitionKey(p, group.labels)));
      const partition = head.partitionIndex(id);
      const rows = head.append(p, group, partition, baselines, this.aggregatesOf(open));
      this.logRows(open, partition, rows);
      this.baselines.logPending(tenant);
    }
    head.lastWriteMs = this.options.now();
    if (!this.aggregates) this.checkPressure(open);
  }

  /**
   * Checks for room and requests cuts after a refusal, because the maintenance timer alone frees memory too
   * slowly.
   */
  private requireRoom(tenant: string): void {
    this.log.requireRoom();
    try {
      this.budget.require(tenant);
    } catch (err) {
      this.onPressure();
      throw err;
    }
  }

  /** Measures the growth of a head, and requests cuts when memory or log run short. */
  private checkPressure(open: OpenHead): void {
    this.budget.recordGrowth(open.head, this.logged);
    this.logged = 0;
    if (
      this.budget.usedBytes > CUT_THRESHOLD_FRACTION * this.options.headBytes ||
      this.logPressure() > this.options.logBytes
    )
      this.onPressure();
  }

  private logRows(open: OpenHead, partition: number, rows: readonly NewRow[]): void {
    const logged = (open.logged[partition] ??= noLoggedSymbols());
    if (rows.length === 0) return;
    this.record.reset();
    encodeAppendRecord(open.headNo, open.head, partition, logged, open.loggedSeries, rows, this.record);
    this.logged += this.record.length;
    open.sinceAnchor += this.record.length;
    open.loggedSeries = open.head.series.length;
    this.ledger.addRecord(open, this.log.append(this.record.finish()));
    if (open.sinceAnchor > Math.max(ANCHOR_BYTES, ANCHOR_SHARE * open.anchorBytes)) this.anchor(open);
  }

  /**
   * Writes an anchor record, on which a head's later records depend: a damaged record then affects fewer
   * other records.
   */
  private anchor(open: OpenHead): void {
    this.record.reset();
    encodeAnchorRecord(open.headNo, open.head, open.loggedSeries, this.record);
    open.anchorBytes = this.record.length;
    open.sinceAnchor = 0;
    this.ledger.addRecord(open, this.log.append(this.record.finish()));
  }

  /** rows that wait for the end of `aggregate`, by head */
  private aggregates: Map<OpenHead, RowAggregates> | undefined;
  private aggregateNanos = 0n;

  private aggregatesOf(open: OpenHead): RowAggregates | undefined {
    if (!this.aggregates) return undefined;
    let known = this.aggregates.get(open);
    if (!known) this.aggregates.set(open, (known = new RowAggregates(this.aggregateNanos)));
    return known;
  }

  /**
   * Calls `run`, which appends profiles: rows of one series and the same `windowNanos` of time become one row
   * with the earliest time. The same profiles in the same order yield the same rows in every shard.
   * @throws `no-room` before `run` is called: a partial aggregate would become a separate row of this shard
   */
  aggregate<T>(tenant: string, windowNanos: bigint, run: () => T): T {
    this.requireRoom(tenant);
    const all = new Map<OpenHead, RowAggregates>();
    this.aggregates = all;
    this.aggregateNanos = windowNanos;
    try {
      return run();
    } finally {
      this.aggregates = undefined;
      for (const [open, rows] of all) {
        for (const row of rows.aggregatedRows()) {
          const added = open.head.appendAggregate(row);
          if (added) this.logRows(open, row.partition, [added]);
        }
        this.checkPressure(open);
      }
    }
  }

  /** interns profiles that only update baselines; recreated when it has grown */
  private scratch: Head | undefined;

  /** Updates baselines from a profile without storing it: other ingesters store it, or did before. */
  updateBaselines(tenant: string, p: ProcessedProfile): void {
    if (!this.scratch || this.scratch.tenant !== tenant || this.scratch.byteLength > SCRATCH_BYTES)
      this.scratch = new Head(newUlid(this.options.now()), tenant, 0n, this.hasher, this.interner);
    const baselines = this.baselines.forTenant(tenant);
    for (const group of p.groups) this.scratch.append(p, group, this.scratch.partitionIndex(0n), baselines);
    this.baselines.logPending(tenant);
  }

  /** Tenants, services and Kafka partitions that have a baseline. */
  baselineServices(): BaselineService[] {
    return this.baselines.servicesWithBaselines();
  }

  /**
   * Forgets the baselines of services whose profiles another ingester or partition may have received.
   * @returns the number of forgotten series
   */
  forgetBaselines(services: readonly BaselineService[]): number {
    return this.baselines.forget(services);
  }

  /** set by the owner: called when heads use half of their memory, to start a cut at once */
  onPressure: () => void = () => undefined;
  /** bytes logged since the last memory measurement, which approximate the growth of a head */
  private logged = 0;

  /** Bytes of all records since the start. */
  get appendedBytes(): number {
    return this.log.appendedBytes;
  }

  commit(): Promise<void> {
    return this.log.commit();
  }

  sources(tenant: string): Head[] {
    const out: Head[] = [];
    for (const h of this.byUlid.values())
      if (h.head.tenant === tenant && h.head.rowCount > 0) out.push(h.head);
    return out;
  }

  /** Measures heads whose label index a query has extended: its bytes count before the next push. */
  measureIndexed(heads: readonly Head[]): void {
    for (const head of heads) this.budget.measureIndexed(head);
  }

  /** Tenants that have a head. */
  tenants(): string[] {
    return [...new Set([...this.byUlid.values()].map((h) => h.head.tenant))];
  }

  source(ulid: string): Head | undefined {
    return this.byUlid.get(ulid)?.head;
  }

  /**
   * Cuts the due heads: frozen ones, and idle ones whose window is over. Then cuts the heads in the oldest
   * segments if the log is too long, and the most valuable heads while memory is short. Without disk space,
   * only removes segments that no head needs.
   * @throws `no-room` when a cut found no disk space
   */
  async maintain(): Promise<void> {
    try {
      await this.cutDue();
    } finally {
      await this.reclaim();
    }
  }

  private async cutDue(): Promise<void> {
    const { now, idleMs, logBytes } = this.options;
    // Wait after a cut that found no disk space, because each attempt encodes the complete block.
    if (now() < this.cutsFromMs) return;
    await this.cutAll(this.candidates().filter((c) => isCutDue(c, now(), idleMs)));
    // The oldest segments bound the log: cut the heads that hold them, however small.
    if (this.logPressure() > logBytes)
      await this.cutAll([...this.ledger.oldestHeads()].filter((h) => !h.cutting).map((open) => ({ open })));
    while (this.budget.usedBytes > CUT_THRESHOLD_FRACTION * this.options.headBytes) {
      const cuts = selectCuts(this.candidates(), this.excessBytes(), now());
      if (cuts.length === 0) break;
      await this.cutAll(cuts);
    }
  }

  /** Heads that no cut is running for, as the policy sees them. */
  private candidates(): (CutCandidate & { open: OpenHead })[] {
    return [...this.byUlid.values()]
      .filter((open) => !open.cutting)
      .map((open) => ({
        open,
        bytes: this.budget.bytesOf(open.head),
        lastWriteMs: open.head.lastWriteMs,
        windowEndMs: Number(open.head.windowEnd / 1_000_000n),
        frozen: open.head.frozen,
      }));
  }

  /** Bytes to free, in addition to the heads that are being cut. */
  private excessBytes(): number {
    let bytes = this.budget.usedBytes - CUT_TARGET_FRACTION * this.options.headBytes;
    for (const open of this.byUlid.values()) if (open.cutting) bytes -= this.budget.bytesOf(open.head);
    return bytes;
  }

  /** Cuts heads, a few at a time: a small head mostly waits for the disk. */
  private async cutAll(heads: readonly { open: OpenHead }[]): Promise<void> {
    const left = heads.values();
    await Promise.all(
      Array.from({ length: CUTS_AT_ONCE }, async () => {
        for (const { open } of left) await this.cut(open);
      }),
    );
  }

  /** Bytes of log that heads hold, beyond the baselines' unavoidable share. */
  private logPressure(): number {
    return this.reclaimer.pinnedBytes - this.baselines.snapshotBytes;
  }

  private async reclaim(): Promise<void> {
    this.removeOrphans();
    await this.reclaimer.reclaimWhenDue(this.options.segmentBytes, this.byUlid.size > 0);
  }

  /** Cuts every head, or those of one tenant; resolves when all are blocks. */
  async flush(tenant?: string): Promise<void> {
    for (const h of [...this.byUlid.values()])
      if (tenant === undefined || h.head.tenant === tenant) await this.cut(h);
  }

  private cut(open: OpenHead): Promise<void> {
    open.cutting ??= this.doCut(open).catch((err: unknown) => {
      open.cutting = undefined;
      if (!isUnwritable(err)) throw err;
      // The log still has the head; its block is written again later.
      this.cutsFromMs = this.options.now() + NO_ROOM_PAUSE_MS;
      this.options.onUnwritable?.("block", err as Error);
      throw noRoom("disk", `writing block ${open.ulid} failed: ${messageOf(err)}`);
    });
    return open.cutting;
  }

  /** Cuts a head into a block; makes room and retries once if the disk is full. */
  private async writeBlock(head: Head): Promise<BlockMeta | undefined> {
    try {
      return await cutHead(head, this.options.dataPath);
    } catch (err) {
      if (!isNoSpace(err) || !this.options.onNoSpace?.()) throw err;
      return cutHead(head, this.options.dataPath);
    }
  }

  private async doCut(open: OpenHead): Promise<void> {
    const { head } = open;
    head.frozen = true;
    this.budget.releaseHead(head);
    const key = `${head.tenant}\u0000${head.windowEnd}`;
    if (this.heads.get(key) === open) this.heads.delete(key);
    await this.log.commit(); // every record of the head is on disk before its block may replace it
    crashPoint("cut/log-synced");
    if (!open.block) {
      open.block = { meta: await this.writeBlock(head) };
      this.record.reset();
      encodeDoneRecord(head.ulid, this.record);
      this.log.append(this.record.finish());
      this.ledger.noteFinished(open);
    }
    const { meta } = open.block;
    await this.log.commit();
    crashPoint("cut/done-synced");
    this.cuts++;
    if (meta) this.options.onBlock(head.tenant, meta);
    this.byUlid.delete(head.ulid);
    this.budget.drop(head);
    this.ledger.release(open);
    crashPoint("cut/released");
    await this.reclaim().catch((err: unknown) => {
      // The block is complete. A later pass deletes the segments.
      if (kindOf(err) !== "no-room") throw err;
    });
  }

  /**
   * Heads of orphaned logs that are blocks: their records still exist, so this log must mark them as done.
   */
  private *doneInOrphans(): Generator<string> {
    for (const o of this.orphans) {
      yield* o.done;
      for (const { head } of o.heads) if (!this.byUlid.has(head.ulid)) yield head.ulid;
    }
  }

  /**
   * Deletes the logs of removed ingest threads once their heads are blocks, and once logs of other threads hold
   * their baselines (last values of cumulative series).
   */
  private removeOrphans(): void {
    if (!this.orphansMayGo) return;
    for (const o of [...this.orphans]) {
      if (o.heads.some((h) => this.byUlid.has(h.head.ulid))) continue;
      for (const s of o.segments) rmSync(join(o.dir, segmentName(s)), { force: true });
      if (this.options.sync) syncDirectory(o.dir);
      this.orphans.splice(this.orphans.indexOf(o), 1);
    }
  }

  stats(): ShardStats {
    let rows = 0,
      series = 0,
      oldestHeadMs = Infinity;
    for (const h of this.byUlid.values()) {
      oldestHeadMs = Math.min(oldestHeadMs, ulidTimeMs(h.head.ulid));
      rows += h.head.rowCount;
      series += h.head.series.length;
    }
    return {
      heads: this.byUlid.size,
      series,
      rows,
      oldestHeadMs,
      headBytes: this.budget.usedBytes,
      logBytes: this.log.totalBytes,
      syncs: this.log.syncs,
      cuts: this.cuts,
      firstCumulative: this.baselines.firstProfiles,
    };
  }

  close(): Promise<void> {
    return this.log.close();
  }
}
