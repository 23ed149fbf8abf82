import { encodeDeletionMark, encodeNoCompactMark } from "@cinderblock/block-meta";
import { crashPoint } from "@cinderblock/files";
import { type Bucket, listAll } from "@cinderblock/objstore";
import { isTenantId } from "@cinderblock/tenant";

/** Prefix of a tenant's blocks. */
export const blocksPrefix = (tenant: string): string => `${tenant}/phlaredb/`;
/** Tenants with objects in a bucket. */
export async function tenantsIn(bucket: Bucket): Promise<string[]> {
  return (await bucket.list(""))
    .filter((n) => n.endsWith("/") && n !== "__pyroscope_cluster/")
    .map((n) => n.slice(0, -1))
    .filter(isTenantId);
}
/** Object name of a tenant's deletion mark. */
export const tenantMarkName = (tenant: string): string =>
  `${blocksPrefix(tenant)}markers/tenant-deletion-mark.json`;

/** Writes both copies of a mark, the copy in the block's folder first: a mark counts only when both exist. */
async function putMark(
  bucket: Bucket,
  tenant: string,
  ulid: string,
  name: string,
  text: string,
): Promise<void> {
  const bytes = Buffer.from(text);
  await bucket.put(`${blocksPrefix(tenant)}${ulid}/${name}`, bytes);
  crashPoint("compact/first-mark-of-two");
  await bucket.put(`${blocksPrefix(tenant)}markers/${ulid}-${name}`, bytes);
}

/**
 * Marks a block for deletion: it is no longer compacted, is hidden from queries later, and is deleted after
 * the deletion delay.
 */
export function markForDeletion(
  bucket: Bucket,
  tenant: string,
  ulid: string,
  details: string,
  nowMs: number,
): Promise<void> {
  return putMark(
    bucket,
    tenant,
    ulid,
    "deletion-mark.json",
    encodeDeletionMark({ id: ulid, version: 1, details, deletionTimeS: Math.floor(nowMs / 1000) }),
  );
}

/** Excludes a block from compactions; queries still read it. */
export function markNoCompact(
  bucket: Bucket,
  tenant: string,
  ulid: string,
  details: string,
  nowMs: number,
): Promise<void> {
  return putMark(
    bucket,
    tenant,
    ulid,
    "no-compact-mark.json",
    encodeNoCompactMark({
      id: ulid,
      details,
      timeS: Math.floor(nowMs / 1000),
      reason: "block-index-out-of-order-chunk",
    }),
  );
}

/**
 * Deletes a block. Deletes its meta first, so that no reader uses the rest, and its mark last, so that after
 * a crash the block is still marked.
 */
export async function deleteBlock(bucket: Bucket, tenant: string, ulid: string): Promise<void> {
  const prefix = `${blocksPrefix(tenant)}${ulid}/`;
  await bucket.delete(`${prefix}meta.json`);
  crashPoint("clean/meta-deleted");
  for (const name of await listAll(bucket, prefix))
    if (!name.endsWith("/deletion-mark.json")) await bucket.delete(name);
  crashPoint("clean/files-deleted");
  await bucket.delete(`${prefix}deletion-mark.json`);
  crashPoint("clean/mark-deleted");
  for (const mark of ["deletion-mark.json", "no-compact-mark.json"])
    await bucket.delete(`${blocksPrefix(tenant)}markers/${ulid}-${mark}`);
}
