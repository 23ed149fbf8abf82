import { callTreeOfLevels, boxOf, layoutFlame } from "@cinderblock/flame";
import { changeTexts, comparisonFigures, sharesOfFocus, summaryOf } from "../state/compare.ts";
import { fetchSides, treeSource, withoutStackFilters, withoutFocus } from "./comparison.ts";
import type { ApiAnswer } from "./client.ts";
import type { FunctionPage, Selection, Timeline } from "./types.ts";

const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  NOW = 1_795_532_400_000,
  HOUR = 3_600_000;
const selection = (startMs: number, endMs: number, callSite: string[] = []): Selection => ({
  type: CPU,
  selector: '{service_name="checkout"}',
  startMs,
  endMs,
  stacks: { callSite, only: ["main.applyDiscounts"], without: [], hide: [] },
  profileIds: [],
});
const now = selection(NOW - 3 * HOUR, NOW, ["main", "main.applyDiscounts"]),
  before = selection(NOW - 6 * HOUR, NOW - 3 * HOUR);
/** Names, and bars of seven numbers: a function that grows from 11 to 64 of 100, in seconds of CPU time. */
const NAMES = ["total", "main.applyDiscounts", "FindStringSubmatch", "main.render"];
const LEVELS = [
  [0, 100, 0, 0, 100, 0, 0],
  [0, 11, 5, 0, 64, 16, 1, 0, 89, 89, 0, 36, 36, 3],
  [0, 6, 6, 0, 48, 48, 2],
].map((row) => row.map((v, i) => (i % 7 === 6 ? v : v * 12e9)));

/** A server that records its requests: the new version runs in the last 50 minutes, the old one always. */
function stub(): {
  client: Parameters<typeof fetchSides>[0] & Parameters<typeof treeSource>[0];
  asked: [string, ...Selection[]][];
} {
  const asked: [string, ...Selection[]][] = [];
  const answer = <T>(value: T): Promise<ApiAnswer<T>> => Promise.resolve({ value, partial: "" });
  return {
    asked,
    client: {
      functions: (s, b) => {
        asked.push(["functions", s, b!]);
        return answer<FunctionPage>({ rows: [], total: 1200e9, baseTotal: 1800e9, count: 0, matching: 0 });
      },
      diff: (s, b) => {
        asked.push(["diff", s, b]);
        return answer({ names: NAMES, levels: LEVELS, total: 1200e9, baseTotal: 1800e9 });
      },
      flamegraph: (s) => {
        asked.push(["flamegraph", s]);
        return answer({ names: [], levels: [] });
      },
      binary: (path) => {
        asked.push([path]);
        return answer(new ArrayBuffer(0));
      },
      timeline: ({ startMs, endMs }) =>
        answer<Timeline>({
          startMs,
          stepMs: endMs - startMs,
          intervalMs: 60_000,
          coveredMs: (endMs === NOW ? 50 : 180) * 60_000,
          total: 0,
          series: [],
        }),
    },
  };
}

