import { encodeUtf8, ShortRead } from "@cinderblock/bytes";
import { CinderblockError, invalid } from "@cinderblock/errors";
import { type Label, LABEL_DELTA, LABEL_NAME, LABEL_OTEL, LABEL_SERVICE_NAME } from "@cinderblock/model";
import { decodeExport, decodeExportJson, type OtlpAttribute, type OtlpDictionary, type OtlpExport, type OtlpProfile, type OtlpResource, type OtlpSample, type OtlpValue } from "@cinderblock/otlp";
import { encodePprof } from "@cinderblock/pprof";
import { SymbolPartition } from "@cinderblock/symdb";

const SERVICE = "service.name", EXECUTABLE = "process.executable.name", BUILD_ID = "process.executable.build_id.gnu";
const DEFAULT_DURATION_NANOS = 10_000_000_000n;

/** One series' profile of an export. */
export interface OtlpPprof { labels: Label[]; bytes: Uint8Array }

/** Decodes an export; a body that is none is an error whose text v1's clients know. */
export function readOtlp(body: Uint8Array, codec: "proto" | "json"): OtlpExport {
  try { return codec === "json" ? decodeExportJson(body) : decodeExport(body); } catch (err) {
    if (err instanceof ShortRead || err instanceof SyntaxError || err instanceof RangeError) throw new CinderblockError("invalid", `Failed to parse ${codec === "json" ? "JSON" : "protobuf"} request: ${err.message}`, { reason: "malformed_profile", cause: err });
    throw err;
  }
}

/** Profiles of an export as pprofs with the labels of their series (api.md §2.6). */
export function otlpToPprofs(x: OtlpExport, nowNanos: bigint): OtlpPprof[] {
  const { dictionary } = x;
  if (!dictionary) throw new CinderblockError("invalid", "missing profile metadata dictionary", { reason: "malformed_profile" });
  if (x.resources.length === 0) throw new CinderblockError("invalid", "no profiles in the request: resourceProfiles is empty", { reason: "malformed_profile" });
  const out: OtlpPprof[] = [];
  for (const resource of x.resources) {
    for (const scope of resource.scopes) {
      const labels = attributeLabels([...resource.attributes, ...scope.attributes]);
      for (const profile of scope.profiles) {
        for (const [service, samples] of byService(profile, dictionary)) {
          const { name, bytes } = toPprof(profile, samples, dictionary, nowNanos);
          out.push({ bytes, labels: [
            { name: LABEL_DELTA, value: "false" }, { name: LABEL_OTEL, value: "true" }, { name: LABEL_NAME, value: name },
            ...labels.filter((l) => l.name !== SERVICE && l.name !== LABEL_SERVICE_NAME), { name: LABEL_SERVICE_NAME, value: service || resourceService(resource) },
          ] });
        }
      }
    }
  }
  return out;
}

/** A label's text: strings and integers, also alone in a list; others have none. */
function textOf(v: OtlpValue): string | undefined {
  if (typeof v === "string") return v;
  if (typeof v === "bigint") return String(v);
  return Array.isArray(v) && v.length === 1 ? textOf(v[0]) : undefined;
}

/** The first of each key counts. */
function attributeLabels(attributes: readonly OtlpAttribute[]): Label[] {
  const seen = new Map<string, string>();
  for (const { key, value } of attributes) { const text = textOf(value); if (text !== undefined && !seen.has(key)) seen.set(key, text); }
  return [...seen].map(([name, value]) => ({ name, value }));
}

function resourceService({ attributes }: OtlpResource): string {
  const find = (key: string): string | undefined => { const a = attributes.find((x) => x.key === key); return a && textOf(a.value); };
  const executable = find(EXECUTABLE);
  return find(SERVICE) || (executable ? `unknown_service:${executable}` : "unknown_service");
}

function at<T>(table: readonly T[], index: number, what: string): T {
  const found = table[index];
  if (found === undefined) throw invalid(`${what} index ${index} is out of range: the dictionary has ${table.length}`);
  return found;
}

/** Samples may name a service of their own. */
function byService(p: OtlpProfile, d: OtlpDictionary): Map<string, OtlpSample[]> {
  const out = new Map<string, OtlpSample[]>();
  for (const s of p.samples) {
    let service = "";
    for (const i of s.attributes) { const a = at(d.attributes, i, "attribute"); if (at(d.strings, a.key, "string") === SERVICE) service = textOf(a.value) ?? ""; }
    const list = out.get(service);
    if (list) list.push(s); else out.set(service, [s]);
  }
  return out;
}

/** What a profile is called and what its values are in. */
function meaning(p: OtlpProfile, d: OtlpDictionary): { name: string; sample: { type: string; unit: string }; period: { type: string; unit: string } | undefined; scale: bigint; summed: boolean } {
  const s = (i: number): string => at(d.strings, i, "string");
  const sample = { type: s(p.sampleType.type), unit: s(p.sampleType.unit) };
  const period = p.periodType.type === 0 && p.periodType.unit === 0 ? undefined : { type: s(p.periodType.type), unit: s(p.periodType.unit) };
  if (sample.type === "samples" && sample.unit === "count" && period?.type === "cpu" && period.unit === "nanoseconds") return { name: "process_cpu", sample: { type: "cpu", unit: "nanoseconds" }, period, scale: p.period, summed: false };
  if (sample.type === "off_cpu" && sample.unit === "nanoseconds" && !period) return { name: "off_cpu", sample, period, scale: 1n, summed: true };
  return { name: period?.type ?? "", sample, period, scale: 1n, summed: false };
}

