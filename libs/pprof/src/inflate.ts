import { gunzipSync } from "node:zlib";
import { CinderblockError } from "@cinderblock/errors";
import type { ReusedGunzip } from "./gunzip.ts";

/** Whether bytes begin with the gzip magic (RFC 1952, 2.3.1: ID1 0x1f, ID2 0x8b). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The uncompressed profile; plain bytes pass through without a copy. Refuses more than `limit` bytes before
 * they are produced, so that a decompression bomb costs no more than the limit. Several gzip members form one
 * stream; bytes after it are an error.
 * @param limit maximum uncompressed size in bytes; 0 stands for 1 GiB of compressed profiles and no limit of
 * plain ones
 * @param engine memory to reuse; the result is then valid until the engine's next use
 * @throws CinderblockError `invalid` with the reason `profile_size_limit`, or `unknown` with
 * `malformed_profile` for damaged gzip and for plain bytes below 10, the size of a gzip header
 */
export function inflateProfile(bytes: Uint8Array, limit: number, engine?: ReusedGunzip): Uint8Array {
  const tooLarge = (): CinderblockError =>
    new CinderblockError(
      "invalid",
      `uncompressed profile payload size exceeds limit of ${humanBytes(limit)}`,
      { reason: "profile_size_limit", detail: { limit } },
    );
  if (!isGzip(bytes)) {
    if (bytes.length < 10)
      throw new CinderblockError(
        "unknown",
        bytes.length === 0 ? "gzip reset: EOF" : "gzip reset: unexpected EOF",
        { reason: "malformed_profile" },
      );
    if (limit > 0 && bytes.length > limit) throw tooLarge();
    return bytes;
  }
  const n = bytes.length;
  // The last four bytes of a gzip member are its size modulo 2^32 (RFC 1952, ISIZE): an untrusted hint, so the
  // code caps its effect. A header of 10 bytes and a trailer of 8 are the minimum.
  const hint =
    n > 18 ? (bytes[n - 4]! | (bytes[n - 3]! << 8) | (bytes[n - 2]! << 16) | (bytes[n - 1]! << 24)) >>> 0 : 0;
  const cap = limit > 0 ? limit : 1 << 30;
  const quick = engine?.inflate(bytes, hint, cap);
  if (quick) return quick;
  try {
    // `info` reports the number of used input bytes: Node ignores bytes after the last member, v1 refuses
    // them.
    const { buffer, engine } = gunzipSync(bytes, {
      chunkSize: Math.max(1024, Math.min(hint + 64, cap + 1, 16 << 20)),
      maxOutputLength: cap,
      info: true,
    }) as unknown as { buffer: Uint8Array; engine: { bytesWritten: number } };
    if (engine.bytesWritten < n)
      throw Object.assign(new Error("bytes after the stream"), { code: "Z_BUF_ERROR" });
    return buffer;
  } catch (err) {
    const code = (err as NodeJS.ErrnoException).code;
    if (code === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    // Bytes after the last member that begin no other one: zlib has the same code for all damage.
    // eslint-disable-next-line seams/no-message-test -- the text is zlib's, a part of Node
    const noMember = code === "Z_DATA_ERROR" && /header check/.test((err as Error).message);
    throw new CinderblockError(
      "unknown",
      `copy to buffer: ${code === "Z_BUF_ERROR" || noMember ? "unexpected EOF" : `gzip: ${(err as Error).message}`}`,
      { reason: "malformed_profile", cause: err },
    );
  }
}

/** `4.2 MB`: decimal units, with one digit below 10, as v1 prints sizes in this message. */
export function humanBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes,
    unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