describe("a comparison", () => {
  it("in front of a plain Pyroscope v1 is v1's Diff: both sides, with changes", async () => {
    const { client, asked } = stub();
    const { source } = await treeSource(client, false, now, before, 16_384);
    expect(asked).toEqual([["diff", now, before]]);
    if (source.kind !== "levels") throw new Error(source.kind);
    const f = layoutFlame(callTreeOfLevels(source.names, source.levels, source.double)),
      box = boxOf(f, ["main.applyDiscounts"]);
    expect([f.total[box], f.baseTotal?.[box]]).toEqual([64 * 12e9, 11 * 12e9]);
    const sides = (await fetchSides(client, false, now, before)).value;
    expect([sides.now.total, sides.before.total]).toEqual([1200e9, 1800e9]);
    expect(asked.map(([method]) => method)).toEqual(["diff", "diff"]);
  });

  it("asks our server for a call tree of both, and one selection of v1 for a flame graph", async () => {
    const { client, asked } = stub();
    await treeSource(client, true, now, before, 16_384);
    await treeSource(client, false, now, undefined, 16_384);
    expect(asked).toEqual([["cinderblock.explore.v1.ExploreService/CallTree"], ["flamegraph", now]]);
  });

  it("refers to whole sides: neither a focus nor a filter of functions changes a figure", async () => {
    const { client, asked } = stub();
    const focused = (await fetchSides(client, true, now, before)).value,
      plain = (await fetchSides(client, true, withoutStackFilters(now), withoutStackFilters(before))).value;
    expect(focused).toEqual(plain);
    expect(asked[0]).toEqual(["functions", withoutStackFilters(now), withoutStackFilters(before)]);
    expect(withoutStackFilters(now).stacks).toEqual({ callSite: [], only: [], without: [], hide: [] });
    expect([withoutFocus(now).stacks.callSite, withoutFocus(now).stacks.only, withoutFocus(before)]).toEqual([
      [],
      now.stacks.only,
      before,
    ]);
  });

  it("prints rates over covered time, the factor, and both totals with their times", async () => {
    const { client } = stub();
    const sides = (await fetchSides(client, true, now, before)).value;
    expect([sides.now.coveredMs, sides.before.coveredMs]).toEqual([50 * 60_000, 3 * HOUR]);
    // The totals say that the new version is cheaper; it uses 2.4 times the cores.
    const rate = summaryOf(CPU, comparisonFigures(CPU, "rate", sides));
    expect(rate).toEqual({
      text: "A 0.167 cores (30.0 min in 3 h), B 0.400 cores (20.0 min in 50 min): +0.233 cores, ×2.40; percentages are relative to each side's total.",
      notice: "",
    });
    expect(summaryOf(CPU, comparisonFigures(CPU, "share", sides)).text).toBe(rate.text);
    const total = summaryOf(CPU, comparisonFigures(CPU, "total", sides));
    expect(total.text).toContain("A 30.0 min (3 h), B 20.0 min (50 min): −10.0 min, ×0.667");
    expect(total.notice).toContain("not comparable: switch to Rate");
    const heap = summaryOf(
      "memory:inuse_space:bytes:space:bytes",
      comparisonFigures("memory:inuse_space:bytes:space:bytes", "total", {
        now: { total: 20 * 1024, coveredMs: 60_000, intervalMs: 15_000 },
        before: { total: 48 * 1024, coveredMs: 180_000, intervalMs: 15_000 },
        gauge: true,
      }),
    );
    expect(heap.text).toMatch(
      /^A 4\.00 KiB avg \(3 min\), B 5\.00 KiB avg \(1 min\): \+1\.00 KiB avg, ×1\.25; /,
    );
    expect(heap.notice).toBe("");
  });

  it("says where a side is empty or much smaller", () => {
    const side = (total: number): { total: number; coveredMs: number; intervalMs: number } => ({
      total,
      coveredMs: total > 0 ? 60_000 : 0,
      intervalMs: 15_000,
    });
    const notice = (before: number, now: number): string =>
      summaryOf(CPU, comparisonFigures(CPU, "rate", { now: side(now), before: side(before), gauge: false }))
        .notice;
    expect([notice(0, 5), notice(5, 0), notice(100, 100)]).toEqual([
      "A has no samples: everything is new.",
      "B has no samples: everything is gone.",
      "",
    ]);
    expect(notice(1e9, 40e9)).toContain("One side has 40 times the total of the other");
  });
});

describe("figures of a call in a comparison", () => {
  const f = layoutFlame(callTreeOfLevels(NAMES, LEVELS, true)),
    sides = {
      now: { total: 1200e9, coveredMs: 3e6, intervalMs: 60_000 },
      before: { total: 1200e9, coveredMs: 6e6, intervalMs: 60_000 },
      gauge: false,
    };
  const texts = (path: string[], basis: "rate" | "share" | "total"): object => {
    const b = boxOf(f, path);
    return changeTexts(f.total[b]!, f.baseTotal![b]!, comparisonFigures(CPU, basis, sides));
  };
  it("are those of the whole sides, on the chosen basis, equal in every view", () => {
    expect(texts(["main.applyDiscounts"], "rate")).toEqual({
      share: "64.0%",
      baseShare: "11.0%",
      delta: "+0.234 cores",
      factor: "×11.6",
      points: "+53.0 pp",
    });
    expect(texts(["main.applyDiscounts"], "share")).toMatchObject({ delta: "+53.0 pp", factor: "×5.82" });
    expect(texts(["main.applyDiscounts"], "total")).toMatchObject({ delta: "+10.6 min", factor: "×5.82" });
  });

  it("have the share of the focus as a second figure only", () => {
    const focus = boxOf(f, ["main.applyDiscounts"]),
      child = boxOf(f, ["main.applyDiscounts", "FindStringSubmatch"]);
    expect(sharesOfFocus(f, child, focus)).toEqual({ share: "75.0%", baseShare: "54.5%" });
    expect(sharesOfFocus(f, child, 0)).toBeUndefined();
    expect(texts(["main.applyDiscounts", "FindStringSubmatch"], "share")).toMatchObject({
      share: "48.0%",
      baseShare: "6.00%",
      delta: "+42.0 pp",
    });
  });
});
