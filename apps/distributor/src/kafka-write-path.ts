import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import type { PartitionedLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodePushRecord, type PushRecord } from "@cinderblock/transport";
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
  private readonly produced: { inc(labels: { partition: string }): void };

  constructor(
    config: KafkaWriteConfig,
    log: PartitionedLog,
    decider: Decider,
    watch: PartitionWatch,
    base: Base,
  ) {
    this.config = config;
    this.log = log;
    this.decider = decider;
    this.watch = watch;
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
    const record = encodePushRecord(push),
      { maxRecordBytes, timeoutMs } = this.config;
    if (record.length > maxRecordBytes) {
      throw new CinderblockError(
        "invalid",
        `the push becomes a record of ${record.length} bytes; the limit is ${maxRecordBytes} (-kafka.max-record-bytes)`,
        { reason: "body_size_limit_exceeded" },
      );
    }
    // All records of a service go to one partition, including retries.
    const { partitions } = this.watch;
    if (partitions === 0) this.watch.refuse();
    const { tenant, service } = push,
      place = service === "" ? fnv1a(push.push.body) : placementToken(tenant, service),
      partition = place % partitions;
    this.watch.admit(partition);
    await this.log.produce(partition, record, timeoutMs);
    this.produced.inc({ partition: String(partition) });
  }
}
