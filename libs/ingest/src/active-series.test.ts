import { ActiveSeries } from "./index.ts";

describe("active series", () => {
  it("are limited by number; known series pass, and a series expires after ten idle minutes", () => {
    const a = new ActiveSeries();
    expect([1n, 2n, 3n].map((s) => a.admit("t", s, 1, 2, 0))).toEqual([true, true, false]);
    expect(a.admit("t", 1n, 1, 2, 500_000)).toBe(true);
    expect(a.admit("u", 3n, 1, 2, 0)).toBe(true); // another tenant's
    expect(a.admit("t", 3n, 1, 2, 601_000)).toBe(true); // the second series has expired
    expect([a.admit("t", 2n, 1, 2, 601_001), a.count("t")]).toEqual([false, 2]);
    expect(a.list(601_001).map(({ tenant, series }) => [tenant, [...series]])).toEqual([
      ["t", [1n, 3n]],
      ["u", []],
    ]);
  });
  it("count a label set for each sample type, once over all threads", () => {
    const shared = new SharedArrayBuffer(4),
      a = new ActiveSeries(),
      b = new ActiveSeries();
    for (const x of [a, b]) x.share("t", shared);
    expect([
      a.admit("t", 1n, 2, 5, 0),
      b.admit("t", 2n, 2, 5, 0),
      a.admit("t", 3n, 2, 5, 0),
      b.admit("t", 4n, 1, 5, 0),
    ]).toEqual([true, true, false, true]);
    expect([a.count("t"), b.count("t")]).toEqual([5, 5]);
  });
  it("known to other ingesters pass at the limit, and all pass without a limit", () => {
    const a = new ActiveSeries();
    expect(a.admit("t", 1n, 1, 1, 0)).toBe(true);
    expect([
      a.admit("t", 2n, 1, 1, 0, (s) => s === 2n),
      a.admit("t", 3n, 1, 1, 0, (s) => s === 2n),
      a.admit("t", 3n, 1, 0, 0),
    ]).toEqual([true, false, true]);
  });
});
