import fc from "fast-check";
import {
  withAbsoluteTimes,
  hasRelativeTime,
  newShortId,
  shortAddress,
  parseShortAddress,
  stateOfStored,
} from "./links.ts";
import { encodeState, initialState, type State } from "./state.ts";

const NOW = 1_795_409_460_000;
const range = (): [number, number] => [NOW - 3600_000, NOW];

describe("links", () => {
  it("with relative times change over time; with absolute times they do not, and show the same", () => {
    expect(
      [
        initialState,
        { ...initialState, screen: "files" as const },
        {
          ...initialState,
          screen: "explore" as const,
          side: { ...initialState.side, from: "1795405860000", until: "1795409460000" },
        },
      ].map(hasRelativeTime),
    ).toEqual([true, false, false]);
    const fixed = withAbsoluteTimes({ ...initialState, screen: "explore", refresh: 15 }, range);
    expect([hasRelativeTime(fixed), fixed.side.from, fixed.side.until, fixed.refresh]).toEqual([
      false,
      "1795405860000",
      "1795409460000",
      0,
    ]);
    expect(hasRelativeTime({ ...fixed, screen: "compare" })).toBe(false);
    expect(
      hasRelativeTime({
        ...fixed,
        screen: "compare",
        baseline: { selector: [], from: "now-2h", until: "now-1h" },
      }),
    ).toBe(true);
    // An invalid time stays unchanged.
    expect(withAbsoluteTimes(initialState, () => undefined).side).toEqual(initialState.side);
  });
  it("that are short resolve to their stored state", () => {
    const state = fc.record({
      screen: fc.constantFrom<State["screen"]>("services", "explore", "compare", "files", "status"),
      search: fc.string(),
      fn: fc.string(),
      tenant: fc.string(),
      group: fc.string(),
    });
    fc.assert(
      fc.property(state, (some) => {
        const s = { ...initialState, ...some };
        return encodeState(stateOfStored(encodeState(s))) === encodeState(s);
      }),
    );
    // Stored text of any origin decodes to a state of this UI, never to another site.
    for (const text of ["https://elsewhere.example/?v=1", "//elsewhere.example", "javascript:alert(1)", ""])
      expect(encodeState(stateOfStored(text))).toMatch(/^(\.|services|explore|compare|files|status)(\?|$)/);
  });
  it("that are short have IDs of ten letters, and an address of their tenant", () => {
    expect(newShortId((b) => b.map((_, i) => i * 37))).toMatch(/^[a-z2-9]{10}$/);
    expect([shortAddress("abc", ""), shortAddress("abc", "team a")]).toEqual(["?l=abc", "?l=abc&t=team+a"]);
    expect([
      parseShortAddress("?l=abc&t=team+a"),
      parseShortAddress("?v=1&q=l"),
      parseShortAddress("?l="),
    ]).toEqual([{ id: "abc", tenant: "team a" }, undefined, undefined]);
  });
});
