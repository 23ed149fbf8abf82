import fc from "fast-check";
import { mergedHints } from "@cinderblock/block-meta";
import type { BlockInfo } from "@cinderblock/query";
import { digestOf, planBlocks } from "./plan.ts";

const block = (
  ulid: string,
  level: number,
  sources: string[],
  shardId = "",
  hints: string[] = [],
): BlockInfo => ({ ulid, minTimeMs: 0, maxTimeMs: 1, level, sources, parents: [], shardId, hints });
const chosen = (...blocks: BlockInfo[]): string[] =>
  planBlocks(blocks)
    .chosen.map((b) => b.ulid)
    .sort();
const raw = [block("A", 1, ["A"]), block("B", 1, ["B"])];

describe("planning blocks", () => {
  it("reads a compacted block instead of its sources", () => {
    expect(chosen(...raw, block("C", 2, ["A", "B"]))).toEqual(["C"]);
  });
  it("reads every shard of a complete set", () => {
    expect(
      chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2"), block("S2", 2, ["A", "B"], "2_of_2")),
    ).toEqual(["S1", "S2"]);
  });
  it("reads the sources while a shard is missing", () => {
    expect(chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2"))).toEqual(["A", "B"]);
  });
  it("accepts a set as complete if the present shards name the empty ones", () => {
    expect(chosen(...raw, block("S1", 2, ["A", "B"], "1_of_2", ["empty-shard:2_of_2"]))).toEqual(["S1"]);
  });
  it("reads the sources of an incomplete set even if the range excludes some of them", () => {
    const at = (b: BlockInfo, minTimeMs: number, maxTimeMs: number): BlockInfo => ({
      ...b,
      minTimeMs,
      maxTimeMs,
    });
    const plan = planBlocks(
      [at(raw[0]!, 0, 10), at(raw[1]!, 11, 20), at(block("S1", 2, ["A", "B"], "1_of_2"), 0, 20)],
      2,
      5,
    );
    expect(plan.chosen.map((b) => b.ulid)).toEqual(["A"]);
    expect(plan.warnings).toEqual([]);
  });
  it("reads the rest of a set whose sources are gone, and warns", () => {
    const plan = planBlocks([block("S1", 2, ["A", "B"], "1_of_2")]);
    expect(plan.chosen.map((b) => b.ulid)).toEqual(["S1"]);
    expect(plan.warnings).toHaveLength(1);
  });
  it("reads a shard of only one source with its sister shards of the next level", () => {
    // Two splits in two; shard 2 of the first source was empty, so only shard 1 was merged.
    const parts = [
      block("A1", 2, ["A"], "1_of_2", ["empty-shard:2_of_2"]),
      block("B1", 2, ["B"], "1_of_2"),
      block("B2", 2, ["B"], "2_of_2"),
    ];
    const merged = block("C1", 3, ["A", "B"], "1_of_2", ["empty-shard:2_of_2:A"]);
    expect(chosen(...parts, merged)).toEqual(["B2", "C1"]);
    expect(chosen(parts[2]!, merged)).toEqual(["B2", "C1"]); // the merged blocks are gone
    const plan = planBlocks([merged]);
    expect([plan.chosen.map((b) => b.ulid), plan.warnings.length]).toEqual([["C1"], 1]);
  });
  it("reads a set during a shard-by-shard merge", () => {
    const part = (s: string): BlockInfo[] => [
      block(`${s}1`, 2, [s], "1_of_3"),
      block(`${s}2`, 2, [s], "2_of_3"),
      block(`${s}3`, 2, [s], "3_of_3"),
    ];
    const a = part("A"),
      b = part("B"),
      first = block("C1", 3, ["A", "B"], "1_of_3");
    expect(chosen(...a, ...b, first)).toEqual(["A2", "A3", "B2", "B3", "C1"]);
    expect(chosen(a[1]!, a[2]!, b[1]!, b[2]!, first)).toEqual(["A2", "A3", "B2", "B3", "C1"]);
    expect(chosen(a[2]!, b[2]!, first, block("C2", 3, ["A", "B"], "2_of_3"))).toEqual([
      "A3",
      "B3",
      "C1",
      "C2",
    ]);
    // A shard is lost: the remaining blocks are read, with a warning.
    expect(planBlocks([a[1]!, a[2]!, b[1]!, first]).warnings).toHaveLength(1);
  });
  it("uses one block per set and shard, the smallest ULID", () => {
    expect(chosen(block("D", 2, ["A", "B"]), block("C", 2, ["A", "B"]))).toEqual(["C"]);
  });
  it("prefers the highest level, level by level", () => {
    expect(
      chosen(...raw, block("X", 1, ["X"]), block("C", 2, ["A", "B"]), block("E", 3, ["A", "B", "X"])),
    ).toEqual(["E"]);
  });
  it("reads everything once at every step of splits and merges, with empty shards and deleted parents", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.boolean(), { minLength: 16, maxLength: 16 }),
        fc.nat(40),
        fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
        (n, filled, steps, gone) => {
          const names = ["A", "B", "C", "D"];
          const has = (source: string, shard: number): boolean =>
            filled[names.indexOf(source) * 4 + shard - 1]!;
          // Each source is split; an empty source has no block.
          const full = names.filter((s) => Array.from({ length: n }, (_, k) => has(s, k + 1)).some(Boolean));
          let live = full.flatMap((s) => {
            const empty = Array.from({ length: n }, (_, k) => k + 1)
              .filter((k) => !has(s, k))
              .map((k) => `empty-shard:${k}_of_${n}`);
            return Array.from({ length: n }, (_, k) => k + 1)
              .filter((k) => has(s, k))
              .map((k) => block(`${s}${k}`, 2, [s], `${k}_of_${n}`, empty));
          });
          // Merge ranges of two sources, then of all, shard by shard, where at least two blocks exist. Some
          // parents are deleted at once.
          let step = 0,
            next = 0;
          for (const range of [["A", "B"], ["C", "D"], names]) {
            for (let k = 1; k <= n; k++) {
              const parts = live.filter(
                (b) =>
                  b.shardId === `${k}_of_${n}` &&
                  b.sources.every((s) => range.includes(s)) &&
                  !live.some(
                    (o) =>
                      o !== b && o.shardId === b.shardId && b.sources.every((s) => o.sources.includes(s)),
                  ),
              );
              if (parts.length < 2 || step++ >= steps) continue;
              const sources = parts.flatMap((b) => b.sources).sort();
              live.push(
                block(
                  `m${next++}`,
                  Math.max(...parts.map((b) => b.level)) + 1,
                  sources,
                  `${k}_of_${n}`,
                  mergedHints(parts),
                ),
              );
              live = live.filter((b) => !parts.includes(b) || !gone[next % 64]!);
            }
          }
          const { chosen: read, warnings } = planBlocks(live);
          expect(warnings).toEqual([]);
          for (const s of names)
            for (let k = 1; k <= n; k++)
              expect(read.filter((b) => b.shardId === `${k}_of_${n}` && b.sources.includes(s)).length).toBe(
                has(s, k) ? 1 : 0,
              );
        },
      ),
      { numRuns: 3000 },
    );
  });
});

