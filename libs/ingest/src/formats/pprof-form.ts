import { CinderblockError } from "@cinderblock/errors";
import { LABEL_NAME, LABEL_SERVICE_NAME } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import { replaceStrings } from "../go-fix.ts";
import { type IngestRequest, parsePprofForm, pprofName, type SampleTypeConfig } from "../ingest-request.ts";
import type { DecodedProfile, PushContext, PushedProfile } from "../push-context.ts";
import { stringAt } from "../strings.ts";
import { decodePprof, pprofProfile } from "./push.ts";
import { commonLabels, hasTag } from "./series.ts";

/** Times of pprofs below this one count as missing: before 1970 or, as in v1, within it. */
const YEAR_NANOS = 31_536_000_000_000_000n;

/** The pprof of a body of /ingest, alone or in a form with its sample types. */
export function* pprofFormProfiles(
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
): Iterable<PushedProfile> {
  ctx.out.compressedBytes += body.length;
  let profile: Uint8Array | undefined = body,
    config: ReadonlyMap<string, SampleTypeConfig> | undefined;
  if (request.format === "multipart")
    ({ profile, sampleTypes: config } = parsePprofForm(body, request.boundary));
  if (!profile || profile.length === 0) return;
  const bytes = profile;
  yield { bytes: body.length, decode: () => decode(bytes, config, request, ctx) };
}

function decode(
  bytes: Uint8Array,
  config: ReadonlyMap<string, SampleTypeConfig> | undefined,
  request: IngestRequest,
  ctx: PushContext,
): DecodedProfile {
  let tables: PprofTables;
  try {
    tables = decodePprof(bytes, ctx);
  } catch (err) {
    if (err instanceof CinderblockError && err.kind === "unknown")
      throw new CinderblockError("unknown", `parsing IngestInput-pprof failed ${err.message}`, {
        reason: "malformed_profile",
        cause: err,
      });
    throw err;
  }
  fixScripting(tables, request.spyName);
  if (request.spyName === "dotnetspy" || (request.spyName === "unknown" && config?.has("inuse-space")))
    fixDotnet(tables);
  // As in v1, the corrected types name the profile.
  const types: string[] = [];
  for (let i = 0; i < tables.sampleTypes; i++) types.push(stringAt(tables, tables.typeType.data[i]!));
  if (tables.timeNanos < YEAR_NANOS) tables.timeNanos = request.fromNanos;
  const labels = [
    ...request.tags,
    ...commonLabels(request),
    { name: LABEL_NAME, value: pprofName(types, config) },
    ...(hasTag(request, LABEL_SERVICE_NAME) ? [] : [{ name: LABEL_SERVICE_NAME, value: request.app }]),
  ];
  return pprofProfile(tables, labels, ctx.hasher);
}

/** Renames functions of scripting languages to `<filename> <function>`. */
function fixScripting(t: PprofTables, spy: string): void {
  if (spy !== "pyspy" && spy !== "rbspy" && spy !== "scripting") return;
  const start = t.strings;
  const texts = new Map<number, string>();
  const seen = new Map<string, number>();
  for (let i = 0; i < t.functions; i++) {
    const file = stringAt(t, t.funcFilename.data[i]!);
    if (spy === "pyspy" && file.startsWith("/")) continue;
    const text = `${file} ${stringAt(t, t.funcName.data[i]!)}`;
    let at = seen.get(text);
    if (at === undefined) {
      at = start + seen.size;
      seen.set(text, at);
      t.stringStart.push(0);
      t.stringEnd.push(0);
      texts.set(at, text);
    }
    t.funcName.data[i] = at;
  }
  replaceStrings(t, texts);
}

/**
 * Replaces `-` in sample types by `_`. Where no function has an ID and there are as many functions as
 * locations, each function gets the ID of the location in its place, as in v1.
 */
function fixDotnet(t: PprofTables): void {
  const texts = new Map<number, string>();
  for (let i = 0; i < t.sampleTypes; i++) {
    const at = t.typeType.data[i]!;
    const text = stringAt(t, at);
    if (text.includes("-")) texts.set(at, text.replaceAll("-", "_"));
  }
  replaceStrings(t, texts);
  if (t.functions !== t.locations) return;
  for (let i = 0; i < t.functions; i++) if ((t.funcIdLo.data[i]! | t.funcIdHi.data[i]!) !== 0) return;
  for (let i = 0; i < t.functions; i++) {
    t.funcIdLo.data[i] = t.locIdLo.data[i]!;
    t.funcIdHi.data[i] = t.locIdHi.data[i]!;
  }
}
