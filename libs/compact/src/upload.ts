import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import { crashPoint } from "@cinderblock/files";
import type { Bucket } from "@cinderblock/objstore";
import { pathBelow } from "@cinderblock/tenant";

/**
 * Uploads a block's files, then its meta: readers ignore a block without a meta.
 * @param dir local folder of the files
 */
export async function uploadBlock(
  bucket: Bucket,
  tenant: string,
  dir: string,
  meta: BlockMeta,
): Promise<void> {
  const prefix = `${tenant}/phlaredb/${meta.ulid}`;
  for (const f of meta.files) {
    await bucket.putFile(`${prefix}/${f.relPath}`, pathBelow(dir, ...f.relPath.split("/")));
    crashPoint("ship/first-file-uploaded");
  }
  crashPoint("ship/files-uploaded");
  await bucket.put(`${prefix}/meta.json`, Buffer.from(encodeMeta(meta)));
  crashPoint("ship/meta-uploaded");
}
