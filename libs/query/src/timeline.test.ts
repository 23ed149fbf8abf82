import { fromBinary } from "@bufbuild/protobuf";
import { TimelineResponseSchema } from "@cinderblock/api";
import fc from "fast-check";
import { mergePoints, type Points } from "./points.ts";
import { encodeTimeline, timelineOf } from "./timeline.ts";

const S = 1000,
  MIN = 60 * S,
  T0 = 1_000 * MIN;

/** Points of profiles, each with its pod. */
function pointsOf(rows: readonly { ms: number; value: number; pod?: string }[]): Points {
  const pods = [...new Set(rows.map((r) => r.pod ?? "a"))];
  return {
    timeMs: Float64Array.from(rows, (r) => r.ms),
    value: Float64Array.from(rows, (r) => r.value),
    series: pods.map((pod) => [{ name: "pod", value: pod }]),
    of: Uint32Array.from(rows, (r) => pods.indexOf(r.pod ?? "a")),
    notes: [[]],
    noteOf: new Uint32Array(rows.length),
  };
}
const every = (
  intervalMs: number,
  fromMs: number,
  toMs: number,
  value: number,
  pod = "a",
): { ms: number; value: number; pod: string }[] => {
  const out = [];
  for (let ms = fromMs + intervalMs / 2; ms <= toMs; ms += intervalMs) out.push({ ms, value, pod });
  return out;
};
const all = { groupBy: [], limit: 0 };

