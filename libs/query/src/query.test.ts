import { AnnotationSets, type Annotations } from "@cinderblock/model";
import fc from "fast-check";
import { SymbolPartition } from "@cinderblock/symdb";
import { Random } from "@cinderblock/testkit";
import {
  diffLevels,
  encodeTreeBytes,
  finalTree,
  flameLevels,
  mergePartials,
  type PartialProfile,
  type PartialSeries,
  type PartialTree,
  ProfileMerger,
  pointTimes,
  renderSeries,
  SeriesMerger,
  TreeMerger,
} from "./index.ts";

/** Builds a tree from (`root;child`, value) pairs. */
function tree(...lines: [path: string, self: bigint][]): PartialTree {
  const m = new TreeMerger();
  for (const [path, self] of lines) {
    let node = 0;
    for (const frame of path.split(";")) {
      const b = Buffer.from(frame);
      node = m.childNode(node, m.names.intern(b, 0, b.length));
    }
    m.self.data[node]! += self;
  }
  return m.finish();
}
const EXAMPLE = tree(["foo;bar;baz", 1_000_000_000n], ["foo;qux", 2_000_000_000n]);
const names = (l: { names: Uint8Array[] }): string[] => l.names.map((n) => Buffer.from(n).toString());

describe("flame graphs", () => {
  it("have v1's levels: self before children, deltas, names numbered last sibling first", () => {
    const l = flameLevels(finalTree(EXAMPLE, 0));
    expect(l.levels).toEqual([
      [0, 3e9, 0, 0],
      [0, 3e9, 0, 1],
      [0, 1e9, 0, 3, 0, 2e9, 2e9, 2],
      [0, 1e9, 1e9, 4],
    ]);
    expect(names(l)).toEqual(["total", "foo", "qux", "bar", "baz"]);
    expect(l.maxSelf).toBe(2_000_000_000n);
  });
  it("have v1's compact tree bytes", () => {
    expect(Buffer.from(encodeTreeBytes(finalTree(EXAMPLE, 0))).toString("base64")).toBe(
      "AAABA2ZvbwACA3F1eICo1rkHAANiYXIAAQNiYXqAlOvcAwA=",
    );
  });
  it("are only the root without data", () => {
    const l = flameLevels(finalTree(tree(), 0));
    expect([l.levels, names(l)]).toEqual([[[0, 0, 0, 0]], ["total"]]);
  });
  it("fold nodes below the largest into `other`, with ties and totals kept", () => {
    const t = finalTree(tree(["a;x", 5n], ["a;y", 1n], ["b", 4n], ["c", 1n], ["d", 1n]), 3);
    const l = flameLevels(t);
    expect(l.total).toBe(12n);
    expect(names(l).sort()).toEqual(["a", "b", "other", "total", "x"].sort());
    expect(l.levels[1]).toEqual([
      0,
      6,
      0,
      expect.any(Number),
      0,
      4,
      0 + 4,
      expect.any(Number),
      0,
      2,
      2,
      expect.any(Number),
    ]);
  });
  it("stay exact above 2^53", () => {
    const l = flameLevels(finalTree(tree(["a", 2n ** 60n + 1n], ["b", 1n]), 0));
    expect(l.levels[1]).toEqual([0n, 2n ** 60n + 1n, 2n ** 60n + 1n, 2, 0n, 1n, 1n, 1]);
  });
  it("of two sides have the union of names and both totals", () => {
    const d = diffLevels(finalTree(tree(["a", 3n], ["b", 1n]), 0), finalTree(tree(["b", 2n], ["c", 5n]), 0));
    expect([d.leftTotal, d.rightTotal, d.total]).toEqual([4n, 7n, 11n]);
    expect(d.levels[1]).toEqual([0, 3, 3, 0, 0, 0, 3, 0, 1, 1, 0, 2, 2, 2, 0, 0, 0, 0, 5, 5, 1]);
  });
});

