import { CinderblockError, messageOf } from "@cinderblock/errors";
import type { IngestRequest } from "../ingest-request.ts";
import { BodyIdentity, loadedProfile } from "../loaded-profile.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { readSpeedscope, speedscopeFactor, speedscopeRate } from "../speedscope.ts";
import { textHeader, textScale, textType } from "../text.ts";
import { boundsOf, plainText } from "./series.ts";
import { hasProfileId, textLabels, textSettings } from "./text.ts";

/** Profiles of a speedscope file. */
export function* speedscopeProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out, loader, hasher } = ctx;
  out.compressedBytes += body.length;
  // Unit and name distinguish several profiles of one file.
  const appOf = (unit: string, many: boolean): string => (many ? `${request.app}.${unit}` : request.app);
  const text = plainText(body, limits),
    profiles = readSpeedscope(
      text,
      (unit, many) => {
        const { times, by } = textScale(
          speedscopeType(appOf(unit, many)).type,
          speedscopeRate(unit, request.sampleRate),
        );
        return (speedscopeFactor(unit)! * Number(times)) / Number(by);
      },
      () => loader.stacks.take(1, boundsOf(ctx)),
    );
  const many = profiles.length > 1;
  for (const [place, p] of profiles.entries()) {
    if (p.stacks.isEmpty) continue;
    const { service, type } = speedscopeType(appOf(p.unit, many)),
      rate = speedscopeRate(p.unit, request.sampleRate),
      profile = loadedProfile(loader, {
        labels: textLabels(request, service, type, [{ name: "profile_name", value: p.name }]),
        header: textHeader(type, rate, request.fromNanos),
        source: p.stacks.source(),
        identity: new BodyIdentity(hasher, [text], textSettings(type, request)),
        place,
      });
    if (hasProfileId(request)) continue;
    out.decompressedBytes += profile.size;
    yield { bytes: many ? profile.size : body.length, decode: profile.decode };
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
