import { withDeadline } from "@cinderblock/async";
import type { PartitionedLog } from "@cinderblock/kafka";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodeFence, PartitionPlacement } from "@cinderblock/transport";
import type { PartitionWatch } from "./partition-watch.ts";

export interface RecordPlacementConfig {
  /** time in ms for which records of services that move are written to both partitions */
  handOverMs: number;
  /** deadline in ms of a fence in one partition */
  timeoutMs: number;
  /** limits in each record; readers ignore those of fences */
  limits: IngestLimits;
}

const EVERY_MS = 1000;
/** Fences of one pass, one after the other: the first number, and two of the next move. */
const FENCES_PER_PASS = 3;
/** Interval of log lines while a change of the number of partitions waits for fences. */
const LOG_MS = 30_000;

/**
 * Numbers of partitions that this distributor places records by, and the fences that announce them
 * (docs/correctness.md, "One partition counts growth").
 */
export class RecordPlacer implements Service {
  readonly name = "record-placement";
  private readonly config: RecordPlacementConfig;
  private readonly log: PartitionedLog;
  private readonly watch: PartitionWatch;
  private readonly base: Base;
  private readonly placement: PartitionPlacement;
  private readonly loop;
  private readonly fences: { inc(): void };
  private readonly failures: { inc(labels: { partition: string }): void };
  private topicId = "";
  /** numbers of the current fence, and the partitions that already have it */
  private announced = { key: "", partitions: new Set<number>() };
  /** partitions that did not take a fence in the current pass */
  private missing: number[] = [];
  /** whether a partition did not take a fence in the last pass */
  private waiting = false;
  private readonly now: () => number;
  private lastFailureLog = -Infinity;

  /** @param now monotonic clock in ms */
  constructor(
    config: RecordPlacementConfig,
    log: PartitionedLog,
    watch: PartitionWatch,
    base: Base,
    now: () => number = () => performance.now(),
  ) {
    this.config = config;
    this.log = log;
    this.watch = watch;
    this.base = base;
    this.now = now;
    this.placement = new PartitionPlacement({
      handOverMs: config.handOverMs,
      announce: (placedBy) => this.announce(placedBy),
      now,
    });
    this.loop = periodic(
      {
        name: "record-placement",
        everyMs: EVERY_MS,
        deadlineMs: FENCES_PER_PASS * config.timeoutMs + EVERY_MS,
      },
      () => this.pass(),
      base,
    );
    this.fences = base.metrics.counter(
      "cinderblock_distributor_fences_produced_total",
      "Records without a push that announce a number of partitions.",
    );
    this.failures = base.metrics.counter(
      "cinderblock_distributor_fence_failures_total",
      "Failed writes of records without a push; added partitions receive no pushes until every partition has one.",
      ["partition"],
    );
  }

  async start(): Promise<void> {
    this.base.metrics.gauge(
      "cinderblock_distributor_placement_partitions",
      "Number of partitions that records are placed by: the settled number, and the growing number while services move (0: no move).",
      ["step"],
      (g) => {
        const [settled, growing] = this.placedBy;
        g.set({ step: "settled" }, settled ?? 0);
        g.set({ step: "growing" }, growing ?? 0);
      },
    );
    this.base.metrics.gauge(
      "cinderblock_distributor_placement_waits",
      "1 while added partitions receive no pushes because a partition did not take a fence.",
      [],
      (g) => g.set(this.waiting ? 1 : 0),
    );
    await this.pass();
    this.loop.start();
  }

  async stop(): Promise<void> {
    await this.loop.stop(0);
  }

  /** One number, or two while services move; empty until an ingester reports the partitions that it reads. */
  get placedBy(): readonly number[] {
    return this.placement.placedBy;
  }

  private async pass(): Promise<void> {
    if (this.isRecreated()) {
      this.placement.reset();
      this.announced = { key: "", partitions: new Set() };
    }
    this.topicId = this.log.topicId;
    this.missing = [];
    const was = this.placedBy.join();
    await this.placement.advance(this.watch.partitions, this.watch.fencedPartitionCount());
    const is = this.placedBy.join();
    if (is !== was) this.base.log.info({ was, is }, "number of partitions that place records changed");
    this.waiting = this.missing.length > 0;
  }

  /** Whether the topic was recreated. Without topic IDs (brokers before 2.8) only a smaller topic shows it. */
  private isRecreated(): boolean {
    const { topicId, partitions } = this.log;
    if (topicId !== "") return this.topicId !== "" && topicId !== this.topicId;
    return partitions > 0 && partitions < (this.placedBy.at(-1) ?? 0);
  }

  /** Writes a fence to every partition without it; a partition without a leader delays no other. */
  private async announce(placedBy: readonly number[]): Promise<boolean> {
    const key = placedBy.join();
    if (this.announced.key !== key) this.announced = { key, partitions: new Set() };
    const { timeoutMs, limits } = this.config,
      { partitions: done } = this.announced,
      record = encodeFence(placedBy, this.base.now(), limits);
    const all = Math.max(this.log.partitions, placedBy.at(-1)!);
    await Promise.all(
      Array.from({ length: all }, async (_, p) => {
        if (done.has(p)) return;
        try {
          await withDeadline(
            this.log.produce(p, record, timeoutMs),
            timeoutMs,
            `partition ${p} did not take a fence`,
          );
          done.add(p);
          this.fences.inc();
        } catch (err) {
          this.failures.inc({ partition: String(p) });
          this.base.log.debug({ kafkaPartition: p, err }, "partition did not take a fence");
        }
      }),
    );
    const missing = Array.from({ length: all }, (_, p) => p).filter((p) => !done.has(p));
    this.missing.push(...missing);
    if (missing.length === 0) {
      // Forget which partitions have the fence: the next move may announce the same numbers again.
      this.announced = { key: "", partitions: new Set() };
      return true;
    }
    const now = this.now();
    if (now - this.lastFailureLog > LOG_MS) {
      this.lastFailureLog = now;
      this.base.log.warn(
        { placedBy, kafkaPartitions: missing },
        "partitions did not take a fence, trying again; added partitions receive no pushes meanwhile",
      );
    }
    return false;
  }
}