describe("merging", () => {
  const anyTree = fc
    .array(
      fc.tuple(
        fc.array(fc.constantFrom("a", "b", "c", "größe"), { minLength: 1, maxLength: 5 }),
        fc.bigInt(1n, 2n ** 40n),
      ),
      { maxLength: 20 },
    )
    .map((l) => tree(...l.map(([p, v]) => [p.join(";"), v] as [string, bigint])));
  const canonical = (t: PartialTree): string =>
    JSON.stringify(flameLevels(finalTree(t, 0)), (_, v: unknown) => (typeof v === "bigint" ? String(v) : v));
  it("does not depend on order and keeps totals", () => {
    fc.assert(
      fc.property(anyTree, anyTree, anyTree, (a, b, c) => {
        const merge = (...parts: PartialTree[]): PartialTree => {
          const r = mergePartials(parts.map((tree) => ({ kind: "tree", tree })));
          return r.kind === "tree" ? r.tree : tree();
        };
        const sum = (t: PartialTree): bigint => t.self.reduce((x, y) => x + y, 0n);
        return (
          canonical(merge(a, b, c)) === canonical(merge(c, merge(b, a))) &&
          sum(merge(a, b, c)) === sum(a) + sum(b) + sum(c)
        );
      }),
    );
  });
  it("of truncated trees keeps the total for any limit", () => {
    fc.assert(
      fc.property(
        anyTree,
        fc.integer({ min: 1, max: 30 }),
        (t, n) => finalTree(t, n).total[0] === t.self.reduce((x, y) => x + y, 0n),
      ),
    );
  });
});

describe("time series", () => {
  const table = (
    times: number[],
    totals: bigint[],
    sets = new AnnotationSets(),
    annotation: number[] = times.map(() => 0),
  ) =>
    ({
      annotations: sets,
      annotation: Uint32Array.from(annotation),
      timeNanos: BigInt64Array.from(times, (t) => BigInt(t) * 1_000_000n),
      totalValue: BigInt64Array.from(totals),
    }) as never;
  it("stamp points with the right edge, sum or average, and omit empty buckets", () => {
    const m = new SeriesMerger();
    const range = { startMs: 1000, endMs: 1099, stepMs: 50, groupBy: ["pod"] };
    m.addRows(
      table([951, 1000, 1001, 1050, 1051], [1n, 2n, 4n, 8n, 16n]),
      [
        { name: "pod", value: "p" },
        { name: "x", value: "y" },
      ],
      Uint32Array.of(0, 1, 2, 3, 4),
      range,
      undefined,
    );
    expect(renderSeries(m.finish(), range, false, 0)).toEqual([
      {
        labels: [{ name: "pod", value: "p" }],
        points: [
          { timestampMs: 1000, value: 3 },
          { timestampMs: 1050, value: 12 },
        ],
      },
    ]);
    expect(renderSeries(m.finish(), range, true, 0)[0]!.points.map((p) => p.value)).toEqual([1.5, 6]);
  });
  it("return each annotation of a point's profiles once", () => {
    const range = { startMs: 0, endMs: 20, stepMs: 10, groupBy: ["pod"] },
      sets = new AnnotationSets(),
      x = { key: "k", value: "x" },
      y = { key: "k", value: "y" };
    const part = (times: number[], lists: Annotations[]): PartialSeries[] => {
      const m = new SeriesMerger();
      m.addRows(
        table(
          times,
          times.map(() => 1n),
          sets,
          lists.map((l) => sets.intern(l)),
        ),
        [],
        Uint32Array.from(times.keys()),
        range,
        undefined,
      );
      return m.finish();
    };
    const m = new SeriesMerger();
    for (const p of [
      ...part([1, 2, 11], [[y], [x, y], []]),
      ...part([3, 20], [[x], []]),
      ...part([15], [[y]]),
    ])
      m.add(p);
    expect(renderSeries(m.finish(), range, false, 0)[0]!.points).toEqual([
      { timestampMs: 10, value: 3, annotations: [x, y] },
      { timestampMs: 20, value: 3, annotations: [y] },
    ]);
  });
  it("count the profiles of both edges of the first step, and of the right edge of others", () => {
    const range = { startMs: 1000, endMs: 1040, stepMs: 20, groupBy: [] },
      { startMs, endMs } = pointTimes(range),
      m = new SeriesMerger();
    const times = [980, 981, 1000, 1001, 1020, 1021, 1040].filter((ms) => ms >= startMs && ms <= endMs);
    m.addRows(
      table(
        times,
        times.map(() => 1n),
      ),
      [],
      Uint32Array.from(times, (_, i) => i),
      range,
      undefined,
    );
    expect(startMs).toBe(980);
    expect(renderSeries(m.finish(), range, false, 0)[0]!.points.map((p) => [p.timestampMs, p.value])).toEqual(
      [
        [1000, 3],
        [1020, 2],
        [1040, 2],
      ],
    );
  });
  it("are ordered by total, and limited from the top", () => {
    const m = new SeriesMerger();
    const range = { startMs: 0, endMs: 10, stepMs: 10, groupBy: ["pod"] };
    ["a", "b", "c"].forEach((value, i) =>
      m.addRows(
        table([5], [BigInt([3, 9, 3][i]!)]),
        [{ name: "pod", value }],
        Uint32Array.of(0),
        range,
        undefined,
      ),
    );
    expect(renderSeries(m.finish(), range, false, 0).map((s) => s.labels[0]!.value)).toEqual(["b", "a", "c"]);
    expect(renderSeries(m.finish(), range, false, 1)).toHaveLength(1);
  });
});

