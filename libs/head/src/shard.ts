import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ByteReader, ByteWriter, type Hasher, encodeUtf8, ShortRead } from "@cinderblock/bytes";
import { type BlockMeta, isUlid, newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { noRoom } from "@cinderblock/errors";
import { makeDirectorySynced } from "@cinderblock/files";
import type { ProcessedProfile, ProfileSink } from "@cinderblock/ingest";
import { LABEL_SERVICE_NAME, labelsKey, labelValue } from "@cinderblock/model";
import { checkTenantId, isTenantId, pathBelow, tenantFolder } from "@cinderblock/tenant";
import { Baselines } from "./baselines.ts";
import { cutHead } from "./cut.ts";
import { Head, type NewRow, partitionKey } from "./head.ts";
import { listSegments, LogWriter, type ReadReport, readSegment } from "./log-file.ts";
import { RowAggregates } from "./row-aggregates.ts";
import {
  applyAppendRecord,
  decodeBaselineRecord,
  decodeForgottenRecord,
  encodeAppendRecord,
  encodeBaselineRecord,
  encodeDoneRecord,
  encodeForgottenRecord,
  encodeHeadRecord,
  type Logged,
  newLogged,
  RecordType,
} from "./log-records.ts";

export interface ShardOptions {
  /** position of this shard; its log lies in `<dataPath>/.cinderblock/log/shard-<n>` */
  shard: number;
  dataPath: string;
  windowNanos: bigint;
  /** heads together may use this much memory; the largest is cut at half of it */
  headBytes: number;
  /** log that no block covers yet may grow to this; then the largest head is cut */
  logBytes: number;
  segmentBytes: number;
  /** a head whose window is over is cut after this much time without a write */
  idleMs: number;
  sync: boolean;
  onFailure: (err: Error) => void;
  /** told when a block is finished: it lies in the tenant's `local/` */
  onBlock: (tenant: string, meta: BlockMeta) => void;
  /** told what the heads use, whenever that was measured */
  onMemory?: (usedBytes: number) => void;
  now: () => number;
}

interface OpenHead {
  head: Head;
  headNo: number;
  logged: Logged[];
  loggedSeries: number;
  segments: Set<number>;
  cutting: Promise<void> | undefined;
}

export interface ReplayReport {
  segments: number;
  records: number;
  bytes: number;
  rows: number;
  damaged: ReadReport["damaged"];
  tornBytes: number;
  lostSymbols: number;
  unfinished: number;
  seconds: number;
}

export interface ShardStats {
  heads: number;
  series: number;
  rows: number;
  /** when the oldest head was begun; Infinity without one */
  oldestHeadMs: number;
  headBytes: number;
  logBytes: number;
  syncs: number;
  cuts: number;
  firstCumulative: number;
}

/** Symbols of profiles that are only learnt from are dropped when they take so much. */
const SCRATCH_BYTES = 8 << 20;

/** The folder of a shard's log segments. */
export function logDirectory(dataPath: string, shard: number): string {
  return join(dataPath, ".cinderblock", "log", `shard-${shard}`);
}

/**
 * All heads of one worker thread, their log and their cuts. Whatever is in a head is in the log; a push is durable when
 * `commit` resolves. A head is named by the ULID of the block it becomes, so a finished block covers exactly its head.
 */
export class HeadShard implements ProfileSink {
  private readonly heads = new Map<string, OpenHead>();
  private readonly byUlid = new Map<string, OpenHead>();
  private readonly baselines = new Map<string, Baselines>();
  private readonly log: LogWriter;
  private readonly record = new ByteWriter(1 << 14);
  private nextHead = 1;
  private readonly segmentUse = new Map<number, Set<OpenHead>>();
  private oldSegments: number[] = [];
  private cuts = 0;
  private touched = 0;
  private memory = 0;
  private readonly hasher: Hasher;
  private readonly options: ShardOptions;

  constructor(hasher: Hasher, options: ShardOptions) {
    this.hasher = hasher;
    this.options = options;
    this.log = new LogWriter(logDirectory(options.dataPath, options.shard), {
      segmentBytes: options.segmentBytes,
      onFailure: options.onFailure,
      sync: options.sync,
    });
  }

  /** Reads the log of this shard, and of shards that no worker has any more, then opens a new segment. */
  replay(alsoShards: readonly number[], progress: (done: number, total: number) => void): ReplayReport {
    const started = performance.now();
    const { dataPath } = this.options;
    const report: ReplayReport = {
      segments: 0,
      records: 0,
      bytes: 0,
      rows: 0,
      damaged: [],
      tornBytes: 0,
      lostSymbols: 0,
      unfinished: 0,
      seconds: 0,
    };
    const own = logDirectory(dataPath, this.options.shard);
    makeDirectorySynced(own);
    let next = 1;
    for (const shard of [this.options.shard, ...alsoShards]) {
      const dir = logDirectory(dataPath, shard);
      if (!existsSync(dir)) continue;
      const segments = listSegments(dir);
      if (shard === this.options.shard) next = (segments.at(-1) ?? 0) + 1;
      this.replayDirectory(dir, segments, shard === this.options.shard, report, progress);
    }
    this.log.open(next);
    for (const h of this.byUlid.values()) report.rows += h.head.rowCount;
    report.seconds = (performance.now() - started) / 1000;
    this.measure();
    return report;
  }

  private replayDirectory(
    dir: string,
    segments: number[],
    own: boolean,
    report: ReplayReport,
    progress: (done: number, total: number) => void,
  ): void {
    const read: ReadReport = { records: 0, tornBytes: 0, damaged: [] };
    const done = new Set<string>();
    for (const s of segments)
      readSegment(dir, s, { records: 0, tornBytes: 0, damaged: [] }, (p) => {
        if (p[0] === RecordType.done) done.add(new ByteReader(p, 1).str());
      });
    const covered = (tenant: string, ulid: string): boolean =>
      done.has(ulid) ||
      existsSync(pathBelow(tenantFolder(this.options.dataPath, tenant), "local", ulid, "meta.json"));
    const numbers = new Map<number, OpenHead | null>();
    segments.forEach((segment, i) => {
      readSegment(dir, segment, read, (payload) => {
        report.bytes += payload.length;
        try {
          const lostBytes = read.damaged.reduce((n, d) => n + d.bytes, read.tornBytes);
          this.replayRecord(new ByteReader(payload), segment, own, numbers, covered, report, lostBytes);
        } catch (err) {
          if (!(err instanceof ShortRead) && !(err instanceof RangeError)) throw err;
          read.damaged.push({ segment, offset: 0, bytes: payload.length });
        }
      });
      progress(i + 1, segments.length);
    });
    report.segments += segments.length;
    report.records += read.records;
    report.tornBytes += read.tornBytes;
    report.damaged.push(...read.damaged);
    if (own) this.oldSegments = segments;
    else
      this.foreign.push({
        dir,
        segments,
        heads: [...numbers.values()].filter((h): h is OpenHead => h !== null),
      });
  }

  /** Logs of shards that are no more: removed when their heads are blocks. */
  private readonly foreign: { dir: string; segments: number[]; heads: OpenHead[] }[] = [];

  private replayRecord(
    r: ByteReader,
    segment: number,
    own: boolean,
    numbers: Map<number, OpenHead | null>,
    covered: (tenant: string, ulid: string) => boolean,
    report: ReplayReport,
    lostBytes: number,
  ): void {
    const type = r.u8();
    if (type === RecordType.head) {
      const no = r.uvarint(),
        tenant = r.str(),
        ulid = r.str(),
        windowEnd = r.u64le();
      // Both become folders: a record that names anything else is damaged, and so is what it would hold.
      if (!isTenantId(tenant) || !isUlid(ulid)) throw new ShortRead(r.pos, "expected a tenant ID and a ULID");
      if (covered(tenant, ulid)) {
        numbers.set(no, null);
        return;
      }
      const open = this.openHead(new Head(ulid, tenant, windowEnd, this.hasher), own ? no : 0);
      this.nextHead = Math.max(this.nextHead, no + 1);
      numbers.set(no, open);
      if (own) this.use(open, segment);
      return;
    }
    if (type === RecordType.append) {
      const open = numbers.get(r.uvarint());
      if (!open) return;
      report.lostSymbols += applyAppendRecord(r, open.head, lostBytes);
      open.head.lastWriteMs = this.options.now();
      if (own) this.use(open, segment);
      return;
    }
    if (type === RecordType.baseline) {
      const { tenant, updates } = decodeBaselineRecord(r, labelsKey);
      const b = this.baselinesOf(tenant);
      for (const u of updates) b.apply(u);
      return;
    }
    if (type === RecordType.forgotten) {
      const { tenant, series } = decodeForgottenRecord(r);
      this.baselinesOf(tenant).forget(series.map(labelsKey));
    }
  }

  /** After a replay a head goes on under a new number, with all its symbols counted as logged by the old segments. */
  private openHead(head: Head, headNo: number): OpenHead {
    const open: OpenHead = {
      head,
      headNo,
      logged: [],
      loggedSeries: 0,
      segments: new Set(),
      cutting: undefined,
    };
    const key = `${head.tenant}\u0000${head.windowEnd}`;
    // Two heads of one window (from two shards' logs): the second is cut soon, writes go to the first.
    if (!this.heads.has(key) && headNo > 0) this.heads.set(key, open);
    else head.frozen = true;
    this.byUlid.set(head.ulid, open);
    return open;
  }

  private use(open: OpenHead, segment: number): void {
    open.segments.add(segment);
    let set = this.segmentUse.get(segment);
    if (!set) this.segmentUse.set(segment, (set = new Set()));
    set.add(open);
  }

  /** Brings the counters of what is logged up to the head's content: called after a replay. */
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

  /** Must be called once after `replay`: heads take writes again. */
  resume(): void {
    for (const h of this.byUlid.values()) this.settle(h);
  }

  private baselinesOf(tenant: string): Baselines {
    let b = this.baselines.get(tenant);
    if (!b) this.baselines.set(tenant, (b = new Baselines()));
    return b;
  }

  private headFor(tenant: string, timeNanos: bigint): OpenHead {
    const w = this.options.windowNanos;
    const windowEnd = (timeNanos / w) * w + w;
    const key = `${tenant}\u0000${windowEnd}`;
    const known = this.heads.get(key);
    if (known && !known.head.frozen) return known;
    const head = new Head(newUlid(this.options.now()), checkTenantId(tenant), windowEnd, this.hasher);
    const open: OpenHead = {
      head,
      headNo: this.nextHead++,
      logged: [],
      loggedSeries: 0,
      segments: new Set(),
      cutting: undefined,
    };
    this.heads.set(key, open);
    this.byUlid.set(head.ulid, open);
    this.record.reset();
    encodeHeadRecord(open.headNo, head, this.record);
    this.use(open, this.log.append(this.record.finish()));
    return open;
  }

  /** Series that the tenant's open heads hold. */
  seriesOf(tenant: string): number {
    let n = 0;
    for (const h of this.byUlid.values()) if (h.head.tenant === tenant) n += h.head.series.length;
    return n;
  }

  /** @throws `no-room` when the heads are full: nothing of the profile is kept */
  append(tenant: string, p: ProcessedProfile): void {
    // An aggregate is stored whole or not at all: it was checked before its first profile.
    if (!this.aggregates) this.requireRoom();
    const open = this.headFor(tenant, p.profile.timeNanos);
    const { head } = open;
    const baselines = this.baselinesOf(tenant);
    for (const group of p.groups) {
      const id = this.hasher.h64(encodeUtf8(partitionKey(p, group.labels)));
      const partition = head.partitionIndex(id);
      const rows = head.append(p, group, partition, baselines, this.aggregatesOf(open));
      this.logRows(open, partition, rows);
      if (baselines.pending.length > 0) {
        this.logBaselines(tenant, baselines.pending);
        baselines.pending = [];
      }
    }
    head.lastWriteMs = this.options.now();
    this.touched++;
    if (!this.aggregates) this.checkPressure();
  }

  /** A refusal asks for a cut too: the maintenance timer alone frees memory too slowly. */
  private requireRoom(): void {
    const { headBytes } = this.options;
    if (this.memory <= headBytes) return;
    this.onPressure();
    throw noRoom(
      "heads",
      `heads of this ingest thread use ${this.memory} bytes; the limit is ${headBytes} (its share of -memory.head-bytes)`,
      { usedBytes: this.memory, limitBytes: headBytes },
    );
  }

  private checkPressure(): void {
    if (this.touched >= 64 || this.logged > 256 << 10) {
      this.measure();
      if (this.memory > this.options.headBytes / 2) this.onPressure();
    }
  }

  private logRows(open: OpenHead, partition: number, rows: readonly NewRow[]): void {
    const logged = (open.logged[partition] ??= newLogged());
    if (rows.length === 0) return;
    this.record.reset();
    encodeAppendRecord(open.headNo, open.head, partition, logged, open.loggedSeries, rows, this.record);
    this.logged += this.record.length;
    open.loggedSeries = open.head.series.length;
    this.use(open, this.log.append(this.record.finish()));
  }

  /** rows that wait for the end of `aggregate`, by their head */
  private aggregates: Map<OpenHead, RowAggregates> | undefined;
  private aggregateNanos = 0n;

  private aggregatesOf(open: OpenHead): RowAggregates | undefined {
    if (!this.aggregates) return undefined;
    let known = this.aggregates.get(open);
    if (!known) this.aggregates.set(open, (known = new RowAggregates(this.aggregateNanos)));
    return known;
  }

  /**
   * Calls `run`, which appends profiles: rows of one series and the same `windowNanos` of time become one, with the time of
   * the earliest. The same profiles in the same order make the same rows in every shard.
   * @throws `no-room` before `run` is called: a part of an aggregate would become a row of its own in this shard alone
   */
  aggregate<T>(windowNanos: bigint, run: () => T): T {
    this.requireRoom();
    const all = new Map<OpenHead, RowAggregates>();
    this.aggregates = all;
    this.aggregateNanos = windowNanos;
    try {
      return run();
    } finally {
      this.aggregates = undefined;
      for (const [open, rows] of all) {
        for (const row of rows.all()) {
          const added = open.head.appendAggregate(row);
          if (added) this.logRows(open, row.partition, [added]);
        }
      }
      this.checkPressure();
    }
  }

  /** where profiles are interned that are only learnt from; made anew when it has grown */
  private scratch: Head | undefined;

  /** Keeps of a profile nothing but what the next one of its series is compared with: it is stored, or was, by others. */
  learn(tenant: string, p: ProcessedProfile): void {
    if (!this.scratch || this.scratch.tenant !== tenant || this.scratch.byteLength > SCRATCH_BYTES)
      this.scratch = new Head(newUlid(this.options.now()), tenant, 0n, this.hasher);
    const baselines = this.baselinesOf(tenant);
    for (const group of p.groups) this.scratch.append(p, group, this.scratch.partitionIndex(0n), baselines);
    if (baselines.pending.length > 0) {
      this.logBaselines(tenant, baselines.pending);
      baselines.pending = [];
    }
  }

  /** Tenants and services with series that have a baseline. */
  baselineServices(): { tenant: string; service: string }[] {
    return [...this.baselines].flatMap(([tenant, b]) =>
      [...new Set([...b.series.values()].map((s) => labelValue(s.labels, LABEL_SERVICE_NAME)))].map(
        (service) => ({ tenant, service }),
      ),
    );
  }

  /** Forgets the baselines of services that others may have had meanwhile. How many series that were. */
  forgetBaselines(services: readonly { tenant: string; service: string }[]): number {
    let n = 0;
    for (const [tenant, b] of this.baselines) {
      const gone = new Set(services.filter((s) => s.tenant === tenant).map((s) => s.service));
      const series = [...b.series].filter(([, s]) => gone.has(labelValue(s.labels, LABEL_SERVICE_NAME)));
      if (series.length === 0) continue;
      b.forget(series.map(([key]) => key));
      n += series.length;
      this.record.reset();
      encodeForgottenRecord(
        tenant,
        series.map(([, s]) => s.labels),
        this.record,
      );
      this.log.append(this.record.finish());
    }
    return n;
  }

  /** replaced by the owner: called when heads use half of their memory, so that one is cut at once */
  onPressure: () => void = () => undefined;
  /** bytes logged since memory was last measured: what a head learns is what it grows by */
  private logged = 0;

  private logBaselines(tenant: string, updates: Parameters<typeof encodeBaselineRecord>[1]): void {
    this.record.reset();
    encodeBaselineRecord(tenant, updates, this.record);
    this.log.append(this.record.finish());
  }

  private measure(): void {
    let n = 0;
    for (const h of this.byUlid.values()) n += h.head.byteLength;
    this.memory = n;
    this.options.onMemory?.(n);
    this.touched = this.logged = 0;
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

  /** Tenants that have a head. */
  tenants(): string[] {
    return [...new Set([...this.byUlid.values()].map((h) => h.head.tenant))];
  }

  source(ulid: string): Head | undefined {
    return this.byUlid.get(ulid)?.head;
  }

  /** Cuts what is due: windows that are over and idle, the largest head when memory or log run short. */
  async maintain(): Promise<void> {
    const { now, idleMs, headBytes, logBytes } = this.options;
    const t = now();
    const due: OpenHead[] = [];
    for (const h of this.byUlid.values()) {
      if (h.cutting) continue;
      if (h.head.frozen || (Number(h.head.windowEnd / 1_000_000n) < t && t - h.head.lastWriteMs > idleMs))
        due.push(h);
    }
    this.measure();
    if (this.memory > headBytes / 2 || this.uncoveredLog() > logBytes) {
      const largest = [...this.byUlid.values()]
        .filter((h) => !h.cutting && !due.includes(h))
        .sort((a, b) => b.head.byteLength - a.head.byteLength)[0];
      if (largest) due.push(largest);
    }
    for (const h of due) await this.cut(h);
  }

  private uncoveredLog(): number {
    return (
      this.segmentUse.size * this.options.segmentBytes + this.log.segmentSize - this.options.segmentBytes
    );
  }

  /** Cuts every head, or those of one tenant; returns when all are blocks. */
  async flush(tenant?: string): Promise<void> {
    for (const h of [...this.byUlid.values()])
      if (tenant === undefined || h.head.tenant === tenant) await this.cut(h);
  }

  private cut(open: OpenHead): Promise<void> {
    open.cutting ??= this.doCut(open).catch((err: unknown) => {
      open.cutting = undefined;
      throw err;
    });
    return open.cutting;
  }

  private async doCut(open: OpenHead): Promise<void> {
    const { head } = open;
    head.frozen = true;
    const key = `${head.tenant}\u0000${head.windowEnd}`;
    if (this.heads.get(key) === open) this.heads.delete(key);
    await this.log.commit(); // every record of the head is on disk before its block may replace it
    const meta = await cutHead(head, this.options.dataPath);
    this.record.reset();
    encodeDoneRecord(head.ulid, this.record);
    this.log.append(this.record.finish());
    for (const [tenant, b] of this.baselines)
      if (b.series.size > 0 && tenant === head.tenant) this.logBaselines(tenant, b.snapshot());
    await this.log.commit();
    this.cuts++;
    if (meta) this.options.onBlock(head.tenant, meta);
    this.byUlid.delete(head.ulid);
    for (const s of open.segments) {
      const set = this.segmentUse.get(s);
      set?.delete(open);
      if (set?.size === 0) this.segmentUse.delete(s);
    }
    this.measure();
    // Nothing needs the segment that is being written: start another and drop it.
    if (!this.segmentUse.has(this.log.segment)) this.log.rollIfIdle(4096);
    this.removeSegments(open);
  }

  /** A segment goes when every head with records in it is a block, and the baselines were written again behind it. */
  private removeSegments(open: OpenHead): void {
    const first = this.oldSegments[0] ?? this.firstSegment;
    if (first === undefined) return;
    for (let s = first; s < this.log.segment; s++) {
      if (this.segmentUse.has(s)) break;
      if (this.otherBaselines(open.head.tenant))
        for (const [tenant, b] of this.baselines)
          if (tenant !== open.head.tenant && b.series.size > 0) this.logBaselines(tenant, b.snapshot());
      try {
        this.log.remove(s);
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
      }
      this.firstSegment = s + 1;
      this.oldSegments = this.oldSegments.filter((x) => x !== s);
    }
    for (const f of [...this.foreign]) {
      if (f.heads.some((h) => this.byUlid.has(h.head.ulid))) continue;
      this.foreign.splice(this.foreign.indexOf(f), 1);
      this.onForeignDone(f.dir, f.segments);
    }
  }

  private firstSegment: number | undefined = 1;
  private otherBaselines(tenant: string): boolean {
    for (const [t, b] of this.baselines) if (t !== tenant && b.series.size > 0) return true;
    return false;
  }
  /** replaced by the owner when logs of former shards are to be removed */
  onForeignDone: (dir: string, segments: number[]) => void = () => undefined;

  stats(): ShardStats {
    let rows = 0,
      series = 0,
      firstCumulative = 0,
      oldestHeadMs = Infinity;
    for (const h of this.byUlid.values()) {
      oldestHeadMs = Math.min(oldestHeadMs, ulidTimeMs(h.head.ulid));
      rows += h.head.rowCount;
      series += h.head.series.length;
    }
    for (const b of this.baselines.values()) firstCumulative += b.firstProfiles;
    return {
      heads: this.byUlid.size,
      series,
      rows,
      oldestHeadMs,
      headBytes: this.memory,
      logBytes: Math.max(0, this.uncoveredLog()),
      syncs: this.log.syncs,
      cuts: this.cuts,
      firstCumulative,
    };
  }

  close(): Promise<void> {
    return this.log.close();
  }
}

/** Shard numbers that have a log under `dataPath`. */
export function loggedShards(dataPath: string): number[] {
  const dir = join(dataPath, ".cinderblock", "log");
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .map((f) => /^shard-(\d+)$/.exec(f)?.[1])
    .filter((n): n is string => n !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** When the log was last written to; undefined where there is none. */
export function lastLoggedMs(dataPath: string): number | undefined {
  const times = loggedShards(dataPath).flatMap((shard) => {
    const dir = logDirectory(dataPath, shard);
    return readdirSync(dir).map((f) => statSync(join(dir, f)).mtimeMs);
  });
  return times.length > 0 ? Math.max(...times) : undefined;
}
