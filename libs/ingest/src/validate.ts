import { isAscii, isUtf8 } from "node:buffer";
import { CinderblockError, type DiscardReason } from "@cinderblock/errors";
import { type Labels, labelsText } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import type { IngestLimits } from "@cinderblock/tenant";

function refuse(reason: DiscardReason, message: string, limit?: number): never {
  throw new CinderblockError(
    "invalid",
    message,
    limit === undefined ? { reason } : { reason, detail: { limit } },
  );
}

function humanDuration(ms: number): string {
  const s = Math.floor(ms / 1000);
  const h = Math.floor(s / 3600),
    m = Math.floor((s % 3600) / 60);
  return `${h > 0 ? `${h}h` : ""}${h > 0 || m > 0 ? `${m}m` : ""}${s % 60}s`;
}

/**
 * Checks a profile as v1 does, and truncates long strings and stacks. `nowMs` is the distributor's clock, `size` the
 * profile's size as an uncompressed pprof.
 * @throws `invalid`
 */
export function validateProfile(
  t: PprofTables,
  labels: Labels,
  limits: IngestLimits,
  nowMs: number,
  size = t.bytes.length,
): void {
  if (t.sampleTypes === 0) refuse("malformed_profile", "empty profile");
  if (t.timeNanos > 0n) checkWindow(t, labels, limits, nowMs);
  if (limits.maxProfileSizeBytes > 0 && size > limits.maxProfileSizeBytes) {
    refuse(
      "profile_size_limit",
      `the profile with labels '${labelsText(labels)}' exceeds the size limit (max_profile_size_byte, actual: ${size}, limit: ${limits.maxProfileSizeBytes})`,
      limits.maxProfileSizeBytes,
    );
  }
  if (limits.maxProfileStacktraceSamples > 0 && t.samples > limits.maxProfileStacktraceSamples) {
    refuse(
      "samples_limit",
      `the profile with labels '${labelsText(labels)}' exceeds the samples count limit (max_profile_stacktrace_samples, actual: ${t.samples}, limit: ${limits.maxProfileStacktraceSamples})`,
      limits.maxProfileStacktraceSamples,
    );
  }
  // The first broken rule names the reason: this is v1's order.
  checkSampleLabels(t, labels, limits);
  checkIds(t);
  checkReferences(t);
  checkTypes(t);
  checkStrings(t, limits);
}

function checkWindow(t: PprofTables, labels: Labels, limits: IngestLimits, nowMs: number): void {
  const at = Number(t.timeNanos / 1_000_000n);
  const old = limits.rejectOlderThanMs > 0 && at < nowMs - limits.rejectOlderThanMs;
  const young = limits.rejectNewerThanMs > 0 && at > nowMs + limits.rejectNewerThanMs;
  if (!old && !young) return;
  const bound = old
    ? `the ingestion window starts at ${new Date(nowMs - limits.rejectOlderThanMs).toISOString()} (${humanDuration(limits.rejectOlderThanMs)} ago)`
    : `the ingestion window ends at ${new Date(nowMs + limits.rejectNewerThanMs).toISOString()} (in ${humanDuration(limits.rejectNewerThanMs)})`;
  refuse(
    "not_in_ingestion_window",
    `profile with labels '${labelsText(labels)}' is outside of ingestion window (profile timestamp: ${new Date(at).toISOString()}, ${bound})`,
  );
}

function checkStrings(t: PprofTables, limits: IngestLimits): void {
  const n = t.strings;
  const start = t.stringStart.data,
    end = t.stringEnd.data,
    { bytes } = t;
  // The strings are contiguous in the file: if the whole stretch is ASCII, including lengths, skip the
  // checks.
  const ascii = end[n - 1]! > start[0]! && isAscii(bytes.subarray(start[0], end[n - 1]));
  for (let i = 1; i < n; i++) {
    const to = end[i]!;
    if (!ascii || start[i]! < start[0]! || to > end[n - 1]!)
      for (let k = start[i]!; k < to; k++) {
        if (bytes[k]! < 128) continue;
        const view = bytes.subarray(start[i]!, to);
        if (!isUtf8(view))
          refuse(
            "malformed_profile",
            `invalid utf8 string hex: ${Buffer.from(view).toString("hex").slice(0, 200)}`,
          );
        break;
      }
    if (limits.maxProfileSymbolValueLength > 0 && to - start[i]! > limits.maxProfileSymbolValueLength) {
      let from = to - limits.maxProfileSymbolValueLength;
      while (from < to && (bytes[from]! & 0xc0) === 0x80) from++; // not in the middle of a character
      start[i] = from;
    }
  }
}

