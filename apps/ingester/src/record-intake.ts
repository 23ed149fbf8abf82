import { sleep } from "@cinderblock/async";
import { fromErrorRecord, isDeterministicRefusal, kindOf, toErrorRecord } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import { type PushAnswer, type RawPush, refusedProfiles } from "@cinderblock/ingest";
import type { LogRecord } from "@cinderblock/kafka";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { type PushRecord, PushRecordDecoder } from "@cinderblock/transport";
import type { OwnedPartition } from "./owned-partition.ts";
import { Suspects } from "./suspects.ts";

/** Where the records go: the ingester's heads and its log. */
export interface RecordSink {
  /** resolves when the push is on disk; rejects, with `no-room` among others, when nothing is known to be stored */
  push(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs: number,
  ): Promise<PushAnswer>;
  /** takes from a push that is stored already what the next cumulative profiles are compared with */
  learn(tenant: string, service: string, push: RawPush, limits: IngestLimits, nowMs: number): Promise<void>;
  /** forgets what cumulative profiles of these services are compared with */
  forgetBaselines(gone: (tenant: string, service: string) => boolean): Promise<void>;
  /** what was taken in before this time is in the bucket */
  oldestUnuploadedMs(): Promise<number>;
  /** part of its memory that the fullest ingest thread uses; pushes are refused at 1 */
  pressure(): number;
}

/** A record that was in hand at so many deaths of an ingest thread is left out. */
const MAX_DEATHS = 2;
/** Reading pauses above this part of the heads' memory, so that cuts catch up before records have to be refused. */
const PAUSE_ABOVE = 0.75;
/** How often a paused reader looks again; the longest wait before a refused record is tried again. */
const PAUSE_MS = 20,
  NO_ROOM_RETRY_MS = 200,
  RETRY_MS = 2000;

/** Takes records of partitions into the sink. */
export class RecordIntake {
  private readonly decoder = new PushRecordDecoder();
  private readonly sink: RecordSink;
  private readonly base: Base;
  private readonly suspects: Suspects;
  private readonly damaged: { inc(): void };
  private readonly quarantined: { inc(n?: number): void };
  private readonly refused: { inc(labels: { reason: string }, n?: number): void };

  private readonly wait: (ms: number) => Promise<void>;

  /**
   * @param suspectsFile counts deaths of ingest threads by the records in hand
   * @param wait lets time pass before a record is tried again
   */
  constructor(
    sink: RecordSink,
    suspectsFile: string,
    base: Base,
    wait: (ms: number) => Promise<void> = (ms) => sleep(ms),
  ) {
    this.wait = wait;
    this.sink = sink;
    this.base = base;
    this.suspects = new Suspects(suspectsFile);
    this.quarantined = base.metrics.counter(
      "cinderblock_ingester_quarantined_records_total",
      "Records that were left out because ingest threads died of them.",
    );
    this.quarantined.inc(0);
    this.refused = base.metrics.counter(
      "cinderblock_ingester_refused_records_total",
      "Records with profiles that were acknowledged and are refused by their reader, by reason.",
      ["reason"],
    );
    this.refused.inc({ reason: "unknown" }, 0);
    this.damaged = base.metrics.counter(
      "cinderblock_ingester_damaged_records_total",
      "Records of the partitioned log that could not be read.",
    );
  }

  /** An ingest thread died: what was in its hands is remembered. The process ends after this. */
  noteDeath(): void {
    this.suspects.noteDeath();
  }

  /** Takes records in, in order for each service; resolves when all are on disk. @returns false: it stopped with records that found no room, they are read again */
  async takeIn(partition: number, o: OwnedPartition, records: readonly LogRecord[]): Promise<boolean> {
    await this.roomFor(partition, o);
    if (o.stopped) return false;
    const all: boolean[] = [];
    // Among them may be one that a thread died of: only that one is in hand at the next death.
    if (records.some((r) => this.suspects.deaths(o.topicId, partition, r.offset) > 0))
      for (const r of records) all.push(await this.one(partition, o, r));
    else all.push(...(await Promise.all(records.map((r) => this.one(partition, o, r)))));
    crashPoint("intake/heads-synced");
    o.waitingSinceMs = 0;
    return !all.includes(false);
  }

