import { type Label, LABEL_NAME } from "@cinderblock/model";
import type { IngestRequest } from "../ingest-request.ts";
import { BodyIdentity, loadedProfile } from "../loaded-profile.ts";
import type { PushContext, PushedProfile } from "../push-context.ts";
import { readText, type TextFormat, textHeader, textScale, type TextType, textType } from "../text.ts";
import { boundsOf, commonLabels, plainText, serviceLabels } from "./series.ts";

/** The profile of a body of folded stacks, lines, a trie or a tree. */
export function* textProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  const { limits, out, loader, hasher } = ctx;
  out.compressedBytes += body.length;
  const bounds = {
      maxNameLength: limits.maxProfileSymbolValueLength,
      maxChildren: limits.maxProfileStacktraceSamples,
    },
    text = plainText(body, limits),
    stacks = loader.stacks.take(1, boundsOf(ctx)),
    uncounted = readText(text, request.format as TextFormat, bounds, stacks);
  if (uncounted > 0) out.discarded.push({ reason: "malformed_profile", profiles: uncounted, bytes: 0 });
  // v1 reads the body before it validates the application's name.
  const { service, type } = textType(request.app),
    profile = loadedProfile(loader, {
      labels: textLabels(request, service, type),
      header: textHeader(type, request.sampleRate, request.fromNanos),
      source: stacks.source(textScale(type, request.sampleRate)),
      identity: new BodyIdentity(hasher, [text], textSettings(type, request)),
      place: 0,
    });
  if (hasProfileId(request)) return;
  out.decompressedBytes += profile.size;
  yield { bytes: body.length, decode: profile.decode };
}

/** Settings that decide what the numbers of a text mean. */
export function textSettings({ type, unit }: TextType, { format, sampleRate }: IngestRequest): string {
  return `${format} ${type} ${unit} ${sampleRate}`;
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
