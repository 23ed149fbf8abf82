import type { Series } from "../api/types.ts";
import { baselineOf, basisOf, toCompare } from "./compare.ts";
import { coverOfSeries, coverSteps } from "./covered.ts";
import { hasRelativeTime, withAbsoluteTimes } from "./links.ts";
import { parseSelector, selectorText } from "./selector.ts";
import { changed, decodeState, encodeState, initialState, type State } from "./state.ts";

const NOW = 1_795_532_400_000,
  HOUR = 3_600_000;
const checkout: State = {
  ...initialState,
  screen: "explore",
  side: { selector: parseSelector('service_name="checkout"'), from: "now-3h", until: "now" },
};
const reopened = (s: State): State => {
  const u = new URL(encodeState(s), "http://x/");
  return decodeState(u.pathname.slice(1), u.search);
};

describe("the baseline of a comparison", () => {
  it("is the previous period of the current side where none was set: by link, button and key", () => {
    for (const s of [
      changed(checkout, { screen: "compare" }),
      changed(checkout, toCompare(checkout)),
      reopened({ ...checkout, screen: "compare" }),
    ]) {
      const b = baselineOf(s, NOW);
      expect([selectorText(b.selector), b.from, b.until]).toEqual([
        'service_name="checkout"',
        "now-6h",
        "now-3h",
      ]);
    }
  });

  it("follows the side: its window and labels are equal to those of the side, one length earlier", () => {
    const other = changed(checkout, {
      screen: "compare",
      side: { selector: parseSelector('pod="a"'), from: String(NOW - HOUR), until: String(NOW) },
    });
    expect(baselineOf(other, NOW)).toEqual({
      selector: other.side.selector,
      from: String(NOW - 2 * HOUR),
      until: String(NOW - HOUR),
    });
  });

  it("is the set baseline, also in the address, until the labels change outside of Compare", () => {
    const set = { selector: [], from: "now-2h", until: "now-1h" };
    const s = changed(checkout, { ...toCompare(checkout), baseline: set });
    expect(baselineOf(s, NOW)).toEqual(set);
    expect(reopened(s)).toEqual(s);
    const back = changed(s, { screen: "explore" });
    expect(baselineOf(changed(back, { side: { ...back.side, from: "now-1h" } }), NOW)).toEqual(set);
    const cart = { ...back.side, selector: parseSelector('service_name="cart"') };
    expect(selectorText(baselineOf(changed(back, { side: cart }), NOW).selector)).toBe('service_name="cart"');
    expect(baselineOf(changed(s, { side: cart }), NOW)).toEqual(set);
  });

  it("is the chosen distance earlier, whatever was set", () => {
    const s = { ...checkout, baseline: { selector: [], from: "1", until: "2" } };
    expect(baselineOf(s, NOW, 24 * HOUR)).toEqual({
      selector: checkout.side.selector,
      from: "now-27h",
      until: "now-1d",
    });
  });

  it("of invalid times is the side itself, and of absolute times is absolute", () => {
    const invalid = { ...checkout, side: { ...checkout.side, from: "then" } };
    expect(baselineOf(invalid, NOW)).toBe(invalid.side);
    const range = (): [number, number] => [NOW - HOUR, NOW];
    const fixed = withAbsoluteTimes({ ...checkout, screen: "compare" }, range);
    expect([hasRelativeTime(fixed), fixed.baseline, baselineOf(fixed, NOW).until]).toEqual([
      false,
      undefined,
      String(NOW - HOUR),
    ]);
  });
});

describe("the basis of values", () => {
  it("is a rate in Compare and a total elsewhere, unless chosen; it is in the address", () => {
    const compare: State = { ...checkout, screen: "compare" };
    expect([basisOf(compare), basisOf(checkout), basisOf({ ...checkout, basis: "share" })]).toEqual([
      "rate",
      "total",
      "total",
    ]);
    for (const basis of ["rate", "share", "total"] as const)
      expect(basisOf(reopened({ ...compare, basis }))).toBe(basis);
    expect(decodeState("explore", "?v=1&per=s").basis).toBe("rate");
  });
});

describe("covered time of a series", () => {
  const line = (times: number[]): Series[] => [
    { labels: {}, points: times.map((ms) => ({ ms, value: 7, annotations: [] })) },
  ];
  const every = (stepMs: number, fromMs: number, untilMs: number): number[] =>
    Array.from({ length: Math.round((untilMs - fromMs) / stepMs) }, (_, i) => fromMs + (i + 1) * stepMs);
  it("is that of the profiles, not of the window", () => {
    const start = NOW - 3 * HOUR,
      { fromMs, stepS } = coverSteps(start, NOW),
      step = stepS * 1000;
    expect([fromMs, step]).toEqual([start, 15_000]);
    // A profile a minute in the last 50 minutes of three hours.
    expect(coverOfSeries(line(every(60_000, NOW - 50 * 60_000, NOW)), start, stepS)).toEqual({
      coveredMs: 50 * 60_000,
      intervalMs: 60_000,
    });
    // The point at the start counts the time before it; zeros cover nothing.
    const zeros = line([start, start + step, start + 2 * step]);
    zeros[0]!.points[2]!.value = 0;
    expect(coverOfSeries(zeros, start, stepS).coveredMs).toBe(15_000);
    expect(coverOfSeries([], start, stepS).coveredMs).toBe(0);
  });

  it("is one for several series, without jitter and without pauses", () => {
    const start = NOW - HOUR,
      a = every(15_000, start, NOW).filter((_, i) => i % 5 !== 2);
    expect(coverOfSeries(line(a), start, 15).coveredMs).toBe(HOUR);
    const half = a.filter((t) => t <= NOW - HOUR / 2);
    expect(coverOfSeries([...line(half), ...line(half)], start, 15).coveredMs).toBe(HOUR / 2);
    const pause = every(15_000, start, NOW).filter((t) => t <= NOW - HOUR / 2 || t > NOW - HOUR / 4);
    expect(coverOfSeries(line(pause), start, 15).coveredMs).toBe(0.75 * HOUR);
  });

  it("has a bounded number of steps of whole seconds that end with the range, and no longer query", () => {
    for (const length of [1000, 60_000, HOUR - 1, HOUR, 24 * HOUR, 30 * 24 * HOUR]) {
      const { fromMs, stepS } = coverSteps(NOW - length, NOW),
        steps = (NOW - fromMs) / (stepS * 1000);
      expect([Number.isInteger(stepS), stepS >= 15, Number.isInteger(steps)]).toEqual([true, true, true]);
      expect(steps).toBeLessThanOrEqual(2000);
      expect(fromMs).toBeGreaterThanOrEqual(NOW - length);
      expect(fromMs - (NOW - length)).toBeLessThan(stepS * 1000);
    }
  });
});
