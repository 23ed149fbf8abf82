import { PprofDecoder } from "@cinderblock/pprof";
import { HAS_FILENAMES, HAS_FUNCTIONS, SymbolPartition } from "@cinderblock/symdb";
import { ProfileMerger, renderPprof, type StackSelector } from "./profile.ts";

interface Mapping {
  start?: bigint;
  limit?: bigint;
  offset?: number;
  file?: string;
  build?: string;
  flags?: number;
}
interface Frame {
  mapping?: Mapping;
  address?: number;
  /** empty: a location without lines */
  name: string;
  line: number;
}

/** The pprof of these stacks, leaf first, each with the value 1: its mappings, and its samples by frame. */
function rendered(
  stacks: readonly (readonly Frame[])[],
  goPgo?: StackSelector["goPgo"],
): { mappings: string[]; samples: string[]; locations: number } {
  const s = new SymbolPartition(),
    string = (text: string): number => {
      const bytes = Buffer.from(text);
      return s.strings.intern(bytes, 0, bytes.length);
    },
    words = (v: bigint): [number, number] => [Number(v & 0xffff_ffffn), Number(v >> 32n)];
  const value: bigint[] = [];
  for (const stack of stacks) {
    let node = 0;
    for (const { mapping: m = {}, address = 0, name, line } of [...stack].reverse()) {
      const mapping = s.mappings.intern(
          Uint32Array.of(
            ...words(m.start ?? 0n),
            ...words(m.limit ?? 0n),
            ...words(BigInt(m.offset ?? 0)),
            string(m.file ?? ""),
            string(m.build ?? ""),
            m.flags ?? 0,
          ),
          9,
        ),
        fn = s.functions.intern(Uint32Array.of(string(name), string(name), 0, 0), 4);
      node = s.stackChild(
        node,
        s.locations.intern(Uint32Array.of(mapping, address, 0, 0, fn, line), name === "" ? 4 : 6),
      );
    }
    while (value.length <= node) value.push(0n);
    value[node]! += 1n;
  }
  const merger = new ProfileMerger();
  merger.add({ ...s.tables(), value: BigInt64Array.from(value) });
  const t = new PprofDecoder().decode(
    renderPprof(
      merger.finish(),
      { sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n },
      0,
      goPgo,
    ),
  );
  const text = (i: number): string =>
    Buffer.from(t.bytes.subarray(t.stringStart.data[i], t.stringEnd.data[i])).toString();
  return {
    locations: t.locations,
    mappings: Array.from(
      { length: t.mappings },
      (_, i) =>
        `${BigInt.asUintN(64, t.mappingStart.data[i]!).toString(16)}-${BigInt.asUintN(64, t.mappingLimit.data[i]!).toString(16)}` +
        `+${t.mappingOffset.data[i]} ${text(t.mappingFilename.data[i]!)} ${text(t.mappingBuildId.data[i]!)} ${t.mappingFlags.data[i]}`,
    ).sort(),
    samples: Array.from({ length: t.samples }, (_, i) => {
      const frames: string[] = [];
      for (let k = t.sampleLocations.data[i]!; k < t.sampleLocations.data[i + 1]!; k++) {
        const l = t.locationIdLo.data[k]! - 1,
          line = t.locLines.data[l]!;
        if (line === t.locLines.data[l + 1]) frames.push("?");
        else
          frames.push(
            `${text(t.funcName.data[t.lineFunctionLo.data[line]! - 1]!)}:${t.lineNumber.data[line]}`,
          );
      }
      return `${frames.join("<")} ${t.value.data[t.sampleValues.data[i]!]}`;
    }).sort(),
  };
}

describe("mappings of a merged pprof", () => {
  const frame = (mapping: Mapping, name = "f"): Frame => ({ mapping, address: 4096, name, line: 1 });

  it("are equal if their sizes in pages, offsets and build IDs or files are", () => {
    const a = frame({ start: 0x1000n, limit: 0x3000n, file: "/bin/a" }),
      moved = frame({ start: 0x5000n, limit: 0x6fffn, file: "/bin/a" }),
      larger = frame({ start: 0x1000n, limit: 0x9000n, file: "/bin/a" }),
      elsewhere = frame({ start: 0x1000n, limit: 0x3000n, offset: 4096, file: "/bin/a" }),
      built = frame({ start: 0x1000n, limit: 0x3000n, file: "/bin/a", build: "b1" }),
      copied = frame({ start: 0x1000n, limit: 0x3000n, file: "/bin/copy", build: "b1" });
    expect(rendered([[a], [moved]])).toMatchObject({
      mappings: ["1000-3000+0 /bin/a  0"],
      samples: ["f:1 2"],
    });
    expect(rendered([[a], [larger], [elsewhere], [built], [copied]]).mappings).toHaveLength(4);
  });

  it("without a file merge with the one of all addresses, whose size is 0 modulo 2^64", () => {
    const all = { limit: (1n << 64n) - 1n };
    for (const stacks of [
      [[frame({})], [frame(all)]],
      [[frame(all)], [frame({})]],
    ])
      expect(rendered(stacks)).toMatchObject({ mappings: ["0-ffffffffffffffff+0   0"], samples: ["f:1 2"] });
  });

  it("have the flags of all that they stand for, and no addresses if their functions are known", () => {
    const known = { start: 0x1000n, limit: 0x3000n, file: "/bin/a", flags: HAS_FUNCTIONS },
      files = { file: "/bin/a", flags: HAS_FILENAMES };
    expect(rendered([[frame(known)], [frame(files)]]).mappings).toEqual([
      `0-0+0 /bin/a  ${HAS_FUNCTIONS | HAS_FILENAMES}`,
    ]);
  });
});

describe("a profile for Go's compiler", () => {
  const f = (name: string, line: number): Frame => ({ name, line });
  const stacks = [
    [f("leaf", 1), f("mid", 5), f("main", 9)],
    [f("leaf", 2), f("mid", 5), f("main", 9)],
    [f("mid", 5), f("main", 9)],
    [f("mid", 6), f("main", 9)],
  ];

  it("keeps the frames nearest the leaf, and all without a number", () => {
    expect(rendered(stacks, { keepLocations: 2, aggregateCallees: false }).samples).toEqual([
      "leaf:1<mid:5 1",
      "leaf:2<mid:5 1",
      "mid:5<main:9 1",
      "mid:6<main:9 1",
    ]);
    expect(rendered(stacks, { keepLocations: 0, aggregateCallees: false }).samples).toEqual(
      rendered(stacks).samples,
    );
  });

  it("loses the lines of locations that end a stack, wherever they are, and holds no others", () => {
    expect(rendered(stacks, { keepLocations: 5, aggregateCallees: true })).toMatchObject({
      locations: 3,
      samples: ["leaf:0<mid:0<main:9 2", "mid:0<main:9 2"],
    });
  });
});

it("keeps stacks with a frame that has no name in a mapping with function names", () => {
  const mapping = { flags: HAS_FUNCTIONS };
  expect(
    rendered([
      [
        { mapping, name: "", line: 0 },
        { mapping, name: "main", line: 1 },
      ],
      [{ mapping, name: "main", line: 1 }],
    ]).samples,
  ).toEqual(["?<main:1 1", "main:1 1"]);
});
