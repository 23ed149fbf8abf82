/** Distinct partitions of a service's records: the old partition first, then the new one. */
export function targetsOf(placedBy: readonly number[], token: number): number[] {
  const first = token % placedBy[0]!,
    last = token % placedBy.at(-1)!;
  return first === last ? [first] : [first, last];
}

/** Timing and side effects of the partition placement. */
export interface PlacementParts {
  /** time in ms for which records of services that move are written to both partitions */
  handOverMs: number;
  /** writes a fence to every partition; resolves with true when all partitions acknowledged it */
  announce: (placedBy: readonly number[]) => Promise<boolean>;
  /** monotonic clock in ms */
  now: () => number;
}

/**
 * Numbers of partitions that one writer places records by. From `m` to `n` partitions, a writer takes these steps,
 * each after every partition acknowledged the fence of the step (docs/correctness.md, "One partition counts growth"):
 *
 *   [m] -> fence [m] -> fence [m, n] -> [m, n], records of moving services go to two partitions
 *       -> hand-over period -> fence [n] -> [n]
 *
 * Fence [m] also reaches the new partitions. It finds a partition without a leader before any partition stops
 * counting, and every partition knows `m` before any partition learns of the move.
 */
export class PartitionPlacement {
  private settled = 0;
  private growing = 0;
  private sinceMs = 0;
  /** whether a partition lacks the fence of the first number */
  private unfenced = false;
  /** next number whose fence [settled] every partition has; 0: none */
  private ready = 0;
  private readonly parts: PlacementParts;

  constructor(parts: PlacementParts) {
    this.parts = parts;
  }

  /** One number, or two while services move; empty before the first step. */
  get placedBy(): readonly number[] {
    if (this.settled === 0) return [];
    return this.growing > 0 ? [this.settled, this.growing] : [this.settled];
  }

  /** Returns to the initial state, for a recreated topic. */
  reset(): void {
    this.settled = 0;
    this.growing = 0;
    this.ready = 0;
    this.unfenced = false;
  }

  /**
   * Takes the next step, if one is due.
   * @param readable number of partitions that accept records
   * @param fenced number whose fence all partitions have, according to their readers; 0: unknown
   */
  async advance(readable: number, fenced: number): Promise<void> {
    if (readable === 0) return;
    const { parts } = this;
    if (this.settled === 0 && fenced === 0) {
      // A new topic, or writers of an earlier release. Pushes do not wait for a partition without a leader.
      this.unfenced = !(await parts.announce([readable]));
      this.settled = readable;
      return;
    }
    if (fenced > this.settled) {
      // All partitions have a fence with a larger number, from other writers whose move ended: adopt that
      // number.
      this.settled = fenced;
      this.ready = 0;
      if (this.growing <= fenced) this.growing = 0;
    }
    if (this.unfenced) this.unfenced = !(await parts.announce([this.settled]));
    if (this.growing === 0) {
      if (readable > this.settled) await this.begin(readable);
      return;
    }
    if (parts.now() - this.sinceMs < parts.handOverMs) return;
    if (!(await parts.announce([this.growing]))) return;
    this.settled = this.growing;
    this.growing = 0;
  }

  private async begin(next: number): Promise<void> {
    const { parts } = this;
    if (this.ready !== next && !(await parts.announce([this.settled]))) return;
    this.ready = next;
    if (!(await parts.announce([this.settled, next]))) return;
    this.growing = next;
    this.ready = 0;
    this.sinceMs = parts.now();
  }
}
