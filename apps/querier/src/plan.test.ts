import type { BlockInfo } from "@cinderblock/query";
import { planBlocks } from "./plan.ts";

const block = (ulid: string, level: number, sources: string[], shardId = "", hints: string[] = []): BlockInfo => ({ ulid, minTimeMs: 0, maxTimeMs: 1, level, sources, parents: [], shardId, hints });
const chosen = (...blocks: BlockInfo[]): string[] => planBlocks(blocks).chosen.map((b) => b.ulid).sort();
const raw = [block("A", 1, ["A"]), block("B", 1, ["B"])];

describe("planning blocks", () => {
  it("reads a compacted block instead of its sources", () => { expect(chosen(...raw, block("C", 2, ["A", "B"]))).toEqual(["C"]); });
  it("reads every shard of a complete set", () => { expect(chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2"), block("S2", 2, ["A", "B"], "2_of_2"))).toEqual(["S1", "S2"]); });
  it("reads the sources while a shard is missing", () => { expect(chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2"))).toEqual(["A", "B"]); });
  it("takes a set as complete when the present shards name the empty ones", () => { expect(chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2", ["empty-shard:2_of_2"]))).toEqual(["S1"]); });
  it("reads the sources of an unfinished set though the range leaves some of them out", () => {
    const at = (b: BlockInfo, minTimeMs: number, maxTimeMs: number): BlockInfo => ({ ...b, minTimeMs, maxTimeMs });
    const plan = planBlocks([at(raw[0]!, 0, 10), at(raw[1]!, 11, 20), at(block("S1", 2, ["A", "B"], "1_of_2"), 0, 20)], 2, 5);
    expect(plan.chosen.map((b) => b.ulid)).toEqual(["A"]);
    expect(plan.warnings).toEqual([]);
  });
  it("reads what is left of a set when its sources are gone, and warns", () => {
    const plan = planBlocks([block("S1", 2, ["A", "B"], "1_of_2")]);
    expect(plan.chosen.map((b) => b.ulid)).toEqual(["S1"]);
    expect(plan.warnings).toHaveLength(1);
  });
  it("takes one block for each set and shard, the smallest ULID", () => { expect(chosen(block("D", 2, ["A", "B"]), block("C", 2, ["A", "B"]))).toEqual(["C"]); });
  it("prefers the highest level, level by level", () => { expect(chosen(...raw, block("X", 1, ["X"]), block("C", 2, ["A", "B"]), block("E", 3, ["A", "B", "X"]))).toEqual(["E"]); });
});
