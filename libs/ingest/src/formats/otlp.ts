import { CinderblockError } from "@cinderblock/errors";
import { BodyIdentity, loadedProfile } from "../loaded-profile.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";

/** Profiles of an OTLP export, one for each profile and service. */
export function* otlpProfiles(
  body: Uint8Array,
  codec: "proto" | "json",
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { loader, nowMs, out } = ctx,
    identity = new BodyIdentity(ctx.hasher, [body]);
  out.compressedBytes += body.length;
  const tables = loader.otlp.read(body, codec);
  let place = 0;
  for (const { labels, header, source, unnamed } of loader.otlp.series(
    tables,
    BigInt(nowMs) * 1_000_000n,
    ctx.frames,
  )) {
    const profile = loadedProfile(loader, { labels, header, source, identity, place: place++ });
    out.decompressedBytes += profile.size;
    yield {
      bytes: profile.size,
      decode: () => {
        if (unnamed !== undefined)
          throw new CinderblockError("invalid", unnamed, { reason: "invalid_labels" });
        return profile.decode();
      },
    };
  }
}
