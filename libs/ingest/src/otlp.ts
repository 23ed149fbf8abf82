import { encodeUtf8, ShortRead } from "@cinderblock/bytes";
import { ByteColumn, U32Column } from "@cinderblock/columnar";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { type Label, LABEL_DELTA, LABEL_NAME, LABEL_OTEL, LABEL_SERVICE_NAME } from "@cinderblock/model";
import {
  decodeExport,
  decodeExportJson,
  type OtlpAttribute,
  type OtlpProfile,
  type OtlpResource,
  type OtlpTables,
} from "@cinderblock/otlp";
import { encodePprof } from "@cinderblock/pprof";
import { attributeOf, check, SampleTexts, SERVICE, stringOf, textOf } from "./otlp-texts.ts";
import { MAX_VALUE } from "./stack-builder.ts";

const EXECUTABLE = "process.executable.name",
  BUILD_ID = "process.executable.build_id.gnu";
const DEFAULT_DURATION_NANOS = 10_000_000_000n;

/** The profile of one series in an export. */
export interface OtlpPprof {
  labels: Label[];
  bytes: Uint8Array;
  /** cause of a missing name; undefined: the profile has a name */
  unnamed: string | undefined;
}

/** Decodes an export; a broken body is an error with v1's text. */
export function readOtlp(body: Uint8Array, codec: "proto" | "json"): OtlpTables {
  try {
    return codec === "json" ? decodeExportJson(body) : decodeExport(body);
  } catch (err) {
    if (err instanceof ShortRead || err instanceof SyntaxError || err instanceof RangeError)
      throw new CinderblockError(
        "invalid",
        `Failed to parse ${codec === "json" ? "JSON" : "protobuf"} request: ${err.message}`,
        { reason: "malformed_profile", cause: err },
      );
    throw err;
  }
}

/**
 * Converts the profiles of an export to pprofs with the labels of their series
 * (docs/formats/otlp-profiles.md).
 */
export function otlpToPprofs(t: OtlpTables, nowNanos: bigint): OtlpPprof[] {
  if (!t.hasDictionary)
    throw new CinderblockError("invalid", "missing profile metadata dictionary", {
      reason: "malformed_profile",
    });
  if (t.resources.length === 0)
    throw new CinderblockError("invalid", "no profiles in the request: resourceProfiles is empty", {
      reason: "malformed_profile",
    });
  const out: OtlpPprof[] = [],
    texts = new SampleTexts(t),
    writer = new PprofWriter(t, texts);
  for (const resource of t.resources) {
    for (const scope of resource.scopes) {
      const labels = attributeLabels([...resource.attributes, ...scope.attributes]);
      for (const profile of scope.profiles) {
        for (const [service, samples] of byService(profile, t, texts)) {
          const { name, unnamed, bytes } = writer.write(profile, samples, nowNanos);
          out.push({
            bytes,
            unnamed,
            labels: [
              { name: LABEL_DELTA, value: "false" },
              { name: LABEL_OTEL, value: "true" },
              { name: LABEL_NAME, value: name },
              ...labels.filter((l) => l.name !== LABEL_NAME && l.name !== LABEL_SERVICE_NAME),
              { name: LABEL_SERVICE_NAME, value: service || resourceService(resource) },
            ],
          });
        }
      }
    }
  }
  return out;
}

/** Labels from attributes; the first attribute of each key counts that has a text. */
function attributeLabels(attributes: readonly OtlpAttribute[]): Label[] {
  const seen = new Map<string, string>();
  for (const { key, value } of attributes) {
    const text = textOf(value);
    if (text !== "" && !seen.has(key)) seen.set(key, text);
  }
  return [...seen].map(([name, value]) => ({ name, value }));
}

function resourceService({ attributes }: OtlpResource): string {
  const find = (key: string): string => {
    for (const a of attributes) {
      const text = a.key === key ? textOf(a.value) : "";
      if (text !== "") return text;
    }
    return "";
  };
  const executable = find(EXECUTABLE);
  return find(SERVICE) || (executable !== "" ? `unknown_service:${executable}` : "unknown_service");
}

/** Samples of a profile by service: a sample may have its own service. */
function byService(p: OtlpProfile, t: OtlpTables, texts: SampleTexts): Map<string, Uint32Array> {
  const out = new Map<string, U32Column>();
  for (let s = p.sampleFrom; s < p.sampleTo; s++) {
    let service: string | undefined;
    for (let k = t.sampleAttributes.data[s]!; k < t.sampleAttributes.data[s + 1]!; k++) {
      const own = texts.attribute(t.sampleAttribute.data[k]!).service;
      service ??= own;
    }
    service ??= "";
    let list = out.get(service);
    if (!list) out.set(service, (list = new U32Column(p.sampleTo - s)));
    list.push(s);
  }
  return new Map([...out].map(([service, list]) => [service, list.view()]));
}

