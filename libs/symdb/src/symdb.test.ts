import fc from "fast-check";
import { ByteWriter, crc32c } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { mutations, Random } from "@cinderblock/testkit";
import { decodeIndex, decodeFooter, encodeFooter, encodeIndex, FOOTER_SIZE } from "./index-section.ts";
import {
  decodePartitionV3,
  decodeStackTree,
  encodeStackTree,
  SymbolPartition,
  SymbolRewriter,
  SymdbWriter,
  type SymbolTables,
} from "./index.ts";

// docs/formats/symbols-symdb.md#vectors
const V3 = `
0000000b 03080000 5b0fbe13 00030b08 03030503 05030563 70756e61 6e6f7365 636f6e64 732f6269 6e2f6170 70626964 666e3066 302e676f 666e3166 312e676f
666e3266 322e676f 00000001 00000005 00000005 00000005 00000008 00000008 00000000 4bcb7d88 80010401 06800104 01088001 04011280 01040180 80800480
01040180 80800500 00000300 00001a00 00001a00 00001a00 00001e1b 8e9cf480 0104030a 11040000 00bb0000 00000000 00000000 00000000 00800104 030a1104
000000bb 00000000 00000000 00000000 00000080 0104030c 13040000 00cc0000 00000000 00000000 00000000 00800104 03001b05 000000b5 02000000 00000000
00000000 00000000 00000000 00000300 00000a00 00000300 00001200 00000000 00000011 3edc6c80 01040300 00000000 00010101 80010406 00030200 0000ee02
00000000 00000001 00020000 02010202 73796d31 00000003 00000000 00000000 00000000 000000d0 00000000 00000020 00000001 00000000 00000001 00000001
00000000 00000146 00000000 0000000a 00000000 00000001 00000001 00000000 00000003 00000004 00000000 ffffffff 00000000 00000000 00000000 1bbd8e55
00000000 0000010b 0000003b 6ae7d791 00000003 00000400 001c0001 00000000 00000000 00000048 0000003f 3fb0020c 00000001 00000400 00200003 00000000
00000000 00000087 00000084 d6a07a30 00000003 00000400 00180002 00000000 00000000 00000000 00000048 92c40e51 0000000b 00000400 000c0004 00000000
12e1bea7 73796d31 00000003 00000000 00000150 00000000 ebcd299e`;
const V3_BYTES = new Uint8Array(Buffer.from(V3.replace(/\s/g, ""), "hex"));

const V2_INDEX = new Uint8Array(
  Buffer.from(
    `73796d31 00000002 0000000000000000 0000000000000090 0000000000000020 00000001 8e21d7aa8a171f8b 00000001 00000001 00000001 00000001 00000001
0000000000000000 0000000000000014 8e21d7aa8a171f8b 0000 00 01 00000000 00000004 00000008 00000000 ffffffff 000000000000000000000000 0937ad0d
00000000 00000000 00000006 00000000 00000000 00000001 00000000 00000000 00000006 00000000 00000000 0000000b 20dfe263`.replace(
      /\s/g,
      "",
    ),
    "hex",
  ),
);

function readV3(bytes: Uint8Array): SymbolTables {
  const at = decodeFooter(bytes.subarray(bytes.length - FOOTER_SIZE), "symbols.symdb");
  const index = decodeIndex(bytes.subarray(at, bytes.length - FOOTER_SIZE), "symbols.symdb");
  return decodePartitionV3(index.partitions[0]!, (o, n) => bytes.subarray(o, o + n), "symbols.symdb");
}

describe("symbols.symdb version 3", () => {
  it("decodes the vector of the format page", () => {
    const t = readV3(V3_BYTES);
    const strings = [...Array(t.stringOffset.length - 1).keys()].map((i) =>
      Buffer.from(t.stringBytes.subarray(t.stringOffset[i]!, t.stringOffset[i + 1]!)).toString(),
    );
    expect(strings).toEqual([
      "",
      "cpu",
      "nanoseconds",
      "/bin/app",
      "bid",
      "fn0",
      "f0.go",
      "fn1",
      "f1.go",
      "fn2",
      "f2.go",
    ]);
    expect([...t.functionWords]).toEqual([5, 5, 6, 0, 7, 7, 8, 7, 9, 9, 10, 14]);
    expect([...t.mappingWords]).toEqual([0x400000, 0, 0x500000, 0, 0, 0, 3, 4, 9]);
    expect([...t.locationWords]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2, 2]);
    expect([...t.stackParent]).toEqual([-1, 0, 1, 2]);
  });
  it("encodes the vector byte for byte, except byte 4 of string headers, which is unspecified", () => {
    const w = new SymdbWriter();
    w.add({ partition: 1n, tables: readV3(V3_BYTES), stacktraces: 3 });
    const out = w.finish().slice();
    expect(out.length).toBe(V3_BYTES.length);
    // The noise byte is covered by the block header's CRC, which the table's CRC covers, which the index's
    // CRC covers.
    const open = new Set([4, ...[8, 0x22c, 0x240].flatMap((at) => [at, at + 1, at + 2, at + 3])]);
    const differ = [...out.keys()].filter((i) => out[i] !== V3_BYTES[i] && !open.has(i));
    expect(differ).toEqual([]);
  });
  it("names the file and the offset of a flipped bit", () => {
    const bad = V3_BYTES.slice();
    bad[0x90]! ^= 4;
    expect(() => readV3(bad)).toThrow(/symbols\.symdb: at byte \d+: expected the CRC/);
  });
});

