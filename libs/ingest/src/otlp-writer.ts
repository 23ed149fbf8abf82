import { encodeUtf8 } from "@cinderblock/bytes";
import { ByteColumn, I64Column, U32Column } from "@cinderblock/columnar";
import { invalidError } from "@cinderblock/errors";
import { type OtlpProfile, OtlpTables } from "@cinderblock/otlp";
import type { PprofHeader, PprofSource } from "@cinderblock/pprof";
import { FrameBudget } from "./frame-budget.ts";
import { attributeOf, check, SampleTexts, stringOf, textOf } from "./otlp-texts.ts";
import { MAX_VALUE } from "./wide-sums.ts";

const BUILD_ID = "process.executable.build_id.gnu";
const DEFAULT_DURATION_NANOS = 10_000_000_000n;

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

/** Numbers of a table's entries in a profile, in order of first use. */
class Renumbered {
  /** entry -> number + 1; 0: the entry has no number yet */
  to = new Uint32Array(64);
  private readonly met = new U32Column(256);
  /** entries of the table; ``to` has more, because entry 0 of an empty table means "none" */
  private size = 0;
  private readonly what: string;
  constructor(what: string) {
    this.what = what;
  }
  /** Begins a table of `size` entries without numbers. */
  begin(size: number): void {
    this.reset();
    this.size = size;
    if (this.to.length <= size) this.to = new Uint32Array(2 * size);
  }
  /** Number of entry `i`, or -1 if it has none yet. */
  get(i: number): number {
    return i < this.size ? this.to[i]! - 1 : this.to[check(i, this.size, this.what)]! - 1;
  }
  set(i: number, number: number): number {
    this.to[i] = number + 1;
    this.met.push(i);
    return number;
  }
  reset(): void {
    const { to, met } = this;
    for (let k = 0; k < met.length; k++) to[met.data[k]!] = 0;
    met.length = 0;
  }
}

/**
 * Writes the profiles of one export: copies the dictionary entries that the samples use, without merging
 * equal entries.
 */
export class OtlpWriter {
  private t = new OtlpTables();
  private texts = new SampleTexts(this.t);
  private frames = new FrameBudget(0);
  private readonly strings = new Renumbered("string");
  private readonly functions = new Renumbered("function");
  private readonly mappings = new Renumbered("mapping");
  private readonly locations = new Renumbered("location");
  /** attribute -> pair of `pairKey` and `pairValue`; link -> first of two pairs, for span and trace */
  private readonly attributes = new Renumbered("attribute");
  private readonly links = new Renumbered("link");
  private readonly pairKey = new U32Column(64);
  /** string; 0: there is no label */
  private readonly pairValue = new U32Column(64);
  private readonly literals = new Map<string, number>();
  private readonly stringBytes = new ByteColumn(4096);
  private readonly stringOffset = new U32Column(256);
  private readonly functionWords = new U32Column(1024);
  private readonly mappingWords = new U32Column(16);
  private readonly locationWords = new U32Column(2048);
  private readonly locationOffset = new U32Column(256);
  private readonly sampleOffset = new U32Column(256);
  private readonly sampleLocation = new U32Column(4096);
  private readonly value = new I64Column(256);
  private readonly labelOffset = new U32Column(256);
  private readonly labelKey = new U32Column(256);
  private readonly labelValue = new U32Column(256);
  /** mapping of the dictionary -> flags of its frames in the current stack */
  private stackFlags = new Uint8Array(1);
  /** frame of the current stack -> mapping of the dictionary */
  private frameMapping = new Uint32Array(256);
  /** location of the profile -> flags of its lines */
  private readonly ownFlags = new U32Column(256);

  /** Begins an export. */
  begin(t: OtlpTables, texts: SampleTexts, frames: FrameBudget): void {
    this.t = t;
    this.frames = frames;
    this.texts = texts;
    if (this.stackFlags.length < t.mappings) this.stackFlags = new Uint8Array(t.mappings);
    this.strings.begin(t.strings);
    this.functions.begin(t.functions);
    this.mappings.begin(Math.max(1, t.mappings) * FLAG_SETS);
    this.locations.begin(t.locations);
    this.attributes.begin(t.attributes.length);
    this.links.begin(t.links);
  }

  /** Writes a profile of these samples. The source is valid until the next profile. */
  write(
    p: OtlpProfile,
    samples: Uint32Array,
    nowNanos: bigint,
  ): { name: string; unnamed: string | undefined; header: PprofHeader; source: PprofSource } {
    const { t } = this,
      { name, unnamed, sample, period, scale } = meaning(p, t);
    this.reset();
    for (let n = 0; n < samples.length; n++) {
      const s = samples[n]!;
      this.putStack(check(t.sampleStack.data[s]!, t.stacks, "stack"));
      this.sampleOffset.push(this.sampleLocation.length);
      this.putValue(s, scale);
      this.putLabels(s);
      this.labelOffset.push(this.labelKey.length);
    }
    return {
      name,
      unnamed,
      header: {
        sampleTypes: [sample],
        ...(period ? { periodType: period } : {}),
        period: p.period,
        timeNanos: BigInt.asIntN(64, p.timeNanos) || nowNanos,
        durationNanos: BigInt.asIntN(64, p.durationNanos) || DEFAULT_DURATION_NANOS,
      },
      source: {
        strings: { bytes: this.stringBytes.view(), offset: this.stringOffset.view() },
        functionWords: this.functionWords.view(),
        mappingWords: this.mappingWords.view(),
        locationWords: this.locationWords.view(),
        locationOffset: this.locationOffset.view(),
        sampleOffset: this.sampleOffset.view(),
        sampleLocation: this.sampleLocation.view(),
        value: this.value.view(),
        labels: {
          offset: this.labelOffset.view(),
          key: this.labelKey.view(),
          value: this.labelValue.view(),
        },
      },
    };
  }