describe("a time line", () => {
  it("adds up to the selection's total for every window, step and grouping", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            ms: fc.integer({ min: T0, max: T0 + 10 * MIN }),
            value: fc.integer({ min: 0, max: 2 ** 40 }),
            pod: fc.constantFrom("a", "b", "c"),
          }),
          { maxLength: 60 },
        ),
        fc.integer({ min: 0, max: 400 * S }),
        fc.boolean(),
        (rows, stepMs, grouped) => {
          const half = rows.length >> 1,
            t = timelineOf(mergePoints([pointsOf(rows.slice(half)), pointsOf(rows.slice(0, half))]), {
              startMs: T0,
              endMs: T0 + 10 * MIN,
              stepMs,
              groupBy: grouped ? ["pod"] : [],
              limit: 0,
            });
          const sum = (list: readonly number[]): number => list.reduce((n, v) => n + v, 0),
            total = sum(rows.map((r) => r.value));
          expect(t.total).toBe(total);
          expect(sum(t.series.map((s) => sum(s.value)))).toBe(total);
          for (const s of t.series) expect(sum(s.pointCoveredMs)).toBeCloseTo(s.coveredMs, 3);
          for (const s of t.series) for (const ms of s.ms) expect(ms > T0 && ms <= T0 + 10 * MIN).toBe(true);
        },
      ),
    );
  });

  it("draws steady load as a level line for windows of any length, whatever step is requested", () => {
    for (const interval of [15 * S, 60 * S, 90 * S])
      for (const length of [5 * MIN, 45 * MIN, 180 * MIN])
        for (const stepMs of [S, 10 * S, 30 * S]) {
          // Each profile arrives up to a quarter of its interval early or late.
          const rows = every(interval, T0, T0 + length, 0).map((r, i) => ({
            ...r,
            ms: r.ms + ((i * 7919) % 100) * (interval / 400) - interval / 8,
          }));
          rows.forEach((r, i) => {
            r.value = Math.round((r.ms - (i > 0 ? rows[i - 1]!.ms : r.ms - interval)) * 0.38e6);
          });
          const t = timelineOf(pointsOf(rows), { startMs: T0, endMs: T0 + length, stepMs, ...all });
          expect([t.stepMs >= 15 * S, t.stepMs >= 0.95 * interval]).toEqual([true, true]);
          const heights = t.series[0]!.value.map((v, i) => v / t.series[0]!.pointCoveredMs[i]! / 1e6);
          for (const h of heights.slice(1)) expect(Math.abs(h / 0.38 - 1)).toBeLessThan(0.05);
        }
  });

  it("has gaps where no profile covers a step, and zeros only where profiles have the value 0", () => {
    const rows = [
      ...every(MIN, T0, T0 + 10 * MIN, 100),
      ...every(MIN, T0 + 20 * MIN, T0 + 25 * MIN, 0),
      ...every(MIN, T0 + 25 * MIN, T0 + 30 * MIN, 100),
    ];
    const t = timelineOf(pointsOf(rows), { startMs: T0, endMs: T0 + 30 * MIN, stepMs: MIN, ...all }),
      minutes = t.series[0]!.ms.map((ms) => (ms - T0) / MIN);
    expect(minutes.filter((m) => m > 11 && m < 20)).toEqual([]);
    expect(minutes.length).toBe(21);
    expect(t.series[0]!.value[minutes.indexOf(23)]).toBe(0);
    expect([t.coveredMs, t.intervalMs, t.profiles]).toEqual([20 * MIN, MIN, 20]);
  });

  it("counts the union of covered time once, however many series overlap, and the interval of each series", () => {
    const rows = [1, 2, 3, 4].flatMap((k) =>
      every(MIN, T0, T0 + 50 * MIN, 10, `pod${k}`).map((r) => ({ ...r, ms: r.ms + k * S })),
    );
    const t = timelineOf(pointsOf(rows), {
      startMs: T0,
      endMs: T0 + 180 * MIN,
      stepMs: MIN,
      groupBy: ["pod"],
      limit: 2,
    });
    expect([t.intervalMs, t.coveredMs, t.total, t.series.length]).toEqual([MIN, 50 * MIN + 3 * S, 2000, 2]);
    expect(t.series[0]!.coveredMs).toBe(50 * MIN);
  });

  it("gives each group its own interval: figures are those of the group as a selection", () => {
    const slow = every(MIN, T0, T0 + 60 * MIN, 600, "slow"),
      fast = every(15 * S, T0, T0 + 60 * MIN, 5, "fast"),
      window = { startMs: T0, endMs: T0 + 60 * MIN, stepMs: MIN, limit: 0 };
    const both = timelineOf(pointsOf([...slow, ...fast]), { ...window, groupBy: ["pod"] });
    for (const rows of [slow, fast]) {
      const { total, coveredMs, intervalMs } = timelineOf(pointsOf(rows), { ...window, groupBy: [] });
      expect(both.series.find((s) => s.labels[0]!.value === rows[0]!.pod)).toMatchObject({
        total,
        coveredMs,
        intervalMs,
      });
    }
    expect(both.series.map((s) => s.intervalMs)).toEqual([MIN, 15 * S]);
  });

  it("is one point for step 0, and encodes every field", () => {
    const p = pointsOf(every(MIN, T0, T0 + 10 * MIN, 7));
    p.notes = [[{ key: "k", value: "v" }]];
    const m = fromBinary(
      TimelineResponseSchema,
      encodeTimeline(timelineOf(p, { startMs: T0, endMs: T0 + 10 * MIN, stepMs: 0, ...all })),
    );
    expect([m.step, m.total, m.coveredMs, m.intervalMs, m.profiles]).toEqual([
      600,
      70n,
      BigInt(10 * MIN),
      BigInt(MIN),
      10n,
    ]);
    expect(m.series[0]!.points.map((x) => [x.timestamp, x.value, x.annotations[0]!.key])).toEqual([
      [BigInt(T0 + 10 * MIN), 70, "k"],
    ]);
    expect(m.covers[0]!.pointsMs).toEqual([BigInt(10 * MIN)]);
    const none = { timeMs: new Float64Array(0), value: new Float64Array(0) };
    expect(timelineOf(none, { startMs: T0, endMs: T0 + MIN, stepMs: MIN, ...all })).toEqual({
      stepMs: MIN,
      intervalMs: 15_000,
      coveredMs: 0,
      profiles: 0,
      total: 0,
      series: [],
    });
  });
});
