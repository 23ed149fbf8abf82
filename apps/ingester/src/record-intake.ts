import { sleep } from "@cinderblock/async";
import { kindOf } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import type { LogRecord } from "@cinderblock/kafka";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { PushRecordDecoder } from "@cinderblock/transport";
import type { OwnedPartition } from "./owned-partition.ts";
import { Suspects } from "./suspects.ts";

/** Where the records go: the ingester's heads and its log. */
export interface RecordSink {
  /** resolves when the push is on disk; `limit` when there is no room now */
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
}

/** A record that was in hand at so many deaths of an ingest thread is left out. */
const MAX_DEATHS = 2;

/** Takes records of partitions into the sink. */
export class RecordIntake {
  private readonly decoder = new PushRecordDecoder();
  private readonly sink: RecordSink;
  private readonly base: Base;
  private readonly suspects: Suspects;
  private readonly damaged: { inc(): void };
  private readonly quarantined: { inc(n?: number): void };

  /** @param suspectsFile counts deaths of ingest threads by the records in hand */
  constructor(sink: RecordSink, suspectsFile: string, base: Base) {
    this.sink = sink;
    this.base = base;
    this.suspects = new Suspects(suspectsFile);
    this.quarantined = base.metrics.counter(
      "cinderblock_ingester_quarantined_records_total",
      "Records that were left out because ingest threads died of them.",
    );
    this.quarantined.inc(0);
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
    const all: boolean[] = [];
    // Among them may be one that a thread died of: only that one is in hand at the next death.
    if (records.some((r) => this.suspects.deaths(partition, r.offset) > 0))
      for (const r of records) all.push(await this.one(partition, o, r));
    else all.push(...(await Promise.all(records.map((r) => this.one(partition, o, r)))));
    return !all.includes(false);
  }

  /** Whether the record is on disk, or set aside. */
  private async one(partition: number, o: OwnedPartition, r: LogRecord): Promise<boolean> {
    if (this.suspects.deaths(partition, r.offset) >= MAX_DEATHS) {
      this.quarantined.inc();
      this.base.log.error(
        { partition, offset: r.offset, bytes: r.value.length, deaths: MAX_DEATHS },
        "a record was in hand each time that an ingest thread died: it is left out, and stays in the topic",
      );
      return true;
    }
    this.suspects.take(partition, r.offset);
    try {
      return await this.into(partition, o, r);
    } finally {
      this.suspects.done(partition, r.offset);
    }
  }

  private async into(partition: number, o: OwnedPartition, r: LogRecord): Promise<boolean> {
    let record;
    for (let tries = 0; ; tries++) {
      try {
        record ??= this.decoder.decode(r.value);
        const { push } = record;
        if (r.offset < o.learnTo) {
          await this.sink.learn(record.tenant, record.service, push, record.limits, record.atMs);
          return true;
        }
        const answer = await this.sink.push(record.tenant, record.service, push, record.limits, record.atMs);
        if (answer.error)
          this.base.log.debug(
            { partition, offset: r.offset, error: answer.error.message },
            "a part of a push was refused, as its sender was told",
          );
        return true;
      } catch (err) {
        if (kindOf(err) === "invalid") {
          this.damaged.inc();
          this.base.log.error(
            { partition, offset: r.offset, err },
            "a record cannot be read, it is set aside",
          );
          return true;
        }
        if (o.stopped) return false;
        // No room, or a version to come: reading stands still, the log keeps the rest.
        if (tries % 20 === 0)
          this.base.log.warn(
            { partition, offset: r.offset, err },
            "a record cannot be taken in now, reading waits",
          );
        await sleep(Math.min(2000, 50 * 2 ** tries));
      }
    }
  }
}
