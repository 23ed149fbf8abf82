import {
  callTreeOfLevels,
  changeOf,
  createPainter,
  factorOf,
  type Flame,
  formatChange,
  formatDelta,
  formatFactor,
  layoutFlame,
  boxOf,
  measured,
  pathOf,
  type Sides,
  unequalTimes,
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

describe("a focus in a comparison", () => {
  const overview = whole(),
    sides: Sides = { sum: 100, seconds: 3000, baseSum: 100, baseSeconds: 6000 };
  it("changes neither color nor change nor width of any box", () => {
    const detail = focused(overview);
    for (const measure of ["rate", "share", "total"] as const) {
      const before = createPainter(overview, "change", "blue-orange", "light", sides, measure),
        after = createPainter(detail, "change", "blue-orange", "light", sides, measure);
      for (const path of [GREW, CHILD]) {
        const a = boxOf(overview, path),
          b = boxOf(detail, path);
        expect([pathOf(overview, a), pathOf(detail, b)]).toEqual([path, path]);
        expect(after(b)).toEqual(before(a));
        expect(changeOf(detail, b, sides, measure)).toBe(changeOf(overview, a, sides, measure));
        expect(changeOf(detail, b, sides, measure)).toBeGreaterThan(0.5);
        expect(detail.width[b]).toBe(overview.width[a]);
      }
    }
  });

  it("refers to the graph's own root only where that is the whole, as of two files", () => {
    const detail = focused();
    expect(changeOf(detail, boxOf(detail, GREW))).toBe(0);
    expect(changeOf(overview, boxOf(overview, GREW))).toBe(
      changeOf(overview, boxOf(overview, GREW), sides, "share"),
    );
  });
});

describe("figures of a comparison", () => {
  // Three hours on the left, 50 minutes of three hours on the right: half of the cores, but more in sum.
  const sides: Sides = { sum: 1200e9, seconds: 3000, baseSum: 1800e9, baseSeconds: 10_800 };
  const cores = { unit: "nanoseconds", seconds: 3000, cores: true } as const;
  it("compare rates over covered time, where sums tell the opposite", () => {
    const rate = measured(sides.sum, sides.baseSum, sides, "rate"),
      total = measured(sides.sum, sides.baseSum, sides, "total");
    expect([rate.now / 1e9, (rate.before / 1e9).toFixed(3)]).toEqual([0.4, "0.167"]);
    expect([formatFactor(rate), formatDelta(rate, cores)]).toEqual(["×2.40", "+0.23 cores"]);
    expect([formatFactor(total), formatDelta(total, "nanoseconds")]).toEqual(["×0.67", "−10 min"]);
    expect([unequalTimes(sides), unequalTimes({ ...sides, baseSeconds: 3100 })]).toEqual([true, false]);
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
    expect([factorOf({ now: 1, before: 0 }), formatDelta({ now: 1, before: 1 }, "count")]).toEqual([
      undefined,
      "±0",
    ]);
    expect(formatChange(0.11, 0.64)).toBe("+53.0 pp");
  });

  it("are 0 on an empty side", () => {
    const none: Sides = { sum: 0, seconds: 0, baseSum: 0, baseSeconds: 0 };
    for (const measure of ["rate", "share"] as const)
      expect(measured(5, 7, none, measure)).toEqual({ now: 0, before: 0 });
  });
});
