import { jest } from "@jest/globals";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { handOver, type HandOverParts, type HeldBlock } from "./hand-over.ts";

const base = {
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => Date.now(),
};

/** An ingester with one head, a bucket and store-gateways; each has its own failure mode. */
class Parts implements HandOverParts {
  bucket: "well" | "away" | "silent" = "well";
  stores: "answer" | "do not know" = "answer";
  private readonly held: (HeldBlock & { shipped: boolean })[] = [
    { tenant: "t", ulid: "shipped", shipped: true },
    { tenant: "t", ulid: "waiting", shipped: false },
  ];
  flush = (): Promise<void> => {
    this.held.push({ tenant: "t", ulid: "head", shipped: false });
    return Promise.resolve();
  };
  ship = (): Promise<void> => {
    if (this.bucket === "silent") return new Promise(() => undefined);
    if (this.bucket === "well") for (const b of this.held) b.shipped = true;
    return Promise.resolve();
  };
  unshipped = (): HeldBlock[] => this.held.filter((b) => !b.shipped);
  shipped = (): HeldBlock[] => this.held.filter((b) => b.shipped);
  answerable = (): Promise<boolean> => Promise.resolve(this.stores === "answer");
}

describe("a hand-over", () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());
  const started = (parts: Parts): { left: ReturnType<typeof handOver>; endedAfter: () => number } => {
    const from = Date.now();
    let ended = -1;
    const left = handOver(parts, from + 30_000, base);
    void left.finally(() => (ended = Date.now() - from));
    return { left, endedAfter: () => ended };
  };

  it("ends immediately when the bucket accepts everything and store-gateways serve the blocks", async () => {
    const { left, endedAfter } = started(new Parts());
    await jest.advanceTimersByTimeAsync(10);
    expect(endedAfter()).toBe(0);
    expect(await left).toEqual({ unshipped: 0, unanswered: 0 });
  });
  it("retries until the bucket is back", async () => {
    const parts = new Parts(),
      { left, endedAfter } = started(parts);
    parts.bucket = "away";
    await jest.advanceTimersByTimeAsync(12_000);
    expect(endedAfter()).toBe(-1);
    parts.bucket = "well";
    await jest.advanceTimersByTimeAsync(1000);
    expect(await left).toEqual({ unshipped: 0, unanswered: 0 });
  });
  it("waits for store-gateways that do not know a block yet", async () => {
    const parts = new Parts(),
      { left, endedAfter } = started(parts);
    parts.stores = "do not know";
    await jest.advanceTimersByTimeAsync(12_000);
    expect(endedAfter()).toBe(-1);
    parts.stores = "answer";
    await jest.advanceTimersByTimeAsync(1000);
    expect(await left).toEqual({ unshipped: 0, unanswered: 0 });
  });
  it("reports the remaining blocks at the deadline, whether the bucket refuses or does not respond", async () => {
    for (const bucket of ["away", "silent"] as const) {
      const parts = new Parts(),
        { left, endedAfter } = started(parts);
      parts.bucket = bucket;
      await jest.advanceTimersByTimeAsync(31_000);
      expect(endedAfter()).toBeGreaterThan(0);
      expect((await left).unshipped).toBe(2);
    }
    const parts = new Parts(),
      { left } = started(parts);
    parts.stores = "do not know";
    await jest.advanceTimersByTimeAsync(31_000);
    expect(await left).toEqual({ unshipped: 0, unanswered: 3 });
  });
});
