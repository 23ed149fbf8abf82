import { mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { blockFilesIn } from "@cinderblock/block";
import { compactBlocks, verifyBlock } from "@cinderblock/compact";
import type { BlockMeta } from "@cinderblock/block-meta";
import { type Bucket, FilesystemBucket, openBucket } from "@cinderblock/objstore";
import { ownData, serveWorker } from "@cinderblock/threads";
import type { CompactWorkerData, CompactWorkerMethods } from "./protocol.ts";

/** A thread for one compaction: reads the sources from the bucket, leaves verified outputs in the work folder. */
const data = ownData<CompactWorkerData>();
const opened = openBucket(data.bucket);

const PIECE_BYTES = 8 << 20;

/** Copies the files of blocks into a folder, piece by piece. */
async function fetchBlocks(bucket: Bucket, tenant: string, blocks: readonly BlockMeta[], dir: string): Promise<Bucket> {
  for (const meta of blocks) {
    for (const { relPath } of meta.files) {
      const name = `${tenant}/phlaredb/${meta.ulid}/${relPath}`, path = join(dir, meta.ulid, relPath);
      const { size } = await bucket.attributes(name);
      mkdirSync(dirname(path), { recursive: true });
      const file = await open(path, "w");
      try { for (let at = 0; at < size; at += PIECE_BYTES) await file.writeFile(await bucket.getRange(name, at, Math.min(PIECE_BYTES, size - at))); } finally { await file.close(); }
    }
  }
  return new FilesystemBucket(dir);
}

const methods: CompactWorkerMethods = {
  async compact({ tenant, blocks, ...options }) {
    const bucket = await opened;
    // Pages are read twice and in small pieces: what is far away is fetched once.
    const near = data.bucket.backend === "filesystem" ? undefined : await fetchBlocks(bucket, tenant, blocks, join(options.workDir, "sources"));
    const result = await compactBlocks(blocks.map((meta) => ({ meta, files: near ? blockFilesIn(near, meta.ulid) : blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`) })), options);
    for (const o of result.outputs) await verifyBlock(o.meta, blockFilesIn(new FilesystemBucket(dirname(o.dir)), o.meta.ulid));
    return result;
  },
};

serveWorker(methods as never);
