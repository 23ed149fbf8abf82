import type { BlockMeta } from "@cinderblock/block-meta";
import { outdatedBlocks, planJobs, replacementBlocksOf } from "./index.ts";

const HOUR = 3600_000;
let next = 0;
/** A block over [from, to] hours. */
function block(
  from: number,
  to: number,
  more: {
    level?: number;
    shard?: string;
    sources?: string[];
    hints?: string[];
    labels?: Record<string, string>;
  } = {},
): BlockMeta {
  const ulid = `01M7V41F00${String(++next).padStart(16, "0")}`;
  return {
    ulid,
    minTimeMs: from * HOUR,
    maxTimeMs: to * HOUR,
    stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
    files: [],
    version: 3,
    source: "",
    downsampleResolution: 0,
    labels: { ...more.labels, ...(more.shard ? { __compactor_shard_id__: more.shard } : {}) },
    compaction: {
      level: more.level ?? 1,
      sources: more.sources ?? [ulid],
      parents: [],
      ...(more.hints ? { hints: more.hints } : {}),
    },
  };
}
const plan = (metas: BlockMeta[], options: { shards?: number; splitGroups?: number } = {}) =>
  planJobs(metas, { rangesMs: [HOUR, 2 * HOUR, 8 * HOUR], shards: 0, splitGroups: 1, ...options }).map(
    (j) =>
      `${j.stage} ${j.shardId || "-"} ${j.rangeStartMs / HOUR}-${j.rangeEndMs / HOUR} ${j.blocks.length}`,
  );

describe("planning compactions", () => {
  const old = block(20, 20.5);
  it("merges two blocks of a range, and leaves a single block", () => {
    expect(plan([block(0, 0.5), block(0.5, 0.9), block(1, 1.5), old])).toEqual(["merge - 0-1 2"]);
  });
  it("merges the outputs of smaller ranges after those complete", () => {
    expect(plan([block(0, 1, { level: 2 }), block(1, 2, { level: 2 }), block(2, 3), old])).toEqual([
      "merge - 0-2 2",
    ]);
  });
  it("schedules jobs of smaller ranges first", () => {
    expect(plan([block(0, 0.5), block(0.5, 1), block(1, 2), block(4, 5), old])).toEqual(["merge - 0-1 2"]);
  });
  it("waits for the newest range, unless its blocks span it", () => {
    expect(plan([block(0, 0.4), block(0.4, 0.8)])).toEqual([]);
    expect(plan([block(0, 0.4), block(0.4, 1)])).toEqual(["merge - 0-1 2"]);
  });
  it("skips blocks that span several ranges", () => {
    expect(plan([block(0.5, 1.5), block(0.6, 1.4), old])).toEqual(["merge - 0-2 2"]);
  });
  it("separates blocks with different labels, ignoring the host", () => {
    expect(
      plan([block(0, 0.5, { labels: { region: "eu" } }), block(0, 0.5, { labels: { region: "us" } }), old]),
    ).toEqual([]);
    expect(
      plan([
        block(0, 0.5, { labels: { __hostname__: "a" } }),
        block(0, 0.5, { labels: { __hostname__: "b" } }),
        old,
      ]),
    ).toEqual(["merge - 0-1 2"]);
  });
  it("splits blocks without a shard in the smallest range, even a single one, then merges by shard", () => {
    expect(plan([block(0, 0.5), old], { shards: 2 })).toEqual(["split 1_of_1 0-1 1"]);
    const shards = [0, 1].flatMap((h) =>
      ["1_of_2", "2_of_2"].map((shard) => block(h, h + 0.9, { level: 2, shard })),
    );
    expect(plan([...shards, block(20, 20.5, { level: 2, shard: "1_of_2" })], { shards: 2 }).sort()).toEqual([
      "merge 1_of_2 0-2 2",
      "merge 2_of_2 0-2 2",
    ]);
  });
  it("does not merge a range before its blocks are split", () => {
    expect(
      plan(
        [
          block(0, 0.5),
          block(0, 0.9, { level: 2, shard: "1_of_2" }),
          block(1, 1.9, { level: 2, shard: "1_of_2" }),
          block(20, 20.5, { level: 2, shard: "1_of_2" }),
        ],
        { shards: 2 },
      ),
    ).toEqual(["split 1_of_1 0-1 1"]);
  });
  it("merges late blocks with the block that covers their time in one job", () => {
    const whole = block(0, 8, { level: 3 });
    // Two threads of a late replica upload blocks hour by hour: no job merges rows that the wide job merges
    // again.
    const late = [0, 0, 1, 1, 2].map((h) => block(h, h + 0.9));
    expect(plan([whole, ...late, old])).toEqual(["merge - 0-8 6"]);
    // Blocks of hours without a wide block are merged as usual.
    expect(plan([block(0, 2, { level: 2 }), late[0]!, block(2, 2.5), block(2.5, 3), old])).toEqual([
      "merge - 2-3 2",
      "merge - 0-2 2",
    ]);
  });
  it("splits late blocks before merging them with covering shards, once per shard", () => {
    const shards = ["1_of_2", "2_of_2"],
      whole = shards.map((shard) => block(0, 8, { level: 3, shard })),
      newer = block(20, 20.5, { level: 2, shard: "1_of_2" });
    const late = [0, 1].map((h) => block(h, h + 0.9));
    expect(plan([...whole, ...late, newer], { shards: 2 })).toEqual([
      "split 1_of_1 0-1 1",
      "split 1_of_1 1-2 1",
    ]);
    const split = [0, 0, 1].flatMap((h) => shards.map((shard) => block(h, h + 0.9, { level: 2, shard })));
    expect(plan([...whole, ...split, newer], { shards: 2 })).toEqual([
      "merge 1_of_2 0-8 4",
      "merge 2_of_2 0-8 4",
    ]);
  });
  it("merges a late block with a covering unsharded block instead of splitting it", () => {
    expect(
      plan([block(0, 8, { level: 3 }), block(0, 0.9), block(20, 20.5, { level: 2, shard: "1_of_2" })], {
        shards: 2,
      }),
    ).toEqual(["merge - 0-8 2"]);
  });
  it("does not defer a job for a level-1 block that straddles two ranges", () => {
    expect(plan([block(0.5, 1.5), block(0, 0.4), block(0.2, 0.6), old])).toEqual(["merge - 0-1 2"]);
  });
  it("divides blocks to split into groups", () => {
    const many = Array.from({ length: 40 }, () => block(0, 0.5));
    const jobs = planJobs([...many, old], { rangesMs: [HOUR], shards: 2, splitGroups: 3 }).filter(
      (j) => j.rangeStartMs === 0,
    );
    expect(jobs.map((j) => j.shardId).sort()).toEqual(["1_of_3", "2_of_3", "3_of_3"]);
    expect(jobs.reduce((n, j) => n + j.blocks.length, 0)).toBe(40);
  });
});

