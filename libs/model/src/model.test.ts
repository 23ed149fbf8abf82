import {
  compareLabels,
  labelsText,
  parseProfileType,
  parseSelector,
  selectorMatches,
  selectorText,
} from "./index.ts";

const labels = [
  { name: "pod", value: "a-1" },
  { name: "service_name", value: "shop" },
];
const matches = (text: string): boolean => selectorMatches(parseSelector(text), labels);

describe("selectors", () => {
  it("match as in PromQL", () => {
    expect(matches('{service_name="shop"}')).toBe(true);
    expect(matches('{service_name!="shop"}')).toBe(false);
    expect(matches('{service_name=~"sh.*|x"}')).toBe(true);
    expect(matches('{service_name=~"sh"}')).toBe(false); // anchored at both ends
    expect(matches('{absent=""}')).toBe(true);
    expect(matches('{absent!=""}')).toBe(false);
    expect(matches("{pod!~'b.*',}")).toBe(true);
    expect(matches("{}")).toBe(true);
    expect(matches('{"service_name"="shop"}')).toBe(true);
  });
  it("read a metric name in front as an equality on the name", () => {
    expect(parseSelector('process_cpu:cpu:nanoseconds:cpu:nanoseconds{a="b"}').map(String)).toEqual([
      '__name__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"',
      'a="b"',
    ]);
  });
  it.each([
    ["", "unknown position: parse error: unexpected end of input"],
    ["{foo=", "1:6: parse error: unexpected end of input inside braces"],
    ['foo="bar"', '1:4: parse error: unexpected "="'],
    ['{foo=~"("}', "1:2: parse error: error parsing regexp: missing closing )"],
    ['{foo="a', "1:6: parse error: unterminated quoted string"],
    ["{foo~1}", '1:5: parse error: unexpected "~"'],
    ['{a="b"} x', '1:9: parse error: unexpected "x"'],
  ])("report the position of the error in %j", (text, message) => {
    expect(() => parseSelector(text)).toThrow(message);
  });
  it("come back from their text, whatever characters names and values have", () => {
    const names = [
      "a",
      "k8s.namespace.name",
      "k8s-dash",
      "1lead",
      "√世界",
      "a b",
      'q"\\',
      "a=~",
      "",
      "__proto__",
    ];
    const values = ["", "prod", 'q"\\n', "a\nb\u0000\u2028", "{}`'", "\ud800", "😀"];
    for (const name of names)
      for (const value of values)
        for (const op of ["=", "!="] as const) {
          const text = `{${JSON.stringify(name)}${op}${JSON.stringify(value)},z="1"}`;
          const once = parseSelector(text),
            twice = parseSelector(selectorText(once));
          expect(twice.map((m) => [m.name, m.op, m.value])).toEqual([
            [name, op, value],
            ["z", "=", "1"],
          ]);
        }
    expect(selectorText(parseSelector('{a="x","k8s.pod"="y"}'))).toBe('{a="x","k8s.pod"="y"}');
    expect(() => parseSelector('{a="\\UFFFFFFFF"}')).toThrow("unknown escape");
  });
  it("have RE2's semantics: matching is linear, and unsupported syntax is refused", () => {
    const started = performance.now();
    expect(selectorMatches(parseSelector('{a=~"(x+x+)+y"}'), [{ name: "a", value: "x".repeat(200) }])).toBe(
      false,
    );
    expect(performance.now() - started).toBeLessThan(1000);
    expect(() => parseSelector('{a=~"(?=x)"}')).toThrow("parse error");
  });
});

describe("profile types", () => {
  it("have five parts, or six with the sixth not stored", () => {
    expect(parseProfileType("a:b:c:d:e:delta")).toMatchObject({
      id: "a:b:c:d:e:delta",
      storedId: "a:b:c:d:e",
      sampleUnit: "c",
    });
    expect(parseProfileType("a:b:c::").periodUnit).toBe("");
    expect(() => parseProfileType("a:b:c:d")).toThrow("must be of the form");
  });
});

it("orders label sets pairwise, the shorter first", () => {
  expect(
    compareLabels(
      [{ name: "a", value: "b" }],
      [
        { name: "a", value: "b" },
        { name: "c", value: "" },
      ],
    ),
  ).toBeLessThan(0);
  expect(
    compareLabels(
      [{ name: "a", value: "c" }],
      [
        { name: "a", value: "b" },
        { name: "z", value: "" },
      ],
    ),
  ).toBeGreaterThan(0);
  expect(labelsText(labels)).toBe('{pod="a-1", service_name="shop"}');
});
