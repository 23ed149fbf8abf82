import {
  callTreeOfLevels,
  changesOf,
  createPainter,
  changeFactor,
  type Flame,
  formatChange,
  formatDelta,
  formatFactor,
  layoutFlame,
  boxOf,
  pairOf,
  pathOf,
  type Sides,
  haveUnequalTimes,
} from "./index.ts";

/**
 * A regression: `main.applyDiscounts` grows from 11 to 64 of 100, and its child from 6 to 48. The whole, and
 * the tree that the server sends for a focus on it.
 */
const NAMES = ["total", "main", "main.applyDiscounts", "FindStringSubmatch", "main.render"];
// Seven numbers a bar: offset, total and self of the baseline, then of the comparison, and the name.
const whole = (): Flame =>
  layoutFlame(
    callTreeOfLevels(
      NAMES,
      [
        [0, 100, 0, 0, 100, 0, 0],
        [0, 100, 0, 0, 100, 0, 1],
        [0, 11, 5, 0, 64, 16, 2, 0, 89, 89, 0, 36, 36, 4],
        [0, 6, 6, 0, 48, 48, 3],
      ],
      true,
    ),
  );
const focused = (of?: Flame): Flame =>
  layoutFlame(
    callTreeOfLevels(
      NAMES,
      [
        [0, 11, 0, 0, 64, 0, 0],
        [0, 11, 0, 0, 64, 0, 1],
        [0, 11, 5, 0, 64, 16, 2],
        [0, 6, 6, 0, 48, 48, 3],
      ],
      true,
    ),
    of,
  );
const GREW = ["main", "main.applyDiscounts"],
  CHILD = [...GREW, "FindStringSubmatch"];

const sidesOfTest = (total: number, seconds: number, before: number, beforeSeconds: number): Sides => ({
  now: { total, coveredMs: seconds * 1000, intervalMs: 15_000 },
  before: { total: before, coveredMs: beforeSeconds * 1000, intervalMs: 15_000 },
  gauge: false,
});

describe("a focus in a comparison", () => {
  const overview = whole(),
    sides = sidesOfTest(100, 3000, 100, 6000);
  it("changes neither color nor change nor width of any box", () => {
    const detail = focused(overview);
    for (const basis of ["rate", "share", "total"] as const) {
      const before = createPainter(overview, "change", "blue-orange", "light", sides, basis),
        after = createPainter(detail, "change", "blue-orange", "light", sides, basis);
      for (const path of [GREW, CHILD]) {
        const a = boxOf(overview, path),
          b = boxOf(detail, path);
        expect([pathOf(overview, a), pathOf(detail, b)]).toEqual([path, path]);
        expect(after(b)).toEqual(before(a));
        expect(changesOf(detail, sides, basis)(b)).toBe(changesOf(overview, sides, basis)(a));
        expect(changesOf(detail, sides, basis)(b)).toBeGreaterThan(0.5);
        expect(detail.width[b]).toBe(overview.width[a]);
      }
    }
  });

  it("refers to the graph's own root only where that is the whole, as of two files", () => {
    const detail = focused();
    expect(changesOf(detail)(boxOf(detail, GREW))).toBe(0);
    expect(changesOf(overview)(boxOf(overview, GREW))).toBe(
      changesOf(overview, sides, "share")(boxOf(overview, GREW)),
    );
  });
});

describe("figures of a comparison", () => {
  // Three hours on the left, 50 minutes of three hours on the right: half of the cores, but more in sum.
  const sides = sidesOfTest(1200e9, 3000, 1800e9, 10_800);
  const cores = { unit: "nanoseconds", seconds: 3000, workers: "cores" } as const;
  it("compare rates over covered time, where sums tell the opposite", () => {
    const rate = pairOf(sides.now.total, sides.before.total, sides, "rate"),
      total = pairOf(sides.now.total, sides.before.total, sides, "total");
    expect([rate.now / 1e9, (rate.before / 1e9).toFixed(3)]).toEqual([0.4, "0.167"]);
    expect([formatFactor(rate), formatDelta(rate, cores)]).toEqual(["×2.40", "+0.233 cores"]);
    expect([formatFactor(total), formatDelta(total, "nanoseconds")]).toEqual(["×0.667", "−10.0 min"]);
    expect([haveUnequalTimes(sides), haveUnequalTimes(sidesOfTest(1, 3000, 1, 3100))]).toEqual([true, false]);
  });

  it("name new, gone and unknown values", () => {
    const text = (before: number, now: number): string => formatFactor({ now, before });
    expect([
      text(0, 1),
      text(1, 0),
      text(0, 0),
      text(2, 3),
      text(3, 40),
      text(1, 12_345),
      text(9e5, 1),
    ]).toEqual(["new", "gone", "–", "×1.50", "×13.3", "×>9999", "×<0.001"]);
    expect([changeFactor({ now: 1, before: 0 }), formatDelta({ now: 1, before: 1 }, "count")]).toEqual([
      undefined,
      "±0",
    ]);
    // A difference below the printed digits keeps its sign, and no space after it.
    expect([
      formatDelta({ now: 0, before: 4e5 }, cores),
      formatDelta({ now: 4e5, before: 0 }, cores),
    ]).toEqual(["−<0.001 cores", "+<0.001 cores"]);
    expect(formatChange(0.11, 0.64)).toBe("+53.0 pp");
  });

  it("are averages of a gauge's snapshots, never sums or rates", () => {
    // Four snapshots of 5 GiB in a minute against twelve of 4 GiB in three.
    const heap: Sides = {
      now: { total: 20, coveredMs: 60_000, intervalMs: 15_000 },
      before: { total: 48, coveredMs: 180_000, intervalMs: 15_000 },
      gauge: true,
    };
    for (const basis of ["rate", "total"] as const)
      expect(pairOf(20, 48, heap, basis)).toEqual({ now: 5, before: 4 });
  });

  it("are 0 on an empty side", () => {
    const none = sidesOfTest(0, 0, 0, 0);
    for (const basis of ["rate", "share"] as const)
      expect(pairOf(5, 7, none, basis)).toEqual({ now: 0, before: 0 });
  });
});
