import { CinderblockError } from "@cinderblock/errors";
import { otlpToPprofs, readOtlp } from "../otlp.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { pprofProfile } from "./push.ts";

/** Profiles of an OTLP export, one for each profile and service. */
export function* otlpProfiles(
  body: Uint8Array,
  codec: "proto" | "json",
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { loader, hasher, nowMs, out } = ctx;
  out.compressedBytes += body.length;
  for (const { labels, bytes, unnamed } of otlpToPprofs(readOtlp(body, codec), BigInt(nowMs) * 1_000_000n)) {
    out.decompressedBytes += bytes.length;
    yield {
      bytes: bytes.length,
      decode: () => {
        if (unnamed !== undefined)
          throw new CinderblockError("invalid", unnamed, { reason: "invalid_labels" });
        return pprofProfile(loader.decode(bytes), labels, hasher);
      },
    };
  }
}
