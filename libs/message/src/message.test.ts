import fc from "fast-check";
import { CinderblockError } from "@cinderblock/errors";
import { Random } from "@cinderblock/testkit";
import { decodeMessage, encodeMessage } from "./index.ts";

const leaf = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.bigInt({ min: -(2n ** 64n) + 1n, max: 2n ** 64n - 1n }),
  fc.string(),
  fc.uint8Array(),
  fc.int32Array(),
  fc.uint32Array(),
  fc.float64Array(),
  fc.bigInt64Array(),
  fc.bigUint64Array(),
);
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("any"), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie("any"), { maxKeys: 5 }),
  ),
})).any;

describe("messages", () => {
  it("round-trip", () => {
    fc.assert(
      fc.property(value, (v) => {
        expect(decodeMessage(encodeMessage(v))).toEqual(v);
      }),
      { numRuns: 2000 },
    );
  });
  it("omit undefined fields, and keep them in lists", () => {
    expect(decodeMessage(encodeMessage({ a: undefined, b: [undefined, 1] }))).toEqual({ b: [undefined, 1] });
  });
  it("name fields once", () => {
    const many = Array.from({ length: 100 }, (_, i) => ({ profileTypeId: i, labelSelector: i }));
    expect(encodeMessage(many).length).toBeLessThan(100 * 8 + 100);
  });
  it("refuse incomplete messages, and name the byte: 20,000 mutations", () => {
    const good = encodeMessage({
      ulids: ["01J", "01K"],
      value: BigInt64Array.of(1n, 2n, -3n),
      deep: [{ a: 1.5, b: [null, true, { c: new Uint8Array(40) }] }],
      n: -7,
      big: 2n ** 63n,
    });
    const random = new Random(20261124);
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      try {
        decodeMessage(random.mutate(good));
      } catch (err) {
        expect(err).toBeInstanceOf(CinderblockError);
        expect((err as Error).message).toMatch(/byte/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(2000);
    const bomb = Uint8Array.of(1, 11, 0xff, 0xff, 0xff, 0xff, 0x7f);
    expect(() => decodeMessage(bomb)).toThrow("entries");
    expect(() => decodeMessage(Uint8Array.of(9, 0))).toThrow("expected version 1, found 9");
  });
});