interface Meaning {
  name: string;
  /** reason why the frame has no name */
  unnamed: string | undefined;
  sample: { type: string; unit: string };
  period: { type: string; unit: string } | undefined;
  scale: bigint;
}

/**
 * Name, types and units of a profile. A period of 0 names nothing, and counts of samples have no time then.
 * @throws `invalid`
 */
function meaning(p: OtlpProfile, t: OtlpTables): Meaning {
  const s = (i: number): string => stringOf(t, i);
  if (!p.sampleType) throw invalidError("a profile has no sample type", "malformed_profile");
  if (p.period < 0n) throw invalidError(`a profile's period is ${p.period}, below 0`, "malformed_profile");
  const sample = { type: s(p.sampleType.type), unit: s(p.sampleType.unit) };
  const period =
    p.periodType.type === 0 && p.periodType.unit === 0
      ? undefined
      : { type: s(p.periodType.type), unit: s(p.periodType.unit) };
  const own = p.period === 0n ? undefined : period,
    named = { unnamed: undefined, sample, period, scale: 1n };
  if (
    sample.type === "samples" &&
    sample.unit === "count" &&
    own?.type === "cpu" &&
    own.unit === "nanoseconds"
  )
    return { ...named, name: "process_cpu", sample: { type: "cpu", unit: "nanoseconds" }, scale: p.period };
  if (sample.type === "off_cpu" && sample.unit === "nanoseconds" && !own)
    return { ...named, name: "off_cpu" };
  const name = own?.type ?? "";
  return {
    ...named,
    name,
    unnamed:
      name === ""
        ? `a profile of ${sample.type}/${sample.unit} has the period ${p.period} of the type ${JSON.stringify(period?.type ?? "")}: expected both, because the period's type names the profile`
        : undefined,
  };
}

/** Numbers of a table's entries in a profile, in order of first use; 0 in `to` means no number yet. */
class Renumbered {
  private readonly to: Uint32Array;
  private readonly met: U32Column;
  private readonly size: number;
  private readonly what: string;
  constructor(size: number, what: string) {
    this.size = size;
    this.to = new Uint32Array(Math.max(1, size));
    this.met = new U32Column(Math.min(size, 256));
    this.what = what;
  }
  /** Number of entry `i`, or -1 if it has none yet. */
  get(i: number): number {
    return i < this.to.length ? this.to[i]! - 1 : check(i, this.size, this.what);
  }
  set(i: number, number: number): number {
    this.to[i] = number + 1;
    this.met.push(i);
    return number;
  }
  reset(): void {
    for (let k = 0; k < this.met.length; k++) this.to[this.met.data[k]!] = 0;
    this.met.length = 0;
  }
}

/**
 * Writes the profiles of one export: copies the dictionary entries that the samples use, without merging
 * equal entries.
 */
class PprofWriter {
  private readonly t: OtlpTables;
  private readonly texts: SampleTexts;
  private readonly strings: Renumbered;
  private readonly functions: Renumbered;
  private readonly mappings: Renumbered;
  private readonly locations: Renumbered;
  private readonly literals = new Map<string, number>();
  private readonly stringBytes = new ByteColumn(4096);
  private readonly stringOffset = new U32Column(256);
  private readonly functionWords = new U32Column(1024);
  private readonly mappingWords = new U32Column(16);
  private readonly locationWords = new U32Column(2048);
  private readonly locationOffset = new U32Column(256);
  /** mapping of the dictionary -> flags of its frames in the current stack */
  private readonly stackFlags: Uint8Array;

  constructor(t: OtlpTables, texts: SampleTexts) {
    this.t = t;
    this.texts = texts;
    this.strings = new Renumbered(t.strings, "string");
    this.functions = new Renumbered(t.functions, "function");
    this.stackFlags = new Uint8Array(Math.max(1, t.mappings));
    this.mappings = new Renumbered(this.stackFlags.length * FLAG_SETS, "mapping");
    this.locations = new Renumbered(t.locations, "location");
  }

