import fc from "fast-check";
import { nthLargest } from "./index.ts";

describe("nthLargest", () => {
  it("agrees with a full sort, ties and short lists included", () => {
    const values = fc.array(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.maxSafeNat()), { minLength: 1, maxLength: 200 });
    fc.assert(fc.property(values, fc.integer({ min: 1, max: 250 }), (list, n) => nthLargest(Float64Array.from(list), n) === [...list].sort((a, b) => b - a)[Math.min(n, list.length) - 1]));
  });
  it("is linear for lists in order and lists of one value", () => {
    for (const list of [Float64Array.from({ length: 1e6 }, (_, i) => i), new Float64Array(1e6).fill(7)]) expect(nthLargest(list.slice(), 1000)).toBe(list[1e6 - 1000]);
  });
});
