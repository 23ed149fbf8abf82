import fc from "fast-check";
import {
  boxAt,
  boxOf,
  callGraph,
  type CallTree,
  callTreeOfLevels,
  collapseRecursion,
  shareNotCutOff,
  decodeCallTree,
  drawFlame,
  packageFill,
  eachStack,
  CUT_OFF_NAME,
  formatRelative,
  formatShare,
  formatValue,
  measureOf,
  columnScale,
  type Unit,
  invertTree,
  layoutFlame,
  levelAt,
  levelOf,
  packageOf,
  pathOf,
  rowTop,
  searchFlame,
  searchPattern,
  type Style,
  type Surface,
  toFirefox,
  toFolded,
  toFoldedDiff,
  toHtml,
  toSpeedscope,
  toSvg,
  type Viewport,
} from "./index.ts";

type Stack = [frames: string[], value: number, base: number];

/** Call tree of stacks; names are numbered in order of first use. */
function treeOf(stacks: readonly Stack[], compare = false): CallTree {
  const names = [""],
    parent = [0],
    name = [0],
    self = [0],
    base = [0],
    known = new Map<string, number>();
  for (const [frames, a, b] of stacks) {
    let node = 0,
      key = "";
    for (const f of frames) {
      key += `/${f}`;
      let next = known.get(key);
      if (next === undefined) {
        known.set(key, (next = parent.length));
        if (!names.includes(f)) names.push(f);
        parent.push(node);
        name.push(names.indexOf(f));
        self.push(0);
        base.push(0);
      }
      node = next;
    }
    self[node]! += a;
    base[node]! += b;
  }
  const n = parent.length,
    sum = (v: number[]): number => v.reduce((x, y) => x + y, 0);
  return {
    names,
    parent: Uint32Array.from(parent),
    name: Uint32Array.from(name),
    self: Float64Array.from(self),
    folded: new Float64Array(n),
    foldedCount: new Uint32Array(n),
    base: compare
      ? { self: Float64Array.from(base), folded: new Float64Array(n), total: sum(base) }
      : undefined,
    total: sum(self),
    nodes: n,
  };
}
const frame = fc.constantFrom("main", "run", "a.b", "a.c", "other");
const stacks = fc.array(
  fc.tuple(
    fc.array(frame, { minLength: 1, maxLength: 7 }),
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 0, max: 100 }),
  ),
  { minLength: 1, maxLength: 40 },
);
const contents = (t: CallTree): [string, number][] => {
  const out = new Map<string, number>();
  eachStack(t, (f, v) => out.set(f.join("/"), (out.get(f.join("/")) ?? 0) + v));
  return [...out].sort();
};

/** A surface that records all drawing calls. */
class DrawLog implements Surface {
  fillStyle: unknown = "";
  globalAlpha = 1;
  font = "";
  textBaseline: unknown = "";
  readonly calls: [what: string, x: number, y: number, w: number | string, h: number][] = [];
  fillRect(x: number, y: number, w: number, h: number): void {
    this.calls.push([`${String(this.fillStyle)}${this.globalAlpha < 1 ? " dim" : ""}`, x, y, w, h]);
  }
  clearRect(): void {
    this.calls.length = 0;
  }
  fillText(text: string, x: number, y: number): void {
    this.calls.push(["text", x, y, text, 0]);
  }
}
const style: Style = {
  paint: () => ({ fill: "box", text: "t" }),
  marked: undefined,
  background: "bg",
  faint: "faint",
  faintText: "ft",
  glyph: 8,
  font: "mono",
};
const view = (over: Partial<Viewport>): Viewport => ({
  from: 0,
  to: 100,
  top: 0,
  width: 100,
  height: 100,
  rowHeight: 10,
  upwards: false,
  ...over,
});

