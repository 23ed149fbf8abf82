import { type BlockMeta, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { BlockPublisher } from "./block-publisher.ts";
import type { CompactorConfig } from "./compactor-config.ts";
import { JobPlanner } from "./job-planner.ts";
import type { CompactorLimits } from "./limits.ts";

const HOUR = 3600_000;

/** A planner over an empty bucket, whose clock the test sets; uploads have the time of the machine. */
function setUp(config: Partial<CompactorConfig> = {}) {
  const bucket = new FilesystemBucket(temporaryFolder()),
    now = Math.floor(Date.now() / (24 * HOUR)) * 24 * HOUR,
    clock = { now: Date.now() + HOUR },
    reads: string[] = [];
  const get = bucket.get.bind(bucket);
  bucket.get = (name) => {
    reads.push(name);
    return get(name);
  };
  const base = {
    log: createLogger({ level: "silent", format: "logfmt" }),
    metrics: new Metrics(),
    tracer: noTracer,
    now: () => clock.now,
  };
  const publisher = new BlockPublisher(bucket, "host-1", () => Promise.resolve(), base);
  const planner = new JobPlanner(
    bucket,
    publisher,
    {
      rangesMs: [HOUR],
      firstLevelWaitMs: 0,
      jobsOrder: "smallest-range-oldest-blocks-first",
      ...config,
    } as CompactorConfig,
    { splitShards: () => 0, splitGroups: () => 1 } as unknown as CompactorLimits,
    base,
  );
  /** Uploads the meta of a block, `hoursAgo` before midnight. */
  const put = async (hoursAgo: number, of: Partial<BlockMeta["compaction"]> = {}): Promise<string> => {
    const ulid = newUlid(now),
      minTimeMs = now - hoursAgo * HOUR;
    const meta: BlockMeta = {
      ulid,
      minTimeMs,
      maxTimeMs: minTimeMs + HOUR / 2,
      stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
      files: [],
      compaction: { level: 1, sources: [ulid], parents: [], ...of },
      labels: {},
      version: 3,
      source: "test",
    } as unknown as BlockMeta;
    await bucket.put(`t/phlaredb/${ulid}/meta.json`, Buffer.from(encodeMeta(meta)));
    return ulid;
  };
  const jobs = async (): Promise<string[][]> =>
    (await planner.dueJobs("t")).map((j) => j.blocks.map((b) => b.ulid).sort());
  return { bucket, clock, reads, planner, publisher, put, jobs };
}

describe("the planner of compaction jobs", () => {
  it("orders jobs by age, or the newest first", async () => {
    for (const jobsOrder of ["smallest-range-oldest-blocks-first", "newest-blocks-first"] as const) {
      const { put, jobs } = setUp({ jobsOrder });
      const older = [await put(9), await put(9)].sort(),
        newer = [await put(5), await put(5)].sort();
      await put(1); // the newest range is not complete
      expect(await jobs()).toEqual(jobsOrder === "newest-blocks-first" ? [newer, older] : [older, newer]);
    }
  });

  it("waits for more uploads before it merges blocks of the first level", async () => {
    const { clock, put, jobs } = setUp({ firstLevelWaitMs: 20 * HOUR });
    const blocks = [await put(9), await put(9)].sort();
    await put(1);
    clock.now = Date.now() + 19 * HOUR;
    expect(await jobs()).toEqual([]);
    clock.now = Date.now() + 21 * HOUR;
    expect(await jobs()).toEqual([blocks]);
  });

  it("marks the sources that an interrupted compaction left behind", async () => {
    const { put, jobs, planner } = setUp();
    const source = await put(9),
      output = await put(9, { level: 2, sources: [source] });
    expect(await jobs()).toEqual([]);
    expect([...(await planner.compactableBlocks("t")).keys()]).toEqual([output]);
  });

  it("reads each meta once, and skips partial, damaged, marked and excluded blocks", async () => {
    const { bucket, put, planner, publisher, reads } = setUp();
    const whole = await put(9),
      excluded = await put(9),
      partial = newUlid(Date.now()),
      damaged = newUlid(Date.now());
    await bucket.put(`t/phlaredb/${partial}/profiles.parquet`, Buffer.from("rows"));
    await bucket.put(`t/phlaredb/${damaged}/meta.json`, Buffer.from("{"));
    const first = await planner.compactableBlocks("t");
    expect([...first.keys()].sort()).toEqual([whole, excluded].sort());
    await publisher.excludeFromCompaction("t", first.get(excluded)!.meta, "page 3 is damaged");
    reads.length = 0;
    expect([...(await planner.compactableBlocks("t")).keys()]).toEqual([whole]);
    expect(reads.filter((n) => n.includes(whole))).toEqual([]);
  });
});