  /** Whether the record is on disk, or set aside. */
  private async one(partition: number, o: OwnedPartition, r: LogRecord): Promise<boolean> {
    if (this.suspects.deaths(o.topicId, partition, r.offset) >= MAX_DEATHS) {
      this.quarantined.inc();
      this.base.log.error(
        { partition, offset: r.offset, bytes: r.value.length, deaths: MAX_DEATHS },
        "a record was in hand each time that an ingest thread died: it is left out, and stays in the topic",
      );
      return true;
    }
    this.suspects.take(o.topicId, partition, r.offset);
    try {
      return await this.into(partition, o, r);
    } finally {
      this.suspects.done(o.topicId, partition, r.offset);
    }
  }

  /** Backpressure: nothing more is fetched of the partition while the heads are nearly full (docs/correctness.md, "No late refusal"). */
  private async roomFor(partition: number, o: OwnedPartition): Promise<void> {
    if (this.sink.pressure() <= PAUSE_ABOVE) return;
    this.base.log.debug(
      { partition, usedShare: this.sink.pressure() },
      "reading pauses: the heads are nearly full",
    );
    o.waitingSinceMs ||= performance.now();
    while (!o.stopped && this.sink.pressure() > PAUSE_ABOVE) await this.wait(PAUSE_MS);
  }

  /** Whether the record was taken in, or set aside; false when reading stopped first. */
  private async into(partition: number, o: OwnedPartition, r: LogRecord): Promise<boolean> {
    let record: PushRecord | undefined;
    for (let tries = 0; ; tries++) {
      try {
        record ??= this.decoded(partition, r);
        if (!record) return true;
        await this.store(partition, o, r, record);
        return true;
      } catch (err) {
        if (o.stopped) return false;
        o.waitingSinceMs ||= performance.now();
        // The sender has its answer: whatever keeps the record out, reading waits and the log keeps the rest.
        if (tries % 20 === 0)
          this.base.log.warn(
            { partition, offset: r.offset, kind: kindOf(err), err },
            "a record cannot be taken in now, reading waits",
          );
        await this.wait(Math.min(kindOf(err) === "no-room" ? NO_ROOM_RETRY_MS : RETRY_MS, 50 * 2 ** tries));
      }
    }
  }

  /** The push of a record; undefined for bytes that are no record. */
  private decoded(partition: number, r: LogRecord): PushRecord | undefined {
    try {
      return this.decoder.decode(r.value);
    } catch (err) {
      if (kindOf(err) !== "invalid") throw err;
      this.damaged.inc();
      this.base.log.error({ partition, offset: r.offset, err }, "a record cannot be read, it is set aside");
      return undefined;
    }
  }

  /**
   * Stores a record's push. @throws whatever is no deterministic refusal: a rate, a number of series or a full head says
   * nothing about the push, and the distributor has decided those already
   */
  private async store(partition: number, o: OwnedPartition, r: LogRecord, record: PushRecord): Promise<void> {
    const { tenant, service, push, limits, atMs } = record;
    if (r.offset < o.learnTo) {
      await this.sink.learn(tenant, service, push, limits, atMs);
      return;
    }
    const answer = await this.sink.push(tenant, service, push, limits, atMs).catch((err: unknown) => {
      const error = toErrorRecord(err);
      if (isDeterministicRefusal(error)) return { error, discarded: [] };
      throw err as Error;
    });
    const { error } = answer;
    if (!error) return;
    if (!isDeterministicRefusal(error)) throw fromErrorRecord(error);
    // Parts of a push may be refused by everybody: the distributor told its sender of so many.
    if (answer.discarded.length > 0 && refusedProfiles(answer) <= (record.refused ?? Infinity)) return;
    this.refused.inc({ reason: error.reason ?? "unknown" });
    this.base.log.error(
      { partition, offset: r.offset, tenant, told: record.refused, error: error.message },
      "profiles of an acknowledged record are refused by its reader",
    );
  }
}
