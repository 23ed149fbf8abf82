import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockMeta, decodeMeta, encodeMeta, newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { LocalBlocks } from "./local-blocks.ts";
import { Shipper } from "./shipper.ts";

const base = () => ({
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => 1_795_000_000_000,
});
const metaOf = (ulid: string, profiles: number): BlockMeta => ({
  ulid,
  minTimeMs: 1000,
  maxTimeMs: 2000,
  stats: { numSamples: profiles, numSeries: 1, numProfiles: profiles },
  files: [{ relPath: "profiles.parquet", sizeBytes: profiles }],
  compaction: { level: 1, sources: [ulid], parents: [] },
  version: 3,
  labels: {},
  source: "ingester",
  downsampleResolution: 0,
});
/** A data path with one block of this many profiles. */
function dataPath(tenant: string, ulid: string, profiles: number): string {
  const dir = temporaryFolder(),
    block = join(dir, tenant, "local", ulid);
  mkdirSync(block, { recursive: true });
  writeFileSync(join(block, "profiles.parquet"), "x".repeat(profiles));
  writeFileSync(join(block, "meta.json"), encodeMeta(metaOf(ulid, profiles)));
  return dir;
}
async function ship(dir: string, bucket: FilesystemBucket): Promise<LocalBlocks> {
  const blocks = new LocalBlocks(dir, base().log);
  blocks.scan();
  await new Shipper(blocks, bucket, 1e9, () => undefined, base(), 30_000).sync();
  return blocks;
}
const idsIn = async (bucket: FilesystemBucket, tenant: string): Promise<string[]> =>
  (await bucket.list(`${tenant}/phlaredb/`)).map((n) => n.split("/")[2]!);
const profilesOf = async (bucket: FilesystemBucket, tenant: string, ulid: string): Promise<number> =>
  decodeMeta(await bucket.get(`${tenant}/phlaredb/${ulid}/meta.json`)).stats.numProfiles;

describe("a block with an ID that the bucket already has", () => {
  const ulid = newUlid(1_795_000_000_000);

  it("is not uploaded again if the content is the same", async () => {
    const bucket = new FilesystemBucket(temporaryFolder());
    await ship(dataPath("t", ulid, 5), bucket);
    const blocks = await ship(dataPath("t", ulid, 5), bucket);
    expect(await idsIn(bucket, "t")).toEqual([ulid]);
    expect(blocks.isUploaded("t", ulid)).toBe(true);
  });

  it("is uploaded under a new ID if the content differs, and keeps it across a restart", async () => {
    const bucket = new FilesystemBucket(temporaryFolder()),
      dir = dataPath("t", ulid, 7);
    await ship(dataPath("t", ulid, 5), bucket);
    await ship(dir, bucket);
    const ids = await idsIn(bucket, "t"),
      other = ids.find((u) => u !== ulid)!;
    expect(ids).toHaveLength(2);
    expect(ulidTimeMs(other)).toBe(ulidTimeMs(ulid));
    expect([await profilesOf(bucket, "t", ulid), await profilesOf(bucket, "t", other)]).toEqual([5, 7]);
    const again = await ship(dir, bucket);
    expect(again.metas("t")).toEqual([metaOf(other, 7)]);
    expect(again.unshippedBlocks()).toEqual([]);
    expect(await idsIn(bucket, "t")).toEqual(ids);
  });

  it("is uploaded under a new ID if the meta.json in the bucket is damaged", async () => {
    const bucket = new FilesystemBucket(temporaryFolder());
    await bucket.put(`t/phlaredb/${ulid}/meta.json`, Buffer.from("{"));
    await ship(dataPath("t", ulid, 7), bucket);
    const other = (await idsIn(bucket, "t")).find((u) => u !== ulid)!;
    expect(await profilesOf(bucket, "t", other)).toBe(7);
  });

  it("has the ID of its folder after a crash during the change", () => {
    const dir = dataPath("t", ulid, 7),
      to = newUlid(1_795_000_000_001);
    mkdirSync(join(dir, "t", "local", to));
    writeFileSync(join(dir, "t", "local", to, "meta.json"), encodeMeta(metaOf(ulid, 7)));
    const blocks = new LocalBlocks(dir, base().log);
    blocks.scan();
    expect(blocks.metas("t").map((m) => [m.ulid, m.compaction.sources[0]])).toEqual(
      expect.arrayContaining([[to, to]]),
    );
  });
});

describe("a tenant whose ID begins with a dot", () => {
  it("is found at a restart; only Cinderblock's own folder is skipped", async () => {
    const ulid = newUlid(1_795_000_000_000),
      bucket = new FilesystemBucket(temporaryFolder());
    for (const tenant of [".team", "..team"]) {
      const dir = dataPath(tenant, ulid, 3);
      mkdirSync(join(dir, ".cinderblock", "local", ulid), { recursive: true });
      const blocks = new LocalBlocks(dir, base().log);
      expect(blocks.hasFolders()).toBe(true);
      await ship(dir, bucket);
      expect(await idsIn(bucket, tenant)).toEqual([ulid]);
      expect(readdirSync(join(dir, ".cinderblock", "local"))).toEqual([ulid]);
    }
  });
});

describe("an upload without an answer", () => {
  const ulids = [1, 2, 3, 4, 5, 6].map((n) => newUlid(1_795_000_000_000 + n));
  /** A data path of six blocks, and a bucket that stalls on the first block or refuses it. */
  const setUp = (answer: () => Promise<void>) => {
    const dir = temporaryFolder();
    for (const ulid of ulids) {
      const block = join(dir, "t", "local", ulid);
      mkdirSync(block, { recursive: true });
      writeFileSync(join(block, "profiles.parquet"), "x".repeat(5));
      writeFileSync(join(block, "meta.json"), encodeMeta(metaOf(ulid, 5)));
    }
    const bucket = new FilesystemBucket(temporaryFolder()),
      putFile = bucket.putFile.bind(bucket);
    bucket.putFile = (name, path) => (name.includes(ulids[0]!) ? answer() : putFile(name, path));
    const blocks = new LocalBlocks(dir, base().log);
    blocks.scan();
    const left = () => blocks.unshippedBlocks().map((b) => b.meta.ulid);
    const all = Promise.withResolvers<void>();
    const shipper = new Shipper(
      blocks,
      bucket,
      1e9,
      () => {
        if (left().length === 1) all.resolve();
      },
      base(),
      50,
    );
    return { shipper, left, others: all.promise };
  };

  it("does not delay other blocks or a shutdown", async () => {
    const { shipper, left, others } = setUp(() => new Promise(() => undefined));
    void shipper.sync();
    await others;
    expect(left()).toEqual([ulids[0]]);
    await shipper.stop();
    expect(left()).toEqual([ulids[0]]);
  });

  it("is retried after its failure, without the uploaded blocks", async () => {
    let refuse = true;
    const { shipper, left } = setUp(() =>
      refuse ? Promise.reject(new Error("refused")) : Promise.resolve(),
    );
    await shipper.sync();
    expect(left()).toEqual([ulids[0]]);
    refuse = false;
    await shipper.sync();
    expect(left()).toEqual([]);
  });
});