  private reset(): void {
    for (const r of [
      this.strings,
      this.functions,
      this.mappings,
      this.locations,
      this.attributes,
      this.links,
    ])
      r.reset();
    for (const c of [
      this.pairKey,
      this.pairValue,
      this.ownFlags,
      this.stringOffset,
      this.functionWords,
      this.mappingWords,
      this.locationWords,
      this.locationOffset,
      this.sampleOffset,
      this.sampleLocation,
      this.value,
      this.labelOffset,
      this.labelKey,
      this.labelValue,
    ])
      c.length = 0;
    this.stringBytes.length = 0;
    this.literals.clear();
    this.literals.set("", 0);
    this.stringOffset.push(0);
    this.stringOffset.push(0);
    for (const c of [this.locationOffset, this.sampleOffset, this.labelOffset]) c.push(0);
  }

  private putStack(stack: number): void {
    const { t, sampleLocation: into } = this,
      from = t.stackLocations.data[stack]!,
      end = t.stacks === 0 ? from : t.stackLocations.data[stack + 1]!;
    this.frames.take(end - from);
    into.reserve(end - from);
    if (!this.putKnown(from, end)) {
      this.surveyStack(from, end);
      const { data } = into;
      for (let k = from, at = into.length; k < end; k++) data[at++] = this.location(t.stackLocation.data[k]!);
    }
    into.length += end - from;
  }

  /** Writes the numbers of a stack's locations behind `sampleLocation`; false if one of them has none yet. */
  private putKnown(from: number, end: number): boolean {
    const { to } = this.locations,
      stack = this.t.stackLocation.data,
      { data } = this.sampleLocation;
    for (let k = from, at = this.sampleLocation.length; k < end; k++) {
      const number = to[stack[k]!];
      // Neither has an index beyond the table.
      if (number === undefined || number === 0) return false;
      data[at++] = number - 1;
    }
    return true;
  }

  private putLabels(s: number): void {
    const { sampleAttributes, sampleAttribute, sampleLink } = this.t;
    for (let k = sampleAttributes.data[s]!; k < sampleAttributes.data[s + 1]!; k++) {
      const i = sampleAttribute.data[k]!,
        known = this.attributes.get(i);
      this.putPair(known >= 0 ? known : this.attribute(i));
    }
    const link = sampleLink.data[s]!;
    if (link === 0) return;
    const known = this.links.get(link),
      pair = known >= 0 ? known : this.link(link);
    this.putPair(pair);
    this.putPair(pair + 1);
  }

  private putPair(pair: number): void {
    const value = this.pairValue.data[pair]!;
    if (value === 0) return;
    this.labelKey.push(this.pairKey.data[pair]!);
    this.labelValue.push(value);
  }

  private attribute(i: number): number {
    const { key, service, text } = this.texts.attribute(i),
      pair = this.attributes.set(i, this.pairKey.length);
    this.pairKey.push(service === undefined ? this.string(key) : 0);
    this.pairValue.push(service === undefined ? this.literal(text) : 0);
    return pair;
  }

  private link(i: number): number {
    const { span, trace } = this.texts.link(i),
      pair = this.links.set(i, this.pairKey.length);
    this.pairKey.push(this.literal("span_id"));
    this.pairValue.push(this.literal(span));
    this.pairKey.push(this.literal("trace_id"));
    this.pairValue.push(this.literal(trace));
    return pair;
  }

  /**
   * Computes the flags of each mapping from its frames in a stack: a flag is set when it holds for all of
   * them. As in v1, the first stack of a location decides the flags of its mapping.
   */
  private surveyStack(from: number, end: number): void {
    const { t, stackFlags } = this;
    if (this.frameMapping.length < end - from) this.frameMapping = new Uint32Array(2 * (end - from));
    const { frameMapping } = this;
    for (let k = from; k < end; k++) {
      const location = check(t.stackLocation.data[k]!, t.locations, "location"),
        mapping = t.locations === 0 ? 0 : check(t.locMapping.data[location]!, t.mappings, "mapping");
      frameMapping[k - from] = mapping;
      stackFlags[mapping] = ALL_FLAGS;
    }
    for (let k = from; k < end; k++) {
      const known = this.locations.get(t.stackLocation.data[k]!);
      stackFlags[frameMapping[k - from]!]! &=
        known >= 0 ? this.ownFlags.data[known]! : this.locationFlags(t.stackLocation.data[k]!);
    }
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
   * Appends the sum of a sample's values, one for each of its timestamps; the number of its timestamps without
   * values.
   * @throws `invalid`
   */
  private putValue(s: number, scale: bigint): void {
    const { sampleValues, value } = this.t,
      from = sampleValues.data[s]!,
      { value: into } = this;
    if (sampleValues.data[s + 1] === from + 1 && value.words[2 * from + 1] === 0) {
      // The usual value is one below 2^32.
      const own = (value.words[2 * from]! >>> 0) * Number(scale);
      if (own <= Number.MAX_SAFE_INTEGER) {
        into.reserve(1);
        into.words[2 * into.length] = own;
        into.words[2 * into.length++ + 1] = own / 0x100000000;
        return;
      }
    }
    into.push(this.valueOf(s, scale));
  }

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
    this.ownFlags.push(this.locationFlags(i));
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