describe("layout", () => {
  it("keeps children inside their parent, levels sorted, and sums", () => {
    fc.assert(
      fc.property(stacks, fc.boolean(), (list, compare) => {
        const t = treeOf(list, compare),
          f = layoutFlame(t);
        expect(f.total[0]).toBe(t.total);
        for (let level = 0; level < f.rowStart.length - 1; level++) {
          for (let b = f.rowStart[level]!; b < f.rowStart[level + 1]!; b++) {
            expect(levelOf(f, b)).toBe(level);
            if (b > f.rowStart[level]!)
              expect(f.x[b]!).toBeGreaterThanOrEqual(f.x[b - 1]! + f.width[b - 1]! - 1e-9);
            if (b > 0) {
              const p = f.parent[b]!;
              expect(f.x[b]! >= f.x[p]! - 1e-9 && f.x[b]! + f.width[b]! <= f.x[p]! + f.width[p]! + 1e-9).toBe(
                true,
              );
            }
            let inside = f.self[b]!;
            for (let c = f.firstChild[b]!; c < f.firstChild[b]! + f.children[b]!; c++) {
              inside += f.total[c]!;
              expect(f.parent[c]).toBe(b);
            }
            expect(inside).toBe(f.total[b]);
            expect(boxOf(f, pathOf(f, b))).toBe(b);
            expect(boxAt(f, level, f.x[b]! + f.width[b]! / 2)).toBe(f.width[b]! > 0 ? b : expect.anything());
          }
        }
      }),
    );
  });

  it("writes the figures of a box after its name where they fit, and names without directories", () => {
    const f = layoutFlame(treeOf([[["github.com/acme/shop/cart.(*Store).Load", "main.tiny"], 100, 0]])),
      log = new DrawLog(),
      value = (b: number): string => `${b} · 100%`;
    drawFlame(log, f, view({ width: 300 }), { ...style, value });
    const texts = log.calls.filter(([w]) => w === "text").map((c) => c[3]);
    expect(texts).toEqual(["total", "0 · 100%", "cart.(*Store).Load", "1 · 100%", "main.tiny", "2 · 100%"]);
    const narrow = new DrawLog();
    drawFlame(narrow, f, view({ width: 200 }), { ...style, value });
    expect(narrow.calls.filter(([w]) => w === "text").map((c) => c[3])).toEqual([
      "total",
      "0 · 100%",
      "cart.(*Store).Load",
      "main.tiny",
      "2 · 100%",
    ]);
  });

  it("paints a package in one color, and runtimes in sand", () => {
    for (const theme of ["light", "dark"] as const) {
      const fill = (name: string): string => packageFill(name, theme);
      expect(fill("github.com/acme/cart.Load")).toBe(fill("github.com/acme/cart.(*Store).Save"));
      const chroma = (name: string): number => Number(fill(name).split(" ")[1]);
      expect(chroma("github.com/acme/cart.Load")).toBeGreaterThan(0.05);
      for (const name of ["runtime.mallocgc", "java/util/HashMap.get", "[kernel] schedule"])
        expect(chroma(name)).toBeLessThan(0.03);
    }
  });

  it("shows cut-off children as a box that is not a function", () => {
    const t = treeOf([
      [["main", "a.b"], 60, 0],
      [["main"], 10, 0],
    ]);
    t.folded[1] = 30;
    t.foldedCount[1] = 412;
    const f = layoutFlame(t);
    expect([f.total[0], [...f.name].filter((n) => n === CUT_OFF_NAME).length, shareNotCutOff(f)]).toEqual([
      100, 1, 0.7,
    ]);
    expect(searchFlame(f, /./).boxes.length).toBe(2);
    const log = new DrawLog();
    drawFlame(log, f, view({ width: 1000 }), style);
    expect(log.calls.filter(([w]) => w === "text").map((c) => c[3])).toEqual([
      "total",
      "main",
      "a.b",
      "412 small frames · 30.0%",
    ]);
    expect(log.calls.some(([w]) => w === "faint")).toBe(true);
  });

  it("reads v1's flame graphs: their `other` is cut-off children; a function of that name is not", () => {
    const t = callTreeOfLevels(
      ["total", "main", "other", "x"],
      [
        [0, 100, 0, 0],
        [0, 80, 10, 1, 0, 20, 20, 2],
        [10, 40, 0, 3, 0, 30, 0, 2],
        [10, 40, 40, 1, 0, 30, 30, 1],
      ],
    );
    expect(contents(t)).toEqual([
      ["", 20],
      ["main", 10],
      ["main/other/main", 30],
      ["main/x/main", 40],
    ]);
    expect([t.folded[0], t.total]).toEqual([20, 100]);
    // Left 60 (main 60: x 60), right 40 (main 30: x 10, y 20; other 10).
    const d = callTreeOfLevels(
      ["total", "main", "other", "x", "y"],
      [
        [0, 60, 0, 0, 40, 0, 0],
        [0, 60, 0, 0, 30, 0, 1, 0, 0, 0, 0, 10, 10, 2],
        [0, 60, 60, 0, 10, 10, 3, 0, 0, 0, 0, 20, 20, 4],
      ],
      true,
    );
    const f = layoutFlame(d);
    expect([
      d.base!.total,
      d.total,
      d.folded[0],
      f.baseTotal![0],
      f.total[0],
      f.total[boxOf(f, ["main", "y"])],
      f.baseTotal![boxOf(f, ["main", "x"])],
    ]).toEqual([60, 40, 10, 60, 40, 20, 60]);
  });
});

