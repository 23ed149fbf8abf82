import { crashPoint } from "@cinderblock/files";
import type { PartitionedLog } from "@cinderblock/kafka";
import type { Base } from "@cinderblock/telemetry";
import type { OwnedPartition } from "./owned-partition.ts";

/** Upper bound for clock steps and for differences between the clocks of threads. */
const CLOCK_MARGIN_MS = 5000;

/**
 * Commits, for each partition, the offset below which all records are in the bucket; failures stay separate.
 */
export class PartitionCommits {
  private readonly log: PartitionedLog;
  private readonly oldestUnuploadedMs: () => Promise<number>;
  private readonly owned: ReadonlyMap<number, OwnedPartition>;
  private readonly base: Base;
  private readonly failures: { inc(labels: { partition: string }): void };

  /** @param oldestUnuploadedMs everything received before this time is in the bucket */
  constructor(
    log: PartitionedLog,
    oldestUnuploadedMs: () => Promise<number>,
    owned: ReadonlyMap<number, OwnedPartition>,
    base: Base,
  ) {
    this.log = log;
    this.oldestUnuploadedMs = oldestUnuploadedMs;
    this.owned = owned;
    this.base = base;
    this.failures = base.metrics.counter(
      "cinderblock_ingester_partition_commit_failures_total",
      "Failed offset commits of a partition.",
      ["partition"],
    );
    base.metrics.gauge(
      "cinderblock_ingester_partition_commit_age_seconds",
      "Unix time since which uploaded records of a partition could not be committed; 0 while commits succeed.",
      ["partition"],
      (g) => {
        for (const [p, o] of owned)
          g.set(
            { partition: String(p) },
            o.commitDueMs === undefined ? 0 : Math.max(0, base.now() - o.commitDueMs) / 1000,
          );
      },
    );
  }

  /** Resolves when the commit of every partition has succeeded or failed. */
  async commit(): Promise<void> {
    const taken = new Map([...this.owned].map(([p, o]) => [p, o.position]));
    const oldest = await this.oldestUnuploadedMs();
    await Promise.allSettled(
      [...this.owned].map(([p, o]) => {
        const offset = oldest === Infinity ? (taken.get(p) ?? 0) : o.storedBefore(oldest - CLOCK_MARGIN_MS);
        if (offset === undefined || offset <= o.committed) return undefined;
        return (o.committing ??= this.commitPartition(p, o, offset).finally(() => {
          o.committing = undefined;
        }));
      }),
    );
  }

  private async commitPartition(partition: number, o: OwnedPartition, offset: number): Promise<void> {
    // The topic was recreated: this partition will be given up, and its offsets are invalid in the new topic.
    if (!o.reader || o.topicId !== this.log.topicId) return;
    o.commitDueMs ??= this.base.now();
    try {
      crashPoint("commit/before-commit");
      await o.reader.commit(offset);
      crashPoint("commit/committed");
      o.committedTo(offset, this.base.now());
    } catch (err) {
      this.failures.inc({ partition: String(partition) });
      this.base.log.warn({ kafkaPartition: partition, offset, err }, "offset commit failed");
    }
  }
}
