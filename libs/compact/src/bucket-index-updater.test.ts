import { decodeBucketIndex, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { BucketIndexUpdater } from "./index.ts";

const T0 = 1_795_000_000_000;

describe("updates of a bucket index", () => {
  it("do not replace a newer list with an older one", async () => {
    const bucket = new FilesystemBucket(temporaryFolder()),
      updater = new BucketIndexUpdater(bucket, {
        log: createLogger({ level: "silent", format: "logfmt" }),
        metrics: new Metrics(),
        tracer: noTracer,
        now: () => T0,
      });
    const put = async (): Promise<string> => {
      const ulid = newUlid(T0);
      await bucket.put(
        `t/phlaredb/${ulid}/meta.json`,
        Buffer.from(
          encodeMeta({
            ulid,
            minTimeMs: T0,
            maxTimeMs: T0,
            stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
            files: [],
            compaction: { level: 1, sources: [ulid], parents: [] },
            labels: {},
            version: 3,
            source: "ingester",
            downsampleResolution: 0,
          }),
        ),
      );
      return ulid;
    };
    const first = await put();
    // The first update has its list and is slow to write; a block arrives, and a second update begins.
    const write = bucket.put.bind(bucket);
    let second: Promise<unknown> | undefined,
      late = "",
      writes = 0;
    bucket.put = async (name, bytes) => {
      if (name.endsWith("bucket-index.json.gz") && writes++ === 0) {
        late = await put();
        second = updater.updateTenant("t");
        for (let i = 0; i < 50; i++) await new Promise((r) => setImmediate(r));
      }
      return write(name, bytes);
    };
    await updater.updateTenant("t");
    await second;
    const index = decodeBucketIndex(await bucket.get("t/phlaredb/bucket-index.json.gz"));
    expect(index.blocks.map((b) => b.ulid).sort()).toEqual([first, late].sort());
  });
  it("continue after a failed one", async () => {
    const bucket = new FilesystemBucket(temporaryFolder()),
      updater = new BucketIndexUpdater(bucket, {
        log: createLogger({ level: "silent", format: "logfmt" }),
        metrics: new Metrics(),
        tracer: noTracer,
        now: () => T0,
      });
    const list = bucket.list.bind(bucket);
    bucket.list = () => Promise.reject(new Error("away"));
    const failed = updater.updateTenant("t");
    await expect(failed).rejects.toThrow("away");
    bucket.list = list;
    expect(await updater.updateTenant("t")).toBeUndefined();
  });
});
