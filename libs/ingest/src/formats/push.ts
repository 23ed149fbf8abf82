import type { Hasher } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type Label, mayBeCumulative } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import { decodePush, decodePushJson } from "../envelope.ts";
import type { DecodedProfile, PushContext, PushedProfile } from "../push-context.ts";

/**
 * Profiles of a body of push.v1.
 * @throws `invalid` for a body without profiles or above the limit
 */
export function* pushProfiles(
  body: Uint8Array,
  codec: "proto" | "json",
  ctx: PushContext,
): Iterable<PushedProfile> {
  const series = codec === "proto" ? decodePush(body) : decodePushJson(body),
    { limits, out } = ctx;
  let total = 0,
    profiles = 0;
  for (const s of series)
    for (const p of s.profiles) {
      total += p.length;
      profiles++;
    }
  if (profiles === 0) throw new CinderblockError("invalid", "no profiles received");
  if (limits.ingestionBodyLimitBytes > 0 && total > limits.ingestionBodyLimitBytes) {
    throw new CinderblockError(
      "invalid",
      `request body is ${total} bytes; the limit is ${limits.ingestionBodyLimitBytes}`,
      { reason: "body_size_limit_exceeded" },
    );
  }
  for (const { labels, profiles: sent } of series) {
    if (ctx.cumulativeOnly && !mayBeCumulative(labels)) continue;
    for (const bytes of sent) {
      out.compressedBytes += bytes.length;
      yield { bytes: bytes.length, decode: () => pprofProfile(decodePprof(bytes, ctx), labels, ctx.hasher) };
    }
  }
}

/** Decodes a pprof, gzipped or plain. */
export function decodePprof(bytes: Uint8Array, { loader, limits, out }: PushContext): PprofTables {
  const plain = loader.inflate(bytes, limits.maxProfileSizeBytes);
  out.decompressedBytes += plain.length;
  return loader.decode(plain);
}

/** A decoded pprof, whose bytes are its content. */
export function pprofProfile(tables: PprofTables, labels: readonly Label[], hasher: Hasher): DecodedProfile {
  // Later corrections of the tables' strings are no part of the content.
  const { bytes } = tables;
  return { labels, tables, size: bytes.length, contentHash: () => hasher.h64(bytes) };
}
