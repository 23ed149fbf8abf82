import type { Series, Timeline, TimelineSeries } from "../api/types.ts";
import { labelRows } from "./label-rows.ts";
import { serviceRows } from "./service-rows.ts";
import { chartColumns, observedInterval, isolatedPoints, stepGrid, timelineOfSteps } from "./timeline.ts";

const S = 1000,
  MIN = 60 * S,
  T0 = 1_000 * MIN,
  CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  HEAP = "memory:inuse_space:bytes:space:bytes";

/** Answer of querier.v1's SelectSeries: a point counts the step before it. */
function selectSeries(
  profiles: readonly { ms: number; value: number }[],
  firstMs: number,
  endMs: number,
  stepMs: number,
  labels: Record<string, string> = {},
): Series {
  const sums = new Map<number, number>();
  for (const p of profiles) {
    const k = Math.max(0, Math.ceil((p.ms - firstMs) / stepMs));
    if (p.ms < firstMs - stepMs || p.ms > endMs || firstMs + k * stepMs > endMs) continue;
    sums.set(k, (sums.get(k) ?? 0) + p.value);
  }
  return {
    labels,
    points: [...sums]
      .sort(([a], [b]) => a - b)
      .map(([k, value]) => ({ ms: firstMs + k * stepMs, value, annotations: [] })),
  };
}
const every = (
  intervalMs: number,
  fromMs: number,
  toMs: number,
  value: number,
): { ms: number; value: number }[] =>
  Array.from({ length: Math.floor((toMs - fromMs) / intervalMs) }, (_, i) => ({
    ms: fromMs + (i + 0.5) * intervalMs,
    value,
  }));
const series = (
  labels: Record<string, string>,
  points: [ms: number, value: number, coveredMs: number][],
  intervalMs = MIN,
): TimelineSeries => ({
  labels,
  points: points.map(([ms, value, coveredMs]) => ({ ms, value, coveredMs, annotations: [] })),
  total: points.reduce((n, p) => n + p[1], 0),
  coveredMs: points.reduce((n, p) => n + p[2], 0),
  intervalMs,
});
const timeline = (list: TimelineSeries[], stepMs: number, startMs = T0): Timeline => ({
  startMs,
  stepMs,
  intervalMs: MIN,
  coveredMs: Math.max(...list.map((s) => s.coveredMs)),
  total: list.reduce((n, s) => n + s.total, 0),
  series: list,
});

describe("a time line of SelectSeries", () => {
  it("counts the window alone: nothing of the step before it, everything up to its end", () => {
    for (const length of [10 * MIN, 60 * MIN, 97 * S + 1, 3 * 60 * MIN - 7])
      for (const stepMs of [0, 15 * S, 60 * S]) {
        const [startMs, endMs] = [T0, T0 + length],
          profiles = every(5 * S, startMs - length, endMs + length, 7).map((p) => ({ ...p, ms: p.ms + 500 }));
        const grid = stepGrid(startMs, endMs, stepMs),
          t = timelineOfSteps([selectSeries(profiles, grid.firstMs, endMs, grid.stepMs)], grid, 5 * S);
        const inside = profiles.filter((p) => p.ms > startMs && p.ms <= endMs);
        expect(t.total).toBe(7 * inside.length);
        expect(t.series[0]!.points.reduce((n, p) => n + p.value, 0)).toBe(t.total);
      }
  });

  it("has no zeros and spikes where the step is shorter than the interval, and keeps gaps", () => {
    const endMs = T0 + 45 * MIN,
      profiles = [...every(MIN, T0, T0 + 20 * MIN, 22.8e9), ...every(MIN, T0 + 35 * MIN, endMs, 22.8e9)],
      grid = stepGrid(T0, endMs, 15 * S),
      answer = [selectSeries(profiles, grid.firstMs, endMs, grid.stepMs)],
      intervalMs = observedInterval(answer, grid.stepMs);
    expect(intervalMs).toBe(MIN);
    const t = timelineOfSteps(answer, grid, intervalMs),
      line = { name: "all", series: t.series[0]!, timeline: t, originMs: T0 },
      { heights } = chartColumns(CPU, [line], T0, endMs),
      drawn = heights[0]!.filter((h) => h !== null);
    expect(t.stepMs).toBeGreaterThanOrEqual(2 * MIN);
    for (const h of drawn) expect(Math.abs(h / 0.38e9 - 1)).toBeLessThan(0.05);
    expect(heights[0]!.filter((h) => h === null).length).toBeGreaterThanOrEqual(7);
  });

  it("does not take alternating distances of two series for their interval", () => {
    const points = [0, 15, 60, 75, 120, 135, 180, 195, 240].map((s) => ({
      ms: T0 + s * S,
      value: 1,
      annotations: [],
    }));
    expect(observedInterval([{ labels: {}, points }], 15 * S)).toBe(45 * S);
    expect(observedInterval([], 15 * S)).toBe(15 * S);
  });
});

