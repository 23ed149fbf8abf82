import fc from "fast-check";
import {
  invertMatcher,
  matcherText,
  parseSelector,
  SelectorError,
  selectorOf,
  selectorText,
  withMatcher,
} from "./selector.ts";
import { decodeState, encodeState, initialState, type State } from "./state.ts";
import { formatLength, formatTime, isZone, resolveTime, shiftRange } from "./time.ts";

const name = fc.stringMatching(/^[a-z_][a-z_.]{0,6}$/),
  text = fc.string({ unit: "grapheme", maxLength: 8 });
const matcher = fc.record({ name, op: fc.constantFrom("=" as const, "!=" as const), value: text });
const time = fc.constantFrom("now", "now-1h", "now-2d12h", "1795532400000");
const side = fc.record({ selector: fc.array(matcher, { maxLength: 3 }), from: time, until: time });
const functions = fc.array(
  text.filter((t) => t !== ""),
  { maxLength: 3 },
);
const state: fc.Arbitrary<State> = fc.record({
  screen: fc.constantFrom(
    "services" as const,
    "explore" as const,
    "compare" as const,
    "files" as const,
    "status" as const,
  ),
  tenant: text,
  type: fc.constantFrom(initialState.type, "memory:alloc_space:bytes:space:bytes"),
  side,
  baseline: fc.option(side, { nil: undefined }),
  stacks: fc.record({ callSite: functions, only: functions, without: functions, hide: functions }),
  zone: fc.constantFrom("local", "utc", "Europe/Berlin"),
  pane: fc.constantFrom(
    "flame" as const,
    "table" as const,
    "tree" as const,
    "sandwich" as const,
    "graph" as const,
    "labels" as const,
    "profiles" as const,
  ),
  fn: text,
  search: text,
  colour: fc.constantFrom("package" as const, "value" as const, "change" as const),
  palette: fc.constantFrom("blue-orange" as const, "purple-green" as const, "red-green" as const),
  upwards: fc.boolean(),
  inverted: fc.boolean(),
  collapsed: fc.boolean(),
  sort: fc.constantFrom(
    "self" as const,
    "total" as const,
    "name" as const,
    "self-change" as const,
    "total-change" as const,
  ),
  ascending: fc.boolean(),
  group: fc.constantFrom("", "pod"),
  basis: fc.constantFrom("" as const, "rate" as const, "share" as const, "total" as const),
  table: fc.boolean(),
  details: fc.boolean(),
  beside: fc.boolean(),
  profile: fc.constantFrom("", "01090909-0909-0909-0909-090909090909"),
  cell: fc.constantFrom("", "3.4"),
  files: fc.array(fc.stringMatching(/^[A-Z0-9_.-]{1,9}$/), { maxLength: 2 }),
  fileType: text,
  refresh: fc.constantFrom(0, 15, 60),
});

describe("state in the address", () => {
  const there = (s: State): State => {
    const u = new URL(encodeState(s), "http://x/a/b/");
    return decodeState(u.pathname.slice("/a/b/".length), u.search);
  };
  it("round-trips for 1,000 random states", () => {
    fc.assert(
      fc.property(state, (s) => {
        expect(there(s)).toEqual(s);
      }),
      { numRuns: 1000 },
    );
  });
  it("omits default values", () => {
    expect([encodeState(initialState), encodeState({ ...initialState, screen: "explore" })]).toEqual([
      ".",
      "explore",
    ]);
  });
  it("accepts any address", () => {
    fc.assert(
      fc.property(fc.webQueryParameters(), (q) => {
        decodeState("explore", q);
      }),
    );
  });

  it("accepts Pyroscope v1's addresses", () => {
    const q = encodeURIComponent(
      'process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="shop", pod!="a"}',
    );
    const single = decodeState("", `?query=${q}&from=now-3h&until=now-1h&tenantID=t1`);
    expect([
      single.screen,
      single.type,
      selectorText(single.side.selector),
      single.side.from,
      single.side.until,
      single.tenant,
    ]).toEqual(["explore", initialState.type, 'service_name="shop", pod!="a"', "now-3h", "now-1h", "t1"]);
    const diff = decodeState(
      "comparison-diff",
      `?leftQuery=${q}&leftFrom=now-2h&leftUntil=now-1h&rightQuery=${q.replace("shop", "cart")}&rightFrom=now-1h&rightUntil=now`,
    );
    expect([
      diff.screen,
      selectorText(diff.baseline!.selector),
      diff.baseline!.from,
      selectorText(diff.side.selector),
      diff.side.from,
    ]).toEqual([
      "compare",
      'service_name="shop", pod!="a"',
      "now-2h",
      'service_name="cart", pod!="a"',
      "now-1h",
    ]);
    expect(decodeState("comparison", `?query=${q}&from=now-3h&until=now`).side.from).toBe("now-3h");
    expect(decodeState("explore", `?query=${q}&groupBy=pod`).group).toBe("pod");
  });
});

