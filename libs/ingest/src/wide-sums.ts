import type { I64Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";

/** Largest value of a pprof's sample. */
export const MAX_VALUE = (1n << 63n) - 1n;

/** Factor of values: `times / by`, rounded toward 0. */
export interface Scale {
  times: bigint;
  by: bigint;
}
/** Factor of values that are left unchanged. */
export const UNSCALED: Scale = { times: 1n, by: 1n };

/** Exact sums of any size: doubles, as long as they are exact, else bigints. */
export class WideSums {
  private small = new Float64Array(64);
  private length = 0;
  /** index -> sum that a double may not hold */
  private readonly large = new Map<number, bigint>();

  /** Removes all sums. */
  clear(): void {
    this.length = 0;
    this.large.clear();
  }

  /** Appends `n` sums of 0. */
  grow(n: number): void {
    if (this.length + n > this.small.length) {
      const grown = new Float64Array(Math.max(this.length + n, 2 * this.small.length));
      grown.set(this.small.subarray(0, this.length));
      this.small = grown;
    }
    this.small.fill(0, this.length, this.length + n);
    this.length += n;
  }

  /** Adds a whole number to sum `i`. */
  add(i: number, value: number | bigint): void {
    if (typeof value === "number" && this.large.size === 0) {
      const sum = this.small[i]! + value;
      if (Number.isSafeInteger(value) && Number.isSafeInteger(sum)) {
        this.small[i] = sum;
        return;
      }
    }
    this.addLarge(i, BigInt(value));
  }

  private addLarge(i: number, value: bigint): void {
    const sum = (this.large.get(i) ?? BigInt(this.small[i]!)) + value;
    if (sum >= BigInt(Number.MIN_SAFE_INTEGER) && sum <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.large.delete(i);
      this.small[i] = Number(sum);
    } else this.large.set(i, sum);
  }

  /**
   * Writes the sums, multiplied by `scale`, into an emptied column.
   * @throws `unknown` for a value that a pprof cannot hold
   */
  scaled({ times, by }: Scale, into: I64Column): void {
    const factor = by === 1n ? Number(times) : Number.NaN,
      { length, small, large } = this;
    into.length = 0;
    into.reserve(length);
    const { words } = into;
    for (let i = 0; i < length; i++) {
      const value = small[i]! * factor;
      if (value >= 0 && value <= Number.MAX_SAFE_INTEGER && (large.size === 0 || !large.has(i))) {
        words[2 * i] = value;
        words[2 * i + 1] = value / 0x100000000;
      } else into.data[i] = inRange(((large.get(i) ?? BigInt(small[i]!)) * times) / by);
    }
    into.length = length;
  }
}

function inRange(value: bigint): bigint {
  if (value > MAX_VALUE || value < -MAX_VALUE)
    throw new CinderblockError("unknown", `a stack's value is ${value}; the limit is ${MAX_VALUE}`, {
      reason: "malformed_profile",
    });
  return value;
}
