import { TreeMerger, mergeComparison } from "@cinderblock/query";
import { exportTree } from "./trees.ts";

const ALL = { callSite: [], only: [], without: [], hide: [] };
const tree = async (depth: number, leaves: number) => {
  const m = new TreeMerger(),
    name = (s: string): number => {
      const b = Buffer.from(s);
      return m.names.intern(b, 0, b.length);
    };
  let node = 0;
  for (let i = 0; i < depth; i++) node = m.childNode(node, name(`function${i}`));
  for (let i = 0; i < leaves; i++) m.self.data[m.childNode(node, name(`leaf${i}`))] = BigInt(i + 1);
  return mergeComparison(m.finish(), undefined, ALL, ALL);
};

describe("exports of trees", () => {
  it("refuse text beyond the limit, and suggest alternatives", async () => {
    expect(exportTree(await tree(3, 2), "folded", "t", "count", 0).toString()).toContain(
      "function0;function1;function2;leaf1 2",
    );
    const large = await tree(1000, 1000);
    for (const format of ["folded", "speedscope"] as const)
      expect(() => exportTree(large, format, "t", "count", 0, 10_000_000)).toThrow(
        /the stacks are 1[12] MB of text; the limit is 10 MB: .*format=pprof/,
      );
    expect(exportTree(await tree(1000, 1000), "firefox", "t", "count", 0, 10_000_000).length).toBeLessThan(
      1_000_000,
    );
  });
  it("as pictures contain the largest calls, and state the omitted ones", async () => {
    const svg = Buffer.from(exportTree(await tree(2, 120_000), "svg", "t", "count", 0)).toString();
    expect(svg).toContain("small frames");
    expect(svg.length).toBeLessThan(2_000_000);
  });
});
