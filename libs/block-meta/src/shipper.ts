import { decodeUtf8 } from "@cinderblock/bytes";
import { isUlid } from "./ulid.ts";

/**
 * Encodes `local/shipper.json`, the ULIDs of uploaded local blocks: {version: 1, uploaded: [ULID, …] or
 * null}, tab-indented with a final newline, as v1 writes it.
 */
export function encodeShipper(uploaded: readonly string[]): string {
  return `${JSON.stringify({ version: 1, uploaded: uploaded.length === 0 ? null : uploaded }, undefined, "\t")}\n`;
}

/**
 * Decodes `local/shipper.json`. As in v1, a missing, broken or foreign file is an empty list: blocks are then
 * looked up in the bucket. Never throws.
 */
export function decodeShipper(bytes: Uint8Array): string[] {
  try {
    const json = JSON.parse(decodeUtf8(bytes)) as { version?: unknown; uploaded?: unknown };
    return json.version === 1 && Array.isArray(json.uploaded)
      ? json.uploaded.filter((u): u is string => typeof u === "string" && isUlid(u))
      : [];
  } catch {
    return [];
  } // the file only caches knowledge of the bucket
}