describe("a chart", () => {
  it("of two sides has one step, starts both windows together, and one unit", () => {
    const aStart = T0 - 600 * MIN,
      b = timeline(
        [
          series({}, [
            [T0 + 2 * MIN, 50.4e9, 2 * MIN],
            [T0 + 4 * MIN, 50.4e9, 2 * MIN],
          ]),
        ],
        2 * MIN,
      ),
      a = timeline(
        [
          series({}, [
            [aStart + 2 * MIN, 25.2e9, 2 * MIN],
            [aStart + 4 * MIN, 12.6e9, MIN],
          ]),
        ],
        2 * MIN,
        aStart,
      );
    const { times, heights } = chartColumns(
      CPU,
      [
        { name: "B", series: b.series[0]!, timeline: b, originMs: T0 },
        { name: "A", series: a.series[0]!, timeline: a, originMs: aStart },
      ],
      T0,
      T0 + 4 * MIN,
    );
    expect(times).toEqual([(T0 + MIN) / 1000, (T0 + 3 * MIN) / 1000]);
    // Cores in nanoseconds per second; the half covered step is not lower.
    expect(heights).toEqual([
      [0.42e9, 0.42e9],
      [0.21e9, 0.21e9],
    ]);
  });

  it("has the average of a gauge's snapshots as height, gaps as null, and lone points marked", () => {
    const t = timeline(
        [
          series({}, [
            [T0 + MIN, 300, MIN],
            [T0 + 4 * MIN, 0, MIN],
            [T0 + 5 * MIN, 200, MIN],
          ]),
        ],
        MIN,
      ),
      line = { name: "all", series: t.series[0]!, timeline: t, originMs: T0 };
    expect(chartColumns(HEAP, [line], T0, T0 + 6 * MIN).heights).toEqual([[300, null, null, 0, 200, null]]);
    expect(isolatedPoints([300, null, null, 0, 200, null, 7])).toEqual([0, 6]);
  });

  it("leaves out points of the previous window while a new one is loaded", () => {
    const t = timeline(
        [
          series({}, [
            [T0 + MIN, 60, MIN],
            [T0 + 2 * MIN, 120, MIN],
          ]),
        ],
        MIN,
      ),
      line = { name: "all", series: t.series[0]!, timeline: t, originMs: T0 + MIN };
    expect(chartColumns(CPU, [line], T0 + MIN, T0 + 3 * MIN).heights).toEqual([[2, null]]);
  });
});

describe("rows", () => {
  const t = timeline(
    [
      series({ version: "1.1.0" }, [[T0 + MIN, 427, MIN]]),
      series({ version: "1.2.0" }, [[T0 + MIN, 573, 50 * MIN]]),
      series({}, [[T0 + MIN, 0, MIN]]),
    ],
    MIN,
  );
  it("of labels add up to the time line's total, with shares of it and figures of each value", () => {
    const { rows, total } = labelRows(t, "version", false);
    expect(total).toBe(1000);
    expect(rows.map((r) => [r.value, r.total, r.share, r.coveredMs])).toEqual([
      ["1.2.0", 573, 0.573, 50 * MIN],
      ["1.1.0", 427, 0.427, MIN],
      ["", 0, 0, MIN],
    ]);
    expect(labelRows(t, "version", true).rows.length).toBe(2);
    expect(labelRows(undefined, "version", false)).toEqual({ rows: [], total: 0 });
  });

  it("of services compare rates over covered time, and averages of gauges", () => {
    const now = timeline(
        [
          series({ service_name: "a" }, [[T0 + MIN, 200, 10 * MIN]]),
          series({ service_name: "new" }, [[T0 + 2 * MIN, 5, MIN]]),
        ],
        MIN,
      ),
      before = timeline(
        [
          series({ service_name: "a" }, [[T0, 400, 40 * MIN]]),
          series({ service_name: "gone" }, [[T0, 1, MIN]]),
        ],
        MIN,
        T0 - MIN,
      );
    for (const type of [CPU, HEAP])
      expect(serviceRows(type, now, before, 2).map((r) => [r.name, r.total, r.change, r.line])).toEqual([
        ["a", 200, 1, [200, 0]],
        ["new", 5, undefined, [0, 5]],
        ["gone", 0, -1, [0, 0]],
      ]);
  });

  it("of services include services with profiles of other types only", () => {
    const now = timeline([series({ service_name: "a" }, [[T0 + MIN, 200, MIN]])], MIN),
      types = new Map([
        ["a", [CPU, HEAP]],
        ["heap-only", [HEAP]],
      ]);
    expect(serviceRows(CPU, now, undefined, 2, types).map((r) => [r.name, r.total, r.types])).toEqual([
      ["a", 200, [CPU, HEAP]],
      ["heap-only", 0, [HEAP]],
    ]);
  });
});
