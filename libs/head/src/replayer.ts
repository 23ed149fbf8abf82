import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ByteReader, type Hasher, ShortRead } from "@cinderblock/bytes";
import { makeDirectorySynced } from "@cinderblock/files";
import { type Labels, labelsKey } from "@cinderblock/model";
import { pathBelow, tenantFolder } from "@cinderblock/tenant";
import { decodeBaselineRecord, decodeForgottenRecord } from "./baseline-records.ts";
import { baselineKey, Baselines } from "./baselines.ts";
import { Head } from "./head.ts";
import { listSegments, segmentName } from "./log-file.ts";
import { logDirectory } from "./log-folders.ts";
import { type ReadReport, scanSegment, type SegmentRecords } from "./log-frames.ts";
import {
  applyAppendRecord,
  type HeadName,
  readAnchoredSeries,
  readHeadName,
  RecordType,
} from "./log-records.ts";

/** The logs that a thread replays at its start, in addition to its own. */
export interface ReplayPlan {
  /** shards without a thread: this thread takes over their heads */
  orphans: readonly number[];
  /** all shards with a log, when the number of threads changed: this thread takes baselines from each */
  baselinesOf: readonly number[];
  /** shard -> last segment whose baselines were taken over before */
  retired: Readonly<Record<number, number>>;
  /** whether pushes of a route arrive at this thread */
  keeps: (route: string) => boolean;
}

/** Plan of a start without changes of the thread count. */
export const OWN_LOG_ONLY: ReplayPlan = { orphans: [], baselinesOf: [], retired: {}, keeps: () => true };

/** Counts of a replay; bytes and `tornBytes` are bytes of log. */
export interface ReplayReport {
  segments: number;
  records: number;
  bytes: number;
  rows: number;
  damaged: ReadReport["damaged"];
  tornBytes: number;
  lostSymbols: number;
  seconds: number;
}

/** A head that is in a log and has no block. */
interface ReplayedHead {
  head: Head;
  /** head number in this thread's log; 0 for a head of an orphaned log, which accepts no more profiles */
  headNo: number;
  segments: Set<number>;
}

/** The log of a shard that no thread has any more. */
export interface OrphanLog {
  shard: number;
  dir: string;
  segments: readonly number[];
  heads: ReplayedHead[];
  /** ULIDs of heads in this log that were blocks already */
  done: Set<string>;
}

/** Result of a replay. */
export interface ReplayResult {
  heads: ReplayedHead[];
  /** baselines from this thread's own log */
  baselines: Map<string, Baselines>;
  /** from other threads' logs: baselines that belong to this thread, or may belong to it */
  foreign: Map<string, Baselines>;
  /** segments of this thread's log, with their sizes */
  segments: { segment: number; sizeBytes: number }[];
  /** finished heads and the segments of this thread's log that name them */
  done: { ulid: string; segment: number }[];
  orphans: OrphanLog[];
  nextHead: number;
  report: ReplayReport;
}

/** One log and the positions of its records. */
interface Directory {
  shard: number;
  dir: string;
  /** segment -> its intact records */
  records: Map<number, SegmentRecords>;
  /** head number -> content of its anchors */
  anchors: Map<number, Anchor>;
}

/** Content of a head's anchor records, from anywhere in the log. */
interface Anchor extends HeadName {
  series: Labels[];
}

/** Reads logs into heads and baselines. One instance per start. */
export class Replayer {
  private readonly hasher: Hasher;
  private readonly dataPath: string;
  private readonly shard: number;
  private readonly plan: ReplayPlan;
  private readonly now: () => number;
  private readonly progress: (done: number, total: number) => void;
  private readonly read: ReadReport = { records: 0, tornBytes: 0, damaged: [] };
  private readonly finished = new Set<string>();
  private readonly out: ReplayResult;
  private todo = 0;
  private did = 0;

  constructor(
    hasher: Hasher,
    from: { dataPath: string; shard: number; plan: ReplayPlan; now: () => number },
    progress: (done: number, total: number) => void,
  ) {
    this.hasher = hasher;
    this.dataPath = from.dataPath;
    this.shard = from.shard;
    this.plan = from.plan;
    this.now = from.now;
    this.progress = progress;
    this.out = {
      heads: [],
      baselines: new Map(),
      foreign: new Map(),
      segments: [],
      done: [],
      orphans: [],
      nextHead: 1,
      report: {
        segments: 0,
        records: 0,
        bytes: 0,
        rows: 0,
        damaged: this.read.damaged,
        tornBytes: 0,
        lostSymbols: 0,
        seconds: 0,
      },
    };
  }