function toPprof(p: OtlpProfile, samples: readonly OtlpSample[], d: OtlpDictionary, nowNanos: bigint): { name: string; bytes: Uint8Array } {
  const { name, sample, period, scale, summed } = meaning(p, d);
  const symbols = new SymbolPartition();
  // dictionary's number -> the profile's; -1: not seen yet
  const strings = new Int32Array(d.strings.length).fill(-1), functions = new Int32Array(d.functions.length).fill(-1), mappings = new Int32Array(d.mappings.length).fill(-1), locations = new Int32Array(d.locations.length).fill(-1);
  const string = (i: number): number => { const text = at(d.strings, i, "string"), known = strings[i]!; return known >= 0 ? known : (strings[i] = literal(text)); };
  const literal = (text: string): number => { const b = encodeUtf8(text); return symbols.strings.intern(b, 0, b.length); };
  // A mapping's functions are known when all locations in use carry lines.
  const bare = new Set<number>(), used = new Uint8Array(d.locations.length);
  for (const s of samples) {
    for (const l of at(d.stacks, s.stack, "stack")) {
      if (used[l] === 1) continue;
      const x = at(d.locations, l, "location");
      used[l] = 1;
      if (x.lines.length === 0) bare.add(x.mapping);
    }
  }
  const words = new Uint32Array(9), low = (v: bigint): number => Number(BigInt.asUintN(32, v)), high = (v: bigint): number => Number(BigInt.asUintN(32, v >> 32n));
  const mapping = (i: number): number => {
    const m = at(d.mappings, i, "mapping");
    if (mappings[i]! >= 0) return mappings[i]!;
    const build = m.attributes.map((a) => at(d.attributes, a, "attribute")).find((a) => at(d.strings, a.key, "string") === BUILD_ID);
    words.set([low(m.start), high(m.start), low(m.limit), high(m.limit), low(m.offset), high(m.offset), string(m.filename), literal((build && textOf(build.value)) ?? ""), bare.has(i) ? 0 : 8]);
    return (mappings[i] = symbols.mappings.intern(words, 9));
  };
  const fn = (i: number): number => {
    const f = at(d.functions, i, "function");
    if (functions[i]! >= 0) return functions[i]!;
    words.set([string(f.name), string(f.systemName), string(f.filename), f.startLine]);
    return (functions[i] = symbols.functions.intern(words, 4));
  };
  const location = (i: number): number => {
    const l = at(d.locations, i, "location");
    if (locations[i]! >= 0) return locations[i]!;
    const tuple = new Uint32Array(4 + 2 * l.lines.length);
    tuple.set([mapping(l.mapping), low(l.address), high(l.address), 0]);
    l.lines.forEach((x, k) => { tuple[4 + 2 * k] = fn(x.function); tuple[5 + 2 * k] = x.line; });
    return (locations[i] = symbols.locations.intern(tuple, tuple.length));
  };
  const sampleOffset = [0], sampleLocation: number[] = [], value: bigint[] = [], labelOffset = [0], labelKey: number[] = [], labelValue: number[] = [];
  const label = (key: string, text: string): void => { if (text !== "") { labelKey.push(literal(key)); labelValue.push(literal(text)); } };
  for (const s of samples) {
    const stack = at(d.stacks, s.stack, "stack");
    for (let k = 0; k < stack.length; k++) { const known = locations[stack[k]!]; sampleLocation.push(known !== undefined && known >= 0 ? known : location(stack[k]!)); }
    sampleOffset.push(sampleLocation.length);
    const own = s.values.length > 0 ? (summed ? s.values.reduce((a, b) => a + b, 0n) : s.values[0]!) : BigInt(s.timestamps);
    value.push(BigInt.asIntN(64, own * scale));
    for (const i of s.attributes) { const a = at(d.attributes, i, "attribute"), key = at(d.strings, a.key, "string"); if (key !== SERVICE) label(key, textOf(a.value) ?? (typeof a.value === "boolean" || typeof a.value === "number" ? String(a.value) : "")); }
    if (s.link > 0) { const link = at(d.links, s.link, "link"); label("span_id", Buffer.from(link.spanId).toString("hex")); label("trace_id", Buffer.from(link.traceId).toString("hex")); }
    labelOffset.push(labelKey.length);
  }
  const t = symbols.tables();
  return { name, bytes: encodePprof({ sampleTypes: [sample], ...(period ? { periodType: period } : {}), period: p.period, timeNanos: BigInt.asIntN(64, p.timeNanos) || nowNanos, durationNanos: BigInt.asIntN(64, p.durationNanos) || DEFAULT_DURATION_NANOS }, {
    strings: { bytes: t.stringBytes, offset: t.stringOffset }, functionWords: t.functionWords, mappingWords: t.mappingWords, locationWords: t.locationWords, locationOffset: t.locationOffset,
    sampleOffset: new Uint32Array(sampleOffset), sampleLocation: new Uint32Array(sampleLocation), value: new BigInt64Array(value), labels: { offset: new Uint32Array(labelOffset), key: new Uint32Array(labelKey), value: new Uint32Array(labelValue) },
  }) };
}
