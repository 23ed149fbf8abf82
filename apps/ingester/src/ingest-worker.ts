import { type Pace, Periodic, TimeSlices } from "@cinderblock/async";
import { loadHasher } from "@cinderblock/bytes";
import { kindOf } from "@cinderblock/errors";
import { Ballast } from "@cinderblock/files";
import { type Head, HeadShard } from "@cinderblock/head";
import {
  ActiveSeries,
  toPushAnswer,
  sumPushAnswers,
  labelHashes,
  type ProcessedProfile,
  type PushAnswer,
  PushProcessor,
  pushesOf,
  RateGate,
  type SentPush,
  seriesLimitError,
} from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import {
  type BlockInfo,
  executeOn,
  labelAnswer,
  staleForms,
  rowKeys,
  rowTimes,
  seriesRanges,
} from "@cinderblock/query";
import { Symbolizer } from "@cinderblock/symbolizer";
import {
  startData,
  noteReleasedBytes,
  serveWorker,
  SharedPagesReader,
  Transfer,
  transferable,
} from "@cinderblock/threads";
import { DiskCounters, BallastReleaser } from "./disk-counters.ts";
import { shardOf } from "./log-shards.ts";
import type { IngestWorkerData, IngestWorkerMethods, IngestWorkerNotices } from "./protocol.ts";

/**
 * A worker thread of the write path. It inflates, decodes and normalizes a push, interns it into its heads
 * and writes it to its log. The answer follows when the log is on disk. The thread alone owns its shard's
 * heads, so queries of these heads run here too.
 */
const data = startData<IngestWorkerData>();
const bodies = new SharedPagesReader(data.bodies);
const hasher = await loadHasher();
const pressure = new Int32Array(data.pressure);
const disk = new DiskCounters(data.disk),
  room = new BallastReleaser(new Ballast(data.ballast), disk);

const shard = new HeadShard(hasher, {
  shard: data.shard,
  dataPath: data.dataPath,
  windowNanos: BigInt(data.windowMs) * 1_000_000n,
  headBytes: data.headBytes,
  logBytes: data.logBytes,
  segmentBytes: data.segmentBytes,
  idleMs: data.idleMs,
  sync: data.sync,
  // A failed sync is never retried: the kernel may have dropped pages. The process ends and replays the disk.
  onFailure: (err) => served.notify.failed(err.message),
  onBlock: (tenant, meta) => served.notify.block({ tenant, meta }),
  onMemory: (used) => Atomics.store(pressure, data.shard, Math.ceil((1000 * used) / data.headBytes)),
  onNoSpace: () => room.release(),
  onUnwritable: (operation, err) => served.notify.unwritable({ operation, reason: err?.message }),
  now: () => Date.now(),
});
const symbols = Symbolizer.open(data.symbols, Date.now);
const settingsOf = new Map<string, { limits: IngestLimits; gate: RateGate }>();
let maxSeries = 0,
  learning = false;
const active = new ActiveSeries(),
  seriesHash = labelHashes(hasher);
const processor = new PushProcessor(hasher, {
  cumulativeOnly: () => learning,
  append(tenant: string, p: ProcessedProfile) {
    if (learning) {
      shard.updateBaselines(tenant, p);
      return;
    }
    const now = Date.now(),
      types = p.profile.tables.sampleTypes;
    for (const { labels } of p.groups)
      if (!active.admit(tenant, seriesHash(labels), types, maxSeries, now))
        throw seriesLimitError(active.count(tenant), maxSeries);
    shard.append(tenant, p);
  },
});

/** Queries run in short time slices of this thread: a write waits for one slice at most. */
const slices = new TimeSlices();
const paceOf = (stop: Int32Array | undefined): Pace =>
  slices.pace(() => stop !== undefined && Atomics.load(stop, 0) === 1);

const moved = <T>(value: T): Transfer<T> => new Transfer(value, transferable(value));

function pick(ulids: readonly string[]): { heads: Head[]; missing: string[] } {
  const heads: Head[] = [],
    missing: string[] = [];
  for (const u of ulids) {
    const h = shard.source(u);
    if (h) heads.push(h);
    else missing.push(u);
  }
  return { heads, missing };
}

/** Runs a query on heads, then counts the label indexes that it has built in the memory of the heads. */
async function onHeads<T>(heads: readonly Head[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    shard.measureIndexed(heads);
  }
}

/** The deadline is long because a pass may cut many heads. */
const maintenance = new Periodic(
  { everyMs: 1000, firstMs: 0, deadlineMs: 600_000 },
  () => shard.maintain(),
  (end) => {
    // After a cut without disk space the log still has the records: the next pass cuts again.
    if (!end.ok && !end.late && kindOf(end.err) !== "no-room")
      served.notify.failed((end.err as Error).message);
  },
);

