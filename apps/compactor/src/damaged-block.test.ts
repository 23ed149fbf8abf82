import type { BlockMeta } from "@cinderblock/block-meta";
import { CinderblockError, CorruptError } from "@cinderblock/errors";
import { FilesystemBucket } from "@cinderblock/objstore";
import { temporaryFolder } from "@cinderblock/testkit";
import { damagedBlockOf } from "./damaged-block.ts";

const [A, B] = ["01M8EKZW7M023ZEFRNNKY74X0A", "01M8EKZW7M023ZEFRNNKY74X0B"] as const;
const FILES = ["index.tsdb", "profiles.parquet", "symbols.symdb"];
const blocks = [A, B].map(
  (ulid) => ({ ulid, files: FILES.map((relPath) => ({ relPath, sizeBytes: 1 })) }) as unknown as BlockMeta,
);

describe("the damaged block of a compaction", () => {
  let bucket: FilesystemBucket;
  beforeEach(async () => {
    bucket = new FilesystemBucket(temporaryFolder());
    for (const ulid of [A, B])
      for (const f of [...FILES, "meta.json"]) await bucket.put(`t/phlaredb/${ulid}/${f}`, Buffer.from("x"));
  });
  const absent = (ulid: string, file: string): CinderblockError =>
    new CinderblockError("not-found", `no object ${file}`, { detail: { block: ulid } });

  it.each(FILES)("is the block without its file %s", async (file) => {
    await bucket.delete(`t/phlaredb/${B}/${file}`);
    expect((await damagedBlockOf(bucket, "t", blocks, absent(B, file)))?.ulid).toBe(B);
  });
  it("is the block whose bytes violate their format", async () => {
    const err = new CorruptError("column Samples", 0, `expected other rows than ${B}`, {
      detail: { block: A },
    });
    expect((await damagedBlockOf(bucket, "t", blocks, err))?.ulid).toBe(A);
  });
  it("is no block that is being deleted, is whole, or belongs to another job", async () => {
    expect(await damagedBlockOf(bucket, "t", blocks, absent(B, "index.tsdb"))).toBeUndefined();
    await bucket.delete(`t/phlaredb/${B}/meta.json`);
    await bucket.delete(`t/phlaredb/${B}/index.tsdb`);
    for (const err of [
      absent(B, "index.tsdb"),
      absent("01M8EKZW7M023ZEFRNNKY74X0C", "index.tsdb"),
      new CinderblockError("unavailable", `${A} did not answer`, { detail: { block: A } }),
      new CorruptError(`${A}/index.tsdb`, 0, "an error of no block"),
      new Error(A),
    ])
      expect(await damagedBlockOf(bucket, "t", blocks, err)).toBeUndefined();
  });
});