  run(): ReplayResult {
    const started = performance.now(),
      { out, plan } = this;
    makeDirectorySynced(logDirectory(this.dataPath, this.shard));
    const others = new Set([...plan.orphans, ...plan.baselinesOf]);
    others.delete(this.shard);
    const own = this.open(this.shard),
      rest = [...others]
        .sort((a, b) => a - b)
        .flatMap((s) => (existsSync(logDirectory(this.dataPath, s)) ? [this.open(s)] : []));
    this.todo = [own, ...rest].reduce((n, d) => n + d.records.size, 0);
    for (const [segment, records] of own.records)
      out.segments.push({ segment, sizeBytes: records.sizeBytes });
    this.replayOwn(own);
    for (const d of rest) this.replayOther(d);
    const { report } = out;
    report.segments = this.todo;
    report.records = this.read.records;
    report.tornBytes = this.read.tornBytes;
    for (const h of out.heads) report.rows += h.head.rowCount;
    report.seconds = (performance.now() - started) / 1000;
    return out;
  }

  /** Finds a log's records, and the heads that are blocks: records of those are skipped in every log. */
  private open(shard: number): Directory {
    const dir = logDirectory(this.dataPath, shard),
      records = new Map<number, SegmentRecords>(),
      anchors = new Map<number, Anchor>();
    for (const segment of listSegments(dir)) {
      const bytes = readFileSync(join(dir, segmentName(segment))),
        found = scanSegment(bytes, segment, this.read);
      for (let i = 0; i < found.length; i++) {
        const type = bytes[found.startOf(i)];
        if (type !== RecordType.done && type !== RecordType.anchor) continue;
        this.guarded(segment, found.recordAt(bytes, i), (r) => {
          r.u8();
          if (type === RecordType.done) this.finished.add(r.str());
          else noteAnchor(anchors, r);
        });
      }
      records.set(segment, found);
    }
    return { shard, dir, records, anchors };
  }

  /**
   * Runs `work` on a record. A record whose content does not parse counts as damaged, despite its valid
   * checksum.
   */
  private guarded(segment: number, payload: Uint8Array, work: (r: ByteReader) => void): void {
    try {
      work(new ByteReader(payload));
    } catch (err) {
      if (!(err instanceof ShortRead) && !(err instanceof RangeError)) throw err;
      this.read.damaged.push({ segment, offset: 0, bytes: payload.length });
    }
  }

  private each(d: Directory, on: (type: number, r: ByteReader, segment: number) => void): void {
    for (const [segment, records] of d.records) {
      const bytes = readFileSync(join(d.dir, segmentName(segment)));
      for (let i = 0; i < records.length; i++) {
        const payload = records.recordAt(bytes, i);
        this.out.report.bytes += payload.length;
        this.guarded(segment, payload, (r) => on(r.u8(), r, segment));
      }
      this.progress(++this.did, this.todo);
    }
  }

  private covered(tenant: string, ulid: string): boolean {
    return (
      this.finished.has(ulid) ||
      existsSync(pathBelow(tenantFolder(this.dataPath, tenant), "local", ulid, "meta.json"))
    );
  }

  private headsOf({ anchors }: Directory): HeadRecords {
    return new HeadRecords(this.hasher, this.now, anchors, (tenant, ulid) => this.covered(tenant, ulid));
  }

  private replayOwn(own: Directory): void {
    const { out } = this;
    const heads = this.headsOf(own),
      baselines = new BaselineRecords();
    this.each(own, (type, r, segment) => {
      if (type === RecordType.head || type === RecordType.append || type === RecordType.anchor) {
        const no = r.uvarint();
        // Do not reuse the number of a head whose first record is lost while other records of that head
        // exist.
        out.nextHead = Math.max(out.nextHead, no + 1);
        if (type === RecordType.head) heads.begin(no, readHeadName(r));
        heads.use(no, segment);
        if (type === RecordType.append) out.report.lostSymbols += heads.append(no, r, this.lostBytes());
      } else baselines.apply(type, r, segment);
    });
    out.heads.push(...heads.live);
    out.done.push(...heads.done);
    out.baselines = baselines.tenants;
  }

