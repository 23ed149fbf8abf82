import { readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { decodeBucketIndex, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { FilesystemBucket, listAll } from "@cinderblock/objstore";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { BlocksCleaner } from "./cleaner.ts";
import { BucketIndexUpdater, markForDeletion, tenantDeletions } from "@cinderblock/compact";
import type { CompactorLimits } from "./limits.ts";

const HOUR = 3600_000,
  DAY = 24 * HOUR;
const LIMITS: CompactorLimits = {
  retentionMs: () => 0,
  splitShards: () => 0,
  splitGroups: () => 1,
  partialBlockDeletionDelayMs: () => DAY,
  downsample: () => true,
  retentionRules: () => [],
};

/** A bucket in a folder, and a cleaner whose clock the test sets. */
function setUp(limits: Partial<CompactorLimits> = {}, removeEmptyTenants = false, dryRun = false) {
  const dir = temporaryFolder();
  const bucket = new FilesystemBucket(dir);
  const clock = { now: Date.now() };
  const base = {
    log: createLogger({ level: "error", format: "logfmt" }),
    metrics: new Metrics(),
    tracer: startTracing("", "test"),
    now: () => clock.now,
  };
  const index = new BucketIndexUpdater(bucket, base);
  const cleaner = new BlocksCleaner(
    bucket,
    index,
    {
      intervalMs: HOUR,
      deletionDelayMs: 12 * HOUR,
      removeEmptyTenants,
      retentionDryRun: dryRun,
      owns: () => true,
    },
    { ...LIMITS, ...limits },
    base,
  );
  const put = async (ageMs: number, whole = true): Promise<string> => {
    const ulid = newUlid(clock.now - ageMs);
    await bucket.put(`t/phlaredb/${ulid}/profiles.parquet`, Buffer.from("rows"));
    if (whole)
      await bucket.put(
        `t/phlaredb/${ulid}/meta.json`,
        Buffer.from(
          encodeMeta({
            ulid,
            minTimeMs: clock.now - ageMs - HOUR,
            maxTimeMs: clock.now - ageMs,
            stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
            files: [],
            compaction: { level: 1, sources: [ulid], parents: [] },
            version: 3,
            labels: {},
            source: "",
            downsampleResolution: 0,
          }),
        ),
      );
    return ulid;
  };
  const blocks = (): string[] =>
    readdirSync(join(dir, "t/phlaredb"))
      .filter((n) => n.length === 26)
      .sort();
  const indexed = async (): Promise<{ blocks: string[]; marks: string[] }> => {
    const i = decodeBucketIndex(await bucket.get("t/phlaredb/bucket-index.json.gz"));
    return { blocks: i.blocks.map((b) => b.ulid).sort(), marks: i.marks.map((m) => m.ulid).sort() };
  };
  return { dir, bucket, clock, cleaner, put, blocks, indexed, metrics: base.metrics };
}

describe("the cleanup of a bucket", () => {
  it("marks blocks older than the retention period, and deletes them after the delay", async () => {
    const s = setUp({ retentionMs: () => 7 * DAY });
    const old = await s.put(8 * DAY),
      young = await s.put(DAY);
    await s.cleaner.run();
    expect(s.blocks()).toEqual([old, young].sort());
    expect(await s.indexed()).toEqual({ blocks: [old, young].sort(), marks: [old] });
    s.clock.now += 11 * HOUR;
    await s.cleaner.run();
    expect(s.blocks()).toContain(old);
    s.clock.now += 2 * HOUR;
    await s.cleaner.run();
    expect(s.blocks()).toEqual([young]);
    expect(await s.indexed()).toEqual({ blocks: [young], marks: [] });
    expect(await s.bucket.list("t/phlaredb/markers/")).toEqual([]);
  });
  it("only counts blocks beyond the retention period in a dry run", async () => {
    const s = setUp({ retentionMs: () => 7 * DAY }, false, true);
    const old = await s.put(8 * DAY),
      young = await s.put(DAY);
    await s.cleaner.run();
    s.clock.now += 13 * HOUR;
    await s.cleaner.run();
    expect(s.blocks()).toEqual([old, young].sort());
    expect(await s.indexed()).toEqual({ blocks: [old, young].sort(), marks: [] });
    expect(await s.metrics.registry.metrics()).toMatch(
      /cinderblock_compactor_retention_dry_run_blocks\{user="t"\} 1/,
    );
  });
  it("keeps uploads in progress, marks abandoned uploads, and deletes them in the next pass", async () => {
    const s = setUp();
    const fresh = await s.put(0, false),
      stale = await s.put(0, false);
    const past = new Date(s.clock.now - 2 * DAY);
    utimesSync(join(s.dir, "t/phlaredb", stale, "profiles.parquet"), past, past);
    await s.put(DAY);
    await s.cleaner.run();
    expect(s.blocks()).toEqual(expect.arrayContaining([fresh, stale]));
    expect(await s.bucket.exists(`t/phlaredb/markers/${stale}-deletion-mark.json`)).toBe(true);
    await s.cleaner.run();
    expect(s.blocks()).toContain(fresh);
    expect(s.blocks()).not.toContain(stale);
  });
  it("resumes an interrupted deletion: deletes a marked block without meta.json immediately", async () => {
    const s = setUp();
    const half = await s.put(DAY);
    await markForDeletion(s.bucket, "t", half, "source of compacted block", s.clock.now);
    await s.bucket.delete(`t/phlaredb/${half}/meta.json`);
    const other = await s.put(DAY);
    await s.cleaner.run();
    expect(s.blocks()).toEqual([other]);
  });
  it("deletes a tenant with a deletion mark, and the markers after another delay", async () => {
    const s = setUp();
    await s.put(DAY);
    await s.cleaner.run();
    await s.bucket.put(
      "t/phlaredb/markers/tenant-deletion-mark.json",
      Buffer.from(JSON.stringify({ deletion_time: Math.floor(s.clock.now / 1000) })),
    );
    await s.cleaner.run();
    expect(await listAll(s.bucket, "t/")).toEqual(["t/phlaredb/markers/tenant-deletion-mark.json"]);
    expect(
      JSON.parse(Buffer.from(await s.bucket.get("t/phlaredb/markers/tenant-deletion-mark.json")).toString()),
    ).toEqual({
      deletion_time: Math.floor(s.clock.now / 1000),
      finished_time: Math.floor(s.clock.now / 1000),
    });
    s.clock.now += 13 * HOUR;
    await s.cleaner.run();
    expect(await listAll(s.bucket, "t/")).toEqual([]);
  });
  it("records a tenant's deletion permanently, up to the end of the mark", async () => {
    const s = setUp();
    await s.put(HOUR);
    const mark = Math.floor(s.clock.now / 1000);
    await s.bucket.put(
      "t/phlaredb/markers/tenant-deletion-mark.json",
      Buffer.from(JSON.stringify({ deletion_time: mark })),
    );
    await s.cleaner.run();
    expect(await tenantDeletions(s.bucket)).toEqual(new Map([["t", s.clock.now]]));
    s.clock.now += 13 * HOUR;
    await s.cleaner.run();
    await s.cleaner.run();
    expect(await listAll(s.bucket, "t/")).toEqual([]);
    s.clock.now += 90 * DAY;
    await s.cleaner.run();
    expect((await tenantDeletions(s.bucket)).get("t")).toBe(s.clock.now - 90 * DAY);
  });
  it("writes an empty index for a tenant without blocks, or removes it if configured", async () => {
    for (const removeEmpty of [false, true]) {
      const s = setUp({ retentionMs: () => DAY }, removeEmpty);
      await s.put(2 * DAY);
      await s.cleaner.run();
      s.clock.now += 13 * HOUR;
      await s.cleaner.run();
      if (removeEmpty) expect(await listAll(s.bucket, "t/")).toEqual([]);
      else expect(await s.indexed()).toEqual({ blocks: [], marks: [] });
    }
  });
});
