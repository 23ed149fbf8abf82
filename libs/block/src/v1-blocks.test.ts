import { existsSync } from "node:fs";
import { join } from "node:path";
import { goldenPath } from "@cinderblock/testkit";
import { blocksBelow, expectOurSchema, expectReproduced, expectWhole } from "./v1-blocks.testing.ts";

const root = goldenPath("v1");
const name = (dir: string): [string, string] => [dir.slice(root.length + 1), dir];
const all = blocksBelow(root),
  /** Blocks with symbols in a folder of six files; the other blocks have one file. */
  inFolders = all.filter((dir) => existsSync(join(dir, "symbols/index.symdb")));

describe("golden blocks of Pyroscope v1", () => {
  it("cover every layout: level 1, compacted with downsampled tables, shards, symbols in one file", () => {
    expect(all.length).toBeGreaterThanOrEqual(10);
    expect(all.length).toBeGreaterThan(inFolders.length);
  });

  it.each(all.map(name))("%s decodes completely: counts, sums, stacks", (_, dir) => expectWhole(dir));

  it.each(inFolders.map(name))("%s: index and stack files are reproduced byte for byte", (_, dir) =>
    expectReproduced(dir),
  );

  it("have our schema", () => expectOurSchema(inFolders[0]!));
});
