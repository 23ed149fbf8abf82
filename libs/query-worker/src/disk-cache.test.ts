import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bucket, FilesystemBucket } from "@cinderblock/objstore";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import { DiskCache, DISK_CACHE_FIELDS, diskCacheCounters } from "./disk-cache.ts";

const ULIDS = [
  "01ARZ3NDEKTSV4RRFFQ69G5FA1",
  "01ARZ3NDEKTSV4RRFFQ69G5FA2",
  "01ARZ3NDEKTSV4RRFFQ69G5FA3",
] as const;
const name = (u: number, file = "profiles.parquet"): string => `t/phlaredb/${ULIDS[u]}/${file}`;

/** A bucket that counts its reads, with files of known content. */
async function setUp(sizeBytes = 1_000_000) {
  const far = new FilesystemBucket(temporaryFolder());
  const content = Uint8Array.from({ length: sizeBytes }, (_, i) => (i * 31 + (i >>> 8)) & 255);
  for (let u = 0; u < ULIDS.length; u++) {
    await far.put(name(u), content);
    await far.put(name(u, "index.tsdb"), content.subarray(0, 5000));
    await far.put(name(u, "meta.json"), Buffer.from("{}"));
  }
  let asked = 0;
  const counting: Bucket = Object.assign(Object.create(far) as Bucket, {
    get: (n: string) => {
      asked++;
      return far.get(n);
    },
    getRange: (n: string, o: number, s: number) => {
      asked++;
      return far.getRange(n, o, s);
    },
  });
  const dir = temporaryFolder();
  const open = (maxBytes = 10 << 20, owns: (u: string) => boolean = () => true) => {
    const counters = diskCacheCounters(),
      cache = new DiskCache(dir, maxBytes, counters, owns);
    return {
      cache,
      bucket: cache.wrap(counting),
      figures: () =>
        Object.fromEntries(DISK_CACHE_FIELDS.map((f, i) => [f, Number(new BigInt64Array(counters)[i])])),
    };
  };
  return { far, dir, content, open, asked: () => asked };
}

describe("the disk cache of remote files", () => {
  it("returns the bucket's bytes for any earlier reads, and fetches them once", async () => {
    const s = await setUp();
    const { bucket, figures } = s.open();
    const random = new Random(11);
    for (let i = 0; i < 200; i++) {
      const offset = random.below(1_050_000),
        size = random.below(300_000);
      const bytes = await bucket.getRange(name(0), offset, size);
      expect(
        Buffer.compare(bytes, s.content.subarray(offset, Math.min(offset + size, s.content.length))),
      ).toBe(0);
    }
    expect(s.asked()).toBeLessThan(20); // eight pieces, some of them in runs
    const before = s.asked();
    await bucket.getRange(name(0), 0, 1_000_000);
    expect(s.asked()).toBe(before);
    expect(figures().hits).toBeGreaterThan(100);
  });
  it("holds complete files, without metas and marks", async () => {
    const s = await setUp();
    const { bucket } = s.open();
    for (let i = 0; i < 3; i++) expect((await bucket.get(name(1, "index.tsdb"))).length).toBe(5000);
    expect(s.asked()).toBe(1);
    for (let i = 0; i < 3; i++) await bucket.get(name(1, "meta.json"));
    expect(s.asked()).toBe(4);
    await expect(bucket.get(name(1, "gone.tsdb"))).rejects.toThrow("does not exist");
  });
  it("survives the process, and belongs to the block's thread", async () => {
    const s = await setUp();
    await s.open().bucket.getRange(name(0), 300_000, 500_000);
    await s.open().bucket.get(name(2, "index.tsdb"));
    const before = s.asked();
    const again = s.open(10 << 20, (u) => u !== ULIDS[2]);
    expect(
      Buffer.compare(
        await again.bucket.getRange(name(0), 300_000, 500_000),
        s.content.subarray(300_000, 800_000),
      ),
    ).toBe(0);
    expect(s.asked()).toBe(before);
    await again.bucket.get(name(2, "index.tsdb"));
    expect(s.asked()).toBe(before + 1);
  });
  it("refetches pieces torn by a crash or damaged on disk", async () => {
    const s = await setUp();
    const { bucket, figures } = s.open();
    await bucket.getRange(name(0), 0, 1_000_000);
    const folder = join(s.dir, ULIDS[0]),
      file = join(folder, readdirSync(folder).find((n) => !n.endsWith(".map"))!);
    const bytes = readFileSync(file);
    bytes[500_000]! ^= 1;
    writeFileSync(file, bytes);
    expect(Buffer.compare(await bucket.getRange(name(0), 0, 1_000_000), s.content)).toBe(0);
    truncateSync(file, 100_000);
    expect(Buffer.compare(await bucket.getRange(name(0), 0, 1_000_000), s.content)).toBe(0);
    expect(figures().failures).toBe(2);
    truncateSync(`${file}.map`, 20); // half an entry
    expect(Buffer.compare(await s.open().bucket.getRange(name(0), 0, 1_000_000), s.content)).toBe(0);
  });
  it("stays below the budget: evicts the least recently used", async () => {
    const s = await setUp();
    const { bucket, figures } = s.open(2_200_000);
    for (const u of [0, 1]) await bucket.getRange(name(u), 0, 1_000_000);
    await bucket.getRange(name(0), 0, 10); // used again
    await bucket.getRange(name(2), 0, 1_000_000);
    expect(figures().bytes).toBeLessThanOrEqual(2_200_000);
    const before = s.asked();
    await bucket.getRange(name(0), 0, 1_000_000);
    expect(s.asked()).toBe(before);
    await bucket.getRange(name(1), 0, 1_000_000);
    expect(s.asked()).toBe(before + 1);
    expect(figures().evictions).toBeGreaterThanOrEqual(1);
  });
  it("is emptied with its block, and stays empty in an unwritable folder", async () => {
    const s = await setUp();
    const { cache, bucket, figures } = s.open();
    await bucket.getRange(name(0), 0, 100);
    cache.forget(ULIDS[0]);
    expect(readdirSync(s.dir)).toEqual([]);
    expect(figures().bytes).toBe(0);
    writeFileSync(join(s.dir, ULIDS[1]), "in the way");
    expect((await bucket.getRange(name(1), 0, 100)).length).toBe(100);
    expect(figures().failures).toBe(1);
  });
});
