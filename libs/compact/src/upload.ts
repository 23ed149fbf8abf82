import { join } from "node:path";
import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import type { Bucket } from "@cinderblock/objstore";

/** Uploads a block's files, then its meta: a block without a meta is nobody's. @param dir where its files lie */
export async function uploadBlock(
  bucket: Bucket,
  tenant: string,
  dir: string,
  meta: BlockMeta,
): Promise<void> {
  const prefix = `${tenant}/phlaredb/${meta.ulid}`;
  for (const f of meta.files) await bucket.putFile(`${prefix}/${f.relPath}`, join(dir, f.relPath));
  await bucket.put(`${prefix}/meta.json`, Buffer.from(encodeMeta(meta)));
}
