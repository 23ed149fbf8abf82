import { CinderblockError } from "@cinderblock/errors";
import { LABEL_NAME } from "@cinderblock/model";
import { inflateProfile, isGzip } from "@cinderblock/pprof";
import { type IngestRequest, parseMultipart } from "../ingest-request.ts";
import { jfrProfilesOf, NO_JFR_LABELS, readJfrLabels } from "../jfr.ts";
import { BodyIdentity, loadedProfile } from "../loaded-profile.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { commonLabels, serviceLabels } from "./series.ts";

/** Profiles of a recording, one for each kind of event; a form may have labels of its contexts. */
export function* jfrProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out, loader, hasher } = ctx;
  out.compressedBytes += body.length;
  if (body.length === 0) return;
  let recording: Uint8Array | undefined = body,
    contexts: Uint8Array | undefined;
  if (request.boundary !== "") {
    const parts = parseMultipart(body, request.boundary);
    recording = parts.get("jfr");
    contexts = parts.get("labels");
    if (!recording)
      throw new CinderblockError(
        "unknown",
        "parsing IngestInput-pprof failed jfr: the form has no part jfr",
        { reason: "malformed_profile" },
      );
  }
  const bound = limits.ingestionBodyLimitBytes > 0 ? limits.ingestionBodyLimitBytes : 1 << 30;
  const inflate = (bytes: Uint8Array): Uint8Array => (isGzip(bytes) ? inflateProfile(bytes, bound) : bytes);
  const parts = [inflate(recording), contexts ? inflate(contexts) : NO_BYTES] as const,
    { profiles, event } = jfrProfilesOf(
      parts[0],
      contexts ? readJfrLabels(parts[1]) : NO_JFR_LABELS,
      request.sampleRate,
      request.fromNanos,
      request.durationNanos,
      loader.stacks,
      ctx.frames,
    ),
    identity = new BodyIdentity(hasher, parts, `jfr ${request.sampleRate} ${request.durationNanos}`);
  for (const [place, { name, header, source }] of profiles.entries()) {
    const labels = [
        ...request.tags,
        ...commonLabels(request),
        { name: LABEL_NAME, value: name },
        { name: "jfr_event", value: event },
        ...(request.app === "" ? [] : serviceLabels(request, request.app)),
      ],
      profile = loadedProfile(loader, { labels, header, source, identity, place });
    out.decompressedBytes += profile.size;
    yield { bytes: profile.size, decode: profile.decode };
  }
}

const NO_BYTES = new Uint8Array(0);
