import { gunzipSync, gzipSync } from "node:zlib";
import { decodeUtf8 } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { secondsPlaceholder, stringifyWithSeconds } from "./meta.ts";
import { isUlid } from "./ulid.ts";

/**
 * A block of the bucket index: its time range (ms, inclusive), the time when its meta was written (s), shard
 * (`2_of_4`, "" if not split) and compaction level.
 */
export interface BucketIndexBlock {
  ulid: string;
  minTimeMs: number;
  maxTimeMs: number;
  uploadedAtS: number;
  shardId: string;
  level: number;
}
/** A deletion mark in the bucket index; the time of the mark in seconds since 1970. */
export interface BucketIndexMark {
  ulid: string;
  deletionTimeS: number;
}

/**
 * `bucket-index.json.gz`: the complete blocks of a tenant and their deletion marks, without an order. Blocks
 * with a mark stay listed until the cleaner deletes them. Format: docs/formats/bucket-index.md
 */
export interface BucketIndex {
  version: number;
  blocks: BucketIndexBlock[];
  marks: BucketIndexMark[];
  updatedAtS: number;
}

/** Version of the bucket index that is written; the updater rebuilds an index of another version. */
export const BUCKET_INDEX_VERSION = 3;

/** Encodes a bucket index as gzipped JSON. Format: docs/formats/bucket-index.md */
export function encodeBucketIndex(index: BucketIndex): Uint8Array {
  return gzipSync(
    stringifyWithSeconds(
      {
        version: index.version,
        blocks: index.blocks.map((b) => ({
          block_id: b.ulid,
          min_time: secondsPlaceholder(b.minTimeMs),
          max_time: secondsPlaceholder(b.maxTimeMs),
          uploaded_at: b.uploadedAtS,
          compactor_shard_id: b.shardId === "" ? undefined : b.shardId,
          compaction_level: b.level || undefined,
        })),
        block_deletion_marks: index.marks.map((m) => ({ block_id: m.ulid, deletion_time: m.deletionTimeS })),
        updated_at: index.updatedAtS,
      },
      undefined,
    ),
  );
}

/** Limit of the inflated JSON in bytes. */
const MAX_INDEX_BYTES = 256 << 20;

/**
 * Decodes a bucket index of any version; the caller decides about `version`. Entries without a valid ULID are
 * dropped, absent numbers are 0.
 * @throws CorruptError for bytes that are not gzipped JSON of at most 256 MiB
 */
export function decodeBucketIndex(bytes: Uint8Array, file = "bucket-index.json.gz"): BucketIndex {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(decodeUtf8(gunzipSync(bytes, { maxOutputLength: MAX_INDEX_BYTES }))) as Record<
      string,
      unknown
    >;
  } catch (err) {
    throw new CorruptError(file, 0, "expected gzipped JSON", { cause: err });
  }
  const rows = (v: unknown): Record<string, unknown>[] =>
    Array.isArray(v)
      ? v.filter((x): x is Record<string, unknown> => x !== null && typeof x === "object")
      : [];
  const n = (v: unknown): number => (typeof v === "number" ? v : 0);
  return {
    version: n(json.version),
    blocks: rows(json.blocks)
      .filter((b) => isUlid(String(b.block_id)))
      .map((b) => ({
        ulid: String(b.block_id),
        minTimeMs: Math.round(n(b.min_time) * 1000),
        maxTimeMs: Math.round(n(b.max_time) * 1000),
        uploadedAtS: n(b.uploaded_at),
        shardId: String(b.compactor_shard_id ?? ""),
        level: n(b.compaction_level),
      })),
    marks: rows(json.block_deletion_marks).map((m) => ({
      ulid: String(m.block_id),
      deletionTimeS: n(m.deletion_time),
    })),
    updatedAtS: n(json.updated_at),
  };
}

/**
 * `<ULID>/deletion-mark.json`, with a copy under `markers/`: {id, version: 1, details?, deletion_time}.
 * `details` is the reason in words, "" without one; the time is seconds since 1970.
 */
export interface DeletionMark {
  id: string;
  version: 1;
  details: string;
  deletionTimeS: number;
}

/** Encodes a block's deletion mark as JSON; the copy under `markers/` has the same bytes. */
export function encodeDeletionMark(m: DeletionMark): string {
  return JSON.stringify({
    id: m.id,
    version: m.version,
    ...(m.details === "" ? {} : { details: m.details }),
    deletion_time: m.deletionTimeS,
  });
}

/**
 * Decodes a block's deletion mark.
 * @throws CorruptError for text that is not JSON, or another version
 */
export function decodeDeletionMark(bytes: Uint8Array, file = "deletion-mark.json"): DeletionMark {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(decodeUtf8(bytes)) as Record<string, unknown>;
  } catch (err) {
    throw new CorruptError(file, 0, "expected JSON", { cause: err });
  }
  if (json.version !== 1)
    throw new CorruptError(file, 0, `expected version 1, found ${JSON.stringify(json.version)}`);
  return {
    id: String(json.id),
    version: 1,
    details: String(json.details ?? ""),
    deletionTimeS: Number(json.deletion_time ?? 0),
  };
}

/**
 * ULID in the name `<ULID>-no-compact-mark.json` of an object below `markers/`; undefined for other names.
 */
export function ulidOfNoCompactMark(name: string): string | undefined {
  const m = /^([0-9A-Z]{26})-no-compact-mark\.json$/.exec(name);
  return m && isUlid(m[1]!) ? m[1] : undefined;
}

/**
 * Encodes a mark that excludes a block from compaction, as JSON: {id, version: 1, details?, no_compact_time,
 * reason}, with the time in seconds since 1970.
 */
export function encodeNoCompactMark(m: {
  id: string;
  details: string;
  timeS: number;
  reason: "manual" | "index-size-exceeding" | "block-index-out-of-order-chunk";
}): string {
  return JSON.stringify({
    id: m.id,
    version: 1,
    ...(m.details === "" ? {} : { details: m.details }),
    no_compact_time: m.timeS,
    reason: m.reason,
  });
}

/**
 * `markers/tenant-deletion-mark.json`: when the deletion of a tenant was requested and when its blocks were
 * gone, in seconds since 1970. `finishedTimeS` is 0 until then.
 */
export interface TenantDeletionMark {
  deletionTimeS: number;
  finishedTimeS: number;
}

/** Encodes a tenant's deletion mark as JSON. */
export function encodeTenantDeletionMark(m: TenantDeletionMark): string {
  return JSON.stringify({
    deletion_time: m.deletionTimeS,
    ...(m.finishedTimeS > 0 ? { finished_time: m.finishedTimeS } : {}),
  });
}

/**
 * Decodes a tenant's deletion mark; absent times are 0.
 * @throws CorruptError for text that is not JSON
 */
export function decodeTenantDeletionMark(
  bytes: Uint8Array,
  file = "tenant-deletion-mark.json",
): TenantDeletionMark {
  try {
    const json = JSON.parse(decodeUtf8(bytes)) as { deletion_time?: unknown; finished_time?: unknown };
    return { deletionTimeS: Number(json.deletion_time ?? 0), finishedTimeS: Number(json.finished_time ?? 0) };
  } catch (err) {
    throw new CorruptError(file, 0, "expected JSON", { cause: err });
  }
}

/** ULID in the name `<ULID>-deletion-mark.json` of an object below `markers/`; undefined for other names. */
export function ulidOfDeletionMark(name: string): string | undefined {
  const m = /^([0-9A-Z]{26})-deletion-mark\.json$/.exec(name);
  return m && isUlid(m[1]!) ? m[1] : undefined;
}
