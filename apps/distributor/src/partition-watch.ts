import { CinderblockError } from "@cinderblock/errors";
import type { PartitionedLog } from "@cinderblock/kafka";
import type { InternalClient } from "@cinderblock/rpc";
import type { RingView } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { activeSeriesOf, type PartitionState, RemotePartitions } from "@cinderblock/transport";
import { OwnerSeries } from "./owner-series.ts";

const POLL_MS = 2000,
  SILENT_MS = 30_000;
/** Longer than the ring needs to reassign partitions: a partition unread for this long has no owner. */
const UNREAD_MS = 120_000;
/** After this time, new partitions are placed even if one has no reader; writes to it are refused. */
const CLAIMED_MS = 15_000;
/** Maximum age of cached decisions: there may be hundreds of partitions, thousands of pushes a second. */
const LOOK_MS = 250;

type Told = PartitionState & { atMs: number };

/**
 * Polls the owners of the partitions every two seconds, and decides which partitions receive writes and which
 * of those refuse them now.
 * See docs/correctness.md, "Every partition has an owner" and "Backpressure in the distributor".
 */
export class PartitionWatch implements Service {
  readonly name = "partition-watch";
  /** partition -> owner -> its last report */
  private readonly known = new Map<number, Map<string, Told>>();
  private readonly series = new OwnerSeries();
  /** partition -> reason to refuse writes; cached for `LOOK_MS` */
  private looked: { atMs: number; refused: Map<number, CinderblockError> } | undefined;
  /** number of partitions that receive writes; grows when owners read more, not when the topic grows */
  private placed = 0;
  /** number of partitions that all ingesters read, above `placed`, and the time since when they do */
  private growing: { of: number; sinceMs: number } | undefined;
  /** the current topic, and when it was first seen */
  private topic = { id: "", sinceMs: 0 };
  private readonly loop;
  private readonly log: PartitionedLog;
  private readonly ring: RingView;
  private readonly client: InternalClient;
  private readonly base: Base;

  constructor(log: PartitionedLog, ring: RingView, client: InternalClient, base: Base) {
    this.log = log;
    this.ring = ring;
    this.client = client;
    this.base = base;
    this.loop = periodic(
      { name: "partition-watch", everyMs: POLL_MS, deadlineMs: 3 * POLL_MS },
      () => this.poll(),
      base,
    );
  }

  async start(): Promise<void> {
    this.base.metrics.gauge(
      "cinderblock_distributor_unread_partitions",
      "Partitions of the topic without an ingester that reads them; queries do not see their new records.",
      [],
      (g) => {
        g.set(this.unread().length);
      },
    );
    await this.poll();
    this.loop.start();
  }
  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  private async poll(): Promise<void> {
    await Promise.all(
      this.ring.snapshot.readable.map(async (m) => {
        try {
          const states = await new RemotePartitions(this.client, m.address).states(POLL_MS);
          for (const s of states) {
            let owners = this.known.get(s.partition);
            if (!owners) this.known.set(s.partition, (owners = new Map()));
            owners.set(s.owner, { ...s, atMs: this.base.now() });
          }
          this.series.update(m.id, await activeSeriesOf(this.client, m.address, POLL_MS), this.base.now());
        } catch (err) {
          this.base.log.debug({ ingester: m.id, err }, "fetching partition states from an ingester failed");
        }
      }),
    );
    const old = this.base.now() - 2 * SILENT_MS;
    this.series.forget(this.base.now());
    this.looked = undefined;
    this.place();
    for (const owners of this.known.values())
      for (const [owner, s] of owners) if (s.atMs < old && owners.size > 1) owners.delete(owner);
  }

  /** A tenant's active series, from the last reports of the owners; undefined before the first report. */
  seriesOf(tenant: string): ReadonlySet<bigint> | undefined {
    return this.series.get(tenant);
  }

  /** Number of partitions that receive writes, from partition 0. All distributors agree within seconds. */
  get partitions(): number {
    return Math.min(this.placed, this.log.partitions);
  }

  /**
   * Number of partitions whose fence every partition has, as far as the readers report; 0: no partition has a
   * fence.
   */
  fencedPartitionCount(): number {
    let least = Infinity;
    for (const owners of this.known.values()) {
      const settled = Math.max(
        0,
        ...[...owners.values()].map((s) => (this.isOfTopic(s) ? (s.settled ?? 0) : 0)),
      );
      if (settled > 0) least = Math.min(least, settled);
    }
    return least === Infinity ? 0 : least;
  }

