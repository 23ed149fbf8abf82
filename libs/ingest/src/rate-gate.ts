/**
 * A token bucket that several threads share. Its state is one 64-bit word: the time at which the bucket would
 * be full again ("theoretical arrival time"), in nanoseconds. Rate and burst may change at any time.
 */
export class RateGate {
  private readonly word: BigInt64Array;
  constructor(shared: SharedArrayBuffer) {
    this.word = new BigInt64Array(shared);
  }

  /**
   * Takes `cost` bytes at `nowNanos`; false when the bucket holds too few. A cost above the burst never fits.
   * A rate of 0 means no limit.
   */
  tryConsume(cost: number, ratePerSecond: number, burst: number, nowNanos: bigint): boolean {
    if (ratePerSecond <= 0) return true;
    if (cost > burst) return false;
    const costNanos = BigInt(Math.ceil((cost / ratePerSecond) * 1e9));
    const burstNanos = BigInt(Math.ceil((burst / ratePerSecond) * 1e9));
    for (;;) {
      const full = Atomics.load(this.word, 0);
      const from = full > nowNanos ? full : nowNanos;
      if (from + costNanos - nowNanos > burstNanos) return false;
      if (Atomics.compareExchange(this.word, 0, full, from + costNanos) === full) return true;
    }
  }
}
