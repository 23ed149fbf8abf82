import { I64Column, PairTable } from "@cinderblock/columnar";
import type { PushOrigin } from "@cinderblock/ingest";
import { type Labels, labelsKey } from "@cinderblock/model";
import type { StackHashes } from "./symbol-interner.ts";

/**
 * The last cumulative value of each stack of one series. Stacks are content hashes, so that a baseline
 * outlives its head.
 */
export interface Baseline {
  labels: Labels;
  /** route that placed the series on its thread; undefined in logs of earlier releases */
  route: string | undefined;
  /** Kafka partition whose records it follows from; undefined: direct pushes, or a log of an earlier release */
  kafkaPartition: number | undefined;
  lastTime: bigint;
  /** segment of the last record; set by a replay */
  segment: number;
  table: PairTable;
  lo: number[];
  hi: number[];
  value: I64Column;
}

/** Change of a baseline by one cumulative profile, as the log stores it. */
export interface BaselineUpdate {
  key: string;
  labels: Labels;
  timeNanos: bigint;
  reset: boolean;
  lo: Uint32Array;
  hi: Uint32Array;
  value: BigInt64Array;
}

/**
 * Key of a baseline. Each Kafka partition has its own baselines, which follow from the records of that partition
 * alone.
 */
export function baselineKey(seriesKey: string, kafkaPartition: number | undefined): string {
  return kafkaPartition === undefined ? seriesKey : `${seriesKey}\u0000${kafkaPartition}`;
}

/**
 * Baselines of one tenant, which turn cumulative profiles into differences (docs/correctness.md, "Cumulative
 * baselines").
 */
export class Baselines {
  readonly series = new Map<string, Baseline>();
  /** baselines whose updates are not logged yet */
  pending: BaselineUpdate[] = [];
  /** series whose baselines moved to another partition; not logged yet */
  pendingForgotten: Labels[] = [];
  firstProfiles = 0;
  /** route that placed the current push on this thread */
  route: string | undefined;
  /** Kafka partition of the current push, and whether its growth counts there; undefined: a direct push */
  origin: PushOrigin | undefined;
  /** stacks of all series, which determine the snapshot size */
  stacks = 0;

  /**
   * Turns samples [start, end) into differences in place and returns the new end. The first profile of a
   * series, and a profile with a decreased value, only set the baseline. A profile that is not newer than the
   * last one changes nothing. The last profile that counts in a Kafka partition leaves no baseline there
   * (docs/correctness.md, "One partition counts growth").
   */
  difference(
    series: { key: string; labels: Labels },
    hashes: StackHashes,
    stacks: Uint32Array,
    values: BigInt64Array,
    start: number,
    end: number,
    timeNanos: bigint,
  ): number {
    if (this.origin?.growth === "ignored") return start;
    const key = baselineKey(series.key, this.origin?.kafkaPartition),
      leaves = this.origin?.growth === "leaves",
      known = this.series.get(key) ?? this.adoptPlain(series, key);
    if (known ? timeNanos <= known.lastTime : leaves) return start;
    const n = end - start;
    const update: BaselineUpdate = {
      key,
      labels: series.labels,
      timeNanos,
      reset: !known,
      lo: new Uint32Array(n),
      hi: new Uint32Array(n),
      value: values.slice(start, end),
    };
    let fell = false;
    for (let i = 0; i < n; i++) {
      const node = stacks[start + i]!;
      update.lo[i] = hashes.lo.data[node]!;
      update.hi[i] = hashes.hi.data[node]!;
      if (!known) continue;
      const at = known.table.get(update.lo[i]!, update.hi[i]!);
      if (at >= 0 && values[start + i]! < known.value.data[at]!) fell = true;
    }
    if (fell) update.reset = true;
    let out = start;
    if (known && !fell) {
      for (let i = 0; i < n; i++) {
        const at = known.table.get(update.lo[i]!, update.hi[i]!);
        const d = at < 0 ? values[start + i]! : values[start + i]! - known.value.data[at]!;
        if (d > 0n) {
          stacks[out] = stacks[start + i]!;
          values[out++] = d;
        }
      }
    }
    if (!known) this.firstProfiles++;
    if (leaves) {
      this.forget([key]);
      this.pendingForgotten.push(series.labels);
      return out;
    }
    this.apply(update, this.route, 0, this.origin?.kafkaPartition);
    this.pending.push(update);
    return out;
  }

  /** Moves a baseline of an earlier release, which names no partition, to the partition of the current push. */
  private adoptPlain(series: { key: string; labels: Labels }, key: string): Baseline | undefined {
    const plain = key === series.key ? undefined : this.series.get(series.key);
    if (!plain) return undefined;
    const whole: BaselineUpdate = {
      key,
      labels: plain.labels,
      timeNanos: plain.lastTime,
      reset: true,
      lo: Uint32Array.from(plain.lo),
      hi: Uint32Array.from(plain.hi),
      value: plain.value.view().slice(),
    };
    this.apply(whole, this.route ?? plain.route, 0, this.origin?.kafkaPartition);
    this.pending.push(whole);
    return this.series.get(key);
  }

  apply(u: BaselineUpdate, route: string | undefined, segment = 0, kafkaPartition?: number): void {
    let b = this.series.get(u.key);
    // The first partition that reads the series takes over a baseline of an earlier release.
    if (!b && kafkaPartition !== undefined) this.forget([labelsKey(u.labels)]);
    if (!b || u.reset) {
      this.stacks -= b?.lo.length ?? 0;
      b = {
        labels: u.labels,
        route,
        kafkaPartition,
        segment,
        lastTime: u.timeNanos,
        table: new PairTable(u.lo.length),
        lo: [],
        hi: [],
        value: new I64Column(u.lo.length),
      };
      this.series.set(u.key, b);
    }
    b.lastTime = u.timeNanos;
    b.route = route ?? b.route;
    b.segment = segment;
    this.stacks -= b.lo.length;
    for (let i = 0; i < u.lo.length; i++) {
      const at = b.table.getOrSet(u.lo[i]!, u.hi[i]!, b.value.length);
      if (at >= 0) b.value.data[at] = u.value[i]!;
      else {
        b.value.push(u.value[i]!);
        b.lo.push(u.lo[i]!);
        b.hi.push(u.hi[i]!);
      }
    }
    this.stacks += b.lo.length;
  }

  /**
   * Drops the baselines of series that moved to another ingester: a later profile is no difference to the
   * values stored here.
   */
  forget(keys: Iterable<string>): void {
    for (const k of keys) {
      this.stacks -= this.series.get(k)?.lo.length ?? 0;
      this.series.delete(k);
    }
  }

  /**
   * Adopts a baseline of another thread unless this thread has a newer one.
   * @returns whether it was adopted
   */
  adopt(key: string, other: Baseline): boolean {
    const own = this.series.get(key);
    if (own && own.lastTime >= other.lastTime) return false;
    this.stacks += other.lo.length - (own?.lo.length ?? 0);
    this.series.set(key, other);
    return true;
  }
}
