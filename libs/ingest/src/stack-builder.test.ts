import fc from "fast-check";
import { PprofDecoder } from "@cinderblock/pprof";
import { HAS_FUNCTIONS } from "@cinderblock/symdb";
import { JFR_SYMBOLS, StackBuilder, StackBuilders, type SymbolStyle, TEXT_SYMBOLS } from "./stack-builder.ts";
import { stringAt } from "./strings.ts";
import { readText, type TextFormat } from "./text.ts";

describe("a profile built from stacks", () => {
  const built = (style: SymbolStyle) => {
    const b = new StackBuilder(1, undefined, style);
    b.add(b.child(0, b.locationAt("main", 3)), 1);
    return new PprofDecoder().decode(
      b.encode({ sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n }),
    );
  };

  it("has system names and an unknown mapping for text, as in v1", () => {
    const t = built(TEXT_SYMBOLS);
    expect(t.funcSystemName.data[0]).toBe(t.funcName.data[0]);
    expect([t.mappings, t.mappingFlags.data[0], t.lineNumber.data[0]]).toEqual([1, 0, 3]);
  });

  it("has a mapping with functions, and no system names, for JFR, as in v1", () => {
    const t = built(JFR_SYMBOLS);
    expect(t.funcSystemName.data[0]).toBe(0);
    expect([t.mappings, t.mappingFlags.data[0], t.lineNumber.data[0]]).toEqual([1, HAS_FUNCTIONS, 3]);
  });
});

describe("readers of stacks", () => {
  const header = { sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n },
    frame = fc.constantFrom("a", "b", "main.go", "größe", "日本", "with blank", ""),
    /** distinct stacks without an empty frame at their end, and their values */
    stacks = fc
      .uniqueArray(
        fc.tuple(fc.array(frame, { minLength: 1, maxLength: 6 }), fc.integer({ min: 1, max: 1e9 })),
        {
          selector: ([frames]) => frames.join(";"),
          maxLength: 12,
        },
      )
      .map((list) => list.filter(([frames]) => frames.at(-1) !== ""));

  /** Stacks of a profile, root first, with their values; in the profile's order. */
  function rowsOf(pprof: Uint8Array): [string, number][] {
    const t = new PprofDecoder().decode(pprof);
    return Array.from({ length: t.samples }, (_, s) => {
      const frames: string[] = [];
      for (let k = t.sampleLocations.data[s]!; k < t.sampleLocations.data[s + 1]!; k++) {
        const fn = t.lineFunctionLo.data[t.locLines.data[t.locationIdLo.data[k]! - 1]!]!;
        frames.push(stringAt(t, t.funcName.data[fn - 1]!));
      }
      return [frames.reverse().join(";"), Number(t.value.data[s])];
    });
  }
  const uvarint = (n: number): number[] =>
    n < 128 ? [n] : [(n % 128) | 128, ...uvarint(Math.floor(n / 128))];
  const node = (name: Uint8Array, value: number, children: number[][]): number[] => [
    ...uvarint(name.length),
    ...name,
    ...uvarint(value),
    ...uvarint(children.length),
    ...children.flat(),
  ];
  const builders = new StackBuilders();
  function read(format: TextFormat, body: Uint8Array): Uint8Array {
    builders.release();
    const stacksOf = builders.take(1);
    readText(body, format, { maxNameLength: 0, maxChildren: 0 }, stacksOf);
    return stacksOf.encode(header);
  }

  it("find every stack of folded text, in memory that is used again", () => {
    fc.assert(
      fc.property(stacks, (list) => {
        const text = list.map(([frames, value]) => `${frames.join(";")} ${value}\n`).join("");
        expect(rowsOf(read("groups", Buffer.from(text)))).toEqual(
          list.map(([frames, value]) => [frames.join(";"), value]),
        );
      }),
    );
  });

  it("find in a trie what its folded text has, wherever its nodes are cut", () => {
    fc.assert(
      fc.property(stacks, fc.infiniteStream(fc.nat(4)), (list, cuts) => {
        // A chain of nodes for each stack: pieces of any size, which may begin within a character.
        const chain = (rest: Buffer, value: number): number[] => {
            const size = 1 + cuts.next().value!;
            return size >= rest.length
              ? node(rest, value, [])
              : node(rest.subarray(0, size), 0, [chain(rest.subarray(size), value)]);
          },
          trie = node(
            Buffer.alloc(0),
            0,
            list.map(([frames, value]) => chain(Buffer.from(frames.join(";")), value)),
          ),
          text = list.map(([frames, value]) => `${frames.join(";")} ${value}\n`).join("");
        expect(read("trie", Uint8Array.from(trie))).toEqual(read("groups", Buffer.from(text)));
      }),
    );
  });

  it("find in a tree what its folded text has", () => {
    fc.assert(
      fc.property(stacks, (list) => {
        const chain = ([name, ...below]: string[], value: number): number[] =>
            node(
              Buffer.from(name!),
              below.length > 0 ? 0 : value,
              below.length > 0 ? [chain(below, value)] : [],
            ),
          tree = node(
            Buffer.alloc(0),
            0,
            list.map(([frames, value]) => chain(frames, value)),
          ),
          text = list.map(([frames, value]) => `${frames.join(";")} ${value}\n`).join("");
        expect(read("tree", Uint8Array.from(tree))).toEqual(read("groups", Buffer.from(text)));
      }),
    );
  });
});
