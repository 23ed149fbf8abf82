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
import { formatLength, formatTime, isRelative, isZone, resolveTime, shiftRange } from "./time.ts";

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

/** One instant in four zones. */
function alike(text: string): [string, string, string, string] {
  return [text, text, text, text];
}

describe("time", () => {
  const now = Date.UTC(2026, 10, 24, 12, 0, 0);
  it("accepts common notations, in the displayed zone", () => {
    expect(
      ["now", "now-1h30m", "1795532400000", "1795532400", "2026-11-24 10:00", "2026-11-24T10:00:00Z"].map(
        (t) => now - resolveTime(t, now, "Europe/Berlin"),
      ),
    ).toEqual([0, 54e5, now - 1795532400000, now - 1795532400000, 108e5, 72e5]);
    expect(() => resolveTime("tomorrow", now, "utc")).toThrow(
      '"tomorrow" is not a valid time. Examples: now, now-1h',
    );
    expect([isZone("utc"), isZone("Europe/Berlin"), isZone("Mars/Base")]).toEqual([true, true, false]);
  });
  // Instants of 25 texts in 4 zones, at 2026-11-24 12:00 UTC: 13:00 in Berlin, 17:30 in Kolkata, 07:00 in New York.
  const utc = (text: string): number => Date.parse(`${text}Z`);
  it.each<[text: string, utc: string, berlin: string, kolkata: string, newYork: string]>([
    ["now", ...alike("2026-11-24T12:00:00")],
    [" now ", ...alike("2026-11-24T12:00:00")],
    ["now-1h", ...alike("2026-11-24T11:00:00")],
    ["now-2d12h", ...alike("2026-11-22T00:00:00")],
    ["1h", ...alike("2026-11-24T11:00:00")],
    ["1h30m", ...alike("2026-11-24T10:30:00")],
    ["2w", ...alike("2026-11-10T12:00:00")],
    ["90s", ...alike("2026-11-24T11:58:30")],
    ["now/h", "2026-11-24T12:00:00", "2026-11-24T12:00:00", "2026-11-24T11:30:00", "2026-11-24T12:00:00"],
    ["now-1h/h", "2026-11-24T11:00:00", "2026-11-24T11:00:00", "2026-11-24T10:30:00", "2026-11-24T11:00:00"],
    ["now/d", "2026-11-24T00:00:00", "2026-11-23T23:00:00", "2026-11-23T18:30:00", "2026-11-24T05:00:00"],
    ["today", "2026-11-24T00:00:00", "2026-11-23T23:00:00", "2026-11-23T18:30:00", "2026-11-24T05:00:00"],
    ["yesterday", "2026-11-23T00:00:00", "2026-11-22T23:00:00", "2026-11-22T18:30:00", "2026-11-23T05:00:00"],
    ["Yesterday", "2026-11-23T00:00:00", "2026-11-22T23:00:00", "2026-11-22T18:30:00", "2026-11-23T05:00:00"],
    ["now-1d/d", "2026-11-23T00:00:00", "2026-11-22T23:00:00", "2026-11-22T18:30:00", "2026-11-23T05:00:00"],
    ["now-13h/d", "2026-11-23T00:00:00", "2026-11-23T23:00:00", "2026-11-23T18:30:00", "2026-11-23T05:00:00"],
    ["now/w", "2026-11-23T00:00:00", "2026-11-22T23:00:00", "2026-11-22T18:30:00", "2026-11-23T05:00:00"],
    ["06:30", "2026-11-24T06:30:00", "2026-11-24T05:30:00", "2026-11-24T01:00:00", "2026-11-24T11:30:00"],
    ["15:00", "2026-11-23T15:00:00", "2026-11-23T14:00:00", "2026-11-24T09:30:00", "2026-11-23T20:00:00"],
    ["6:30:15", "2026-11-24T06:30:15", "2026-11-24T05:30:15", "2026-11-24T01:00:15", "2026-11-24T11:30:15"],
    [
      "2026-11-20",
      "2026-11-20T00:00:00",
      "2026-11-19T23:00:00",
      "2026-11-19T18:30:00",
      "2026-11-20T05:00:00",
    ],
    [
      "2026-07-01 09:00",
      "2026-07-01T09:00:00",
      "2026-07-01T07:00:00",
      "2026-07-01T03:30:00",
      "2026-07-01T13:00:00",
    ],
    ["2026-11-20T09:00:00+02:00", ...alike("2026-11-20T07:00:00")],
    ["1795532400", ...alike("2026-11-24T15:00:00")],
    ["1795532400000", ...alike("2026-11-24T15:00:00")],
  ])("resolves %p in four zones", (text, ...instants) => {
    const zones = ["utc", "Europe/Berlin", "Asia/Kolkata", "America/New_York"];
    expect(zones.map((z) => resolveTime(text, now, z))).toEqual(instants.map(utc));
  });
  it.each([
    "",
    "tomorrow",
    "now+1h",
    "now-1y",
    "now/q",
    "25:00",
    "12:60",
    "2026-02-30",
    "2026-13-01",
    "1h ago",
    "-5m",
  ])("rejects %p", (text) => {
    expect(() => resolveTime(text, now, "utc")).toThrow(`"${text}" is not a valid time`);
  });
  it("subtracts whole days on the calendar across a clock change", () => {
    // The clocks of Berlin went back on 2026-10-25 at 03:00, so that day has 25 hours.
    const monday = utc("2026-10-26T11:00:00");
    expect(["now/d", "yesterday", "now-2d/d"].map((t) => resolveTime(t, monday, "Europe/Berlin"))).toEqual(
      ["2026-10-25T23:00:00", "2026-10-24T22:00:00", "2026-10-23T22:00:00"].map(utc),
    );
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
      until: "now-24h",
    });
    expect(shiftRange({ from: "1000000000000", until: "1000000060000" }, now, "utc", 1)).toEqual({
      from: "1000000060000",
      until: "1000000120000",
    });
  });
  it("returns to the same relative range, and stops at now", () => {
    for (const from of ["now-5m", "now-1h", "now-90s", "now-24h", "now-7d"]) {
      const range = { from, until: "now" },
        twice = shiftRange(shiftRange(range, now, "utc", -1), now, "utc", -1);
      expect(shiftRange(shiftRange(twice, now, "utc", 1), now, "utc", 1)).toEqual(range);
      expect(shiftRange(range, now, "utc", 1)).toEqual(range);
    }
    expect(shiftRange({ from: "now-3h", until: "now-1h" }, now, "utc", 1)).toEqual({
      from: "now-2h",
      until: "now",
    });
    expect(shiftRange({ from: String(now - 3e6), until: String(now - 1e6) }, now, "utc", 1)).toEqual({
      from: String(now - 2e6),
      until: String(now),
    });
    expect(isRelative("1h") && isRelative("today") && !isRelative("15:00")).toBe(true);
  });
  it("has human-readable lengths", () => {
    expect([formatLength(90e3), formatLength(90061e3)]).toEqual(["1 min 30 s", "1 d 1 h"]);
  });
});
