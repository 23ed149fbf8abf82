import { sleep } from "@cinderblock/async";
import { fromErrorRecord, isDeterministicRefusal, kindOf, toErrorRecord } from "@cinderblock/errors";
import { crashPoint } from "@cinderblock/files";
import { type PushAnswer, type PushOrigin, type RawPush, refusedProfiles } from "@cinderblock/ingest";
import type { LogRecord } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { type PushRecord, PushRecordDecoder } from "@cinderblock/transport";
import type { OwnedPartition } from "./owned-partition.ts";
import { PoisonRecords } from "./poison-records.ts";

/** Destination of the records: the ingester's heads and log. */
export interface RecordSink {
  /**
   * resolves when the push is on disk; after a rejection (such as `no-room`), it may not be stored
   * @param origin undefined: the push names no service, so no single partition has all of its series
   */
  push(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs: number,
    origin: PushOrigin | undefined,
  ): Promise<PushAnswer>;
  /** updates the baselines from a push that is already stored */
  updateBaselines(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    nowMs: number,
    origin: PushOrigin | undefined,
  ): Promise<void>;
  /**
   * drops the baselines that `gone` selects
   * @param gone selects by tenant, service and partition; baselines of earlier releases name no partition
   */
  forgetBaselines(gone: (tenant: string, service: string, kafkaPartition?: number) => boolean): Promise<void>;
  /** records received before this time are in the bucket */
  oldestUnuploadedMs(): Promise<number>;
  /** used share of its heads' memory in the fullest ingest thread; pushes are refused at 1 */
  pressure(): number;
}

/** A record that was in flight at this many deaths of an ingest thread is skipped as a poison record. */
const MAX_DEATHS = 2;
/**
 * Reading pauses above this share of the heads' memory, so that cuts catch up before records must be refused.
 */
const PAUSE_ABOVE = 0.75;
/** Poll interval of a paused reader; maximum wait before a refused record is retried. */
const PAUSE_MS = 20,
  NO_ROOM_RETRY_MS = 200,
  RETRY_MS = 2000;

/** Stores records of partitions in the sink. */
export class RecordIntake {
  private readonly decoder = new PushRecordDecoder();
  private readonly sink: RecordSink;
  private readonly base: Base;
  private readonly poisonRecords: PoisonRecords;
  private readonly damaged: { inc(): void };
  private readonly quarantined: { inc(n?: number): void };
  private readonly refused: { inc(labels: { reason: string }, n?: number): void };

  private readonly wait: (ms: number) => Promise<void>;

  /**
   * @param suspectsFile counts, for each record in flight, the deaths of ingest threads
   * @param wait sleeps before a retry
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
    this.poisonRecords = new PoisonRecords(suspectsFile);
    this.quarantined = base.metrics.counter(
      "cinderblock_ingester_quarantined_records_total",
      "Poison records skipped because they repeatedly ended an ingest thread.",
    );
    this.quarantined.inc(0);
    this.refused = base.metrics.counter(
      "cinderblock_ingester_refused_records_total",
      "Records with acknowledged profiles that the ingester refused, by reason.",
      ["reason"],
    );
    this.refused.inc({ reason: "unknown" }, 0);
    this.damaged = base.metrics.counter(
      "cinderblock_ingester_damaged_records_total",
      "Unreadable records of the partitioned log.",
    );
  }

  /** Saves the records that were in flight when an ingest thread died. The process ends after this call. */
  noteDeath(): void {
    this.poisonRecords.noteDeath();
  }

