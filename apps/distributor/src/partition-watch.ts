import { CinderblockError } from "@cinderblock/errors";
import type { PartitionedLog } from "@cinderblock/kafka";
import type { InternalClient } from "@cinderblock/rpc";
import type { RingView } from "@cinderblock/ring";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { PartitionState } from "@cinderblock/transport";
import { OwnerSeries, seriesOf } from "./owner-series.ts";

const POLL_MS = 2000,
  SILENT_MS = 30_000;
/** Longer than a ring takes to give a dead owner's partitions to others: a partition that nobody reads then has no owner. */
const UNREAD_MS = 120_000;
/** A partition that owners divide and nobody reads by then is written to as if it were read, that is: refused. */
const CLAIMED_MS = 15_000;
/** A push goes by what was found so long ago at most: there may be hundreds of partitions, and thousands of pushes a second. */
const LOOK_MS = 250;

type Told = PartitionState & { atMs: number };

/**
 * What the owners say of the partitions, asked every two seconds, and what follows for writes: which partitions they go to,
 * and which of those must not be written to now. See docs/correctness.md, "Every partition has an owner" and "Backpressure in
 * the distributor".
 */
export class PartitionWatch implements Service {
  readonly name = "partition-watch";
  /** partition -> who reads it, and when that was told */
  private readonly known = new Map<number, Map<string, Told>>();
  private readonly series = new OwnerSeries();
  /** partition -> why it must not be written to; found a moment ago */
  private looked: { atMs: number; refused: Map<number, CinderblockError> } | undefined;
  /** writes go to the partitions below: it grows when owners read more of them, not when the topic has more */
  private placed = 0;
  /** since when owners divide more partitions than that */
  private growing: { of: number; sinceMs: number } | undefined;
  /** the topic, and since when it is the one */
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
      "Partitions of the topic of which no ingester has told that it reads them: what is written there is seen by nobody.",
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
          const states = await this.client.call<PartitionState[]>(m.address, "Ingester", "partitions", [], {
            timeoutMs: POLL_MS,
          });
          for (const s of states) {
            let owners = this.known.get(s.partition);
            if (!owners) this.known.set(s.partition, (owners = new Map()));
            owners.set(s.owner, { ...s, atMs: this.base.now() });
          }
          this.series.note(m.id, await seriesOf(this.client, m.address), this.base.now());
        } catch (err) {
          this.base.log.debug({ ingester: m.id, err }, "an ingester did not tell of its partitions");
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

  /** A tenant's active series, as the owners of the partitions told last; undefined while none has. */
  seriesOf(tenant: string): ReadonlySet<bigint> | undefined {
    return this.series.of(tenant);
  }

  /** Partitions that writes are placed in: 0 to this, less one. The same in all distributors within seconds. */
  get partitions(): number {
    return Math.min(this.placed, this.log.partitions);
  }

  /** Takes more partitions into the placement once all of them are read, or when one of them is not read in time. */
  private place(): void {
    const now = this.base.now(),
      { topicId } = this.log;
    if (topicId !== this.topic.id) {
      if (this.topic.id !== "")
        this.base.log.warn({ was: this.topic.id, is: topicId }, "the topic was deleted and created again");
      this.topic = { id: topicId, sinceMs: now };
    }
    const fresh = this.states().filter((s) => now - s.atMs <= SILENT_MS);
    // An owner that has not seen the topic grow holds back the others. One of the release before tells of its own alone.
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
    this.base.log.info({ was: this.placed, is: of }, "writes are placed in another number of partitions");
    this.placed = of;
    this.growing = undefined;
  }

  /** Partitions of the topic that nobody has told of for some time. */
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

  /** Refuses writes before they cost anything: no partition may be written to. */
  refuse(): void {
    if (this.log.problem !== "")
      throw new CinderblockError("unavailable", `pushes are not written to Kafka: ${this.log.problem}`);
    if (this.partitions === 0)
      throw new CinderblockError(
        "unavailable",
        "no ingester has told yet of the partitions that it reads: whether a push would reach the bucket in time is not known",
      );
    const refused = this.refused();
    if (refused.size >= this.partitions) throw refused.get(0)!;
  }

  /** Refuses writes to a partition that nobody reads, or whose records could outlive the topic's retention before they are in the bucket. */
  admit(partition: number): void {
    const refused = this.refused().get(partition);
    if (refused) throw refused;
  }

  private refused(): Map<number, CinderblockError> {
    const now = this.base.now();
    if (!this.looked || Math.abs(now - this.looked.atMs) >= LOOK_MS) {
      const refused = new Map<number, CinderblockError>();
      for (let p = 0; p < this.partitions; p++) {
        const why = this.whyNot(p, now);
        if (why) refused.set(p, why);
      }
      this.looked = { atMs: now, refused };
    }
    return this.looked.refused;
  }

  private whyNot(partition: number, now: number): CinderblockError | undefined {
    const told = [...(this.known.get(partition)?.values() ?? [])];
    const silentMs = Math.min(...told.map((s) => now - s.atMs));
    // Others are heard, or there are none: this one has no owner. While all are silent they may be away together for a moment.
    const heard = this.states().some((s) => now - s.atMs <= SILENT_MS);
    const without = this.ring.snapshot.readable.length === 0;
    if (told.length === 0 || (silentMs > UNREAD_MS && heard) || (silentMs > SILENT_MS && without))
      return new CinderblockError(
        "unavailable",
        `no ingester reads partition ${partition}${told.length === 0 ? "" : ` since ${Math.round(silentMs / 1000)} s`}: what is written there would be seen by nobody`,
      );
    const ageMs = Math.min(...told.map((s) => this.ageOf(s, now)));
    if (ageMs > this.log.retentionMs / 2)
      return new CinderblockError(
        "limit",
        `partition ${partition} holds records that wait for the bucket for ${Math.round(ageMs / 1000)} s, more than half of what the topic keeps (${Math.round(this.log.retentionMs / 2000)} s)`,
        { reason: "rate_limited" },
      );
    // Each owner has something that is not in the bucket, and the topic does not hold it any more.
    if (told.every((s) => this.isOfTopic(s) && s.start !== undefined && s.committed < s.start))
      return new CinderblockError(
        "limit",
        `the topic drops records of partition ${partition} before they are in the bucket: it begins at ${told[0]!.start ?? 0}, and ${told[0]!.committed} is uploaded`,
        { reason: "rate_limited" },
      );
    return undefined;
  }

  private isOfTopic(s: Told): boolean {
    return s.topicId === undefined || s.topicId === "" || s.topicId === this.topic.id;
  }

  /** How long records wait for the bucket. What a silent owner said grows older with it: nobody knows what it has read since. */
  private ageOf(s: Told, now: number): number {
    // It reads a topic that is no more: all of the new one waits.
    if (!this.isOfTopic(s)) return now - this.topic.sinceMs;
    return s.unuploadedAgeMs + (now - s.atMs > SILENT_MS ? now - s.atMs : 0);
  }
}
