import type { Pace } from "@cinderblock/async";
import { parseSelector } from "@cinderblock/model";
import { matchValues, selectSeries, type SourceSeries } from "./source.ts";

const series = (values: readonly string[]): SourceSeries[] =>
  values.map((value, i) => ({
    labels: [{ name: "path", value }],
    fingerprint: BigInt(i),
    minTimeNanos: 0n,
    maxTimeNanos: 0n,
  }));

/** A pace whose slices end at once; it aborts the work at pause number `last`. */
class Impatient implements Pace {
  pauses = 0;
  private readonly last: number;
  constructor(last = Infinity) {
    this.last = last;
  }
  due(): boolean {
    return true;
  }
  next(): Promise<void> {
    return ++this.pauses > this.last ? Promise.reject(new Error("context canceled")) : Promise.resolve();
  }
}

describe("matching the values of series", () => {
  const list = series(["a1", "a1", "b", "a2", "b"]);

  it("pauses only before each new value of a regular expression", async () => {
    const selector = parseSelector('{path=~"a.{0,9}", other!~"x+"}'),
      pace = new Impatient();
    await matchValues(list, selector, pace);
    // Three values of `path` and one of `other`, and one check of the clock per thousand series.
    expect(pace.pauses).toBe(5);
    await matchValues(list, selector, pace);
    expect(pace.pauses).toBe(6);
    expect(selectSeries(list, selector)).toEqual([0, 1, 3]);
  });

  it("does not pause without a regular expression", async () => {
    const pace = new Impatient();
    await matchValues(list, parseSelector('{path="a1", other!="x"}'), pace);
    expect(pace.pauses).toBe(0);
  });

  it("stops when its pace ends", async () => {
    const selector = parseSelector('{path=~"a.*|b+"}');
    await expect(matchValues(list, selector, new Impatient(2))).rejects.toThrow("context canceled");
    expect(["a1", "b", "a2"].map((v) => selector[0]!.isCostly(v))).toEqual([false, true, true]);
  });
});