  private replayOther(d: Directory): void {
    const { out, plan } = this;
    const adopts = plan.orphans.includes(d.shard),
      retired = plan.baselinesOf.includes(d.shard) ? (plan.retired[d.shard] ?? 0) : Infinity;
    const heads = this.headsOf(d),
      baselines = new BaselineRecords();
    this.each(d, (type, r, segment) => {
      if (type === RecordType.head || type === RecordType.append || type === RecordType.anchor) {
        if (!adopts) return;
        const no = r.uvarint();
        if (type === RecordType.head) heads.begin(no, readHeadName(r));
        else if (type === RecordType.append) out.report.lostSymbols += heads.append(no, r, this.lostBytes());
      } else if (segment > retired) baselines.apply(type, r, segment);
    });
    if (adopts) {
      const live = heads.live.map((h) => ({ ...h, headNo: 0, segments: new Set<number>() }));
      out.heads.push(...live);
      out.orphans.push({
        shard: d.shard,
        dir: d.dir,
        segments: [...d.records.keys()],
        heads: live,
        done: heads.doneUlids,
      });
    }
    for (const [tenant, b] of baselines.tenants) {
      let known = out.foreign.get(tenant);
      if (!known) out.foreign.set(tenant, (known = new Baselines()));
      for (const [key, series] of b.series)
        if (series.route === undefined || plan.keeps(series.route)) known.adopt(key, series);
    }
  }

  /**
   * Bytes known to be lost so far. They bound the number of missing symbols, because each took at least one
   * byte.
   */
  private lostBytes(): number {
    return this.read.damaged.reduce((n, d) => n + d.bytes, this.read.tornBytes);
  }
}

function noteAnchor(anchors: Map<number, Anchor>, r: ByteReader): void {
  const no = r.uvarint(),
    name = readHeadName(r),
    series = readAnchoredSeries(r);
  const known = anchors.get(no);
  if (!known) anchors.set(no, { ...name, series });
  else
    series.forEach((labels, i) => {
      if ((known.series[i]?.length ?? 0) === 0) known.series[i] = labels;
    });
}

/** Heads of one log, by their numbers in that log. */
class HeadRecords {
  readonly live: ReplayedHead[] = [];
  readonly done: { ulid: string; segment: number }[] = [];
  readonly doneUlids = new Set<string>();
  /** head number -> the head, or the ULID of its block */
  private readonly byNo = new Map<number, ReplayedHead | string>();
  private readonly hasher: Hasher;
  private readonly now: () => number;
  private readonly anchors: ReadonlyMap<number, Anchor>;
  private readonly covered: (tenant: string, ulid: string) => boolean;

  constructor(
    hasher: Hasher,
    now: () => number,
    anchors: ReadonlyMap<number, Anchor>,
    covered: (tenant: string, ulid: string) => boolean,
  ) {
    this.hasher = hasher;
    this.now = now;
    this.anchors = anchors;
    this.covered = covered;
  }

  begin(no: number, { tenant, ulid, windowEnd }: HeadName): void {
    if (this.covered(tenant, ulid)) {
      this.byNo.set(no, ulid);
      this.doneUlids.add(ulid);
      return;
    }
    const open = {
      head: new Head(ulid, tenant, windowEnd, this.hasher),
      headNo: no,
      segments: new Set<number>(),
    };
    this.byNo.set(no, open);
    this.live.push(open);
  }

  /** Finds a head; a head whose first record is damaged begins with the content of an anchor. */
  private of(no: number): ReplayedHead | string | undefined {
    if (!this.byNo.has(no)) {
      const anchor = this.anchors.get(no);
      if (anchor) this.begin(no, anchor);
    }
    return this.byNo.get(no);
  }

  append(no: number, r: ByteReader, lostBytes: number): number {
    const open = this.of(no);
    if (open === undefined || typeof open === "string") return 0;
    const lost = applyAppendRecord(r, open.head, lostBytes, this.anchors.get(no)?.series);
    open.head.lastWriteMs = this.now();
    return lost;
  }

  /** Registers that a segment has records of a head. */
  use(no: number, segment: number): void {
    const open = this.of(no);
    if (open === undefined) return;
    if (typeof open !== "string") open.segments.add(segment);
    else if (this.done.at(-1)?.ulid !== open || this.done.at(-1)?.segment !== segment)
      this.done.push({ ulid: open, segment });
  }
}

/** Baselines of one log: applies its records in order. */
class BaselineRecords {
  readonly tenants = new Map<string, Baselines>();

  apply(type: number, r: ByteReader, segment: number): void {
    if (type === RecordType.baseline) {
      const { tenant, updates, route, kafkaPartition } = decodeBaselineRecord(r, labelsKey);
      let b = this.tenants.get(tenant);
      if (!b) this.tenants.set(tenant, (b = new Baselines()));
      for (const u of updates) b.apply(u, route, segment, kafkaPartition);
    } else if (type === RecordType.forgotten) {
      const { tenant, series, kafkaPartition } = decodeForgottenRecord(r);
      this.tenants.get(tenant)?.forget(series.map((l) => baselineKey(labelsKey(l), kafkaPartition)));
    } else if (type === RecordType.checkpoint) {
      const from = r.uvarint();
      for (const b of this.tenants.values())
        b.forget([...b.series].filter(([, s]) => s.segment < from).map(([key]) => key));
    }
  }
}
