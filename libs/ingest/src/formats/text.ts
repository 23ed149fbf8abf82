import { type Label, LABEL_NAME } from "@cinderblock/model";
import type { IngestRequest } from "../ingest-request.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { encodeText, readText, type TextFormat, type TextType, textType } from "../text.ts";
import { pprofProfile } from "./push.ts";
import { boundsOf, commonLabels, plainText, serviceLabels } from "./series.ts";

/** The profile of a body of folded stacks, lines, a trie or a tree. */
export function* textProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out } = ctx;
  out.compressedBytes += body.length;
  const bounds = {
    maxNameLength: limits.maxProfileSymbolValueLength,
    maxChildren: limits.maxProfileStacktraceSamples,
  };
  const { stacks, uncounted } = readText(
    plainText(body, limits),
    request.format as TextFormat,
    bounds,
    boundsOf(limits),
  );
  if (uncounted > 0) out.discarded.push({ reason: "malformed_profile", profiles: uncounted, bytes: 0 });
  // v1 reads the body before it validates the application's name.
  const { service, type } = textType(request.app);
  const pprof = encodeText(stacks, type, request.sampleRate, request.fromNanos);
  if (hasProfileId(request)) return;
  out.decompressedBytes += pprof.length;
  yield {
    bytes: body.length,
    decode: () => pprofProfile(ctx.loader.decode(pprof), textLabels(request, service, type), ctx.hasher),
  };
}

/** Whether a request names a span: as in v1, its text is not stored. */
export function hasProfileId(request: IngestRequest): boolean {
  return request.tags.some((t) => t.name === "profile_id" && t.value !== "");
}

/** Labels of a profile from text; a label of `more` wins over a tag of its name. */
export function textLabels(
  request: IngestRequest,
  service: string,
  type: TextType,
  more: readonly Label[] = [],
): Label[] {
  return [
    ...request.tags.filter((t) => !more.some((l) => l.name === t.name)),
    ...commonLabels(request),
    { name: LABEL_NAME, value: type.name },
    ...serviceLabels(request, service),
    ...more,
  ];
}
