import fc from "fast-check";
import { RE2JS } from "re2js";
import { Matcher, parseSelector, PatternBudget, textFilter } from "./index.ts";
import { anchoredPredicate, literalAlternatives, regexInstructionBound } from "./pattern.ts";

const limits = { characters: 1000, matchers: 5, instructions: 200 };
const budget = (): PatternBudget => new PatternBudget(limits);
const budgetOf = (instructions: number): PatternBudget => new PatternBudget({ ...limits, instructions });

/** Regular expressions with all constructs of RE2. */
const pattern: fc.Arbitrary<string> = fc.letrec<{ re: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(
      "a",
      "bc",
      ".",
      "\\d",
      "\\.",
      "[a-z]",
      "[^]x]",
      "[[:alpha:]_]",
      "\\pL",
      "\\x{41}",
      "\\Qa+b\\E",
      "é",
      "^",
      "$",
      "",
    ),
    tie("re").map((r) => `(${r})`),
    tie("re").map((r) => `(?:${r})`),
    tie("re").map((r) => `(?i:${r})`),
    tie("re").map((r) => `(?P<name>${r})`),
  ),
  re: fc.oneof(
    { depthSize: "small" },
    tie("atom"),
    fc
      .tuple(tie("atom"), fc.constantFrom("*", "+", "?", "{3}", "{2,}", "{0,7}", "{0}", "*?"))
      .map(([a, q]) => (a === "" || a === "^" || a === "$" ? a : `(?:${a})${q}`)),
    fc.tuple(tie("re"), tie("re")).map(([a, b]) => `${a}${b}`),
    fc.tuple(tie("re"), tie("re")).map(([a, b]) => `${a}|${b}`),
  ),
})).re;

describe("the size of a regular expression", () => {
  it("is estimated from its text, never below its compiled size", () => {
    fc.assert(
      fc.property(pattern, (text) => {
        let size: number;
        try {
          size = RE2JS.compile(text).programSize();
        } catch {
          return; // RE2 has other limits too
        }
        expect(regexInstructionBound(text)).toBeGreaterThanOrEqual(size - 4);
      }),
      { numRuns: 400 },
    );
  });

  it.each([
    [
      "counted repetition",
      ".{0,1000}".repeat(10),
      /up to \d+ instructions; the limit is 200 \(-querier.max-regex-instructions\)/,
    ],
    ["nested counted repetition", "((a{0,9}){0,9}){0,9}", /compile to up to \d+ instructions/],
    [
      "many alternatives with more than text",
      Array.from({ length: 100 }, (_, i) => `${i}x.*`).join("|"),
      /instructions/,
    ],
    ["nesting", `${"(".repeat(150)}a${")".repeat(150)}`, /instructions/],
    ["a chain of options", "a?".repeat(150), /instructions/],
    ["a Unicode class, repeated", "\\pL{0,300}", /instructions/],
  ])("refuses %s before compiling it", (_, text, message) => {
    const began = performance.now();
    expect(() => new Matcher("a", "=~", text, "1:2", budget())).toThrow(message);
    expect(() => textFilter(`/${text}/`, budget())).toThrow(message);
    expect(performance.now() - began).toBeLessThan(1000);
  });

  it("counts all regular expressions of a query together", () => {
    const b = budget();
    for (let i = 0; i < 3; i++) parseSelector(`{a=~"x{0,20}y"}`, b);
    expect(() => {
      for (let i = 0; i < 2; i++) parseSelector(`{a=~"x{0,40}y"}`, b);
    }).toThrow(
      /parse error: the regular expressions of the query compile to \d+ instructions; the limit is 200/,
    );
  });

  it("bounds characters and matchers", () => {
    expect(() => parseSelector(`{a="${"x".repeat(1000)}"}`, budget())).toThrow(
      "the selectors and filters of the query have 1006 characters; the limit is 1000 (-querier.max-selector-length)",
    );
    const b = budget();
    parseSelector('{a="1",b="1",c="1"}', b);
    expect(() => parseSelector('{a="1",b="1",c="1"}', b)).toThrow(
      "the selectors of the query have more than 5 matchers, the limit (-querier.max-matchers)",
    );
  });

  it("leaves lists of plain values free, however long", () => {
    const values = Array.from({ length: 5000 }, (_, i) => `service-${i}\\.shop`);
    const m = new Matcher("a", "=~", `(${values.join("|")})`, "1:2", budget());
    expect([m.matches("service-4999.shop"), m.matches("service-5000.shop"), m.matches("")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("an anchored test", () => {
  it("matches the same as RE2", () => {
    const text = fc.oneof(
      pattern,
      fc
        .array(
          fc.constantFrom("a", "b", ".", "\\.", "|", "\\|", "(", ")", "\\-", "é", "\u{1f600}", ".*", ".+"),
        )
        .map((x) => x.join("")),
    );
    const value = fc
      .array(fc.constantFrom("a", "b", ".", "|", "(", ")", "-", "é", "\u{1f600}", "\n", "x"))
      .map((x) => x.join(""));
    fc.assert(
      fc.property(text, fc.array(value), (t, values) => {
        let re: RE2JS;
        try {
          RE2JS.compile(t);
          re = RE2JS.compile(`^(?s:${t})$`);
        } catch {
          expect(() => anchoredPredicate(t, new PatternBudget())).toThrow();
          return;
        }
        const test = anchoredPredicate(t, new PatternBudget());
        for (const v of [...values, ...(literalAlternatives(t) ?? [])])
          expect([t, v, test(v)]).toEqual([t, v, re.matcher(v).find()]);
      }),
      { numRuns: 600 },
    );
  });

  it.each(["a)(b", "a(", "[a", "a**"])("refuses %j with its text", (text) => {
    expect(() => anchoredPredicate(text, new PatternBudget())).toThrow(/error parsing regexp/);
    expect(() => anchoredPredicate(text, new PatternBudget())).not.toThrow(/\(\?s/);
  });

  it.each([
    ["pod-7.*", "pod-7", true],
    ["pod-7.*", "pod-7\n8", true],
    ["pod-7.*", "a-pod-7", false],
    [".*\\.shop", "cart.shop", true],
    [".+\\.shop", ".shop", false],
    [".*cart.*", "my-cart-7", true],
    ["a.+b.*c", "abbc", true],
    ["a.+b.*c", "abc", false],
    ["aba.*aba", "ababa", false],
    ["a.+", "a\u{1f600}", true],
  ])("of plain text with wildcards costs no instructions: %j, %j", (text, value, expected) => {
    const m = new Matcher("a", "=~", text, "1:2", budgetOf(0));
    expect(m.matches(value)).toBe(expected);
    expect(m.isCostly("another value")).toBe(false);
  });

  it("counts the instructions of two wildcards in a row", () => {
    expect(new Matcher("a", "=~", ".+.+").matches("\u{1f600}")).toBe(false);
    expect(() => new Matcher("a", "=~", ".+.+", "1:2", budgetOf(0))).toThrow(/instructions/);
  });

  it("remembers its verdict of each value", () => {
    const m = new Matcher("a", "=~", "x[a-z]*");
    expect(m.isCostly("xy")).toBe(true);
    expect(m.matches("xy")).toBe(true);
    expect(m.isCostly("xy")).toBe(false);
    expect(new Matcher("a", "=", "x").isCostly("x")).toBe(false);
  });
});