  /** Extends the placement when all new partitions are read, or one is still unread after `CLAIMED_MS`. */
  private place(): void {
    const now = this.base.now(),
      { topicId } = this.log;
    if (topicId !== this.topic.id) {
      if (this.topic.id !== "")
        this.base.log.warn({ was: this.topic.id, is: topicId }, "topic was deleted and recreated");
      this.topic = { id: topicId, sinceMs: now };
    }
    const fresh = this.states().filter((s) => now - s.atMs <= SILENT_MS);
    // Use the smallest number of partitions that an owner reports: an owner that does not know of the topic's
    // growth holds the others back. The previous release reports only its own partitions.
    const tellers = fresh.flatMap((s) => s.of ?? []);
    const of = Math.min(
      this.log.partitions,
      tellers.length > 0 ? Math.min(...tellers) : Math.max(0, ...fresh.map((s) => s.partition + 1)),
    );
    if (of <= this.placed) {
      this.growing = undefined;
      return;
    }
    if (this.growing?.of !== of) this.growing = { of, sinceMs: now };
    const read = new Set(fresh.map((s) => s.partition));
    const all = Array.from({ length: of }, (_, p) => p).every((p) => read.has(p));
    if (!all && now - this.growing.sinceMs < CLAIMED_MS) return;
    this.base.log.info({ was: this.placed, is: of }, "number of partitions that receive writes changed");
    this.placed = of;
    this.growing = undefined;
  }

  /** Partitions of the topic without a report in the last `SILENT_MS`. */
  private unread(): number[] {
    const now = this.base.now();
    return Array.from({ length: this.log.partitions }, (_, p) => p).filter(
      (p) => ![...(this.known.get(p)?.values() ?? [])].some((s) => now - s.atMs <= SILENT_MS),
    );
  }

  /** The last known state of every partition and owner. */
  states(): Told[] {
    return [...this.known.values()]
      .flatMap((o) => [...o.values()])
      .sort((a, b) => a.partition - b.partition || (a.owner < b.owner ? -1 : 1));
  }

  /** Refuses a push early when no partition accepts writes. */
  refuse(): void {
    if (this.log.problem !== "")
      throw new CinderblockError("unavailable", `writes to Kafka are stopped: ${this.log.problem}`);
    if (this.partitions === 0)
      throw new CinderblockError(
        "unavailable",
        "no ingester has reported its partitions yet, so the delay until a push reaches the bucket is unknown",
      );
    const refused = this.refused();
    if (refused.size >= this.partitions) throw refused.get(0)!;
  }

  /** Refuses writes to a partition without a reader, or whose records may expire before their upload. */
  admit(partition: number): void {
    const refused = this.refused().get(partition);
    if (refused) throw refused;
  }

  private refused(): Map<number, CinderblockError> {
    const now = this.base.now();
    if (!this.looked || Math.abs(now - this.looked.atMs) >= LOOK_MS) {
      const refused = new Map<number, CinderblockError>();
      for (let p = 0; p < this.partitions; p++) {
        const why = this.refusalReason(p, now);
        if (why) refused.set(p, why);
      }
      this.looked = { atMs: now, refused };
    }
    return this.looked.refused;
  }

  private refusalReason(partition: number, now: number): CinderblockError | undefined {
    const told = [...(this.known.get(partition)?.values() ?? [])];
    const silentMs = Math.min(...told.map((s) => now - s.atMs));
    // This partition has no owner if other owners report, or if the ring has no ingester. If no owner
    // reports, all may be away for a moment.
    const heard = this.states().some((s) => now - s.atMs <= SILENT_MS);
    const without = this.ring.snapshot.readable.length === 0;
    if (told.length === 0 || (silentMs > UNREAD_MS && heard) || (silentMs > SILENT_MS && without))
      return new CinderblockError(
        "unavailable",
        `partition ${partition} has had no reader${told.length === 0 ? "" : ` for ${Math.round(silentMs / 1000)} s`}: queries would not see the push`,
      );
    const ageMs = Math.min(...told.map((s) => this.ageOf(s, now)));
    if (ageMs > this.log.retentionMs / 2)
      return new CinderblockError(
        "limit",
        `records of partition ${partition} have waited ${Math.round(ageMs / 1000)} s for their upload to the bucket; the limit is ${Math.round(this.log.retentionMs / 2000)} s, half of the topic's retention`,
        { reason: "rate_limited" },
      );
    // Every owner has records outside the bucket that the topic no longer holds.
    if (told.every((s) => this.isOfTopic(s) && s.start !== undefined && s.committed < s.start))
      return new CinderblockError(
        "limit",
        `the topic's retention drops records of partition ${partition} before their upload: the partition starts at offset ${told[0]!.start ?? 0}, and only offsets below ${told[0]!.committed} are uploaded`,
        { reason: "rate_limited" },
      );
    return undefined;
  }

  private isOfTopic(s: Told): boolean {
    return s.topicId === undefined || s.topicId === "" || s.topicId === this.topic.id;
  }

  /** Time in ms that records wait for the bucket. Old reports age: their owner's later reads are unknown. */
  private ageOf(s: Told, now: number): number {
    // The owner still reads a deleted topic: all records of the new topic wait.
    if (!this.isOfTopic(s)) return now - this.topic.sinceMs;
    return s.unuploadedAgeMs + (now - s.atMs > SILENT_MS ? now - s.atMs : 0);
  }
}
