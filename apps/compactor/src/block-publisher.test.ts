import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockMeta, decodeMeta, LABEL_HOSTNAME, newUlid } from "@cinderblock/block-meta";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { BlockPublisher } from "./block-publisher.ts";

/** A publisher, the output of a job, and the names that the bucket had when the output was announced. */
function setUp() {
  const bucket = new FilesystemBucket(temporaryFolder()),
    ulid = newUlid(Date.now()),
    dir = join(temporaryFolder(), ulid),
    announced: string[][] = [],
    writes: string[] = [];
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "profiles.parquet"), "rows");
  const meta = {
    ulid,
    minTimeMs: 1,
    maxTimeMs: 2,
    stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
    files: [{ relPath: "profiles.parquet", sizeBytes: 4 }],
    compaction: { level: 2, sources: [ulid], parents: [] },
    labels: { service: "shop" },
    version: 3,
    source: "test",
  } as unknown as BlockMeta;
  const putFile = bucket.putFile.bind(bucket),
    put = bucket.put.bind(bucket);
  bucket.putFile = (name, path) => {
    writes.push(name);
    return putFile(name, path);
  };
  bucket.put = (name, bytes) => {
    writes.push(name);
    return put(name, bytes);
  };
  const publisher = new BlockPublisher(
    bucket,
    "host-1",
    (tenant, outputs) => {
      announced.push([tenant, ...outputs.map((o) => o.ulid)]);
      return Promise.resolve();
    },
    {
      log: createLogger({ level: "silent", format: "logfmt" }),
      metrics: new Metrics(),
      tracer: noTracer,
      now: () => 1,
    },
  );
  const prefix = `t/phlaredb/${ulid}`;
  return { bucket, publisher, output: { meta, dir }, announced, writes, prefix };
}

describe("the publisher of a job's outputs", () => {
  it("uploads the files before the meta, which names this process, and announces the block", async () => {
    const { bucket, publisher, output, announced, writes, prefix } = setUp();
    await publisher.publish("t", [output], []);
    expect(writes).toEqual([`${prefix}/profiles.parquet`, `${prefix}/meta.json`]);
    expect(decodeMeta(await bucket.get(`${prefix}/meta.json`), "meta.json").labels).toEqual({
      service: "shop",
      [LABEL_HOSTNAME]: "host-1",
    });
    expect(announced).toEqual([["t", output.meta.ulid]]);
  });

  it("fails without an announcement when the bucket lost an upload", async () => {
    const { bucket, publisher, output, announced } = setUp();
    bucket.put = () => Promise.resolve();
    await expect(publisher.publish("t", [output], [])).rejects.toThrow(
      `block ${output.meta.ulid} was uploaded but is missing from the bucket`,
    );
    expect(announced).toEqual([]);
  });
});
