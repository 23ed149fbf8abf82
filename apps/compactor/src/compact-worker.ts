import { dirname } from "node:path";
import { workerData } from "node:worker_threads";
import type { BlockFiles } from "@cinderblock/block";
import { compactBlocks, verifyBlock } from "@cinderblock/compact";
import { type Bucket, FilesystemBucket, prefixed } from "@cinderblock/objstore";
import { serveWorker } from "@cinderblock/threads";
import type { CompactWorkerData, CompactWorkerMethods } from "./protocol.ts";

/** A thread for one compaction: reads the sources from the bucket, leaves verified outputs in the work folder. */
const data = workerData as CompactWorkerData;
const bucket = prefixed(new FilesystemBucket(data.bucketDirectory), data.bucketPrefix);

function filesIn(bucket: Bucket, path: string): BlockFiles {
  return {
    read: (relPath, offset, size) => (size === undefined ? bucket.get(`${path}/${relPath}`) : bucket.getRange(`${path}/${relPath}`, offset, size)),
    size: async (relPath) => (await bucket.attributes(`${path}/${relPath}`)).size,
  };
}

const methods: CompactWorkerMethods = {
  async compact({ tenant, blocks, ...options }) {
    const result = await compactBlocks(blocks.map((meta) => ({ meta, files: filesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`) })), options);
    for (const o of result.outputs) await verifyBlock(o.meta, filesIn(new FilesystemBucket(dirname(o.dir)), o.meta.ulid));
    return result;
  },
};

serveWorker(methods as never);
