import { create, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { CallTreeResponseSchema, FunctionTableResponseSchema } from "@cinderblock/api";
import fc from "fast-check";
import { TreeMerger } from "./tree.ts";
import { encodeCallTree } from "./call-tree.ts";
import { callersAndCallees, mergeComparison } from "./comparison-tree.ts";
import { encodeFunctionTable, functionSums } from "./function-table.ts";
import type { StackFilter } from "./stack-filter.ts";

type Stack = [frames: string[], value: number];
const NONE: StackFilter = { callSite: [], only: [], without: [], hide: [] };
const text = new TextEncoder();

function treeOf(stacks: readonly Stack[]): ReturnType<TreeMerger["finish"]> {
  const m = new TreeMerger();
  for (const [frames, value] of stacks) {
    let node = 0;
    for (const f of frames) {
      const b = text.encode(f);
      node = m.childNode(node, m.names.intern(b, 0, b.length));
    }
    m.self.data[node]! += BigInt(value);
  }
  return m.finish();
}

/** Path -> self + folded, computed from the columns of a response. */
function paths(r: MessageShape<typeof CallTreeResponseSchema>, base = false): Map<string, number> {
  const out = new Map<string, number>(),
    path: string[] = [];
  r.parent.forEach((p, i) => {
    path.push(i === 0 ? "" : `${path[p]}/${r.names[r.name[i]!]}`);
    const v = Number(base ? r.baseSelf[i] : r.self[i]);
    if (v !== 0) out.set(path[i]!, v);
  });
  return out;
}
const decode = (bytes: Uint8Array): MessageShape<typeof CallTreeResponseSchema> =>
  fromBinary(CallTreeResponseSchema, bytes);
const sum = (stacks: readonly Stack[]): Map<string, number> => {
  const out = new Map<string, number>();
  for (const [f, v] of stacks) {
    const k = f.map((x) => `/${x}`).join("");
    out.set(k, (out.get(k) ?? 0) + v);
  }
  return out;
};
const sorted = (m: Map<string, number>): [string, number][] =>
  [...m].filter(([, v]) => v !== 0).sort(([a], [b]) => (a < b ? -1 : 1));

const names = fc.constantFrom("main", "a", "b", "c", "other");
const stacks = fc.array(
  fc.tuple(fc.array(names, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 1000 })),
  { maxLength: 30 },
);
const exact = fc.subarray(["main", "a", "b"], { maxLength: 2 }),
  some = fc.subarray(["main", "a", "b", "/^[AB]$/", "/ai/"], { maxLength: 2 });
const has = (s: readonly string[], entry: string): boolean =>
  s.some((name) => (entry.startsWith("/") ? new RegExp(entry.slice(1, -1), "i").test(name) : name === entry));

/** The naive implementation, stack by stack. */
function slow(list: readonly Stack[], f: StackFilter): Stack[] {
  return list
    .filter(
      ([s]) =>
        f.callSite.every((c, i) => s[i] === c) &&
        f.only.every((o) => has(s, o)) &&
        !f.without.some((w) => has(s, w)),
    )
    .map(([s, v]) => [s.filter((x) => !f.hide.some((h) => has([x], h))), v]);
}