describe("selectors", () => {
  it("round-trip through their text", () => {
    fc.assert(
      fc.property(fc.array(matcher, { maxLength: 4 }), (m) => {
        expect(parseSelector(selectorText(m))).toEqual(m);
        expect(parseSelector(selectorOf(m))).toEqual(m);
      }),
    );
  });
  it.each([
    ['service_name="a', 14, "Unterminated string"],
    ["service_name=a", 14, "quoted value"],
    ['a="b" c="d"', 7, 'Expected ","'],
    ['{a="b"', 7, 'Expected "}"'],
    ['a~"b"', 2, "= != =~ !~"],
    ['="b"', 1, "label name"],
    ['a="b\\d"', 5, "Invalid escape"],
    ['a="b"}', 6, "Unexpected text"],
  ])("%s is refused at character %i", (given, at, why) => {
    try {
      parseSelector(given);
      throw new Error("accepted");
    } catch (err) {
      expect(err).toBeInstanceOf(SelectorError);
      expect([(err as SelectorError).at + 1, (err as Error).message]).toEqual([
        at,
        expect.stringContaining(why),
      ]);
    }
  });
  it.each(["k8s.namespace.name", "k8s-dash", "1lead", "√世界", "constructor", "__proto__"])(
    "quote the name %s for the server, if it is no identifier",
    (name) => {
      const text = selectorOf([{ name, op: "=", value: "prod" }]);
      expect(text).toBe(/^\w+$/.test(name) && !/^\d/.test(name) ? `{${name}="prod"}` : `{"${name}"="prod"}`);
      expect(parseSelector(text)).toEqual([{ name, op: "=", value: "prod" }]);
    },
  );
  it("take names with dots without quotes, and RE2's expressions", () => {
    expect(parseSelector('k8s.pod.name=~"(?i)A\\\\pL+[[:alpha:]]\\\\Qx\\\\E"')).toEqual([
      { name: "k8s.pod.name", op: "=~", value: "(?i)A\\pL+[[:alpha:]]\\Qx\\E" },
    ]);
    expect(parseSelector("a=~`\\d+\"`, b='it\\'s \\x41\\u00e9\\101\\n'")).toEqual([
      { name: "a", op: "=~", value: '\\d+"' },
      { name: "b", op: "=", value: "it's AéA\n" },
    ]);
  });
  it("replace, keep and invert", () => {
    const a = parseSelector('service_name="a", pod!="x"');
    expect(withMatcher(a, { name: "service_name", op: "=", value: "b" }).map(matcherText)).toEqual([
      'pod!="x"',
      'service_name="b"',
    ]);
    expect(a.map(invertMatcher).map(matcherText)).toEqual(['service_name!="a"', 'pod="x"']);
  });
});

describe("time", () => {
  const now = Date.UTC(2026, 10, 24, 12, 0, 0);
  it("accepts common notations, in the displayed zone", () => {
    expect(
      ["now", "now-1h30m", "1795532400000", "1795532400", "2026-11-24 10:00", "2026-11-24T10:00:00Z"].map(
        (t) => now - resolveTime(t, now, "Europe/Berlin"),
      ),
    ).toEqual([0, 54e5, now - 1795532400000, now - 1795532400000, 108e5, 72e5]);
    expect(() => resolveTime("yesterday", now, "utc")).toThrow(
      '"yesterday" is not a valid time. Examples: now, now-1h',
    );
    expect([isZone("utc"), isZone("Europe/Berlin"), isZone("Mars/Base")]).toEqual([true, true, false]);
  });
  it("has days of 23 and 25 hours at clock changes", () => {
    const day = (d: string, zone: string): number =>
      (resolveTime(
        `2026-${d.slice(0, 3)}${String(Number(d.slice(3)) + 1).padStart(2, "0")} 00:00`,
        now,
        zone,
      ) -
        resolveTime(`2026-${d} 00:00`, now, zone)) /
      36e5;
    expect([
      day("03-29", "Europe/Berlin"),
      day("10-25", "Europe/Berlin"),
      day("03-08", "America/New_York"),
      day("11-24", "utc"),
    ]).toEqual([23, 25, 23, 24]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1.7e9, max: 1.9e9 }),
        fc.constantFrom("utc", "Europe/Berlin", "Asia/Kolkata", "America/New_York"),
        (s, zone) => {
          const shown = formatTime(s * 1000, zone),
            back = resolveTime(shown, now, zone);
          // In the repeated hour of a clock change, one text means two instants.
          expect([0, 36e5]).toContain(Math.abs(back - s * 1000));
          expect(formatTime(back, zone)).toBe(shown);
        },
      ),
    );
  });
  it("shifts by its own length", () => {
    expect(shiftRange({ from: "now-1h", until: "now" }, now, "utc", -1)).toEqual({
      from: "now-2h",
      until: "now-1h",
    });
    expect(shiftRange({ from: "now-1h", until: "now" }, now, "utc", 0, -864e5)).toEqual({
      from: "now-25h",
      until: "now-1d",
    });
    expect(shiftRange({ from: "1000000000000", until: "1000000060000" }, now, "utc", 1)).toEqual({
      from: "1000000060000",
      until: "1000000120000",
    });
  });
  it("has human-readable lengths", () => {
    expect([formatLength(90e3), formatLength(90061e3)]).toEqual(["1 min 30 s", "1 d 1 h"]);
  });
});
