import type { Growth } from "@cinderblock/ingest";
import { targetsOf } from "./partition-placement.ts";

/** Record that raised a number of partitions: one number, or two while services move from the first to the second. */
export interface Fence {
  offset: number;
  placedBy: readonly number[];
}

/** Numbers of partitions that services leave and move to; equal when no service moves, 0 while unknown. */
interface Counts {
  settled: number;
  growing: number;
}

const NONE: Counts = { settled: 0, growing: 0 };
/** Maximum number of stored fences; the oldest are merged. */
const MAX_FENCES = 64;

/**
 * Decides which services' cumulative growth counts in one partition of the topic. The decision follows from the
 * partition's records alone, so all its readers decide the same (docs/correctness.md, "One partition counts growth").
 */
export class PartitionCounts {
  /** records that raised a number, by offset */
  private fences: Fence[];
  private last: Counts;
  private readonly partition: number;

  /** @param fences stored fences of an earlier run */
  constructor(partition: number, fences: readonly Fence[] = []) {
    this.partition = partition;
    this.fences = [...fences];
    this.last = fold(this.fences);
  }

  /** Stored fences, for the next run; a new array after each change. */
  get saved(): readonly Fence[] {
    return this.fences;
  }

  /** Number of partitions that every writer has reached, so that smaller numbers no longer count; 0: unknown. */
  get settled(): number {
    return this.last.settled;
  }

  /** All numbers in the stored fences. */
  get all(): number[] {
    return [...new Set(this.fences.flatMap((f) => f.placedBy))];
  }

  /** Forgets all numbers: the offsets belong to a recreated topic. */
  reset(): void {
    this.fences = [];
    this.last = NONE;
  }

  /**
   * Stores a record as a fence if its writer places by more partitions than before. @returns whether it does,
   * also when the same record is replayed
   */
  addFence(offset: number, placedBy: readonly number[]): boolean {
    if (offset > (this.fences.at(-1)?.offset ?? -1) && isSame(this.last, raise(this.last, placedBy)))
      return false;
    const before = fold(this.fences.filter((f) => f.offset < offset)),
      after = raise(before, placedBy);
    if (isSame(after, before)) return false;
    if (this.fences.some((f) => f.offset === offset)) return true;
    this.fences = [...this.fences, { offset, placedBy }].sort((a, b) => a.offset - b.offset);
    if (this.fences.length > MAX_FENCES) this.fences.splice(0, 2, merged(this.fences[0]!, this.fences[1]!));
    this.last = fold(this.fences);
    return true;
  }

  /** Whether a service's growth no longer counts here, from a record on that raised a number. */
  isGone(offset: number, placedBy: readonly number[], token: number): boolean {
    return (
      !homes(this.at(offset), token).includes(this.partition) ||
      !targetsOf(placedBy, token).includes(this.partition)
    );
  }

  /** Whether a service's growth counted here before a record: baselines without a partition were then of this one. */
  wasHome(offset: number, token: number): boolean {
    return homes(fold(this.fences.filter((f) => f.offset < offset)), token).includes(this.partition);
  }

  /**
   * Whether the growth up to the profiles of a record counts here. It counts only in the service's partition. While
   * the service moves, only records in both partitions count: the first one in the old partition, later ones in the
   * new one.
   * @param placedBy undefined: a record of an earlier release
   */
  growthOf(offset: number, placedBy: readonly number[] | undefined, token: number): Growth {
    const counts = this.at(offset);
    if (counts.settled === 0) return "counts";
    const both = homes(counts, token);
    if (!both.includes(this.partition)) return "ignored";
    if (both.length === 1) return "counts";
    if (!placedBy) return "ignored";
    const targets = targetsOf(placedBy, token);
    if (!both.every((p) => targets.includes(p))) return "ignored";
    return this.partition === both[0] ? "leaves" : "counts";
  }

  /** Numbers at a record, including its own. */
  private at(offset: number): Counts {
    if (offset >= (this.fences.at(-1)?.offset ?? 0)) return this.last;
    return fold(this.fences.filter((f) => f.offset <= offset));
  }
}

function raise({ settled, growing }: Counts, placedBy: readonly number[]): Counts {
  const least = Math.max(settled, placedBy[0]!);
  return { settled: least, growing: Math.max(least, growing, placedBy.at(-1)!) };
}

function isSame(a: Counts, b: Counts): boolean {
  return a.settled === b.settled && a.growing === b.growing;
}

function fold(fences: readonly Fence[]): Counts {
  return fences.reduce((counts, f) => raise(counts, f.placedBy), NONE);
}

function merged(a: Fence, b: Fence): Fence {
  const { settled, growing } = fold([a, b]);
  return { offset: b.offset, placedBy: growing > settled ? [settled, growing] : [settled] };
}

/** Partitions of a service: the old one, then the new one while the service moves. */
function homes({ settled, growing }: Counts, token: number): number[] {
  return settled === 0 ? [] : targetsOf([settled, growing], token);
}