describe("drawing", () => {
  it("draws boxes in their places, truncates labels, and merges narrow boxes", () => {
    const f = layoutFlame(
      treeOf([
        [["wide.function"], 90, 0],
        ...Array.from({ length: 20 }, (_, i): Stack => [[`x${i}`], 0.5, 0]),
      ]),
    );
    const log = new DrawLog();
    expect(drawFlame(log, f, view({}), style)).toBeLessThan(13);
    expect(log.calls[0]).toEqual(["bg", 0, 0, 100, 100]);
    expect(
      log.calls.find(
        (c) => c[3] === "wide.funct…" || c[3] === "wide.func…" || c[3] === "wide.fun…" || c[3] === "wide.fu…",
      ),
    ).toBeDefined();
    const row1 = log.calls.filter(([w, , y]) => (w === "box" || w === "faint") && y === 10);
    expect(row1[0]!.slice(1)).toEqual([0, 10, 89, 9]);
    // Boxes and faint runs cover the last tenth, without holes of more than a pixel.
    expect(Math.max(...row1.map((c) => c[1] + Number(c[3])))).toBeGreaterThanOrEqual(99);
  });

  it("zooms to a range, scrolls, turns upside down, and dims boxes outside of a search", () => {
    const f = layoutFlame(
      treeOf([
        [["main", "a.b"], 50, 0],
        [["main", "a.c"], 50, 0],
      ]),
    );
    const found = searchFlame(f, searchPattern("A.C"));
    expect([found.boxes.length, found.share]).toEqual([1, 0.5]);
    const log = new DrawLog();
    drawFlame(log, f, view({ from: 50, to: 100 }), { ...style, marked: found.marked });
    expect(log.calls.filter(([w]) => w.startsWith("box")).map((c) => [c[0], c[1], c[2]])).toEqual([
      ["box dim", 0, 0],
      ["box dim", 0, 10],
      ["box", 0, 20],
    ]);
    const up = view({ upwards: true });
    expect([
      rowTop(f, 0, up),
      levelAt(f, 95, up),
      levelAt(f, 85, up),
      levelAt(f, 5, up),
      levelAt(f, 15, view({ top: 10 })),
    ]).toEqual([90, 0, 1, -1, 2]);
  });

  it("draws rows of any depth on a canvas of the visible height", () => {
    const f = layoutFlame(treeOf([[Array.from({ length: 5000 }, (_, i) => `f${i}`), 1, 0]]));
    const log = new DrawLog();
    expect(f.rowStart.length).toBe(5002);
    expect(drawFlame(log, f, view({ from: 0, to: 1, top: 49_900, width: 500 }), style)).toBe(10);
    expect(log.calls.filter(([w]) => w === "text").at(-1)![3]).toBe("f4998");
  });

  it("bounds its work by pixels", () => {
    const many = layoutFlame(
      treeOf(Array.from({ length: 20_000 }, (_, i): Stack => [[`m${i % 7}`, `f${i}`], 1, 0])),
    );
    expect(drawFlame(new DrawLog(), many, view({ from: 0, to: 20_000, width: 500 }), style)).toBeLessThan(
      520,
    );
  });
});