describe("two trees as one", () => {
  it("contain exactly the stacks that a filter accepts", async () => {
    await fc.assert(
      fc.asyncProperty(
        stacks,
        stacks,
        exact,
        some,
        some,
        some,
        async (a, b, callSite, only, without, hide) => {
          const f = { callSite, only, without, hide };
          const r = decode(encodeCallTree(await mergeComparison(treeOf(a), treeOf(b), f, f), 0));
          expect(sorted(paths(r))).toEqual(sorted(sum(slow(a, f))));
          expect(sorted(paths(r, true))).toEqual(sorted(sum(slow(b, f))));
          expect([Number(r.total), Number(r.baseTotal)]).toEqual(
            [a, b].map((l) => slow(l, f).reduce((x, [, v]) => x + v, 0)),
          );
        },
      ),
    );
  });

  it("account for cut-off nodes: sums are kept, and the largest nodes stay", async () => {
    await fc.assert(
      fc.asyncProperty(stacks, fc.integer({ min: 1, max: 10 }), async (a, max) => {
        const whole = decode(encodeCallTree(await mergeComparison(treeOf(a), undefined, NONE, NONE), 0)),
          cut = decode(encodeCallTree(await mergeComparison(treeOf(a), undefined, NONE, NONE), max));
        const all = (r: typeof cut): bigint => [...r.self, ...r.folded].reduce((x, y) => x + y, 0n);
        expect([all(cut), cut.nodes]).toEqual([all(whole), BigInt(whole.parent.length)]);
        expect(cut.parent.length - 1).toBeGreaterThanOrEqual(Math.min(max, whole.parent.length - 1));
        // Nodes that tie with the smallest kept node stay together.
        cut.foldedCount.forEach((n, i) => expect(n > 0).toBe(cut.folded[i]! > 0n));
      }),
    );
  });

  it("return exact values for every function; recursion counts once", async () => {
    await fc.assert(
      fc.asyncProperty(stacks, stacks, async (a, b) => {
        const t = await mergeComparison(treeOf(a), treeOf(b), NONE, NONE);
        const rows = fromBinary(
          FunctionTableResponseSchema,
          await encodeFunctionTable(t, {
            filter: "",
            only: [],
            order: "name",
            ascending: true,
            offset: 0,
            limit: 0,
          }),
        ).functions;
        const wanted = [...new Set([...a, ...b].flatMap(([f]) => f))].sort();
        expect(rows.map((r) => r.name)).toEqual(wanted);
        for (const r of rows) {
          const of = (l: readonly Stack[], pick: (s: string[]) => boolean): number =>
            l.filter(([s]) => pick(s)).reduce((x, [, v]) => x + v, 0);
          expect([r.self, r.total, r.baseSelf, r.baseTotal].map(Number)).toEqual([
            of(a, (s) => s.at(-1) === r.name),
            of(a, (s) => s.includes(r.name)),
            of(b, (s) => s.at(-1) === r.name),
            of(b, (s) => s.includes(r.name)),
          ]);
        }
        expect(functionSums(t).total.length).toBe(t.nameOffset.length - 1);
      }),
    );
  });

  it("page, order and filter the table", async () => {
    const t = await mergeComparison(
      treeOf([
        [["main", "parse"], 5],
        [["main", "Parser"], 7],
        [["main"], 1],
      ]),
      undefined,
      NONE,
      NONE,
    );
    const ask = async (over: object) =>
      fromBinary(
        FunctionTableResponseSchema,
        await encodeFunctionTable(t, {
          filter: "",
          only: [],
          order: "self",
          ascending: false,
          offset: 0,
          limit: 0,
          ...over,
        }),
      );
    expect((await ask({})).functions.map((f) => f.name)).toEqual(["Parser", "parse", "main"]);
    expect((await ask({ order: "total" })).functions[0]!.name).toBe("main");
    expect((await ask({ filter: "/^pars(e|er)$/" })).functions.map((f) => f.name)).toEqual([
      "Parser",
      "parse",
    ]);
    expect((await ask({ only: ["parse", "nobody"] })).functions.map((f) => f.name)).toEqual(["parse"]);
    await expect(ask({ filter: "/(/" })).rejects.toThrow("filter: error parsing regexp");
    const page = await ask({ filter: "PARSE", offset: 1, limit: 1 });
    expect([
      page.functions.map((f) => f.name),
      Number(page.count),
      Number(page.matching),
      Number(page.total),
    ]).toEqual([["parse"], 3, 2, 13]);
  });

  it("return all callers and callees of a function", async () => {
    await fc.assert(
      fc.asyncProperty(stacks, stacks, names, async (a, b, name) => {
        const t = await mergeComparison(treeOf(a), treeOf(b), NONE, NONE),
          n = callersAndCallees(t, name);
        const up = (l: readonly Stack[]): Stack[] =>
          l.filter(([s]) => s.includes(name)).map(([s, v]) => [s.slice(0, s.indexOf(name) + 1).reverse(), v]);
        const down = (l: readonly Stack[]): Stack[] =>
          l.filter(([s]) => s.includes(name)).map(([s, v]) => [s.slice(s.indexOf(name)), v]);
        const callers = decode(encodeCallTree(n.callers, 0)),
          callees = decode(encodeCallTree(n.callees, 0));
        expect(sorted(paths(callers))).toEqual(sorted(sum(up(a))));
        expect(sorted(paths(callers, true))).toEqual(sorted(sum(up(b))));
        expect(sorted(paths(callees))).toEqual(sorted(sum(down(a))));
        expect(sorted(paths(callees, true))).toEqual(sorted(sum(down(b))));
      }),
    );
    expect(create(CallTreeResponseSchema).parent).toEqual([]);
  });
});
