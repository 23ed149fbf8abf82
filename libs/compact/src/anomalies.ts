import {
  decodeBucketIndex,
  decodeDeletionMark,
  decodeMeta,
  isUlid,
  ulidOfDeletionMark,
  ulidOfNoCompactMark,
} from "@cinderblock/block-meta";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { blocksPrefix } from "./marks.ts";

/**
 * An object in a bucket that is not part of a complete block and that no reader uses, with a description and
 * the reason.
 */
export interface Anomaly {
  kind: "partial-block" | "damaged-meta" | "foreign-object" | "stray-mark" | "damaged-index" | "stale-index";
  name: string;
  why: string;
}

/** Maximum age of an index; an older index is stale, because no compactor updates it. */
const STALE_MS = 2 * 3600_000;

/** Objects in a tenant's block folder that are neither blocks, markers nor the bucket index. */
export function findForeignObjects(prefix: string, names: readonly string[]): Anomaly[] {
  const own = new Set([`${prefix}markers/`, `${prefix}bucket-index.json.gz`]);
  return names
    .filter((n) => !own.has(n) && !isUlid(n.slice(prefix.length).replace(/\/$/, "")))
    .map((name) => ({
      kind: "foreign-object",
      name,
      why: "the folder's name is not a ULID: no component reads or removes the folder",
    }));
}

/** Finds all anomalies of a tenant, in order. Reads the metas of all blocks, and their marks. */
export async function findAnomalies(bucket: Bucket, tenant: string, nowMs: number): Promise<Anomaly[]> {
  const prefix = blocksPrefix(tenant),
    names = await bucket.list(prefix);
  const out = findForeignObjects(prefix, names),
    ulids = new Set<string>();
  for (const name of names) {
    const ulid = name.slice(prefix.length).replace(/\/$/, "");
    if (!isUlid(ulid)) continue;
    ulids.add(ulid);
    try {
      decodeMeta(await bucket.get(`${prefix}${ulid}/meta.json`), `${ulid}/meta.json`);
    } catch (err) {
      const kind = kindOf(err);
      if (kind === "not-found")
        out.push({
          kind: "partial-block",
          name,
          why: "meta.json is missing: the upload is in progress or was abandoned, or a deletion was interrupted; the compactor removes the folder",
        });
      else if (kind === "corrupt") out.push({ kind: "damaged-meta", name, why: messageOf(err) });
      else throw err;
    }
  }
  for (const name of await bucket.list(`${prefix}markers/`)) {
    const mark = name.slice(`${prefix}markers/`.length),
      ulid = ulidOfDeletionMark(mark) ?? ulidOfNoCompactMark(mark);
    if (mark === "tenant-deletion-mark.json") continue;
    if (ulid === undefined) {
      out.push({ kind: "foreign-object", name, why: "the object's name is not that of a mark" });
      continue;
    }
    if (!ulids.has(ulid)) {
      out.push({ kind: "stray-mark", name, why: `block ${ulid} does not exist` });
      continue;
    }
    if (ulidOfDeletionMark(mark) === undefined) continue;
    try {
      decodeDeletionMark(await bucket.get(`${prefix}${ulid}/deletion-mark.json`));
    } catch (err) {
      if (kindOf(err) === "unavailable") throw err;
      out.push({ kind: "stray-mark", name, why: `the block's mark is damaged: ${messageOf(err)}` });
    }
  }
  try {
    const { updatedAtS } = decodeBucketIndex(await bucket.get(`${prefix}bucket-index.json.gz`));
    if (nowMs - updatedAtS * 1000 > STALE_MS)
      out.push({
        kind: "stale-index",
        name: `${prefix}bucket-index.json.gz`,
        why: `last written at ${new Date(updatedAtS * 1000).toISOString()}; check that a compactor runs; store-gateways list the bucket instead`,
      });
  } catch (err) {
    if (!(err instanceof CinderblockError) || err.kind === "unavailable") throw err;
    if (err.kind === "corrupt")
      out.push({
        kind: "damaged-index",
        name: `${prefix}bucket-index.json.gz`,
        why: `${err.message}; the compactor rewrites it`,
      });
  }
  return out;
}
