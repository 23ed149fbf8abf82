import { join } from "node:path";
import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import type { Bucket } from "@cinderblock/objstore";

/** Uploads a block's files, then its meta: a block without a meta is nobody's. */
export async function uploadBlock(bucket: Bucket, tenant: string, dir: string, meta: BlockMeta): Promise<void> {
  const prefix = `${tenant}/phlaredb/${meta.ulid}`;
  for (const f of meta.files) await bucket.putFile(`${prefix}/${f.relPath}`, join(dir, f.relPath));
  await bucket.put(`${prefix}/meta.json`, Buffer.from(encodeMeta(meta)));
}

/** How a block's files are read from a bucket. */
export function blockFilesIn(bucket: Bucket, path: string): { read: (relPath: string, offset: number, size?: number) => Promise<Uint8Array>; size: (relPath: string) => Promise<number> } {
  return {
    read: (relPath, offset, size) => (size === undefined ? bucket.get(`${path}/${relPath}`) : bucket.getRange(`${path}/${relPath}`, offset, size)),
    size: async (relPath) => (await bucket.attributes(`${path}/${relPath}`)).size,
  };
}
