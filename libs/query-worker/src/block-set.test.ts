import { loadHasher } from "@cinderblock/bytes";
import { FilesystemBucket } from "@cinderblock/objstore";
import { temporaryFolder } from "@cinderblock/testkit";
import { BlockSet, blockFilesOf } from "./block-set.ts";

const ULID = "01M8EKZW7M023ZEFRNNKY74X0A",
  PATH = `t/phlaredb/${ULID}`;

describe("files of a block", () => {
  it.each(["index.tsdb", "profiles.parquet", "symbols.symdb", "symbols/strings.parquet"])(
    "without %s are damaged while the meta is there, and deleted without it",
    async (name) => {
      const bucket = new FilesystemBucket(temporaryFolder()),
        files = blockFilesOf(bucket, PATH, ULID);
      await bucket.put(`${PATH}/meta.json`, Buffer.from("{}"));
      await bucket.put(`${PATH}/${name}`, Buffer.from("abc"));
      expect(Buffer.from(await files.read(name, 1, 2)).toString()).toBe("bc");
      expect(await files.size(name)).toBe(3);
      await bucket.delete(`${PATH}/${name}`);
      const asked = (): Promise<unknown>[] => [
        files.read(name, 0, 2),
        files.read(name, 0, undefined),
        files.size(name),
      ];
      for (const answer of asked())
        await expect(answer).rejects.toMatchObject({
          kind: "corrupt",
          message: expect.stringContaining(`${ULID}/${name}`) as string,
        });
      await bucket.delete(`${PATH}/meta.json`);
      for (const answer of asked()) await expect(answer).rejects.toMatchObject({ kind: "not-found" });
    },
  );
});

describe("a damaged block", () => {
  it.each([
    ["meta.json", "{"],
    ["index.tsdb", "no index"],
  ])("is named in the detail of the error if its %s is damaged", async (name, content) => {
    const bucket = new FilesystemBucket(temporaryFolder());
    const meta = {
      ulid: ULID,
      minTime: 1_795_000_000_000,
      maxTime: 1_795_000_001_000,
      version: 3,
      stats: {},
      compaction: { level: 1, sources: [ULID] },
      files: [{ relPath: "index.tsdb", sizeBytes: 8 }],
    };
    await bucket.put(`${PATH}/meta.json`, Buffer.from(JSON.stringify(meta)));
    await bucket.put(`${PATH}/${name}`, Buffer.from(content));
    const set = new BlockSet({ bucket, local: bucket }, await loadHasher(), 1 << 20);
    await expect(set.get({ root: "bucket", tenant: "t", ulids: [ULID] })).rejects.toMatchObject({
      kind: "corrupt",
      detail: { block: ULID, file: `${ULID}/${name}` },
    });
  });
});
