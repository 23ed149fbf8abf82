import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { FlameIndex, type ProfileSource } from "@cinderblock/block";
import { readDebugFile } from "@cinderblock/native-symbols";
import { SymbolPartition } from "@cinderblock/symdb";
import { type TableState, SymbolizedSource, Symbolizer, type TableSource } from "./index.ts";

// A partition that grows like a head's, and tables of the file in native-symbols' own tests.
const file = readDebugFile(
  new Uint8Array(
    gunzipSync(readFileSync(`${import.meta.dirname}/../../native-symbols/src/golden/tiny-dwarf5.gz`)),
  ),
);
function source(): {
  inner: ProfileSource;
  symbols: SymbolPartition;
  bare: (address: number, buildId?: string) => number;
  named: (name: string) => number;
} {
  const symbols = new SymbolPartition(),
    flame = new FlameIndex(),
    string = (s: string): number => {
      const b = Buffer.from(s);
      return symbols.strings.intern(b, 0, b.length);
    };
  const location = (buildId: string, address: number, functions: readonly number[]): number =>
    symbols.locations.intern(
      Uint32Array.from([
        symbols.mappings.intern(
          Uint32Array.from([0, 0, 0, 0, 0, 0, string("/bin/tiny"), string(buildId), 0]),
          9,
        ),
        address,
        0,
        0,
        ...functions.flatMap((f) => [f, 7]),
      ]),
      4 + 2 * functions.length,
    );
  return {
    symbols,
    bare: (address, buildId = file.buildId) => location(buildId, address, []),
    named: (name) => {
      const n = string(name);
      return location("", 0, [symbols.functions.intern(Uint32Array.of(n, n, 0, 0), 4)]);
    },
    inner: {
      ulid: "u",
      form: "head",
      symbols: () => {
        const tables = symbols.tables();
        flame.extend(tables);
        return Promise.resolve({ tables, flame });
      },
    } as unknown as ProfileSource,
  };
}
/** Frames of the stack that ends in a node, root first. */
async function stack(s: SymbolizedSource, node: number): Promise<string> {
  const { tables: t, flame } = await s.symbols(0),
    out: string[] = [];
  for (let at = flame.ofStack.data[node]!; at > 0; at = flame.parent.data[at]!) {
    const n = flame.name.data[at]!;
    out.unshift(Buffer.from(t.stringBytes.subarray(t.stringOffset[n], t.stringOffset[n + 1])).toString());
  }
  return out.join(";");
}
const here: TableSource = {
  get: (_tenant, id) =>
    Promise.resolve<TableState>(
      id === file.buildId ? { state: "here", table: file.table } : { state: "absent", untilMs: 5000 },
    ),
};

describe("sources with names for native frames", () => {
  it("name bare frames, inlined ones first, keep stack numbers, and follow a growing partition", async () => {
    const { inner, symbols, bare, named } = source(),
      s = new SymbolizedSource(inner, "t", here);
    const main = symbols.stackChild(0, named("main")),
      work = symbols.stackChild(main, bare(0x401010));
    expect([await stack(s, main), await stack(s, work)]).toEqual(["main", "main;work;both;square"]);
    // Another bare frame, a frame of an absent file, and names that are new to the partition.
    const start = symbols.stackChild(0, bare(0x401055)),
      other = symbols.stackChild(start, bare(0x10, "ffff0000")),
      last = symbols.stackChild(other, named("größe"));
    expect([
      await stack(s, start),
      await stack(s, other),
      await stack(s, last),
      await stack(s, work),
    ]).toEqual(["_start", "_start", "_start;größe", "main;work;both;square"]);
    expect([s.unnamed, s.staleAtMs]).toEqual([undefined, 5000]);
  });
  it("leave a partition without bare frames unchanged; the next source names new ones", async () => {
    const { inner, symbols, bare, named } = source(),
      symbolizer = new Symbolizer(here, () => 0),
      of = (): SymbolizedSource => symbolizer.wrapSources([inner], "t")[0]!;
    const main = symbols.stackChild(0, named("main")),
      before = of();
    expect((await before.symbols(0)).flame).toBe((await inner.symbols(0)).flame);
    const work = symbols.stackChild(main, bare(0x401010));
    expect([await stack(before, work), before.unnamed, of() === before]).toEqual([
      "main",
      "function names arrived after the query began",
      false,
    ]);
    expect(await stack(of(), work)).toBe("main;work;both;square");
    expect(of()).toBe(of());
  });
  it("report names that may still arrive, and retry", async () => {
    const { inner, symbols, bare } = source(),
      work = symbols.stackChild(0, bare(0x401010));
    let now = 0,
      found: TableState = { state: "pending" };
    const symbolizer = new Symbolizer({ get: () => Promise.resolve(found) }, () => now),
      of = (): SymbolizedSource => symbolizer.wrapSources([inner], "t")[0]!;
    const first = of();
    expect([await stack(first, work), first.unnamed]).toEqual([
      "",
      `build id ${file.buildId}: the fetch is in progress`,
    ]);
    found = { state: "failed", untilMs: 60_000, reason: "no route" };
    const second = of();
    expect([second === first, await stack(second, work), second.unnamed, of() === second]).toEqual([
      false,
      "",
      `build id ${file.buildId}: no route`,
      true,
    ]);
    now = 60_000;
    found = { state: "here", table: file.table };
    const third = of();
    expect([await stack(third, work), third.unnamed, of() === third]).toEqual([
      "work;both;square",
      undefined,
      true,
    ]);
  });
});
