import { withDeadline } from "@cinderblock/async";
import { type PartitionedLog, type PartitionReader, offsetRange, type ReadOptions } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import { PartitionCounts } from "@cinderblock/transport";
import { OwnedPartition } from "./owned-partition.ts";
import type { PartitionPositions, SavedPosition } from "./partition-positions.ts";
import type { RecordSink } from "./record-intake.ts";

export interface PartitionClaimsConfig {
  topic: string;
  zone: string;
  learnMs: number;
}

/** Deadline of one claim, which is then tried again; a stalled broker does not delay other partitions. */
const CLAIM_MS = 60_000;

/** Decides the first offset to read of a partition, and opens its reader. */
export class PartitionClaims {
  private readonly config: PartitionClaimsConfig;
  private readonly log: PartitionedLog;
  private readonly sink: RecordSink;
  private readonly positions: PartitionPositions;
  private readonly base: Base;
  private readonly recreated: { inc(n?: number): void };
  private readonly lost: { inc(n: number): void };

  constructor(
    config: PartitionClaimsConfig,
    log: PartitionedLog,
    sink: RecordSink,
    positions: PartitionPositions,
    base: Base,
  ) {
    this.config = config;
    this.log = log;
    this.sink = sink;
    this.positions = positions;
    this.base = base;
    this.recreated = base.metrics.counter(
      "cinderblock_ingester_topic_recreated_total",
      "Partitions read from their start because their topic was deleted and recreated.",
    );
    this.recreated.inc(0);
    this.lost = base.metrics.counter(
      "cinderblock_ingester_partition_lost_records_total",
      "Records that the topic's retention dropped before an ingester read them.",
    );
  }

  /**
   * Claims a partition. Its reader starts at this ingester's saved position, or from the group's commit.
   * @param begin called before the first record
   */
  async claim(
    partition: number,
    onRecords: (o: OwnedPartition, ...args: Parameters<ReadOptions["onRecords"]>) => Promise<void>,
    begin: (o: OwnedPartition) => void,
  ): Promise<void> {
    const abandoned = { is: false };
    const claim = this.open(partition, onRecords, begin, abandoned);
    try {
      await withDeadline(claim, CLAIM_MS, `claiming partition ${partition} did not finish`);
    } catch (err) {
      abandoned.is = true;
      throw err;
    }
  }

  private async open(
    partition: number,
    onRecords: (o: OwnedPartition, ...args: Parameters<ReadOptions["onRecords"]>) => Promise<void>,
    begin: (o: OwnedPartition) => void,
    abandoned: { is: boolean },
  ): Promise<void> {
    const { log, base } = this;
    await log.refresh();
    const group = this.group(partition);
    const committed = await log.committed(partition, group);
    const saved = this.verifiedCommit(partition, log.topicId, committed),
      o = new OwnedPartition(log.topicId, base.now(), new PartitionCounts(partition, saved?.fences));
    const range = offsetRange(await log.offsets(partition), partition);
    // A group without commits has not lost records that the topic dropped before.
    o.committed = committed ?? range.start;
    o.catchUpTo = range.end;
    o.setRange(range, base.now());
    let position: number;
    // Resume from the saved position, unless another owner has committed past it.
    if (saved && saved.position >= (committed ?? 0)) position = saved.position;
    else {
      o.learnTo = committed ?? 0;
      position = await this.baselineLookback(partition, o.learnTo);
      // Baselines of an earlier release name no partition. Forget each that one of the known numbers of
      // partitions places here: a forgotten baseline loses one difference, a kept one may count growth twice.
      const numbers = [...o.counts.all, log.partitions];
      await this.sink.forgetBaselines((tenant, service, from) =>
        from === undefined
          ? numbers.some((n) => placementToken(tenant, service) % n === partition)
          : from === partition,
      );
    }
    o.beginAt(position, base.now(), await this.writtenAt(partition, o));
    if (abandoned.is) return;
    begin(o);
    const reader = await log.read(partition, this.options(partition, group, o, onRecords));
    if (abandoned.is) await stopped(reader, base);
    else o.reader = reader;
    base.log.info(
      { kafkaPartition: partition, position: o.position, learnTo: o.learnTo, committed: o.committed },
      "partition claimed",
    );
  }

