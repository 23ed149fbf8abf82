import { mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { loadHasher } from "@cinderblock/bytes";
import { type BlockFiles, blockFilesIn } from "@cinderblock/block";
import { compactBlocks, countDroppedRows, rewriteBlock, verifyBlock } from "@cinderblock/compact";
import type { BlockMeta } from "@cinderblock/block-meta";
import { withBlock } from "@cinderblock/errors";
import { type Bucket, FilesystemBucket, openBucket } from "@cinderblock/objstore";
import { pathBelow } from "@cinderblock/tenant";
import { startData, serveWorker } from "@cinderblock/threads";
import type { CompactAnswer, CompactWorkerData, CompactWorkerMethods } from "./protocol.ts";

/** A thread for one compaction: reads sources from the bucket, writes verified outputs to the work folder. */
const data = startData<CompactWorkerData>();
const opened = openBucket(data.bucket);

const PIECE_BYTES = 8 << 20;

/** Copies the files of blocks into a folder, in pieces. */
async function fetchBlocks(
  bucket: Bucket,
  tenant: string,
  blocks: readonly BlockMeta[],
  dir: string,
): Promise<Bucket> {
  for (const meta of blocks) await withBlock(meta.ulid, () => fetchBlock(bucket, tenant, meta, dir));
  return new FilesystemBucket(dir);
}

async function fetchBlock(bucket: Bucket, tenant: string, meta: BlockMeta, dir: string): Promise<void> {
  for (const { relPath } of meta.files) {
    const name = `${tenant}/phlaredb/${meta.ulid}/${relPath}`,
      path = pathBelow(dir, meta.ulid, ...relPath.split("/"));
    const { size } = await bucket.attributes(name);
    mkdirSync(dirname(path), { recursive: true });
    const file = await open(path, "w");
    try {
      for (let at = 0; at < size; at += PIECE_BYTES)
        await file.writeFile(await bucket.getRange(name, at, Math.min(PIECE_BYTES, size - at)));
    } finally {
      await file.close();
    }
  }
}

/** A tenant's blocks as local files, for small reads: first fetches blocks of a remote bucket. */
async function near(
  tenant: string,
  blocks: readonly BlockMeta[],
  workDir: string,
): Promise<{ meta: BlockMeta; files: BlockFiles }[]> {
  const bucket = await opened;
  if (data.bucket.backend === "filesystem")
    return blocks.map((meta) => ({ meta, files: blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`) }));
  const fetched = await fetchBlocks(bucket, tenant, blocks, join(workDir, "sources"));
  return blocks.map((meta) => ({ meta, files: blockFilesIn(fetched, meta.ulid) }));
}

/** Reads the outputs back completely before they are published. */
async function verified<T extends CompactAnswer>(result: T): Promise<T> {
  for (const o of result.outputs)
    await verifyBlock(o.meta, blockFilesIn(new FilesystemBucket(dirname(o.dir)), o.meta.ulid));
  return result;
}

serveWorker<CompactWorkerMethods>({
  async count({ tenant, blocks, drops }) {
    const bucket = await opened,
      hasher = await loadHasher(),
      counts: number[][] = [];
    for (const [i, meta] of blocks.entries()) {
      counts.push(
        (
          await countDroppedRows(
            meta,
            blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`),
            drops[i]!,
            hasher,
          )
        ).map((c) => c.profiles),
      );
    }
    return { counts };
  },
  async compact({ tenant, blocks, ...options }) {
    return verified(await compactBlocks(await near(tenant, blocks, options.workDir), options));
  },
  async rewrite({ tenant, block, drops, ...options }) {
    return verified(await rewriteBlock((await near(tenant, [block], options.workDir))[0]!, drops, options));
  },
});
