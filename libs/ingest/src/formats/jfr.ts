import { CinderblockError } from "@cinderblock/errors";
import { LABEL_NAME } from "@cinderblock/model";
import { inflateProfile, isGzip } from "@cinderblock/pprof";
import { type IngestRequest, parseMultipart } from "../ingest-request.ts";
import { jfrToPprofs, NO_JFR_LABELS, readJfrLabels } from "../jfr.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { pprofProfile } from "./push.ts";
import { commonLabels, serviceLabels } from "./series.ts";

/** Profiles of a recording, one for each kind of event; a form may have labels of its contexts. */
export function* jfrProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out } = ctx;
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
  const { profiles, event } = jfrToPprofs(
    inflate(recording),
    contexts ? readJfrLabels(inflate(contexts)) : NO_JFR_LABELS,
    request.sampleRate,
    request.fromNanos,
    request.durationNanos,
  );
  for (const { name, bytes } of profiles) {
    out.decompressedBytes += bytes.length;
    const labels = [
      ...request.tags,
      ...commonLabels(request),
      { name: LABEL_NAME, value: name },
      { name: "jfr_event", value: event },
      ...(request.app === "" ? [] : serviceLabels(request, request.app)),
    ];
    yield {
      bytes: bytes.length,
      decode: () => pprofProfile(ctx.loader.decode(bytes), labels, ctx.hasher),
    };
  }
}
