import { dirname, join } from "node:path";
import { sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import type { LogRecord, PartitionedLog } from "@cinderblock/kafka";
import { assignPartitions } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { CaughtUp, PartitionState } from "@cinderblock/transport";
import type { OwnedPartition } from "./owned-partition.ts";
import { PartitionClaims } from "./partition-claims.ts";
import { PartitionCommits } from "./partition-commits.ts";
import { PartitionPositions } from "./partition-positions.ts";
import { RecordIntake, type RecordSink } from "./record-intake.ts";

/** The ingesters that divide the partitions of a zone, in order, and their rule (`Member.partitionRule`). */
export interface PartitionOwners {
  ids: readonly string[];
  rule: number;
}

export interface PartitionsConfig {
  /** name of this ingester */
  id: string;
  /** readers of one zone share the partitions; each zone reads all of them */
  zone: string;
  topic: string;
  /** file of the positions; records below a position are in this ingester's log or blocks */
  file: string;
  /** how long before the committed record a new owner starts reading, to learn the baselines; ms */
  learnMs: number;
}

/** Intervals of checking owners and saving positions, of commits, and of reading the end offsets. */
const TICK_MS = 1000,
  COMMIT_MS = 5000,
  ENDS_MS = 5000;
/** Deadlines for reading the end offsets, and for stopping a reader with records in flight. */
const ENDS_DEADLINE_MS = 15_000,
  RELEASE_MS = 45_000;

/**
 * Reads this ingester's partitions into its heads. A record is read when it is in the ingester's own log, and
 * committed when it is in the bucket. An ingester that restarts with its disk resumes at its position;
 * without its disk, it reads again the records that no block holds. A record that is read twice counts once,
 * by the identity of its profiles (ADR 9). Each partition is claimed, read, committed and given up
 * separately: a failure or a stall does not affect the others.
 */
export class Partitions implements Service {
  readonly name = "partitions";
  private readonly owned = new Map<number, OwnedPartition>();
  /** partitions whose claim or release is in progress */
  private readonly moving = new Map<number, { since: number; done: Promise<void> }>();
  /** partition -> since when this ingester fails to claim it */
  private readonly unclaimed = new Map<number, number>();
  private readonly config: PartitionsConfig;
  private readonly log: PartitionedLog;
  private readonly owners: () => PartitionOwners;
  private readonly base: Base;
  private readonly claimFailures: { inc(labels: { partition: string }): void };
  private readonly intake: RecordIntake;
  private readonly positions: PartitionPositions;
  private readonly claims: PartitionClaims;
  private readonly commits: PartitionCommits;
  private assigned: { key: string; mine: number[] } = { key: "", mine: [] };
  private readonly loop;
  private saving: Promise<void> | undefined;
  private unsaved = false;
  private looking: Promise<void> | undefined;
  private lastCommit = 0;
  private lastEnds = 0;
  private waiters = new Set<() => void>();
  private leaving = false;

  /** @param owners the ingesters of this zone that take part */
  constructor(
    config: PartitionsConfig,
    log: PartitionedLog,
    sink: RecordSink,
    owners: () => PartitionOwners,
    base: Base,
  ) {
    this.config = config;
    this.log = log;
    this.owners = owners;
    this.base = base;
    this.loop = periodic(
      { name: "partitions", everyMs: TICK_MS, deadlineMs: 10 * TICK_MS },
      () => Promise.resolve(this.tick()),
      base,
    );
    this.positions = new PartitionPositions(config.file, config.topic);
    this.intake = new RecordIntake(sink, join(dirname(config.file), "suspect-records.json"), base);
    this.claims = new PartitionClaims(config, log, sink, this.positions, base);
    this.commits = new PartitionCommits(log, () => sink.oldestUnuploadedMs(), this.owned, base);
    this.claimFailures = base.metrics.counter(
      "cinderblock_ingester_partition_claim_failures_total",
      "Failed attempts to claim a partition.",
      ["partition"],
    );
  }

  start(): Promise<void> {
    this.report();
    this.tick();
    this.loop.start();
    return Promise.resolve();
  }

  private report(): void {
    const { metrics } = this.base;
    const gauge = (name: string, help: string, pick: (s: PartitionState) => number): void => {
      metrics.gauge(name, help, ["partition"], (g) => {
        for (const s of this.states()) g.set({ partition: String(s.partition) }, pick(s));
      });
    };
    gauge("cinderblock_ingester_partition_lag_records", "Unread records of a partition.", (s) =>
      Math.max(0, s.end - s.position),
    );
    gauge(
      "cinderblock_ingester_partition_lag_seconds",
      "Age of the oldest unread record of a partition.",
      (s) => s.lagMs / 1000,
    );
    gauge(
      "cinderblock_ingester_partition_uploaded_offset",
      "Offset below which all records of a partition are in the bucket.",
      (s) => s.committed,
    );
    gauge(
      "cinderblock_ingester_partition_unuploaded_seconds",
      "Age of a partition's oldest record that is not in the bucket.",
      (s) => s.unuploadedAgeMs / 1000,
    );
    metrics.gauge(
      "cinderblock_ingester_partition_waiting_seconds",
      "Time for which reading a partition has been paused, by full heads or after an error.",
      ["partition"],
      (g) => {
        for (const [p, o] of this.owned)
          g.set(
            { partition: String(p) },
            o.waitingSinceMs === 0 ? 0 : (performance.now() - o.waitingSinceMs) / 1000,
          );
      },
    );
    metrics.gauge(
      "cinderblock_ingester_partition_unclaimed_seconds",
      "Time for which this ingester has failed to claim its partition; no ingester of the zone reads it.",
      ["partition"],
      (g) => {
        for (const [p, since] of this.unclaimed)
          g.set({ partition: String(p) }, Math.max(0, this.base.now() - since) / 1000);
      },
    );
  }

  /**
   * Starts the work that is due, without waiting: a slow disk, broker or partition does not delay the others.
   */
  private tick(): void {
    if (this.leaving) return;
    this.settle();
    this.checkpoint();
    const now = performance.now();
    if (this.lastEnds === 0 || now - this.lastEnds > ENDS_MS) {
      this.lastEnds = now;
      void this.refreshEnds();
    }
    if (this.lastCommit === 0 || now - this.lastCommit > COMMIT_MS) {
      this.lastCommit = now;
      void this.commit().catch((err: unknown) =>
        this.base.log.warn({ err }, "offset commits failed, retrying"),
      );
    }
  }

  /** Releases partitions that moved to other owners or belong to a deleted topic; claims unclaimed ones. */
  private settle(): void {
    if (this.leaving) return;
    const mine = new Set(this.mine());
    for (const [p, o] of this.owned)
      if (!this.moving.has(p) && (!mine.has(p) || o.ended || o.topicId !== this.log.topicId))
        this.move(p, () => this.release(p, o));
    for (const p of mine) if (!this.moving.has(p) && !this.owned.has(p)) this.move(p, () => this.claim(p));
    for (const p of this.unclaimed.keys()) if (!mine.has(p) || this.owned.has(p)) this.unclaimed.delete(p);
  }

  /** Runs one claim or release of a partition at a time. */
  private move(partition: number, work: () => Promise<void>): void {
    const done = work().finally(() => {
      this.moving.delete(partition);
    });
    this.moving.set(partition, { since: this.base.now(), done });
  }

  /** This ingester's partitions: every partition has an owner in each zone with an ingester. */
  private mine(): number[] {
    const { ids, rule } = this.owners(),
      at = ids.indexOf(this.config.id);
    // The last ingester of a zone is leaving without a successor: keep its partitions until the last commit.
    if (ids.length === 0) return [...this.owned.keys()];
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

  private async claim(partition: number): Promise<void> {
    if (!this.unclaimed.has(partition)) this.unclaimed.set(partition, this.base.now());
    let claimed: OwnedPartition | undefined;
    try {
      await this.claims.claim(
        partition,
        (o, records, end) => this.consumeBatch(partition, o, records, end),
        (o) => {
          claimed = o;
          this.owned.set(partition, o);
        },
      );
      this.unclaimed.delete(partition);
    } catch (err) {
      if (claimed) claimed.stopped = true;
      if (this.owned.get(partition) === claimed) this.owned.delete(partition);
      this.claimFailures.inc({ partition: String(partition) });
      this.base.log.warn({ kafkaPartition: partition, err }, "partition claim failed, retrying");
    }
  }

  private async release(partition: number, o: OwnedPartition): Promise<void> {
    o.stopped = true;
    this.owned.delete(partition);
    try {
      await withDeadline(
        (async () => {
          await o.reader?.stop();
          await o.busy;
        })(),
        RELEASE_MS,
        `the reader of partition ${partition} did not stop`,
      );
    } catch (err) {
      this.base.log.warn(
        { kafkaPartition: partition, err },
        "partition released while a batch was being read",
      );
    }
    // Records still being stored are at or above this position: they are read again, and count once.
    if (this.note(partition, o)) this.unsaved = true;
    this.save();
    this.base.log.info({ kafkaPartition: partition, position: o.position }, "partition released");
  }

  /** Stores records, in order for each service; resolves when all are on disk. */
  private async consumeBatch(
    partition: number,
    o: OwnedPartition,
    records: readonly LogRecord[],
    end: number,
  ): Promise<void> {
    if (!(await this.intake.consumeBatch(partition, o, records))) return; // reading was stopped: the record is read again later
    const last = records.at(-1)!;
    o.position = last.offset + 1;
    o.recordMs = last.timestampMs;
    o.end = Math.max(o.end, end, o.position);
    const { waiters } = this;
    this.waiters = new Set();
    for (const w of waiters) w();
  }

  /** Saves the records that were in flight when an ingest thread died. The process ends after this call. */
  noteDeath(): void {
    this.intake.noteDeath();
  }

  // ---- offsets

  /** Updates the end offsets. A partition without a leader keeps its last ones, and becomes late. */
  private refreshEnds(): Promise<void> {
    return (this.looking ??= withDeadline(
      this.log.offsets(),
      ENDS_DEADLINE_MS,
      "Kafka did not list the partitions' end offsets",
    )
      .then(({ topicId, ranges }) => {
        for (const [p, o] of this.owned) {
          const range = ranges[p];
          if (range && o.topicId === topicId) o.setRange(range, this.base.now());
        }
      })
      .catch((err: unknown) =>
        this.base.log.warn({ err }, "listing end offsets of partitions failed, retrying"),
      )
      .finally(() => {
        this.looking = undefined;
      }));
  }

  private note(partition: number, { topicId, position, committed, counts }: OwnedPartition): boolean {
    return this.positions.set(partition, { topicId, position, committed, fences: counts.saved });
  }

  /** Sets a mark for each partition and saves the positions: records below them are on this disk. */
  private checkpoint(): void {
    for (const [p, o] of this.owned) {
      o.mark(this.base.now());
      if (this.note(p, o)) this.unsaved = true;
    }
    this.save();
  }

  private save(): void {
    if (!this.unsaved || this.saving) return;
    this.unsaved = false;
    this.saving = this.positions
      .save()
      .catch((err: unknown) => {
        this.unsaved = true;
        this.base.log.warn({ err }, "partition positions could not be saved, retrying");
      })
      .finally(() => {
        this.saving = undefined;
      });
  }

  /** Commits the offsets of records received before the oldest head or block that is not uploaded. */
  commit(): Promise<void> {
    return this.commits.commit();
  }

  // ---- state for other components

  states(): PartitionState[] {
    const now = this.base.now();
    return [...this.owned]
      .map(([partition, o]) => o.toPartitionState(partition, this.config.id, this.log.partitions, now))
      .sort((a, b) => a.partition - b.partition);
  }

  /** Partitions whose records outside the bucket are all in this ingester, except the most recent ones. */
  caughtUp(): CaughtUp {
    const { partitions: of, topicId } = this.log,
      now = this.base.now();
    return {
      of,
      topicId,
      partitions: [...this.owned]
        .filter(([, o]) => o.topicId === topicId && !o.ended && o.isCaughtUp && !o.isLate(now))
        .map(([p]) => p)
        .sort((a, b) => a - b),
    };
  }

  /**
   * Waits until this ingester has read its partitions up to `ends`.
   * @param topicId topic of the end offsets; "": unknown
   * @returns the partitions that reached their end by the deadline
   * @throws `unavailable`: none did
   */
  async waitForEnds(ends: readonly number[], deadlineMs: number, topicId = ""): Promise<number[]> {
    for (;;) {
      // The caller knows another topic ID or more partitions: refresh the topic now, and claim.
      if (ends.length > this.log.partitions || (topicId !== "" && topicId !== this.log.topicId))
        void this.log.refresh().then(
          () => this.settle(),
          (err: unknown) => this.base.log.debug({ err }, "topic metadata request failed"),
        );
      const reached: number[] = [],
        behind: number[] = [];
      for (const [p, o] of this.owned) {
        const same = topicId === "" || o.topicId === "" || o.topicId === topicId;
        (same && o.position >= (ends[p] ?? 0) ? reached : behind).push(p);
      }
      behind.push(...this.mine().filter((p) => !this.owned.has(p)));
      if (behind.length === 0) return reached;
      const left = deadlineMs - this.base.now();
      if (left <= 0) {
        if (reached.length > 0) return reached;
        const p = behind[0]!;
        throw new CinderblockError(
          "unavailable",
          `ingester ${this.config.id} has not read partition ${p} up to offset ${ends[p] ?? 0} yet`,
        );
      }
      await Promise.race([
        new Promise<void>((done) => {
          this.waiters.add(done);
        }),
        sleep(Math.min(left, 1000)),
      ]);
    }
  }

  // ---- shutdown

  /** Stops reading. The caller flushes the heads before `stop` commits. */
  async stopReading(): Promise<void> {
    this.leaving = true;
    await this.loop.stop(0);
    await this.saving;
    await Promise.all([...this.moving.values()].map((m) => m.done));
    for (const o of this.owned.values()) o.stopped = true;
    await withDeadline(
      Promise.all([...this.owned.values()].map((o) => o.busy)),
      RELEASE_MS,
      "in-flight records were not stored",
    ).catch((err: unknown) =>
      this.base.log.warn({ err }, "in-flight records were not stored; the next start reads them again"),
    );
    // The group's members stay until the last commit.
    for (const [p, o] of this.owned) this.note(p, o);
    await this.positions.save();
  }

  async stop(): Promise<void> {
    if (!this.leaving) await this.stopReading();
    try {
      await this.commit();
    } catch (err) {
      this.base.log.warn({ err }, "final offset commits failed; the next owner reads some records again");
    }
    await Promise.all(
      [...this.owned].map(([p, o]) =>
        o.reader
          ? withDeadline(o.reader.stop(), RELEASE_MS, `the reader of partition ${p} did not stop`).catch(
              (err: unknown) =>
                this.base.log.warn({ kafkaPartition: p, err }, "partition reader did not stop"),
            )
          : undefined,
      ),
    );
    this.owned.clear();
  }
}
