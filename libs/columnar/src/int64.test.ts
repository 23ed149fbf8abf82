import fc from "fast-check";
import { addInt64, isBelow, splitInt64, wordsOf } from "./index.ts";

const value = fc.oneof(
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  fc.constantFrom(-1n, 0n, 1n, 0xffffffffn, 0x100000000n, -0x100000000n, (1n << 63n) - 1n, -(1n << 63n)),
);

describe("64-bit integers as words", () => {
  it("compares as bigints do", () => {
    fc.assert(
      fc.property(
        value,
        value,
        (a, b) => isBelow(wordsOf(BigInt64Array.of(0n, a)), 1, splitInt64(b)) === a < b,
      ),
      { numRuns: 2000 },
    );
  });
  it("adds as BigInt64Array does, over the end of each word and of the range", () => {
    fc.assert(
      fc.property(value, value, (a, b) => {
        const to = BigInt64Array.of(7n, a),
          from = BigInt64Array.of(b, 9n);
        addInt64(wordsOf(to), 1, wordsOf(from), 0);
        return to[1] === BigInt.asIntN(64, a + b) && to[0] === 7n && from[0] === b;
      }),
      { numRuns: 2000 },
    );
  });
});
