import fc from "fast-check";
import { I64Column } from "@cinderblock/columnar";
import { MAX_VALUE, UNSCALED, WideSums } from "./wide-sums.ts";

const value = fc.oneof(
  fc.nat(1000),
  fc.bigInt({ min: -MAX_VALUE, max: MAX_VALUE }),
  fc.constantFrom(2 ** 53, 2 ** 53 - 1, 2 ** 62, 2n ** 53n, 1n, 0, MAX_VALUE, -MAX_VALUE, -1),
);

describe("sums of any size", () => {
  const scale = fc.constantFrom(
      UNSCALED,
      { times: 10_000_000n, by: 1n },
      { times: 10n ** 9n, by: 10n ** 10n },
    ),
    additions = fc.array(fc.tuple(fc.nat(4), value), { maxLength: 40 });

  it("are those of bigints, also in memory that is used again", () => {
    const sums = new WideSums();
    fc.assert(
      fc.property(additions, scale, (list, { times, by }) => {
        const expected = [0n, 0n, 0n, 0n, 0n],
          into = new I64Column(1);
        sums.clear();
        sums.grow(2);
        sums.grow(3);
        for (const [i, v] of list) {
          expected[i]! += BigInt(v);
          sums.add(i, v);
        }
        const scaled = expected.map((v) => (v * times) / by),
          wide = scaled.find((v) => v > MAX_VALUE || v < -MAX_VALUE);
        if (wide === undefined) {
          sums.scaled({ times, by }, into);
          expect([...into.view()]).toEqual(scaled);
        } else expect(() => sums.scaled({ times, by }, into)).toThrow(`a stack's value is ${wide}`);
      }),
      { numRuns: 2000 },
    );
  });
});
