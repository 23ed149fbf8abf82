import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter } from "@cinderblock/bytes";
import { describeWith, sharedTestdata } from "@cinderblock/testkit";
import {
  decodeFooter,
  decodeIndex,
  encodeFooter,
  encodeIndex,
  FOOTER_SIZE,
  type StackBlockHeader,
} from "./index-section.ts";
import {
  decodeParquetSymbols,
  decodePartitionV3,
  decodeStacks,
  decodeStackTree,
  encodeStackTree,
  selectPartition,
  type SymbolTables,
} from "./index.ts";
import { encodeFunctions, encodeLocations, encodeMappings, encodeStrings } from "./table-blocks.ts";

const data = sharedTestdata();
const read = (path: string): Uint8Array =>
  new Uint8Array(readFileSync(join(data!, "old-blocks/symdb-folders", path)));
const stacksFrom =
  (file: Uint8Array) =>
  (h: StackBlockHeader): Uint8Array =>
    file.subarray(h.offset, h.offset + h.size);

describeWith(["shared-testdata"], "symbols that older writers of Pyroscope v1 left", () => {
  it("version 3, stack trees in several blocks: every piece is reproduced byte for byte, and the pieces are the file", () => {
    const file = read("v3/symbols.symdb"),
      at = decodeFooter(file.subarray(file.length - FOOTER_SIZE), "f"),
      section = file.subarray(at, file.length - FOOTER_SIZE),
      index = decodeIndex(section, "f");
    const encoded = (encode: (out: ByteWriter) => void): Uint8Array => {
      const out = new ByteWriter();
      encode(out);
      return out.finish().slice();
    };
    let covered = 0,
      stackBlocks = 0;
    for (const p of index.partitions) {
      const t = decodePartitionV3(p, (o, n) => file.subarray(o, o + n), "f"),
        [locations, mappings, functions, strings] = p.tables!;
      const pieces: [
        { offset: number; size: number },
        (t: SymbolTables, out: ByteWriter) => void,
        number[],
      ][] = [
        // Byte 4 of the strings header is undefined (docs/formats/symbols-symdb.md); the header's CRC in
        // bytes 8 to 11 covers it.
        [strings!, encodeStrings, [4, 8, 9, 10, 11]],
        [mappings!, encodeMappings, []],
        [functions!, encodeFunctions, []],
        [locations!, encodeLocations, []],
      ];
      for (const [h, encode, open] of pieces) {
        const own = encoded((out) => encode(t, out)),
          theirs = file.subarray(h.offset, h.offset + h.size);
        expect(own.length).toBe(theirs.length);
        expect([...own.keys()].filter((i) => own[i] !== theirs[i] && !open.includes(i))).toEqual([]);
        covered += h.size;
      }
      for (const h of p.stacks) {
        const parent = new Int32Array(h.nodes),
          location = new Uint32Array(h.nodes);
        decodeStackTree(stacksFrom(file)(h), h.nodes, parent, location, 0);
        expect(
          Buffer.compare(
            encoded((out) => encodeStackTree(parent, location, out)),
            stacksFrom(file)(h),
          ),
        ).toBe(0);
        covered += h.size;
        stackBlocks++;
      }
    }
    expect(covered).toBe(at);
    expect(stackBlocks).toBeGreaterThan(index.partitions.length);
    expect(
      Buffer.compare(
        encoded((out) => encodeIndex(index, out)),
        section,
      ),
    ).toBe(0);
    expect(
      Buffer.compare(
        encoded((out) => encodeFooter(at, out)),
        file.subarray(file.length - FOOTER_SIZE),
      ),
    ).toBe(0);
  });

  it.each(["v1", "v2"])("%s: index and stack trees decode completely and are reproduced", (version) => {
    const section = read(`${version}/index.symdb`),
      index = decodeIndex(section, "index.symdb"),
      stacks = read(`${version}/stacktraces.symdb`);
    expect(index.version).toBe(Number(version.slice(1)));
    const trees = new ByteWriter();
    for (const p of index.partitions) {
      const { stackParent, stackLocation } = decodeStacks(p.stacks, stacksFrom(stacks), "stacktraces.symdb");
      expect(stackParent.length).toBeGreaterThan(1);
      for (const h of p.stacks) {
        const parent = new Int32Array(h.nodes),
          location = new Uint32Array(h.nodes);
        decodeStackTree(stacksFrom(stacks)(h), h.nodes, parent, location, 0);
        encodeStackTree(parent, location, trees);
      }
      if (version === "v1") continue;
      // Every location, function and string that a stack reaches exists.
      const all = decodeParquetSymbols(
        {
          strings: read("v2/strings.parquet"),
          functions: read("v2/functions.parquet"),
          mappings: read("v2/mappings.parquet"),
          locations: read("v2/locations.parquet"),
        },
        "v2",
      );
      const t = selectPartition(all, p.ranges, "v2");
      expect(Math.max(...stackLocation)).toBeLessThan(t.locationOffset.length - 1);
      for (let i = 0; i < t.functionWords.length; i += 4)
        for (let k = 0; k < 3; k++) expect(t.functionWords[i + k]).toBeLessThan(t.stringOffset.length - 1);
    }
    expect(Buffer.compare(trees.finish(), stacks)).toBe(0);
  });
});
