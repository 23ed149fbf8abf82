import type { BlockMeta } from "@cinderblock/block-meta";
import { blocksPrefix } from "@cinderblock/compact";
import { blockOf, kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";

/**
 * The block whose damage an error reports: bytes that violate their format, or a file that its meta names and
 * the bucket lacks. Undefined for other errors, and for a block that is being deleted.
 */
export async function damagedBlockOf(
  bucket: Bucket,
  tenant: string,
  blocks: readonly BlockMeta[],
  err: unknown,
): Promise<BlockMeta | undefined> {
  const kind = kindOf(err);
  if (kind !== "corrupt" && kind !== "not-found") return undefined;
  const ulid = blockOf(err),
    block = blocks.find((b) => b.ulid === ulid);
  if (!block || kind === "corrupt") return block;
  const folder = `${blocksPrefix(tenant)}${block.ulid}`;
  for (const { relPath } of block.files)
    if (!(await bucket.exists(`${folder}/${relPath}`)))
      // A deletion removes the meta first: the next plan does not have the block.
      return (await bucket.exists(`${folder}/meta.json`)) ? block : undefined;
  return undefined;
}