describe("transforms", () => {
  it("collapse direct recursion and keep sums", () => {
    fc.assert(
      fc.property(stacks, (list) => {
        const t = treeOf(list, true),
          c = collapseRecursion(t);
        const slow = new Map<string, number>();
        for (const [frames, v] of list) {
          const k = frames.filter((x, i) => x !== frames[i - 1]).join("/");
          slow.set(k, (slow.get(k) ?? 0) + v);
        }
        expect(contents(c).filter(([, v]) => v > 0)).toEqual([...slow].sort());
      }),
    );
  });

  it("invert a tree, exactly without cut-off children", () => {
    fc.assert(
      fc.property(stacks, (list) => {
        const slow = new Map<string, number>();
        for (const [frames, v] of list) {
          const k = [...frames].reverse().join("/");
          slow.set(k, (slow.get(k) ?? 0) + v);
        }
        expect(contents(invertTree(treeOf(list), 0))).toEqual([...slow].sort());
        const cut = layoutFlame(invertTree(treeOf(list), 0.1));
        expect(cut.total[0]).toBe(list.reduce((s, [, v]) => s + v, 0));
      }),
    );
  });

  it("write folded stacks and speedscope's files with equal sums", () => {
    const t = treeOf([
      [["main", "a;b"], 3, 0],
      [["main"], 2, 0],
    ]);
    expect(toFolded(t)).toBe("main 2\nmain;a:b 3\n");
    const file = JSON.parse(toSpeedscope(t, "cpu", "nanoseconds")) as {
      shared: { frames: { name: string }[] };
      profiles: { samples: number[][]; weights: number[]; endValue: number; unit: string }[];
    };
    expect([
      file.shared.frames.map((f) => f.name),
      file.profiles[0]!.samples,
      file.profiles[0]!.weights,
      file.profiles[0]!.endValue,
      file.profiles[0]!.unit,
    ]).toEqual([["main", "a;b"], [[0], [0, 1]], [2, 3], 5, "nanoseconds"]);
    expect(
      toFoldedDiff({
        ...t,
        base: { self: Float64Array.from(t.self, (v) => v * 2), folded: t.folded, total: 10 },
      }),
    ).toBe("main 4 2\nmain;a:b 6 3\n");
  });

  it("write Firefox Profiler's tables, each a prefix tree", () => {
    const file = JSON.parse(
      toFirefox(
        treeOf([
          [["main", "a", "main"], 3e6, 0],
          [["main"], 2e6, 0],
        ]),
        "cpu",
        "nanoseconds",
        5,
      ),
    ) as {
      meta: { startTime: number };
      threads: {
        stringArray: string[];
        stackTable: { frame: number[]; prefix: (number | null)[]; length: number };
        samples: { stack: number[]; weight: number[] };
      }[];
    };
    const [t] = file.threads;
    expect([
      file.meta.startTime,
      t!.stringArray,
      t!.stackTable.frame,
      t!.stackTable.prefix,
      t!.samples.stack,
      t!.samples.weight,
    ]).toEqual([5, ["main", "a"], [0, 1, 0], [null, 0, 1], [0, 2], [2, 3]]);
  });
});

