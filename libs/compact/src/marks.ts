import { encodeDeletionMark, encodeNoCompactMark } from "@cinderblock/block-meta";
import { crashPoint } from "@cinderblock/files";
import { type Bucket, listAll } from "@cinderblock/objstore";
import { isTenantId } from "@cinderblock/tenant";

/** A tenant's blocks lie below it. */
export const blocksPrefix = (tenant: string): string => `${tenant}/phlaredb/`;
/** Tenants that have something in a bucket. */
export async function tenantsIn(bucket: Bucket): Promise<string[]> {
  return (await bucket.list(""))
    .filter((n) => n.endsWith("/") && n !== "__pyroscope_cluster/")
    .map((n) => n.slice(0, -1))
    .filter(isTenantId);
}
export const tenantMarkName = (tenant: string): string =>
  `${blocksPrefix(tenant)}markers/tenant-deletion-mark.json`;

/** Both copies of a mark: the block's own first, since a mark counts only when both are there. */
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

/** Marks a block for deletion: it is no longer compacted, hidden a while later, and deleted after the deletion delay. */
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

/** Keeps a block out of compactions; it is still read. */
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

/** Deletes a block: its meta first, so that nobody reads what is left, its mark last, so that a crash leaves it marked. */
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
