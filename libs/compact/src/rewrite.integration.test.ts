import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { blockFilesIn, BlockReader } from "@cinderblock/block";
import { decodeMeta, LABEL_SHARD } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText, parseSelector, selectorMatches } from "@cinderblock/model";
import { FilesystemBucket } from "@cinderblock/objstore";
import { describeWith, sharedTestdata, temporaryFolder } from "@cinderblock/testkit";
import { compactBlocks, countDroppedRows, type RowSelection, rewriteBlock, verifyBlock } from "./index.ts";
import { jest } from "@jest/globals";

// Whole blocks are compared row by row, which takes seconds, or more when other tests share the cores.
jest.setTimeout(60_000);

type Input = Parameters<typeof rewriteBlock>[0];
const open = (dir: string, ulid: string): Input => ({
  meta: decodeMeta(new Uint8Array(readFileSync(join(dir, ulid, "meta.json")))),
  files: blockFilesIn(new FilesystemBucket(dir), ulid),
});
const data = sharedTestdata();
function v1Blocks(): Input[] {
  const dir = join(data!, "buckets/ingester/anonymous/phlaredb");
  return readdirSync(dir)
    .filter((n) => existsSync(join(dir, n, "meta.json")))
    .map((n) => open(dir, n));
}

/** Every row: labels, time, sum of its samples. */
async function rows({ meta, files }: Input): Promise<{ labels: string; timeMs: number; text: string }[]> {
  const reader = new BlockReader(meta, files, await loadHasher());
  await reader.open();
  const t = await reader.load(["samples", "totals"]);
  return reader.series.flatMap((s, i) =>
    [...reader.rowsOf(i, 0n, 1n << 62n)].map((row) => {
      let sum = 0n;
      for (let k = t.sampleStart[row]!; k < t.sampleEnd[row]!; k++) sum += t.value[k]!;
      if (sum !== t.totalValue[row]) throw new Error("a row's total is not its sum");
      return {
        labels: labelsText(s.labels),
        timeMs: Number(t.timeNanos[row]! / 1_000_000n),
        text: `${labelsText(s.labels)} ${t.timeNanos[row]} ${sum}`,
      };
    }),
  );
}
const SELECTOR = '{service_name=~".*(a|e).*", __profile_type__=~"process_cpu.*"}';

describeWith(["shared-testdata"], "a block without some of its rows", () => {
  it("keeps every other row unchanged, and replaces the source in a plan", async () => {
    const [out] = (
      await compactBlocks(v1Blocks(), {
        shards: 0,
        splitBy: "fingerprint",
        downsample: false,
        memoryBytes: 64 << 20,
        workDir: temporaryFolder(),
      })
    ).outputs;
    const block = open(join(out!.dir, ".."), out!.meta.ulid),
      { meta } = block;
    const all = await rows(block);
    const middle = Math.floor((meta.minTimeMs + meta.maxTimeMs) / 2);
    const drops: RowSelection[] = [{ selector: SELECTOR, startMs: meta.minTimeMs, endMs: middle }];
    const reader = new BlockReader(meta, block.files, await loadHasher());
    await reader.open();
    const matching = new Set(
      reader.series
        .filter((s) => selectorMatches(parseSelector(SELECTOR), s.labels))
        .map((s) => labelsText(s.labels)),
    );
    const left = all.filter((r) => !(matching.has(r.labels) && r.timeMs <= middle));
    expect(matching.size).toBeGreaterThan(0);
    expect(left.length).toBeLessThan(all.length);

    expect((await countDroppedRows(meta, block.files, drops, await loadHasher()))[0]!.profiles).toBe(
      all.length - left.length,
    );
    const { outputs, dropped } = await rewriteBlock(block, drops, {
      memoryBytes: 64 << 20,
      workDir: temporaryFolder(),
    });
    expect(dropped).toBe(all.length - left.length);
    const next = open(join(outputs[0]!.dir, ".."), outputs[0]!.meta.ulid);
    await verifyBlock(next.meta, next.files);
    expect((await rows(next)).map((r) => r.text).sort()).toEqual(left.map((r) => r.text).sort());
    expect(next.meta.ulid < meta.ulid).toBe(true);
    expect([next.meta.compaction.level, next.meta.compaction.sources]).toEqual([
      meta.compaction.level,
      meta.compaction.sources,
    ]);
    expect((await countDroppedRows(next.meta, next.files, drops, await loadHasher()))[0]!.profiles).toBe(0);
  });
  it("is removed without remaining rows, and stays empty as a shard", async () => {
    const everything: RowSelection[] = [
      { selector: '{service_name=~".*"}', startMs: 0, endMs: Number.MAX_SAFE_INTEGER },
    ];
    const [first] = v1Blocks();
    expect(
      (await rewriteBlock(first!, everything, { memoryBytes: 64 << 20, workDir: temporaryFolder() })).outputs,
    ).toEqual([]);
    const shards = (
      await compactBlocks(v1Blocks(), {
        shards: 2,
        splitBy: "fingerprint",
        downsample: false,
        memoryBytes: 64 << 20,
        workDir: temporaryFolder(),
      })
    ).outputs;
    const shard = open(join(shards[0]!.dir, ".."), shards[0]!.meta.ulid);
    const { outputs } = await rewriteBlock(shard, everything, {
      memoryBytes: 64 << 20,
      workDir: temporaryFolder(),
    });
    const empty = open(join(outputs[0]!.dir, ".."), outputs[0]!.meta.ulid);
    expect(empty.meta.labels[LABEL_SHARD]).toBe("1_of_2");
    expect(empty.meta.stats).toEqual({ numProfiles: 0, numSamples: 0, numSeries: 0 });
    await verifyBlock(empty.meta, empty.files);
    expect(await rows(empty)).toEqual([]);
    // It can be compacted further, with the other shards of its set and with other blocks.
    const merged = await compactBlocks([empty, shard], {
      shards: 0,
      splitBy: "fingerprint",
      downsample: false,
      memoryBytes: 64 << 20,
      workDir: temporaryFolder(),
    });
    expect(merged.rows).toBe(shard.meta.stats.numProfiles);
  });
  it("has recreated downsampled tables", async () => {
    const sources = v1Blocks(),
      half = (list: Input[]): Promise<Input> =>
        compactBlocks(list, {
          shards: 0,
          splitBy: "fingerprint",
          downsample: true,
          memoryBytes: 64 << 20,
          workDir: temporaryFolder(),
        }).then(({ outputs }) => open(join(outputs[0]!.dir, ".."), outputs[0]!.meta.ulid));
    const third = await half([await half(sources.slice(0, 4)), await half(sources.slice(4))]);
    const { outputs } = await rewriteBlock(
      third,
      [{ selector: SELECTOR, startMs: 0, endMs: Number.MAX_SAFE_INTEGER }],
      { memoryBytes: 64 << 20, workDir: temporaryFolder() },
    );
    const block = open(join(outputs[0]!.dir, ".."), outputs[0]!.meta.ulid);
    const reader = new BlockReader(block.meta, block.files, await loadHasher());
    await reader.open();
    expect(reader.coarse).toHaveLength(2);
    const [raw, hours] = [await reader.load(["totals"]), await reader.coarse[0]!.rows.load(["totals"])];
    const sum = (v: BigInt64Array): bigint => v.reduce((a, b) => a + b, 0n);
    expect(sum(hours.totalValue)).toBe(sum(raw.totalValue));
  });
});