describe("blocks replaced by others", () => {
  const a = block(0, 1),
    b = block(0, 1);
  const both = [a.ulid, b.ulid];
  it("are outdated when a merged block, or a complete set of shards, has their sources", () => {
    expect(outdatedBlocks([a, b, block(0, 1, { level: 2, sources: both })])).toEqual([a, b]);
    const one = block(0, 1, { level: 2, sources: both, shard: "1_of_2" }),
      two = block(0, 1, { level: 2, sources: both, shard: "2_of_2" });
    expect(outdatedBlocks([a, b, one])).toEqual([]);
    expect(outdatedBlocks([a, b, one, two])).toEqual([a, b]);
    expect(
      outdatedBlocks([
        a,
        b,
        block(0, 1, { level: 2, sources: both, shard: "1_of_2", hints: ["empty-shard:2_of_2"] }),
      ]),
    ).toEqual([a, b]);
  });
  it("are outdated when a job ran twice: the smallest ULID stays", () => {
    const first = block(0, 1, { level: 2, sources: both }),
      again = block(0, 1, { level: 2, sources: both });
    expect(outdatedBlocks([first, again])).toEqual([again]);
  });
  it("are replaced by one block or by every shard", () => {
    const one = block(0, 1, { level: 2, sources: both, shard: "1_of_2" }),
      two = block(0, 1, { level: 2, sources: both, shard: "2_of_2" });
    expect(replacementBlocksOf(a.ulid, [a, b, one])).toEqual([]);
    expect(replacementBlocksOf(a.ulid, [a, b, one, two])).toEqual([one, two]);
  });
});
