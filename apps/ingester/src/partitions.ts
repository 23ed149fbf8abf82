import { dirname, join } from "node:path";
import { sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import type { LogRecord, PartitionedLog, PartitionReader } from "@cinderblock/kafka";
import { assignPartitions, placementToken } from "@cinderblock/ring";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { CaughtUp, PartitionState } from "@cinderblock/transport";
import { OwnedPartition } from "./owned-partition.ts";
import { PartitionPositions } from "./partition-positions.ts";
import { RecordIntake, type RecordSink } from "./record-intake.ts";

/** Who divides the partitions of a zone, in order, and by which rule (`Member.partitionRule`). */
export interface Owners {
  ids: readonly string[];
  rule: number;
}

export interface PartitionsConfig {
  /** name of this ingester */
  id: string;
  /** readers of one zone share the partitions; each zone reads all of them */
  zone: string;
  topic: string;
  /** where the positions are kept: what lies before them is in this ingester's log or blocks */
  file: string;
  /** how far before the committed offset a new owner reads, to know the last cumulative profile of each series */
  learnMs: number;
}

/** How often owners are looked up, positions saved and marks set; how often offsets are committed. */
const TICK_MS = 1000,
  COMMIT_MS = 5000,
  ENDS_MS = 5000;
/** Clocks of threads and steps of the clock are smaller than this. */
const CLOCK_MARGIN_MS = 5000;

/**
 * Reads this ingester's partitions of the log into its heads. A record is taken in when it is in the ingester's own log,
 * and committed when it is in the bucket: an ingester that comes back with its disk goes on where it was, one without it
 * reads again what no block holds. Reading twice counts once, by the profiles' identity (ADR 9).
 */
export class Partitions implements Service {
  readonly name = "partitions";
  private readonly owned = new Map<number, OwnedPartition>();
  private readonly config: PartitionsConfig;
  private readonly log: PartitionedLog;
  private readonly sink: RecordSink;
  private readonly owners: () => Owners;
  private readonly base: Base;
  private readonly lost: { inc(n: number): void };
  private readonly intake: RecordIntake;
  private readonly positions: PartitionPositions;
  private assigned: { key: string; mine: number[] } = { key: "", mine: [] };
  private timer: NodeJS.Timeout | undefined;
  private ticking: Promise<void> | undefined;
  private lastCommit = 0;
  private lastEnds = 0;
  private waiters = new Set<() => void>();
  private leaving = false;

  /** @param owners the ingesters of this zone that take part */
  constructor(
    config: PartitionsConfig,
    log: PartitionedLog,
    sink: RecordSink,
    owners: () => Owners,
    base: Base,
  ) {
    this.config = config;
    this.log = log;
    this.sink = sink;
    this.owners = owners;
    this.base = base;
    this.positions = new PartitionPositions(config.file, config.topic);
    this.intake = new RecordIntake(sink, join(dirname(config.file), "suspect-records.json"), base);
    this.lost = base.metrics.counter(
      "cinderblock_ingester_partition_lost_records_total",
      "Records that the topic dropped before they were read.",
    );
  }

  start(): Promise<void> {
    const { metrics } = this.base;
    const gauge = (name: string, help: string, pick: (s: PartitionState) => number): void => {
      metrics.gauge(name, help, ["partition"], (g) => {
        for (const s of this.states()) g.set({ partition: String(s.partition) }, pick(s));
      });
    };
    gauge(
      "cinderblock_ingester_partition_lag_records",
      "Records of a partition that are not read yet.",
      (s) => Math.max(0, s.end - s.position),
    );
    gauge(
      "cinderblock_ingester_partition_lag_seconds",
      "How far reading a partition is behind.",
      (s) => s.lagMs / 1000,
    );
    gauge(
      "cinderblock_ingester_partition_uploaded_offset",
      "Records of a partition below this offset are in the bucket.",
      (s) => s.committed,
    );
    gauge(
      "cinderblock_ingester_partition_unuploaded_seconds",
      "Age of the oldest record of a partition that is not in the bucket.",
      (s) => s.unuploadedAgeMs / 1000,
    );
    metrics.gauge(
      "cinderblock_ingester_partition_waiting_seconds",
      "How long records of a partition have waited to be taken in: for room in the heads, or after an error.",
      ["partition"],
      (g) => {
        for (const [p, o] of this.owned)
          g.set(
            { partition: String(p) },
            o.waitingSinceMs === 0 ? 0 : (performance.now() - o.waitingSinceMs) / 1000,
          );
      },
    );
    const again = (): void => {
      if (!this.leaving)
        this.timer = setTimeout(() => {
          this.ticking = this.tick()
            .catch((err: unknown) =>
              this.base.log.warn({ err }, "partitions could not be looked after, it will be tried again"),
            )
            .then(again);
        }, TICK_MS);
    };
    this.ticking = this.tick()
      .catch((err: unknown) => this.base.log.warn({ err }, "partitions could not be read yet"))
      .then(again);
    return Promise.resolve();
  }

  private async tick(): Promise<void> {
    if (this.leaving) return;
    const now = Date.now();
    const mine = new Set(this.mine());
    await allEnded([...this.owned].filter(([p]) => !mine.has(p)).map(([p]) => this.release(p)));
    // The others are committed all the same.
    await allEnded([...mine].filter((p) => !this.owned.has(p)).map((p) => this.take(p))).catch(
      (err: unknown) =>
        this.base.log.warn({ err }, "a partition could not be taken yet, it will be tried again"),
    );
    if (now - this.lastEnds > ENDS_MS) {
      this.lastEnds = now;
      const ends = await this.log.offsets();
      for (const [p, o] of this.owned) {
        const end = ends[p]?.end ?? 0;
        o.end = Math.max(o.end, end);
        if (o.catchUpTo === Infinity) o.catchUpTo = end;
      }
    }
    await this.remember();
    if (now - this.lastCommit > COMMIT_MS) {
      this.lastCommit = now;
      await this.commit();
    }
  }

  /** This ingester's partitions: every partition has an owner in each zone that has an ingester. */
  private mine(): number[] {
    const { ids, rule } = this.owners(),
      at = ids.indexOf(this.config.id);
    if (at < 0) return [];
    const key = `${rule} ${this.log.partitions} ${ids.join()}`;
    if (this.assigned.key !== key) {
      const owner =
        rule === 2
          ? assignPartitions(this.log.partitions, ids)
          : Uint32Array.from({ length: this.log.partitions }, (_, p) => p % ids.length);
      this.assigned = { key, mine: [...owner.keys()].filter((p) => owner[p] === at) };
    }
    return this.assigned.mine;
  }

  private group(partition: number): string {
    return `${this.config.topic}${this.config.zone === "" ? "" : `-${this.config.zone}`}-partition-${partition}`;
  }

  private async take(partition: number): Promise<void> {
    const o = new OwnedPartition();
    const committed = await this.log.committed(partition, this.group(partition));
    o.committed = committed ?? 0;
    o.catchUpTo = (await this.log.offsets())[partition]!.end;
    // Where something was committed once and nothing is now, the topic is another one, or its groups were deleted: all of it is read.
    const anew = committed === undefined && (this.positions.commitOf(partition) ?? 0) > 0;
    if (anew)
      this.base.log.error(
        { partition, was: this.positions.commitOf(partition) },
        "nothing is committed any more: the topic was made anew, or its groups were deleted; all that it holds is read again",
      );
    const from = anew ? undefined : this.positions.positionOf(partition);
    // Where this ingester stopped is where it goes on; another took over from it, and has committed, else.
    if (from !== undefined && from >= o.committed) o.position = from;
    else {
      o.learnTo = o.committed;
      o.position = await this.learnFrom(partition, o.committed);
      await this.sink.forgetBaselines(
        (tenant, service) => placementToken(tenant, service) % this.log.partitions === partition,
      );
    }
    o.beginAt(o.position, Date.now());
    this.owned.set(partition, o);
    try {
      o.reader = await this.reader(partition, o);
    } catch (err) {
      this.owned.delete(partition);
      throw err;
    }
    this.base.log.info(
      { partition, position: o.position, learnTo: o.learnTo, committed: o.committed },
      "partition taken",
    );
  }

  /** A record that came at least the learning period before the one at `committed`. */
  private async learnFrom(partition: number, committed: number): Promise<number> {
    const { start } = (await this.log.offsets())[partition]!;
    if (committed <= start) return committed;
    for (let back = this.config.learnMs; ; back *= 2) {
      // The first time that lies before the committed record, then once more the period.
      const then = Date.now() - back;
      const at = await this.log.offsetAt(partition, then);
      if (at < committed || at <= start)
        return Math.min(committed, await this.log.offsetAt(partition, then - this.config.learnMs));
    }
  }

  private reader(partition: number, o: OwnedPartition): Promise<PartitionReader> {
    return this.log.read(partition, {
      group: this.group(partition),
      from: o.position,
      again: o.position < o.learnTo,
      onRecords: (records, end) => (o.busy = this.takeIn(partition, o, records, end)),
      onGap: (wanted, start) => {
        this.lost.inc(Math.max(0, start - wanted));
        this.base.log.error(
          { partition, wanted, start },
          start < wanted
            ? "the topic ends before what was read of it: it was made anew, and is read from its start"
            : "the topic dropped records before they were read: its retention is shorter than this ingester was away",
        );
        o.beginAt(start, Date.now());
        o.committed = Math.min(o.committed, start);
        o.learnTo = Math.min(o.learnTo, start);
        // Another topic: where it ends is asked at the next look.
        if (start < wanted) {
          o.catchUpTo = Infinity;
          this.lastEnds = 0;
        }
      },
    });
  }

  private async release(partition: number): Promise<void> {
    const o = this.owned.get(partition)!;
    this.owned.delete(partition);
    o.stopped = true;
    await o.reader?.stop();
    await o.busy;
    this.positions.set(partition, o.position, o.committed);
    await this.positions.save();
    this.base.log.info({ partition, position: o.position }, "partition given up");
  }

  private async takeIn(
    partition: number,
    o: OwnedPartition,
    records: readonly LogRecord[],
    end: number,
  ): Promise<void> {
    if (!(await this.intake.takeIn(partition, o, records))) return;
    const last = records.at(-1)!;
    o.position = last.offset + 1;
    o.recordMs = last.timestampMs;
    o.end = Math.max(o.end, end, o.position);
    const { waiters } = this;
    this.waiters = new Set();
    for (const w of waiters) w();
  }

  /** An ingest thread died: what was in its hands is remembered. The process ends after this. */
  noteDeath(): void {
    this.intake.noteDeath();
  }

  // ---- offsets

  /** Sets a mark for each partition and saves the positions: what is before them is on this disk. */
  private async remember(): Promise<void> {
    let changed = false;
    for (const [p, o] of this.owned) {
      o.mark(Date.now());
      if (this.positions.set(p, o.position, o.committed)) changed = true;
    }
    if (changed) await this.positions.save();
  }

  /** Commits what is in the bucket: everything that was taken in before the oldest head or block that is not. */
  async commit(): Promise<void> {
    const taken = new Map([...this.owned].map(([p, o]) => [p, o.position]));
    const oldest = await this.sink.oldestUnuploadedMs();
    for (const [p, o] of this.owned) {
      const offset = oldest === Infinity ? (taken.get(p) ?? 0) : o.storedBefore(oldest - CLOCK_MARGIN_MS);
      if (offset === undefined || offset <= o.committed || !o.reader) continue;
      await o.reader.commit(offset);
      o.committedTo(offset, Date.now());
    }
  }

  // ---- what others ask

  states(): PartitionState[] {
    const now = Date.now();
    return [...this.owned]
      .map(([partition, o]) => o.state(partition, this.config.id, now))
      .sort((a, b) => a.partition - b.partition);
  }

  /** The partitions of which this ingester has all that is not in the bucket, but for what came just now; and how many there are. */
  caughtUp(): CaughtUp {
    return {
      of: this.log.partitions,
      partitions: [...this.owned].flatMap(([p, o]) => (o.reader && o.position >= o.catchUpTo ? [p] : [])),
    };
  }

  /** Waits until this ingester has taken in its partitions up to `ends`; which they are. @throws `unavailable` at the deadline */
  async reach(ends: readonly number[], deadlineMs: number): Promise<number[]> {
    for (;;) {
      const behind = [...this.owned].filter(([p, o]) => o.position < (ends[p] ?? 0));
      if (behind.length === 0) return [...this.owned.keys()];
      const left = deadlineMs - Date.now();
      if (left <= 0)
        throw new CinderblockError(
          "unavailable",
          `ingester ${this.config.id} has not read partition ${behind[0]![0]} up to ${ends[behind[0]![0]]} yet`,
        );
      await Promise.race([
        new Promise<void>((done) => {
          this.waiters.add(done);
        }),
        sleep(Math.min(left, 1000)),
      ]);
    }
  }

  // ---- the end

  /** No more records are taken in; what was is flushed by others, then `finish` commits it. */
  async halt(): Promise<void> {
    this.leaving = true;
    clearTimeout(this.timer);
    await this.ticking;
    for (const o of this.owned.values()) o.stopped = true;
    await Promise.all([...this.owned.values()].map((o) => o.busy));
    // The groups keep their members until the commit.
    for (const [p, o] of this.owned) this.positions.set(p, o.position, o.committed);
    await this.positions.save();
  }

  async stop(): Promise<void> {
    if (!this.leaving) await this.halt();
    clearTimeout(this.timer);
    try {
      await this.commit();
    } catch (err) {
      this.base.log.warn({ err }, "offsets could not be committed: the next owner reads some records again");
    }
    await Promise.all(
      [...this.owned.values()].map((o) =>
        o.reader?.stop().catch((err: unknown) => this.base.log.warn({ err }, "a reader did not stop")),
      ),
    );
    this.owned.clear();
  }
}

/** Waits for all, also where one fails: the next look must not take a partition that is still being taken. @throws the first failure */
async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  for (const r of await Promise.allSettled(work)) if (r.status === "rejected") throw r.reason;
}
