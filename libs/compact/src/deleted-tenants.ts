import type { Bucket } from "@cinderblock/objstore";

/**
 * All objects of Cinderblock that are not blocks are below a folder that Pyroscope v1 does not treat as a
 * tenant.
 */
const FOLDER = "__pyroscope_cluster/cinderblock/deleted-tenants/";
/** `<tenant>~<milliseconds>.json`: one list request finds all records. */
const NAME = /^(.*)~(\d+)\.json$/;

/**
 * Records that a tenant's data from before a time is deleted. The record stays forever, because any log, disk
 * or topic may bring the data back at any later time. Format: docs/formats/bucket-index.md
 */
export async function recordTenantDeletion(bucket: Bucket, tenant: string, deletedMs: number): Promise<void> {
  const name = `${FOLDER}${encodeURIComponent(tenant)}~${deletedMs}.json`;
  await bucket.put(name, Buffer.from(`${JSON.stringify({ version: 1, tenant, deletedMs })}\n`));
}

/** Tenant -> time of its last deletion, in milliseconds. */
export async function tenantDeletions(bucket: Bucket): Promise<Map<string, number>> {
  const out = new Map<string, number>();
  for (const name of await bucket.list(FOLDER)) {
    const m = NAME.exec(name.slice(FOLDER.length));
    if (!m) continue;
    const tenant = decodeURIComponent(m[1]!);
    out.set(tenant, Math.max(out.get(tenant) ?? 0, Number(m[2])));
  }
  return out;
}
