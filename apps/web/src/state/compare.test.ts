import { baselineOf, basisOf, toCompareScreen } from "./compare.ts";
import { hasRelativeTime, withAbsoluteTimes } from "./links.ts";
import { parseSelector, selectorText } from "./selector.ts";
import { withChange, decodeState, encodeState, initialState, type State } from "./state.ts";

const NOW = 1_795_532_400_000,
  HOUR = 3_600_000;
const checkout: State = {
  ...initialState,
  screen: "explore",
  side: { selector: parseSelector('service_name="checkout"'), from: "now-3h", until: "now" },
};
const reopened = (s: State): State => {
  const u = new URL(encodeState(s), "http://x/");
  return decodeState(u.pathname.slice(1), u.search);
};

describe("the baseline of a comparison", () => {
  it("is the previous period of the current side where none was set: by link, button and key", () => {
    for (const s of [
      withChange(checkout, { screen: "compare" }),
      withChange(checkout, toCompareScreen(checkout)),
      reopened({ ...checkout, screen: "compare" }),
    ]) {
      const b = baselineOf(s, NOW);
      expect([selectorText(b.selector), b.from, b.until]).toEqual([
        'service_name="checkout"',
        "now-6h",
        "now-3h",
      ]);
    }
  });

  it("follows the side: its window and labels are equal to those of the side, one length earlier", () => {
    const other = withChange(checkout, {
      screen: "compare",
      side: { selector: parseSelector('pod="a"'), from: String(NOW - HOUR), until: String(NOW) },
    });
    expect(baselineOf(other, NOW)).toEqual({
      selector: other.side.selector,
      from: String(NOW - 2 * HOUR),
      until: String(NOW - HOUR),
    });
  });

  it("is the set baseline, also in the address, until the labels change outside of Compare", () => {
    const set = { selector: [], from: "now-2h", until: "now-1h" };
    const s = withChange(checkout, { ...toCompareScreen(checkout), baseline: set });
    expect(baselineOf(s, NOW)).toEqual(set);
    expect(reopened(s)).toEqual(s);
    const back = withChange(s, { screen: "explore" });
    expect(baselineOf(withChange(back, { side: { ...back.side, from: "now-1h" } }), NOW)).toEqual(set);
    const cart = { ...back.side, selector: parseSelector('service_name="cart"') };
    expect(selectorText(baselineOf(withChange(back, { side: cart }), NOW).selector)).toBe(
      'service_name="cart"',
    );
    expect(baselineOf(withChange(s, { side: cart }), NOW)).toEqual(set);
  });

  it("is the chosen distance earlier, whatever was set", () => {
    const s = { ...checkout, baseline: { selector: [], from: "1", until: "2" } };
    expect(baselineOf(s, NOW, 24 * HOUR)).toEqual({
      selector: checkout.side.selector,
      from: "now-27h",
      until: "now-24h",
    });
  });

  it("of invalid times is the side itself, and of absolute times is absolute", () => {
    const invalid = { ...checkout, side: { ...checkout.side, from: "then" } };
    expect(baselineOf(invalid, NOW)).toBe(invalid.side);
    const range = (): [number, number] => [NOW - HOUR, NOW];
    const fixed = withAbsoluteTimes({ ...checkout, screen: "compare" }, range);
    expect([hasRelativeTime(fixed), fixed.baseline, baselineOf(fixed, NOW).until]).toEqual([
      false,
      undefined,
      String(NOW - HOUR),
    ]);
  });
});

describe("the basis of values", () => {
  it("is a rate in Compare and a total elsewhere, unless chosen; it is in the address", () => {
    const compare: State = { ...checkout, screen: "compare" };
    expect([basisOf(compare), basisOf(checkout), basisOf({ ...checkout, basis: "share" })]).toEqual([
      "rate",
      "total",
      "total",
    ]);
    for (const basis of ["rate", "share", "total"] as const)
      expect(basisOf(reopened({ ...compare, basis }))).toBe(basis);
    expect(decodeState("explore", "?v=1&per=s").basis).toBe("rate");
  });
});