  write(
    p: OtlpProfile,
    samples: Uint32Array,
    nowNanos: bigint,
  ): { name: string; unnamed: string | undefined; bytes: Uint8Array } {
    const { t } = this,
      { name, unnamed, sample, period, scale } = meaning(p, t);
    this.reset();
    const sampleOffset = new Uint32Array(samples.length + 1),
      sampleLocation = new U32Column(samples.length * 16),
      value = new BigInt64Array(samples.length);
    const labelOffset = new Uint32Array(samples.length + 1),
      labelKey = new U32Column(samples.length),
      labelValue = new U32Column(samples.length);
    const label = (key: number, text: string): void => {
      if (text !== "") {
        labelKey.push(key);
        labelValue.push(this.literal(text));
      }
    };
    for (let n = 0; n < samples.length; n++) {
      const s = samples[n]!,
        stack = check(t.sampleStack.data[s]!, t.stacks, "stack");
      this.putStack(stack, sampleLocation);
      sampleOffset[n + 1] = sampleLocation.length;
      value[n] = this.valueOf(s, scale);
      for (let k = t.sampleAttributes.data[s]!; k < t.sampleAttributes.data[s + 1]!; k++) {
        const a = this.texts.attribute(t.sampleAttribute.data[k]!);
        if (a.service === undefined) label(this.string(a.key), a.text);
      }
      const link = t.sampleLink.data[s]!;
      if (link > 0) {
        const { span, trace } = this.texts.link(link);
        label(this.literal("span_id"), span);
        label(this.literal("trace_id"), trace);
      }
      labelOffset[n + 1] = labelKey.length;
    }
    return {
      name,
      unnamed,
      bytes: encodePprof(
        {
          sampleTypes: [sample],
          ...(period ? { periodType: period } : {}),
          period: p.period,
          timeNanos: BigInt.asIntN(64, p.timeNanos) || nowNanos,
          durationNanos: BigInt.asIntN(64, p.durationNanos) || DEFAULT_DURATION_NANOS,
        },
        {
          strings: { bytes: this.stringBytes.view(), offset: this.stringOffset.view() },
          functionWords: this.functionWords.view(),
          mappingWords: this.mappingWords.view(),
          locationWords: this.locationWords.view(),
          locationOffset: this.locationOffset.view(),
          sampleOffset,
          sampleLocation: sampleLocation.view(),
          value,
          labels: { offset: labelOffset, key: labelKey.view(), value: labelValue.view() },
        },
      ),
    };
  }

  private reset(): void {
    for (const r of [this.strings, this.functions, this.mappings, this.locations]) r.reset();
    for (const c of [
      this.stringOffset,
      this.functionWords,
      this.mappingWords,
      this.locationWords,
      this.locationOffset,
    ])
      c.length = 0;
    this.stringBytes.length = 0;
    this.literals.clear();
    this.literals.set("", 0);
    this.stringOffset.push(0);
    this.stringOffset.push(0);
    this.locationOffset.push(0);
  }

  private putStack(stack: number, into: U32Column): void {
    const { t } = this,
      from = t.stackLocations.data[stack]!,
      end = t.stacks === 0 ? from : t.stackLocations.data[stack + 1]!;
    into.reserve(end - from);
    let known = true;
    for (let k = from; known && k < end; k++) known = this.locations.get(t.stackLocation.data[k]!) >= 0;
    if (!known) this.surveyStack(from, end);
    for (let k = from; k < end; k++) into.data[into.length++] = this.location(t.stackLocation.data[k]!);
  }

  /**
   * Computes the flags of each mapping from its frames in a stack: a flag is set when it holds for all of
   * them. As in v1, the first stack of a location decides the flags of its mapping.
   */
  private surveyStack(from: number, end: number): void {
    const { t, stackFlags } = this;
    const mappingOf = (k: number): number => {
      const location = check(t.stackLocation.data[k]!, t.locations, "location");
      return t.locations === 0 ? 0 : check(t.locMapping.data[location]!, t.mappings, "mapping");
    };
    for (let k = from; k < end; k++) stackFlags[mappingOf(k)] = ALL_FLAGS;
    for (let k = from; k < end; k++)
      stackFlags[mappingOf(k)]! &= this.locationFlags(t.stackLocation.data[k]!);
  }

  private locationFlags(location: number): number {
    const { t } = this;
    if (t.locations === 0) return 0;
    const from = t.locLines.data[location]!,
      end = t.locLines.data[location + 1]!;
    if (from === end) return 0;
    let flags = ALL_FLAGS;
    for (let k = from; k < end; k++) {
      const fn = check(t.lineFunction.data[k]!, t.functions, "function");
      if (fn === 0) flags &= ~HAS_FUNCTIONS;
      else if (t.funcFilename.data[fn] === 0) flags &= ~HAS_FILENAMES;
      if (t.lineNumber.data[k] === 0) flags &= ~HAS_LINE_NUMBERS;
    }
    return flags;
  }