  /**
   * Stores records, in order for each service; resolves when all are on disk.
   * @returns false: reading stopped before all records had room; the records are read again
   */
  async consumeBatch(partition: number, o: OwnedPartition, records: readonly LogRecord[]): Promise<boolean> {
    await this.waitForSpace(partition, o);
    if (o.stopped) return false;
    let from = 0;
    const known: (PushRecord | undefined)[] = [];
    for (let i = 0; i <= records.length; i++) {
      const r = records[i];
      let placedBy: readonly number[] | undefined;
      if (r) {
        const record = this.decodeEarly(r);
        known.push(record);
        placedBy = record?.placedBy;
        if (!placedBy || !o.counts.addFence(r.offset, placedBy)) continue;
      }
      // Store the records before a fence, then forget baselines, then store the records after it.
      if (!(await this.storeBatch(partition, o, records.slice(from, i), known.slice(from, i)))) return false;
      if (r && !(await this.forgetMoved(partition, o, r.offset, placedBy!))) return false;
      from = i;
    }
    crashPoint("intake/heads-synced");
    o.waitingSinceMs = 0;
    return true;
  }

  private async storeBatch(
    partition: number,
    o: OwnedPartition,
    records: readonly LogRecord[],
    known: readonly (PushRecord | undefined)[],
  ): Promise<boolean> {
    const all: boolean[] = [];
    // One of these records may have killed a thread: take them one by one, so that the next death names it.
    if (records.some((r) => this.poisonRecords.deathsOf(o.topicId, partition, r.offset) > 0))
      for (const [i, r] of records.entries()) all.push(await this.consumeRecord(partition, o, r, known[i]));
    else
      all.push(...(await Promise.all(records.map((r, i) => this.consumeRecord(partition, o, r, known[i])))));
    return !all.includes(false);
  }

  /** Decodes a record early; undefined when it is damaged or of a later version, which `appendRecord` handles. */
  private decodeEarly(r: LogRecord): PushRecord | undefined {
    try {
      return this.decoder.decode(r.value);
    } catch (err) {
      this.base.log.debug({ offset: r.offset, err }, "record not decodable at first");
      return undefined;
    }
  }

  /**
   * Forgets the baselines of services whose growth counts in another partition from a record on.
   * @returns false when reading stopped first
   */
  private async forgetMoved(
    partition: number,
    o: OwnedPartition,
    offset: number,
    placedBy: readonly number[],
  ): Promise<boolean> {
    const isGone = (tenant: string, service: string, from?: number): boolean => {
      // Pushes without a service are placed by content: no partition owns their series.
      if (service === "" || (from ?? partition) !== partition) return false;
      const token = placementToken(tenant, service);
      if (from === undefined && !o.counts.wasHome(offset, token)) return false;
      return o.counts.isGone(offset, placedBy, token);
    };
    return this.retryUntilDone(partition, o, offset, () => this.sink.forgetBaselines(isGone));
  }

  /** Whether the record is on disk or skipped; false when reading stopped first. */
  private async consumeRecord(
    partition: number,
    o: OwnedPartition,
    r: LogRecord,
    known: PushRecord | undefined,
  ): Promise<boolean> {
    if (this.poisonRecords.deathsOf(o.topicId, partition, r.offset) >= MAX_DEATHS) {
      this.quarantined.inc();
      this.base.log.error(
        { partition, offset: r.offset, bytes: r.value.length, deaths: MAX_DEATHS },
        "poison record skipped: it was in flight each time an ingest thread died; it stays in the topic",
      );
      return true;
    }
    this.poisonRecords.track(o.topicId, partition, r.offset);
    try {
      return await this.appendRecord(partition, o, r, known);
    } finally {
      this.poisonRecords.clear(o.topicId, partition, r.offset);
    }
  }

  /** Pauses a partition while the heads are nearly full (docs/correctness.md, "No late refusal"). */
  private async waitForSpace(partition: number, o: OwnedPartition): Promise<void> {
    if (this.sink.pressure() <= PAUSE_ABOVE) return;
    this.base.log.debug(
      { partition, usedShare: this.sink.pressure() },
      "reading paused, heads are nearly full",
    );
    o.waitingSinceMs ||= performance.now();
    while (!o.stopped && this.sink.pressure() > PAUSE_ABOVE) await this.wait(PAUSE_MS);
  }

