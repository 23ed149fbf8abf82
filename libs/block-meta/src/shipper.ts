import { decodeUtf8 } from "@cinderblock/bytes";
import { isUlid } from "./ulid.ts";

/** `local/shipper.json`: which local blocks were uploaded. */
export function encodeShipper(uploaded: readonly string[]): string {
  return `${JSON.stringify({ version: 1, uploaded: uploaded.length === 0 ? null : uploaded }, undefined, "\t")}\n`;
}

/** A missing, broken or foreign file is an empty list, as in v1: blocks are then looked up in the bucket. */
export function decodeShipper(bytes: Uint8Array): string[] {
  try {
    const json = JSON.parse(decodeUtf8(bytes)) as { version?: unknown; uploaded?: unknown };
    return json.version === 1 && Array.isArray(json.uploaded)
      ? json.uploaded.filter((u): u is string => typeof u === "string" && isUlid(u))
      : [];
  } catch {
    return [];
  } // the file is only a memory of what the bucket knows better
}