function checkSampleLabels(t: PprofTables, labels: Labels, limits: IngestLimits): void {
  const limit = limits.maxProfileStacktraceSampleLabels,
    first = t.sampleLabels.data;
  if (limit === 0) return;
  for (let i = 0, n = t.samples; i < n; i++) {
    const count = first[i + 1]! - first[i]!;
    if (count > limit)
      refuse(
        "sample_labels_limit",
        `the profile with labels '${labelsText(labels)}' exceeds the sample labels limit (max_profile_stacktrace_sample_labels, actual: ${count}, limit: ${limit})`,
        limit,
      );
  }
}

/** Checks that locations and functions have IDs, and samples a value for each type. */
function checkIds(t: PprofTables): void {
  const { locIdLo, locIdHi, funcIdLo, funcIdHi } = t;
  for (let i = 0, n = t.locations; i < n; i++)
    if ((locIdLo.data[i]! | locIdHi.data[i]!) === 0) refuse("malformed_profile", "location id is 0");
  for (let i = 0, n = t.functions; i < n; i++)
    if ((funcIdLo.data[i]! | funcIdHi.data[i]!) === 0) refuse("malformed_profile", "function id is 0");
  const types = t.sampleTypes,
    values = t.sampleValues.data;
  for (let i = 0, n = t.samples; i < n; i++)
    if (values[i + 1]! - values[i]! !== types) refuse("malformed_profile", "sample value length mismatch");
}

function checkReferences(t: PprofTables): void {
  const n = t.strings;
  const inRange = (column: { data: Uint32Array; length: number }, what: string): void => {
    const { data, length } = column;
    for (let i = 0; i < length; i++)
      if (data[i]! >= n) refuse("malformed_profile", `${what} string index out of range`);
  };
  if (n === 0 || t.stringStart.data[0] !== t.stringEnd.data[0])
    refuse("malformed_profile", "string 0 should be empty string");
  inRange(t.typeType, "sample type type");
  inRange(t.typeUnit, "sample type unit");
  inRange(t.labelKey, "sample label");
  inRange(t.labelStr, "sample label");
  inRange(t.funcName, "function name");
  inRange(t.funcSystemName, "function system name");
  inRange(t.funcFilename, "function file name");
  inRange(t.mappingFilename, "mapping file name");
  inRange(t.mappingBuildId, "mapping build id");
  inRange(t.comments, "comment");
  if (t.hasPeriodType && (t.periodType >= n || t.periodUnit >= n))
    refuse("malformed_profile", "period type string index out of range");
  if (t.dropFrames >= n || t.keepFrames >= n || t.defaultSampleType >= n)
    refuse("malformed_profile", "string index out of range");
}

const DASH = 45,
  COLON = 58;

function checkTypes(t: PprofTables): void {
  const has = (string: number, byte: number): boolean =>
    t.bytes.subarray(t.stringStart.data[string], t.stringEnd.data[string]).includes(byte);
  // A colon separates the parts of a profile type: no query could name the stored profile.
  const checkColon = (string: number, what: string): void => {
    if (has(string, COLON)) refuse("malformed_profile", `${what} contains :`);
  };
  for (let i = 0; i < t.sampleTypes; i++) {
    if (has(t.typeType.data[i]!, DASH)) refuse("malformed_profile", "sample type contains -");
    checkColon(t.typeType.data[i]!, "sample type");
    checkColon(t.typeUnit.data[i]!, "unit of a sample type");
  }
  if (!t.hasPeriodType) return;
  checkColon(t.periodType, "period type");
  checkColon(t.periodUnit, "unit of the period type");
}
