import { CinderblockError, messageOf } from "@cinderblock/errors";
import type { IngestRequest } from "../ingest-request.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { readSpeedscope, speedscopeFactor, speedscopeRate } from "../speedscope.ts";
import { encodeText, textScale, textType, UNSCALED } from "../text.ts";
import { pprofProfile } from "./push.ts";
import { boundsOf, plainText } from "./series.ts";
import { hasProfileId, textLabels } from "./text.ts";

/** Profiles of a speedscope file. */
export function* speedscopeProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out } = ctx;
  out.compressedBytes += body.length;
  // Unit and name distinguish several profiles of one file.
  const appOf = (unit: string, many: boolean): string => (many ? `${request.app}.${unit}` : request.app);
  const profiles = readSpeedscope(
    plainText(body, limits),
    (unit, many) => {
      const { times, by } = textScale(
        speedscopeType(appOf(unit, many)).type,
        speedscopeRate(unit, request.sampleRate),
      );
      return (speedscopeFactor(unit)! * Number(times)) / Number(by);
    },
    boundsOf(limits),
  );
  const many = profiles.length > 1;
  for (const p of profiles) {
    if (p.stacks.isEmpty) continue;
    const { service, type } = speedscopeType(appOf(p.unit, many)),
      rate = speedscopeRate(p.unit, request.sampleRate),
      pprof = encodeText(p.stacks, type, rate, request.fromNanos, UNSCALED);
    if (hasProfileId(request)) continue;
    out.decompressedBytes += pprof.length;
    const labels = textLabels(request, service, type, [{ name: "profile_name", value: p.name }]);
    yield {
      bytes: many ? pprof.length : body.length,
      decode: () => pprofProfile(ctx.loader.decode(pprof), labels, ctx.hasher),
    };
  }
}

/** Service and type of a speedscope profile. An unknown type is a property of the file: 422, as in v1. */
function speedscopeType(app: string): ReturnType<typeof textType> {
  try {
    return textType(app);
  } catch (err) {
    throw new CinderblockError("unknown", messageOf(err), { reason: "malformed_profile", cause: err });
  }
}