  private group(partition: number): string {
    const { topic, zone } = this.config;
    return `${topic}${zone === "" ? "" : `-${zone}`}-partition-${partition}`;
  }

  /**
   * The saved position, if it is of the current topic. See docs/correctness.md, "A position names its topic".
   */
  private verifiedCommit(
    partition: number,
    topicId: string,
    committed: number | undefined,
  ): SavedPosition | undefined {
    const saved = this.positions.get(partition);
    if (!saved) return undefined;
    if (topicId !== "" && saved.topicId !== "") {
      if (saved.topicId === topicId) return saved;
      this.recreated.inc();
      this.base.log.error(
        { kafkaPartition: partition, position: saved.position, was: saved.topicId, is: topicId },
        "topic was deleted and recreated, reading the partition from its start",
      );
      return undefined;
    }
    // The broker or the saved file does not name the topic. A deleted topic loses its groups' commits, too.
    if (committed !== undefined || saved.committed === 0) return saved;
    this.recreated.inc();
    this.base.log.error(
      { kafkaPartition: partition, was: saved.committed },
      "committed offset is gone because the topic was recreated or its consumer groups were deleted; reading the partition from its start",
    );
    return undefined;
  }

  /** Offset of a record written at least the learning period before the record at `committed`. */
  private async baselineLookback(partition: number, committed: number): Promise<number> {
    const { start } = offsetRange(await this.log.offsets(partition), partition);
    if (committed <= start) return committed;
    for (let back = this.config.learnMs; ; back *= 2) {
      // Find a time before the committed record, then go back one more learning period.
      const then = this.base.now() - back;
      const at = await this.log.offsetAt(partition, then);
      if (at < committed || at <= start)
        return Math.min(committed, await this.log.offsetAt(partition, then - this.config.learnMs));
    }
  }

  /**
   * Approximate write time of the first uncommitted record in ms. Never later than the real time; the age is
   * at most doubled, with a minimum of one minute.
   */
  private async writtenAt(partition: number, o: OwnedPartition): Promise<number> {
    const now = this.base.now();
    if (o.committed >= o.end) return now;
    const first = Math.max(o.committed, o.start);
    for (let back = 60_000; back < now; back *= 2)
      if ((await this.log.offsetAt(partition, now - back)) <= first) return now - back;
    return 0;
  }

  private options(
    partition: number,
    group: string,
    o: OwnedPartition,
    onRecords: (o: OwnedPartition, ...args: Parameters<ReadOptions["onRecords"]>) => Promise<void>,
  ): ReadOptions {
    return {
      group,
      topicId: o.topicId,
      from: o.position,
      again: o.position < o.learnTo,
      onRecords: (records, end) => (o.busy = onRecords(o, records, end)),
      onGap: (wanted, start) => {
        this.lost.inc(Math.max(0, start - wanted));
        this.base.log.error(
          { kafkaPartition: partition, wanted, start },
          start < wanted
            ? "partition ends before the position already read, reading it from its start"
            : "records were dropped before they were read; the topic's retention is shorter than this ingester's downtime",
        );
        const now = this.base.now();
        o.beginAt(start, now, now);
        o.committed = Math.min(o.committed, start);
        o.learnTo = Math.min(o.learnTo, start);
        if (start < wanted) o.restart();
      },
      onEnd: () => {
        o.ended = true;
      },
    };
  }
}

async function stopped(reader: PartitionReader, base: Base): Promise<void> {
  try {
    await reader.stop();
  } catch (err) {
    base.log.warn({ err }, "reader of an abandoned claim did not stop");
  }
}