describe("call graphs", () => {
  it("contain every function and call with the sum of its samples, recursion once", () => {
    fc.assert(
      fc.property(stacks, fc.boolean(), fc.integer({ min: 1, max: 6 }), (list, compare, most) => {
        const g = callGraph(treeOf(list, compare), most),
          total = new Map<string, number>(),
          base = new Map<string, number>(),
          self = new Map<string, number>(),
          calls = new Map<string, number>(),
          baseCalls = new Map<string, number>();
        const add = (m: Map<string, number>, key: string, v: number): void => {
          m.set(key, (m.get(key) ?? 0) + v);
        };
        for (const [frames, a, b] of list) {
          add(self, frames.at(-1)!, a);
          for (const f of new Set(frames)) {
            add(total, f, a);
            add(base, f, b);
          }
          for (const call of new Set(frames.slice(1).map((f, i) => `${frames[i]} > ${f}`))) {
            add(calls, call, a);
            add(baseCalls, call, b);
          }
        }
        const weight = (f: string): number => Math.max(total.get(f)!, compare ? base.get(f)! : 0),
          order = [...total.keys()].sort((a, b) => weight(b) - weight(a) || (a < b ? -1 : 1));
        expect([g.names, g.left]).toEqual([order.slice(0, most), Math.max(0, order.length - most)]);
        g.names.forEach((f, i) => {
          expect([g.total[i], g.self[i], compare ? g.baseTotal![i] : 0]).toEqual([
            total.get(f),
            self.get(f) ?? 0,
            compare ? base.get(f) : 0,
          ]);
        });
        const shown = new Map(
          [...g.from].map((from, i) => [
            `${g.names[from]} > ${g.names[g.to[i]!]}`,
            [g.value[i]!, g.baseValue?.[i] ?? 0],
          ]),
        );
        expect(shown).toEqual(
          new Map(
            [...calls]
              .map(([call, v]): [string, number[]] => [call, [v, compare ? baseCalls.get(call)! : 0]])
              .filter(([call]) => call.split(" > ").every((f) => g.names.includes(f))),
          ),
        );
        expect([g.sum, g.baseSum]).toEqual([
          list.reduce((x, [, a]) => x + a, 0),
          compare ? list.reduce((x, [, , b]) => x + b, 0) : 0,
        ]);
      }),
    );
  });
});

describe("pictures", () => {
  it("are self-contained: every box has a title, names are escaped, omissions are stated", () => {
    const f = layoutFlame(
      treeOf([
        [["main", 'a<b>&"c"'], 900, 0],
        ...Array.from({ length: 3 }, (_, i): Stack => [[`tiny${i}`], 0.1, 0]),
      ]),
    );
    const svg = toSvg(f, "cart <cpu>", "count");
    expect(svg).toContain("cart &#60;cpu&#62; · total 900");
    expect(svg).toContain("3 frames below resolution");
    expect(svg).toContain("<title>a&#60;b&#62;&#38;&#34;c&#34;: 900, 100%, self 900</title>");
    expect(svg).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    expect(toHtml(f, "x", "count").match(/<g class="b"/g)!.length).toBe(6);
  });
});

