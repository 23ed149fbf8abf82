import fc from "fast-check";
import { nthLargest, sortedIndex, sortedOrder, positionsByValue } from "./index.ts";

describe("sortedOrder", () => {
  it("agrees with a comparing sort, stable, for few values and many, small and large", () => {
    const value = fc.oneof(fc.nat(3), fc.nat(5000), fc.integer({ min: 0, max: 0xffffffff }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 300 }), fc.constantFrom(1, 12), (list, times) => {
        const values = Uint32Array.from(Array.from({ length: times }, () => list).flat());
        expect([...sortedOrder(values)]).toEqual([
          ...sortedIndex(values.length, (a, b) => values[a]! - values[b]!),
        ]);
      }),
    );
  });
  it("orders equal values by a comparison, if given", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(3)), { maxLength: 300 }), (list) => {
        const values = Uint32Array.from(list, ([v]) => v),
          second = (a: number, b: number): number => list[a]![1] - list[b]![1];
        expect([...positionsByValue(values, second)]).toEqual([
          ...sortedIndex(list.length, (a, b) => values[a]! - values[b]! || second(a, b)),
        ]);
      }),
    );
  });
  it("is linear", () => {
    const values = Uint32Array.from({ length: 2e6 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0),
      order = sortedOrder(values);
    for (let i = 1; i < order.length; i++)
      if (values[order[i - 1]!]! > values[order[i]!]!) throw new Error(`not ascending at ${i}`);
  });
});

describe("nthLargest", () => {
  it("agrees with a full sort, ties and short lists included", () => {
    const values = fc.array(fc.oneof(fc.integer({ min: 0, max: 5 }), fc.maxSafeNat()), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(
        values,
        fc.integer({ min: 1, max: 250 }),
        (list, n) =>
          nthLargest(Float64Array.from(list), n) ===
          [...list].sort((a, b) => b - a)[Math.min(n, list.length) - 1],
      ),
    );
  });
  it("takes no longer than a sort for a total before its ascending parts, the worst case of its pivots", () => {
    const parts = Float64Array.from({ length: 1e6 }, (_, i) => (i === 0 ? 1e12 : i));
    for (const n of [1, 1000, 500_000])
      expect(nthLargest(parts.slice(), n)).toBe(n === 1 ? 1e12 : 1e6 + 1 - n);
  });
  it("is linear for lists in order and lists of one value", () => {
    for (const list of [Float64Array.from({ length: 1e6 }, (_, i) => i), new Float64Array(1e6).fill(7)])
      expect(nthLargest(list.slice(), 1000)).toBe(list[1e6 - 1000]);
  });
});