describe("the digest of an answer", () => {
  const HOUR = 3600_000,
    all = (): boolean => true;
  const at = (b: BlockInfo, fromHour: number, toHour: number): BlockInfo => ({
    ...b,
    minTimeMs: fromHour * HOUR,
    maxTimeMs: toHour * HOUR - 1,
  });
  const A = at(block("A", 1, ["A"]), 8, 9),
    B = at(block("B", 1, ["B"]), 9, 10),
    far = at(block("F", 1, ["F"]), 16, 17);
  const of = (blocks: BlockInfo[], stored: (b: BlockInfo) => boolean = all): string =>
    digestOf(blocks, stored, 8 * HOUR, 9 * HOUR - 1);
  it("stays the same under compactions, into one block or into shards, before and after the deletion of sources", () => {
    const whole = at(block("C", 2, ["A", "B"]), 8, 10),
      shards = [1, 2].map((k) => at(block(`S${k}`, 2, ["A", "B"], `${k}_of_2`), 8, 10));
    const digests = [
      [A, B],
      [A, B, whole],
      [whole],
      [A, B, ...shards],
      shards,
      [whole, far],
      [far, B, A],
    ].map((b) => of(b));
    expect(new Set(digests).size).toBe(1);
    expect(digests[0]).not.toBe("");
  });
  it("changes with a late block, a deleted block, and a rewritten block, also after their merge", () => {
    const rewritten = at(block("R", 1, ["A"], "", ["rewritten:A"]), 8, 9),
      merged = at(block("C", 2, ["A", "B"], "", ["rewritten:A"]), 8, 10);
    const digests = [[A, B], [A, B, at(block("L", 1, ["L"]), 8, 9)], [B], [rewritten, B]].map((b) => of(b));
    expect(new Set(digests).size).toBe(4);
    expect(of([merged])).toBe(of([rewritten, B]));
  });
  it("is absent while only an ingester has part of the data; data outside of the range does not matter", () => {
    expect(of([A, B], (b) => b.ulid !== "A")).toBe("");
    expect(of([A, B], (b) => b.ulid !== "B")).toBe(of([A, B]));
  });
});
