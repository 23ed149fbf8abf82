import {
  averageOf,
  coveredSpan,
  formatValue,
  intervalOf,
  isGauge,
  totalLength,
  measureOf,
  timelineStep,
  unionOfSpans,
} from "./index.ts";

const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  HEAP = "memory:inuse_space:bytes:space:bytes",
  MIN = 60_000;

describe("figures", () => {
  it("of gauges are averages of the snapshots, whether totals or rates are chosen", () => {
    const MiB = 1024 ** 2,
      // Two pods with 60 snapshots each, of 100 MiB and 50 MiB.
      figures = { coveredMs: 60 * MIN, intervalMs: MIN };
    for (const rate of [false, true])
      expect(formatValue(60 * 150 * MiB, measureOf(HEAP, rate, figures))).toBe("150 MiB avg");
    expect(averageOf(60 * 150 * MiB, figures)).toBe(150 * MiB);
    for (const type of [
      HEAP,
      "memory:inuse_objects:count:space:bytes",
      "memory:live:count:objects:count",
      "goroutine:goroutine:count:goroutine:count",
      "goroutines:goroutine:count:goroutine:count",
      "threadcreate:threadcreate:count:threadcreate:count",
    ])
      expect([type, isGauge(type)]).toEqual([type, true]);
    for (const type of [
      CPU,
      "memory:alloc_space:bytes:space:bytes",
      "mutex:delay:nanoseconds:contentions:count",
      "wall:wall:nanoseconds:cpu:nanoseconds",
    ])
      expect([type, isGauge(type)]).toEqual([type, false]);
  });

  it("of counters as rates are divided by the covered time, and unknown until it is known", () => {
    // 0.4 cores for 50 minutes of a window of three hours.
    const figures = { coveredMs: 50 * MIN, intervalMs: MIN };
    expect(formatValue(0.4 * 3000 * 1e9, measureOf(CPU, true, figures))).toBe("0.400 cores");
    expect(formatValue(3000 * 1024, measureOf("memory:alloc_space:bytes:space:bytes", true, figures))).toBe(
      "1.00 KiB/s",
    );
    expect(formatValue(60e9, measureOf(CPU, false, undefined))).toBe("1.00 min");
    expect(formatValue(60e9, measureOf(CPU, true, undefined))).toBe("…");
    expect(formatValue(60e9, measureOf(HEAP, false, undefined))).toBe("…");
    expect(formatValue(0, measureOf(CPU, true, { coveredMs: 0, intervalMs: MIN }))).toBe("0 cores");
  });

  it("know the interval of late and double profiles, and cover no pause", () => {
    expect(intervalOf([60_000, 0, 61_000, 59_000, 7_200_000, NaN])).toBe(60_000);
    expect(intervalOf([])).toBe(15_000);
    expect([coveredSpan(61_000, 60_000), coveredSpan(120_000, 60_000), coveredSpan(120_001, 60_000)]).toEqual(
      [61_000, 120_000, 60_000],
    );
    expect(coveredSpan(undefined, 60_000)).toBe(60_000);
    const union = unionOfSpans(Float64Array.of(50, 0, 10, 30), Float64Array.of(60, 20, 15, 30));
    expect([[...union.from], [...union.to], totalLength(union)]).toEqual([[0, 50], [20, 60], 30]);
  });

  it("have a step of at least 15 s and the interval, and at most 300 points, for a minute to 30 days", () => {
    for (const intervalMs of [1000, 15_000, 15_700, 60_000, 600_000, 172_800_000])
      for (const minutes of [1, 5, 15, 45, 60, 180, 1440, 10_080, 43_200]) {
        const step = timelineStep(minutes * MIN, intervalMs);
        expect(step).toBeGreaterThanOrEqual(15);
        expect(step * 1050).toBeGreaterThanOrEqual(intervalMs);
        expect((minutes * 60) / step).toBeLessThanOrEqual(300);
      }
    expect([timelineStep(60 * MIN, 0), timelineStep(15 * MIN, MIN), timelineStep(1440 * MIN, 0)]).toEqual([
      15, 60, 300,
    ]);
  });
});