  /**
   * Sum of a sample's values, one for each of its timestamps; the number of its timestamps without values.
   * @throws `invalid`
   */
  private valueOf(s: number, scale: bigint): bigint {
    const { sampleValues, value, sampleTimestamps } = this.t,
      from = sampleValues.data[s]!,
      end = sampleValues.data[s + 1]!;
    let own = from < end ? value.data[from]! : BigInt(sampleTimestamps.data[s]!);
    if (from === end && own === 0n)
      throw invalidError("a sample has neither values nor timestamps", "malformed_profile");
    for (let k = from + 1; k < end; k++) own += value.data[k]!;
    if (scale !== 1n) own *= scale;
    if (own > MAX_VALUE || own < -MAX_VALUE)
      throw invalidError(`a sample's value is ${own}; the limit is ${MAX_VALUE}`, "malformed_profile");
    return own;
  }

  private endString(): number {
    this.stringOffset.push(this.stringBytes.length);
    return this.stringOffset.length - 2;
  }

  private literal(text: string): number {
    let known = this.literals.get(text);
    if (known === undefined) {
      const b = encodeUtf8(text);
      this.stringBytes.append(b, 0, b.length);
      this.literals.set(text, (known = this.endString()));
    }
    return known;
  }

  private string(i: number): number {
    const known = this.strings.get(i);
    if (known >= 0) return known;
    const { t } = this,
      from = t.stringStart.data[i]!,
      end = t.stringEnd.data[i]!;
    if (t.strings === 0 || from === end) return this.strings.set(i, 0);
    this.stringBytes.append(t.bytes, from, end);
    return this.strings.set(i, this.endString());
  }

  /** Number of mapping `i` with the flags of the current stack. */
  private mapping(i: number): number {
    const { t, mappingWords } = this,
      flags = this.stackFlags[i]!,
      entry = i * FLAG_SETS + (flags >> 1),
      known = this.mappings.get(entry);
    if (known >= 0) return known;
    const number = this.mappings.set(entry, mappingWords.length / 9);
    if (t.mappings === 0) {
      for (let k = 0; k < 8; k++) mappingWords.push(0);
      mappingWords.push(flags);
      return number;
    }
    let build = "";
    for (let k = t.mappingAttributes.data[i]!; k < t.mappingAttributes.data[i + 1]! && build === ""; k++) {
      const a = attributeOf(t, t.mappingAttribute.data[k]!);
      if (stringOf(t, a.key) === BUILD_ID) build = textOf(a.value);
    }
    for (const column of [t.mappingStart, t.mappingLimit, t.mappingOffset]) {
      mappingWords.push(column.words[2 * i]!);
      mappingWords.push(column.words[2 * i + 1]!);
    }
    mappingWords.push(this.string(t.mappingFilename.data[i]!));
    mappingWords.push(this.literal(build));
    mappingWords.push(flags);
    return number;
  }

  private fn(i: number): number {
    const known = this.functions.get(i);
    if (known >= 0) return known;
    const { t, functionWords } = this,
      number = this.functions.set(i, functionWords.length / 4);
    if (t.functions === 0) {
      for (let k = 0; k < 4; k++) functionWords.push(0);
      return number;
    }
    functionWords.push(this.string(t.funcName.data[i]!));
    functionWords.push(this.string(t.funcSystemName.data[i]!));
    functionWords.push(this.string(t.funcFilename.data[i]!));
    functionWords.push(t.funcStartLine.data[i]!);
    return number;
  }

  private location(i: number): number {
    const known = this.locations.get(i);
    if (known >= 0) return known;
    if (this.t.locations === 0)
      throw invalidError(
        "location index 0 is out of range: the dictionary has 0 entries",
        "malformed_profile",
      );
    const { t, locationWords, locationOffset } = this,
      from = t.locLines.data[i]!,
      end = t.locLines.data[i + 1]!;
    const number = this.locations.set(i, locationOffset.length - 1),
      mapping = this.mapping(t.locMapping.data[i]!);
    locationWords.push(mapping);
    locationWords.push(t.locAddress.words[2 * i]!);
    locationWords.push(t.locAddress.words[2 * i + 1]!);
    locationWords.push(0);
    for (let k = from; k < end; k++) {
      locationWords.push(this.fn(t.lineFunction.data[k]!));
      locationWords.push(t.lineNumber.data[k]!);
    }
    locationOffset.push(locationWords.length);
    return number;
  }
}

/** bits of a mapping's flags, as in pprof's tables; no producer's inlined frames are known to be complete */
const HAS_FUNCTIONS = 8,
  HAS_FILENAMES = 4,
  HAS_LINE_NUMBERS = 2,
  ALL_FLAGS = HAS_FUNCTIONS | HAS_FILENAMES | HAS_LINE_NUMBERS,
  FLAG_SETS = 8;
