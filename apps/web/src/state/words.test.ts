import { matchesText, plural, withoutUnit } from "./words.ts";

describe("words of the UI", () => {
  it("have the right number", () => {
    expect([0, 1, 2, 18_259].map((n) => plural(n, "profile"))).toEqual([
      "0 profiles",
      "1 profile",
      "2 profiles",
      "18,259 profiles",
    ]);
    expect([1, 5].map((n) => matchesText({ boxes: { length: n }, share: 0.344 }))).toEqual([
      "1 match · 34.4%",
      "5 matches · 34.4%",
    ]);
  });

  it("leave out the unit that a heading names, and no other", () => {
    expect(["0.034 cores", "+0.011 cores", "12.5 MiB/s", "57.1%"].map(withoutUnit)).toEqual([
      "0.034",
      "+0.011",
      "12.5 MiB/s",
      "57.1%",
    ]);
  });
});
