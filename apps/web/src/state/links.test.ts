import fc from "fast-check";
import { frozen, isMoving, newShortId, shortAddress, shortOf, stateOfStored } from "./links.ts";
import { encode, initial, type State } from "./state.ts";

const NOW = 1_795_409_460_000;
const range = (): [number, number] => [NOW - 3600_000, NOW];

describe("links", () => {
  it("with times that count from now move; fixed, they do not, and show the same", () => {
    expect(
      [
        initial,
        { ...initial, screen: "files" as const },
        {
          ...initial,
          screen: "explore" as const,
          side: { ...initial.side, from: "1795405860000", until: "1795409460000" },
        },
      ].map(isMoving),
    ).toEqual([true, false, false]);
    const fixed = frozen({ ...initial, screen: "explore", refresh: 15 }, range);
    expect([isMoving(fixed), fixed.side.from, fixed.side.until, fixed.refresh]).toEqual([
      false,
      "1795405860000",
      "1795409460000",
      0,
    ]);
    expect(isMoving({ ...fixed, screen: "compare" })).toBe(false);
    expect(isMoving({ ...fixed, screen: "compare", baseline: initial.baseline })).toBe(true);
    // An invalid time stays unchanged.
    expect(frozen(initial, () => undefined).side).toEqual(initial.side);
  });
  it("that are short come back as what they stand for", () => {
    const state = fc.record({
      screen: fc.constantFrom<State["screen"]>("services", "explore", "compare", "files", "status"),
      search: fc.string(),
      fn: fc.string(),
      tenant: fc.string(),
      group: fc.string(),
    });
    fc.assert(
      fc.property(state, (some) => {
        const s = { ...initial, ...some };
        return encode(stateOfStored(encode(s))) === encode(s);
      }),
    );
    // Stored text of any origin decodes to a state of this UI, never to another site.
    for (const text of ["https://elsewhere.example/?v=1", "//elsewhere.example", "javascript:alert(1)", ""])
      expect(encode(stateOfStored(text))).toMatch(/^(\.|services|explore|compare|files|status)(\?|$)/);
  });
  it("that are short have names of ten letters, and an address of their tenant's", () => {
    expect(newShortId((b) => b.map((_, i) => i * 37))).toMatch(/^[a-z2-9]{10}$/);
    expect([shortAddress("abc", ""), shortAddress("abc", "team a")]).toEqual(["?l=abc", "?l=abc&t=team+a"]);
    expect([shortOf("?l=abc&t=team+a"), shortOf("?v=1&q=l"), shortOf("?l=")]).toEqual([
      { id: "abc", tenant: "team a" },
      undefined,
      undefined,
    ]);
  });
});