const served = serveWorker<IngestWorkerMethods, IngestWorkerNotices>({
  replay() {
    let last = 0;
    const { count, ...plan } = data.replay;
    const keeps = (route: string): boolean => shardOf(route, count) === data.shard;
    const r = shard.replay({ ...plan, keeps }, (done, total) => {
      const now = Date.now();
      if (now - last > 500 || done === total) {
        last = now;
        served.notify.progress({ done, total });
      }
    });
    shard.resume();
    shard.onPressure = () => void maintenance.run();
    // Delete segments that the last process could not free, before pushes come.
    maintenance.start();
    return {
      records: r.records,
      rows: r.rows,
      seconds: r.seconds,
      segments: r.segments,
      damaged: r.damaged,
      tornBytes: r.tornBytes,
      lostSymbols: r.lostSymbols,
    };
  },
  adoptBaselines: () => shard.adoptBaselines(),
  dropForeignBaselines: () => shard.dropForeignBaselines(),
  async push({ tenant, route, push, at, length, nowMs, learn, origin, settings }) {
    if (settings) {
      settingsOf.set(tenant, { limits: settings.limits, gate: new RateGate(settings.gate) });
      active.share(tenant, settings.series);
    }
    const { limits, gate } = settingsOf.get(tenant)!;
    maxSeries = limits.maxSeriesPerTenant;
    learning = learn === true;
    shard.route = route;
    shard.origin = origin;
    const whole = at === undefined ? push : { ...push, body: bodies.read(at, length) },
      takenMs = nowMs ?? Date.now();
    const take = (one: SentPush): PushAnswer =>
      toPushAnswer(processor.process(tenant, one, limits, gate, takenMs));
    const answer =
      whole.kind === "aggregate"
        ? shard.aggregate(tenant, BigInt(whole.windowMs) * 1_000_000n, () =>
            sumPushAnswers(pushesOf(whole).map(take)),
          )
        : take(whole);
    if (at === undefined) noteReleasedBytes(length);
    disk.setAppended(data.shard, shard.appendedBytes);
    await shard.commit();
    return answer;
  },
  activeSeries: () => active.list(Date.now()),
  baselineServices: () => shard.baselineServices(),
  async forgetBaselines(services) {
    const n = shard.forgetBaselines(services);
    if (n > 0) await shard.commit();
    return n;
  },
  flush: (tenant) => shard.flush(tenant),
  blocks({ tenant, startMs, endMs }) {
    const out: BlockInfo[] = [];
    for (const h of shard.sources(tenant)) {
      const minTimeMs = Number(h.minTimeNanos / 1_000_000n),
        maxTimeMs = Number(h.maxTimeNanos / 1_000_000n);
      if (minTimeMs <= endMs && maxTimeMs >= startMs)
        out.push({
          ulid: h.ulid,
          minTimeMs,
          maxTimeMs,
          level: 1,
          sources: [h.ulid],
          parents: [],
          shardId: "",
          hints: [],
          rows: h.rowCount,
        });
    }
    return out;
  },
  tenants: () => shard.tenants(),
  async execute({ tenant, ulids, query, exclude, stop }) {
    const other = staleForms(exclude, ulids, "head");
    const { heads, missing } = pick(ulids.filter((u) => !other.includes(u)));
    missing.push(...other);
    if (heads.length === 0) return { result: undefined, missing };
    const symbolizer = await symbols,
      pace = paceOf(stop);
    if (!symbolizer)
      return moved({
        result: await onHeads(heads, () => executeOn(heads, query, exclude, pace)),
        missing,
      });
    const { result, unnamed } = await onHeads(heads, () =>
      symbolizer.execute(heads, tenant, query, exclude, pace),
    );
    return moved({ result, missing, ...(unnamed === undefined ? {} : { unnamed }) });
  },
  async ranges({ ulids, select, stop }) {
    const pace = paceOf(stop);
    const { heads } = pick(ulids);
    return onHeads(heads, () => Promise.all(heads.map((h) => seriesRanges(h, select, pace))));
  },
  async times({ ulids, select, stop }) {
    const pace = paceOf(stop);
    const { heads } = pick(ulids);
    return moved(await onHeads(heads, () => Promise.all(heads.map((h) => rowTimes(h, select, pace)))));
  },
  async keys({ ulids, select, stop }) {
    const pace = paceOf(stop);
    const { heads } = pick(ulids);
    return moved(await onHeads(heads, () => Promise.all(heads.map((h) => rowKeys(h, select, pace)))));
  },
  async labels({ ulids, ask, stop }) {
    const { heads, missing } = pick(ulids);
    return moved({ ...(await onHeads(heads, () => labelAnswer(heads, ask, paceOf(stop)))), missing });
  },
  stats: () => shard.stats(),
  close: () => shard.close(),
});