describe("mutated symbols with repaired checksums", () => {
  const at = decodeFooter(V3_BYTES.subarray(V3_BYTES.length - FOOTER_SIZE), "f");
  const good = V3_BYTES.subarray(at, V3_BYTES.length - FOOTER_SIZE);
  it("are tables, or an error with its position", () => {
    const random = new Random(41);
    const index = decodeIndex(good, "f"),
      partition = index.partitions[0]!;
    let refused = 0,
      read = 0;
    for (let i = 0; i < mutations(1500); i++) {
      // The parts of the file according to its index, with one mutated and all checksums recomputed.
      const parts = new Map<number, Uint8Array>();
      const headers = [...partition.tables!, ...partition.stacks];
      const victim = random.below(headers.length);
      const fixed = headers.map((h, k) => {
        const bytes = V3_BYTES.slice(h.offset, h.offset + h.size);
        const bad = k === victim ? random.mutate(bytes) : bytes;
        const size = "headerSize" in h ? h.headerSize : 0;
        if (size >= 4 && bad.length >= size)
          new DataView(bad.buffer).setUint32(size - 4, crc32c(bad, 0, size - 4));
        parts.set(h.offset, bad);
        return { ...h, crc: crc32c(bad) };
      });
      const p = {
        ...partition,
        tables: fixed.slice(0, 4) as typeof partition.tables & object,
        stacks: fixed.slice(4) as typeof partition.stacks,
      };
      try {
        expect(decodePartitionV3(p, (o) => parts.get(o)!, "f").stackParent.length).toBeLessThan(1000);
        read++;
      } catch (err) {
        expect(err).toBeInstanceOf(CorruptError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(150);
    expect(read).toBeGreaterThan(100);
  });
  it("are an index, or an error with its position", () => {
    const random = new Random(42);
    let refused = 0;
    for (let i = 0; i < mutations(1500); i++) {
      const bad = random.mutate(good);
      if (bad.length > 4) new DataView(bad.buffer).setUint32(bad.length - 4, crc32c(bad, 0, bad.length - 4));
      try {
        for (const p of decodeIndex(bad, "f").partitions)
          if (p.tables)
            decodePartitionV3(
              p,
              (o, n) => V3_BYTES.subarray(Math.min(o, V3_BYTES.length), Math.min(o + n, V3_BYTES.length)),
              "f",
            );
      } catch (err) {
        expect(err).toBeInstanceOf(CorruptError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(150);
  });
});

describe("index.symdb version 2", () => {
  it("is re-encoded byte for byte", () => {
    const index = decodeIndex(V2_INDEX, "index.symdb");
    expect(index.partitions[0]!.partition).toBe(10241704155078401931n);
    expect(index.partitions[0]!.ranges!.map((r) => r[0]!.rows)).toEqual([6, 1, 6, 11]);
    const w = new ByteWriter();
    encodeIndex(index, w);
    expect(Buffer.from(w.finish()).equals(Buffer.from(V2_INDEX))).toBe(true);
  });
});

describe("stack tree", () => {
  it("has the bytes of the format page", () => {
    const parent = Int32Array.of(-1, 0, 1, 2, 1, 1, 0, 6),
      location = Uint32Array.of(0, 2, 1, 0, 3, 4, 5, 0);
    const w = new ByteWriter();
    encodeStackTree(parent, location, w);
    expect(Buffer.from(w.finish()).toString("hex")).toBe("0001000202000201020000010300040001050c00");
    expect(crc32c(w.finish())).toBe(0x0937ad0d);
  });
  it("round-trips any tree", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(0xffffffff)), { maxLength: 300 }), (nodes) => {
        const parent = Int32Array.from([-1, ...nodes.map(([p], i) => p % (i + 1))]),
          location = Uint32Array.from([0, ...nodes.map(([, l]) => l)]);
        const w = new ByteWriter();
        encodeStackTree(parent, location, w);
        const p = new Int32Array(parent.length),
          l = new Uint32Array(parent.length);
        decodeStackTree(w.finish(), parent.length, p, l, 0);
        return (
          Buffer.from(p.buffer).equals(Buffer.from(parent.buffer)) &&
          Buffer.from(l.buffer).equals(Buffer.from(location.buffer))
        );
      }),
    );
  });
  it("refuses a parent that comes after its child", () => {
    const w = new ByteWriter();
    encodeStackTree(Int32Array.of(-1, 5), Uint32Array.of(0, 1), w);
    expect(() => decodeStackTree(w.finish(), 2, new Int32Array(2), new Uint32Array(2), 0)).toThrow(
      "expected a parent below node 1",
    );
  });
});

describe("rewriting symbols", () => {
  it("copies the symbols of a stack, and equal content once", () => {
    const from = readV3(V3_BYTES);
    const to = new SymbolPartition();
    const a = new SymbolRewriter(from, to).targetStack(3),
      b = new SymbolRewriter(from, to).targetStack(3);
    expect(b).toBe(a);
    expect(to.functions.length).toBe(3);
    const w = new SymdbWriter();
    w.add({ partition: 7n, tables: to.tables(), stacktraces: 1 });
    expect([...readV3(w.finish()).stackLocation].length).toBe(4);
  });
});

it("refuses a footer with a wrong CRC", () => {
  const w = new ByteWriter();
  encodeFooter(12, w);
  const b = w.copy();
  expect(decodeFooter(b, "f")).toBe(12);
  b[9]! ^= 1;
  expect(() => decodeFooter(b, "f")).toThrow("CRC");
});