describe("selecting the stacks of one symbol partition", () => {
  const text = (t: PartialProfile, i: number): string =>
    Buffer.from(t.stringBytes.subarray(t.stringOffset[i]!, t.stringOffset[i + 1]!)).toString();
  const location = (t: PartialProfile, l: number): string => {
    const w = t.locationWords.subarray(t.locationOffset[l]!, t.locationOffset[l + 1]!);
    const m = t.mappingWords.subarray(w[0]! * 9, w[0]! * 9 + 9);
    const lines: string[] = [];
    for (let k = 4; k < w.length; k += 2) {
      const f = t.functionWords.subarray(w[k]! * 4, w[k]! * 4 + 4);
      lines.push(`${text(t, f[0]!)}/${text(t, f[1]!)}/${text(t, f[2]!)}:${f[3]}:${w[k + 1]}`);
    }
    return `${text(t, m[6]!)}/${text(t, m[7]!)}/${[...m.subarray(0, 6), m[8]].join(",")}|${[...w.subarray(1, 4)].join(",")}|${lines.join(";")}`;
  };
  const contents = (t: PartialProfile): string[] => {
    const out: string[] = [];
    for (let i = 1; i < t.value.length; i++) {
      if (t.value[i] === 0n) continue;
      const path: string[] = [];
      for (let at = i; at > 0; at = t.stackParent[at]!) path.push(location(t, t.stackLocation[at]!));
      out.push(`${path.join(" < ")} = ${t.value[i]}`);
    }
    return out.sort();
  };

  it("equals merging them into an empty partition", () => {
    const random = new Random(20261124);
    for (let round = 0; round < 60; round++) {
      const p = new SymbolPartition();
      const string = (): number => {
        const b = Buffer.from(`s${random.below(30)}`);
        return p.strings.intern(b, 0, b.length);
      };
      const mapping = (): number =>
        p.mappings.intern(
          Uint32Array.of(random.below(3), 0, 9, 0, 0, 0, string(), string(), random.below(16)),
          9,
        );
      const line = (): number[] => [
        p.functions.intern(Uint32Array.of(string(), string(), string(), random.below(9)), 4),
        random.below(99),
      ];
      const nodes = [0];
      for (let i = random.below(200); i > 0; i--) {
        const l = [
          mapping(),
          random.below(4),
          0,
          random.below(2),
          ...Array.from({ length: random.below(4) }, line).flat(),
        ];
        nodes.push(
          p.stackChild(nodes[random.below(nodes.length)]!, p.locations.intern(Uint32Array.from(l), l.length)),
        );
      }
      const tables = p.tables();
      const values = BigInt64Array.from({ length: tables.stackParent.length }, (_, i) =>
        i === 0 || random.below(3) > 0 ? 0n : BigInt(random.below(1000) - 200),
      );
      const keep = random.below(2) === 0 ? undefined : (node: number): boolean => node % 2 === 0;
      const picked = new ProfileMerger(),
        merged = new ProfileMerger();
      picked.addStacks(tables, values, keep);
      merged.addStacks(new SymbolPartition().tables(), new BigInt64Array(1), undefined);
      merged.addStacks(tables, values, keep);
      const found = picked.finish();
      expect(contents(found)).toEqual(contents(merged.finish()));
      for (let i = 1; i < found.stackParent.length; i++) expect(found.stackParent[i]).toBeLessThan(i);
    }
  });
  it("leaves tables with invalid references to the merge, which skips them", () => {
    const p = new SymbolPartition();
    const l = p.locations.intern(Uint32Array.of(7, 0, 0, 0, 9, 1), 6);
    p.stackChild(0, l);
    const m = new ProfileMerger();
    m.addStacks(p.tables(), BigInt64Array.of(0n, 5n), undefined);
    expect(m.finish().value).toEqual(BigInt64Array.of(0n, 5n));
  });
});
