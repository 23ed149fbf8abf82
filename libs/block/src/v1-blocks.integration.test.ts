import { join } from "node:path";
import { describeWith, sharedTestdata } from "@cinderblock/testkit";
import { blocksBelow, expectOurSchema, expectReproduced, expectWhole } from "./v1-blocks.testing.ts";

const data = sharedTestdata();
const below = (folder: string): string[] => (data ? blocksBelow(join(data, folder)) : ["none"]);
const name = (dir: string): [string, string] => [dir.slice((data ?? "").length + 1), dir];

describeWith(["shared-testdata"], "blocks that Pyroscope v1 wrote", () => {
  it.each([...below("buckets"), ...below("old-blocks")].map(name))(
    "%s decodes completely: counts, sums, stacks",
    (_, dir) => expectWhole(dir),
  );

  it.each(below("buckets").map(name))(
    "%s: index.tsdb, index.symdb and stacktraces.symdb are reproduced byte for byte",
    (_, dir) => expectReproduced(dir),
  );

  it("have our schema", () => expectOurSchema(below("buckets")[0]!));
});
