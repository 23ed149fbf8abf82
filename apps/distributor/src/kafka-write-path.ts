import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import type { PartitionedLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base, Tracer } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodePushRecord, type PushRecord, targetsOf } from "@cinderblock/transport";
import type { Decider } from "./decisions.ts";
import type { WritePath } from "./distributor.ts";
import type { PartitionWatch } from "./partition-watch.ts";

export interface KafkaWriteConfig {
  timeoutMs: number;
  maxRecordBytes: number;
}

/** Writes pushes to the partitioned log; a push is acknowledged when all in-sync replicas have it. */
export class KafkaWritePath implements WritePath {
  private readonly config: KafkaWriteConfig;
  private readonly log: PartitionedLog;
  private readonly decider: Decider;
  private readonly watch: PartitionWatch;
  private readonly placement: { readonly placedBy: readonly number[] };
  private readonly produced: { inc(labels: { partition: string }): void };
  private readonly tracer: Tracer;

  constructor(
    config: KafkaWriteConfig,
    log: PartitionedLog,
    decider: Decider,
    watch: PartitionWatch,
    placement: { readonly placedBy: readonly number[] },
    base: Base,
  ) {
    this.config = config;
    this.log = log;
    this.decider = decider;
    this.watch = watch;
    this.placement = placement;
    this.tracer = base.tracer;
    this.produced = base.metrics.counter(
      "cinderblock_distributor_records_produced_total",
      "Records written to the partitioned log.",
      ["partition"],
    );
  }

  /** Applies backpressure: Kafka accepts every record, so this refuses pushes when readers lag too far. */
  refuse(): void {
    this.watch.refuse();
  }

  async push(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<PushAnswer> {
    const { answer, record } = await this.decider.decide(tenant, service, push, limits);
    if (record) await this.write(record);
    return answer;
  }

  private async write(push: PushRecord): Promise<void> {
    const { placedBy } = this.placement;
    if (placedBy.length === 0)
      throw new CinderblockError(
        "unavailable",
        "the number of partitions to place pushes by is not known: no ingester has reported the partitions that it reads",
      );
    const record = encodePushRecord({ ...push, placedBy }),
      { maxRecordBytes, timeoutMs } = this.config;
    if (record.length > maxRecordBytes) {
      throw new CinderblockError(
        "invalid",
        `the push becomes a record of ${record.length} bytes; the limit is ${maxRecordBytes} (-kafka.max-record-bytes)`,
        { reason: "body_size_limit_exceeded" },
      );
    }
    // All records of a service, including retries, go to one partition, or to two while the service moves.
    const { tenant, service } = push,
      targets =
        service === ""
          ? [fnv1a(push.push.body) % placedBy[0]!]
          : targetsOf(placedBy, placementToken(tenant, service));
    for (const partition of targets) this.admit(partition);
    // The old partition comes first, so that the new partition never has a profile that the old one lacks.
    for (const partition of targets) {
      await this.produce(partition, record, timeoutMs);
      this.produced.inc({ partition: String(partition) });
    }
  }

  /** Writes a record; the ingester that reads it continues the push's trace by the record's headers. */
  private produce(partition: number, record: Uint8Array, timeoutMs: number): Promise<number> {
    if (!this.tracer.enabled) return this.log.produce(partition, record, timeoutMs);
    return this.tracer.send(
      "message",
      "kafka.send",
      { "messaging.system": "kafka", "messaging.destination.partition.id": String(partition) },
      (trace) => this.log.produce(partition, record, timeoutMs, trace),
    );
  }

  /** Refuses partitions that other distributors already use, but that no ingester has reported here. */
  private admit(partition: number): void {
    const { partitions } = this.watch;
    if (partition >= partitions)
      throw new CinderblockError(
        "unavailable",
        `partition ${partition} is not written to: ingesters report that they read ${partitions} partitions`,
      );
    this.watch.admit(partition);
  }
}