  /** Whether the record is stored or skipped; false when reading stopped first. */
  private appendRecord(
    partition: number,
    o: OwnedPartition,
    r: LogRecord,
    known: PushRecord | undefined,
  ): Promise<boolean> {
    let record = known;
    return this.retryUntilDone(partition, o, r.offset, async () => {
      record ??= this.decoded(partition, r);
      if (record && !record.fence) await this.storePush(partition, o, r, record);
    });
  }

  /** Retries work until it succeeds; false when reading stopped first. */
  private async retryUntilDone(
    partition: number,
    o: OwnedPartition,
    offset: number,
    work: () => Promise<void>,
  ): Promise<boolean> {
    for (let tries = 0; ; tries++) {
      try {
        await work();
        return true;
      } catch (err) {
        if (o.stopped) return false;
        o.waitingSinceMs ||= performance.now();
        // The record is acknowledged: reading waits, whatever the error is, and the topic keeps the rest.
        if (tries % 20 === 0)
          this.base.log.warn(
            { partition, offset, kind: kindOf(err), err },
            "record cannot be stored now, reading paused",
          );
        await this.wait(Math.min(kindOf(err) === "no-room" ? NO_ROOM_RETRY_MS : RETRY_MS, 50 * 2 ** tries));
      }
    }
  }

  /** The push of a record; undefined for a value that cannot be decoded. */
  private decoded(partition: number, r: LogRecord): PushRecord | undefined {
    try {
      return this.decoder.decode(r.value);
    } catch (err) {
      if (kindOf(err) !== "invalid") throw err;
      this.damaged.inc();
      this.base.log.error({ partition, offset: r.offset, err }, "record cannot be decoded, skipping it");
      return undefined;
    }
  }

  /** Continues the trace of the push that became the record, which its headers name. */
  private traced<T>(
    partition: number,
    { offset, headers }: LogRecord,
    tenant: string,
    work: () => Promise<T>,
  ): Promise<T> {
    if (!headers) return work();
    const attributes = {
      tenant,
      "messaging.system": "kafka",
      "messaging.destination.partition.id": String(partition),
      "messaging.kafka.offset": offset,
    };
    return this.base.tracer.resume("kafka.receive", attributes, headers, work);
  }

  /**
   * Stores the push of a record.
   * @throws every error that is not a deterministic refusal: a rate, a number of series or a full head is not
   * a fault of the push, and the distributor has already checked those
   */
  private async storePush(
    partition: number,
    o: OwnedPartition,
    r: LogRecord,
    record: PushRecord,
  ): Promise<void> {
    const { tenant, service, push, limits, atMs, placedBy } = record;
    const origin: PushOrigin | undefined =
      service === ""
        ? undefined
        : {
            kafkaPartition: partition,
            growth: o.counts.growthOf(r.offset, placedBy, placementToken(tenant, service)),
          };
    if (r.offset < o.learnTo) {
      await this.sink.updateBaselines(tenant, service, push, limits, atMs, origin);
      return;
    }
    const answer = await this.traced(partition, r, tenant, () =>
      this.sink.push(tenant, service, push, limits, atMs, origin),
    ).catch((err: unknown) => {
      const error = toErrorRecord(err);
      if (isDeterministicRefusal(error)) return { error, discarded: [] };
      throw err as Error;
    });
    const { error } = answer;
    if (!error) return;
    if (!isDeterministicRefusal(error)) throw fromErrorRecord(error);
    // Every ingester may refuse some profiles of a push: the distributor reported this number to the sender.
    if (answer.discarded.length > 0 && refusedProfiles(answer) <= (record.refused ?? Infinity)) return;
    this.refused.inc({ reason: error.reason ?? "unknown" });
    this.base.log.error(
      { partition, offset: r.offset, tenant, told: record.refused, error: error.message },
      "ingester refused acknowledged profiles of a record",
    );
  }
}