describe("decoding", () => {
  it("refuses other bytes, and inexact values", () => {
    expect(() =>
      decodeCallTree(Uint8Array.of(0x22, 9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)),
    ).toThrow("above 2^53");
    expect(() => decodeCallTree(Uint8Array.of(0x12, 5, 0))).toThrow("more than the rest of the response");
    expect(() =>
      decodeCallTree(
        Uint8Array.of(0x12, 2, 0, 1, 0x1a, 2, 0, 0, 0x22, 2, 0, 0, 0x2a, 2, 0, 0, 0x32, 2, 0, 0),
      ),
    ).toThrow("does not exist");
    expect(decodeCallTree(new Uint8Array(0)).total).toBe(0);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeCallTree(bytes);
        } catch (err) {
          expect(err).toBeInstanceOf(Error);
          expect(err).not.toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});

describe("words", () => {
  it("prints three digits, percents, and rates in units of their types", () => {
    const texts = (unit: Unit, ...values: number[]): string[] => values.map((v) => formatValue(v, unit));
    expect(
      texts("nanoseconds", 0, 7, 1234, 22e9, 59.98e9, 90e9, 2.456 * 3600e9, 23.99 * 3600e9, 9e17),
    ).toEqual(["0 ns", "7 ns", "1.23 µs", "22.0 s", "1.00 min", "1.50 min", "2.46 h", "1.00 d", "10,417 d"]);
    expect(texts("nanoseconds", 86400e9 * 18_259)).toEqual(["18,259 d"]);
    const MiB = 1024 ** 2;
    expect(texts("bytes", 0, 412, 1010, 1536, 12.34 * MiB, 412 * MiB, 1000 * MiB)).toEqual([
      "0 B",
      "412 B",
      "0.986 KiB",
      "1.50 KiB",
      "12.3 MiB",
      "412 MiB",
      "0.977 GiB",
    ]);
    expect(texts("count", 0, 7, 18_259, 999_999, 1_234_567, 2.5)).toEqual([
      "0",
      "7",
      "18,259",
      "999,999",
      "1.23 M",
      "2.50",
    ]);
    const rate = (type: string, v: number): string =>
      formatValue(v * 60, measureOf(type, true, { coveredMs: 60_000, intervalMs: 15_000 }));
    const cores = (v: number): string => rate("process_cpu:cpu:nanoseconds:cpu:nanoseconds", v * 1e9);
    expect([18.74, 2.456, 0.1794, 0.0005, 0, 1234].map(cores)).toEqual([
      "18.7 cores",
      "2.46 cores",
      "0.179 cores",
      "<0.001 cores",
      "0 cores",
      "1,234 cores",
    ]);
    expect([
      rate("wall:wall:nanoseconds:wall:nanoseconds", 3.5e9),
      rate("off_cpu:off_cpu:nanoseconds:off_cpu:nanoseconds", 2e9),
      rate("mutex:delay:nanoseconds:contentions:count", 4.125e6),
      rate("memory:alloc_space:bytes:space:bytes", 1536),
      rate("memory:alloc_objects:count:space:bytes", 18_259),
      rate("memory:alloc_objects:count:space:bytes", 0.25),
    ]).toEqual(["3.50 threads", "2.00 threads", "4.13 ms/s", "1.50 KiB/s", "18,259/s", "0.250/s"]);
    expect([0, 1e-6, 0.0005, 0.0123, 0.0546, 0.571, 0.99996, 1, 12.3].map(formatShare)).toEqual([
      "0%",
      "<0.01%",
      "0.05%",
      "1.23%",
      "5.46%",
      "57.1%",
      "100%",
      "100%",
      "1,230%",
    ]);
    expect([formatRelative(0.667), formatRelative(-0.05), formatRelative(0)]).toEqual([
      "+66.7%",
      "−5.00%",
      "±0%",
    ]);
  });

  it("prints the rates of a column in one unit", () => {
    const KiB = 1024,
      bytes = measureOf("memory:alloc_space:bytes:space:bytes", true, { coveredMs: 60_000, intervalMs: 1 }),
      values = [3 * KiB * KiB, 0.5 * KiB * KiB, 2 * KiB, 1, 0].map((v) => v * 60),
      scale = columnScale(values.map((v) => [v, bytes]));
    expect(values.map((v) => formatValue(v, bytes, scale))).toEqual([
      "3.00 MiB/s",
      "0.500 MiB/s",
      "0.002 MiB/s",
      "<0.001 MiB/s",
      "0 MiB/s",
    ]);
    expect(columnScale([[5, "bytes"]])).toBe(undefined);
  });

  it("finds the package of a function", () => {
    expect([
      packageOf("runtime.mallocgc"),
      packageOf("github.com/a/b.(*T).M"),
      packageOf("java/io/UnixFileSystem.list"),
      packageOf("std::vec::push"),
      packageOf("main.py:12 - run"),
    ]).toEqual(["runtime", "github.com/a/b", "java/io/UnixFileSystem", "std::vec", "main.py"]);
  });
});
