import { SymbolPartition } from "@cinderblock/symdb";
import { Random } from "@cinderblock/testkit";
import { type FunctionFile, functionLines, type PartialProfile, type StackFilter } from "./index.ts";

const ALL: StackFilter = { callSite: [], only: [], without: [], hide: [] };
/** A frame as `name file line`; a location lists its frames innermost first. */
type Frame = readonly [name: string, file: string, line: number];

/** Stacks of locations, root first, with their values. */
function profile(
  stacks: readonly { locations: readonly (readonly Frame[])[]; value: number; build: string }[],
): PartialProfile {
  const p = new SymbolPartition();
  const string = (s: string): number => {
    const b = Buffer.from(s);
    return p.strings.intern(b, 0, b.length);
  };
  const values = new Map<number, bigint>();
  for (const s of stacks) {
    const mapping = p.mappings.intern(Uint32Array.of(0, 0, 0, 0, 0, 0, 0, string(s.build), 0), 9);
    let node = 0;
    for (const frames of s.locations) {
      const words = Uint32Array.from([
        mapping,
        0,
        0,
        0,
        ...frames.flatMap(([name, file, line]) => [
          p.functions.intern(Uint32Array.of(string(name), 0, string(file), 10), 4),
          line,
        ]),
      ]);
      node = p.stackChild(node, p.locations.intern(words, words.length));
    }
    values.set(node, (values.get(node) ?? 0n) + BigInt(s.value));
  }
  const t = p.tables(),
    value = new BigInt64Array(t.stackParent.length);
  for (const [node, v] of values) value[node] = v;
  return { ...t, value };
}

describe("lines of a function", () => {
  it("have their own values and those of their callees, with inlined frames, and recursion once", async () => {
    const main: Frame = ["main", "main.go", 5],
      work = (line: number): Frame => ["work", "work.go", line];
    const p = profile([
      { locations: [[main], [work(12)]], value: 3, build: "" },
      { locations: [[main], [work(12)], [["leaf", "leaf.go", 1]]], value: 4, build: "" },
      { locations: [[main], [work(12)], [work(14)], [work(12)]], value: 10, build: "" },
      { locations: [[["leaf", "leaf.go", 2], work(13)]], value: 7, build: "" }, // leaf is inlined into work
      { locations: [[main], [["work", "other.go", 12]]], value: 1, build: "b2" },
    ]);
    expect(await functionLines(p, "work", ALL)).toEqual([
      {
        filename: "work.go",
        startLine: 10,
        buildId: "",
        lines: [
          { line: 12, self: 13n, total: 17n },
          { line: 13, self: 0n, total: 7n },
          { line: 14, self: 0n, total: 10n },
        ],
      },
      { filename: "other.go", startLine: 10, buildId: "b2", lines: [{ line: 12, self: 1n, total: 1n }] },
    ]);
    expect(
      (await functionLines(p, "work", { ...ALL, only: ["leaf"] })).map((f) =>
        f.lines.map((l) => [l.line, l.total]),
      ),
    ).toEqual([
      [
        [12, 4n],
        [13, 7n],
      ],
    ]);
    expect(await functionLines(p, "wor", ALL)).toEqual([]);
  });

  it("equal a slow scan of all stacks, with any filter", async () => {
    const random = new Random(11);
    for (let round = 0; round < 60; round++) {
      const frame = (): Frame => [`f${random.below(4)}`, `file${random.below(2)}`, 1 + random.below(3)];
      const stacks = Array.from({ length: 1 + random.below(20) }, () => ({
        value: 1 + random.below(9),
        build: `b${random.below(2)}`,
        locations: Array.from({ length: 1 + random.below(5) }, () =>
          Array.from({ length: 1 + random.below(3) }, frame),
        ),
      }));
      const filter: StackFilter = {
        callSite: random.below(3) === 0 ? ["f1"] : [],
        only: random.below(3) === 0 ? ["f2"] : [],
        without: random.below(3) === 0 ? ["f3"] : [],
        hide: random.below(2) === 0 ? ["f2"] : [],
      };
      const expected = new Map<string, { self: bigint; total: bigint }>();
      for (const s of stacks) {
        // Root first: the last frame of a location is the outermost one.
        const frames = s.locations.flatMap((l) => [...l].reverse()),
          names = frames.map(([n]) => n);
        if (
          filter.callSite.some((c, i) => names[i] !== c) ||
          filter.only.some((o) => !names.includes(o)) ||
          filter.without.some((w) => names.includes(w))
        )
          continue;
        const keys = frames.map(([n, file, line]) => (n === "f0" ? `${file} ${s.build} ${line}` : ""));
        for (const key of new Set(keys)) {
          if (key === "") continue;
          const sums = expected.get(key) ?? { self: 0n, total: 0n };
          sums.total += BigInt(s.value);
          if (keys.at(-1) === key) sums.self += BigInt(s.value);
          expected.set(key, sums);
        }
      }
      const found = new Map(
        (await functionLines(profile(stacks), "f0", filter)).flatMap((f: FunctionFile) =>
          f.lines.map(
            (l) => [`${f.filename} ${f.buildId} ${l.line}`, { self: l.self, total: l.total }] as const,
          ),
        ),
      );
      expect([...found].sort()).toEqual([...expected].sort());
    }
  });
});
