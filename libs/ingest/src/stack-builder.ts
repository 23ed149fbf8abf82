import { encodeUtf8 } from "@cinderblock/bytes";
import { PairTable, U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import { encodePprof, type PprofHeader } from "@cinderblock/pprof";
import { HAS_FUNCTIONS, MAPPING_WORDS, SymbolPartition } from "@cinderblock/symdb";
import type { Label } from "@cinderblock/model";

/** Limits of a built profile; 0: no limit. They are checked before memory is allocated. */
export interface StackBounds {
  maxSamples: number;
  maxBytes: number;
}

/** Details of functions and of their mapping in which v1's converters of formats differ. */
export interface SymbolStyle {
  /** whether functions have their name as system name, too */
  systemNames: boolean;
  /** flags of the profile's only mapping */
  mappingFlags: number;
}
export const TEXT_SYMBOLS: SymbolStyle = { systemNames: true, mappingFlags: 0 };
export const JFR_SYMBOLS: SymbolStyle = { systemNames: false, mappingFlags: HAS_FUNCTIONS };

/** Minimum bytes of a function in a pprof, without its name. */
const FUNCTION_BYTES = 12;

/**
 * Collects stacks of function names with their values, for formats without symbol tables, and encodes one
 * pprof.
 */
export class StackBuilder {
  private readonly symbols = new SymbolPartition();
  /** function name -> function; location of a function without a line */
  private readonly functions = new Map<string, number>();
  private readonly locations = new Map<string, number>();
  /** (label set, node) -> sample; each sample has one value per type in `values` */
  private readonly sampleOf = new PairTable(16);
  private readonly sampleSet = new U32Column(16);
  private readonly sampleNode = new U32Column(16);
  private readonly values: bigint[] = [];
  private readonly word = new Uint32Array(6);
  private readonly types: number;
  private readonly bounds: StackBounds;
  private readonly style: SymbolStyle;
  /** minimum size of the pprof: names, functions, and one byte for each frame of a stack */
  private bytes = 0;

  /** @param types number of values per sample */
  constructor(types = 1, bounds: StackBounds = { maxSamples: 0, maxBytes: 0 }, style = TEXT_SYMBOLS) {
    this.types = types;
    this.bounds = bounds;
    this.style = style;
  }

  private grow(bytes: number): void {
    const { maxBytes } = this.bounds;
    this.bytes += bytes;
    if (maxBytes > 0 && this.bytes > maxBytes)
      throw new CinderblockError(
        "invalid",
        `the profile exceeds the size limit (max_profile_size_byte, actual: more than ${maxBytes}, limit: ${maxBytes})`,
        { reason: "profile_size_limit" },
      );
  }

  /** Whether no value was added. */
  get isEmpty(): boolean {
    return this.values.length === 0;
  }

  private string(text: string): number {
    const bytes = encodeUtf8(text);
    this.grow(bytes.length);
    return this.symbols.strings.intern(bytes, 0, bytes.length);
  }

  /** Node of a function under `parent`; 0 is the root. */
  child(parent: number, name: string): number {
    return this.childAt(parent, this.location(name));
  }

  /** Location of a function without a line, for `childAt`. */
  location(name: string): number {
    let location = this.locations.get(name);
    if (location === undefined) this.locations.set(name, (location = this.locationAt(name, 0)));
    return location;
  }

  /** Location of a line of a function, for `childAt`; 0 is no line. */
  locationAt(name: string, line: number): number {
    const { word, symbols } = this;
    let fn = this.functions.get(name);
    if (fn === undefined) {
      const at = this.string(name);
      this.grow(FUNCTION_BYTES);
      word[0] = at;
      word[1] = this.style.systemNames ? at : 0;
      word[2] = 0;
      word[3] = 0;
      this.functions.set(name, (fn = symbols.functions.intern(word, 4)));
    }
    word.fill(0, 0, 4);
    word[4] = fn;
    word[5] = line;
    return symbols.locations.intern(word, 6);
  }

  /** Node of a location under `parent`; 0 is the root. */
  childAt(parent: number, location: number): number {
    const { stackParent } = this.symbols,
      before = stackParent.length,
      node = this.symbols.stackChild(parent, location);
    if (stackParent.length > before) this.grow(1);
    return node;
  }

  /** Adds values to a stack with the labels of a label set; set 0 has none. */
  add(node: number, values: readonly bigint[], labelSet = 0): void {
    const next = this.sampleNode.length;
    let sample = this.sampleOf.getOrSet(labelSet, node, next);
    if (sample < 0) {
      sample = next;
      const { maxSamples } = this.bounds;
      if (maxSamples > 0 && sample >= maxSamples)
        throw new CinderblockError(
          "invalid",
          `the profile exceeds the samples count limit (max_profile_stacktrace_samples, actual: more than ${maxSamples}, limit: ${maxSamples})`,
          { reason: "samples_limit" },
        );
      this.sampleSet.push(labelSet);
      this.sampleNode.push(node);
      for (let k = 0; k < this.types; k++) this.values.push(0n);
    }
    for (let k = 0, at = sample * this.types; k < this.types; k++) this.values[at + k]! += values[k]!;
  }

  /**
   * Encodes the stacks as pprof; `scale` converts each value, `labelsOf` gives the labels of a set.
   * @throws `unknown` for a value that a pprof cannot hold
   */
  encode(
    header: PprofHeader,
    scale: (value: bigint) => bigint = (v) => v,
    labelsOf: (labelSet: number) => readonly Label[] = () => [],
  ): Uint8Array {
    const samples = this.sampleNode.length,
      sampleOffset = new Uint32Array(samples + 1),
      sampleLocation = new U32Column(samples * 8),
      value = BigInt64Array.from(this.values, (v) => inRange(scale(v))),
      labelOffset = new Uint32Array(samples + 1),
      labelKey = new U32Column(16),
      labelValue = new U32Column(16),
      { stackParent, stackLocation } = this.symbols;
    /** label set -> strings of its names and values */
    const texts = new Map<number, readonly (readonly [number, number])[]>([[0, []]]);
    for (let i = 0; i < samples; i++) {
      for (let at = this.sampleNode.data[i]!; at > 0; at = stackParent.data[at]!)
        sampleLocation.push(stackLocation.data[at]!);
      sampleOffset[i + 1] = sampleLocation.length;
      const set = this.sampleSet.data[i]!;
      let labels = texts.get(set);
      if (!labels)
        texts.set(
          set,
          (labels = labelsOf(set).map((l) => [this.string(l.name), this.string(l.value)] as const)),
        );
      for (const [k, v] of labels) {
        labelKey.push(k);
        labelValue.push(v);
      }
      labelOffset[i + 1] = labelKey.length;
    }
    const t = this.symbols.tables(),
      mappingWords = new Uint32Array(MAPPING_WORDS);
    mappingWords[MAPPING_WORDS - 1] = this.style.mappingFlags;
    return encodePprof(header, {
      strings: { bytes: t.stringBytes, offset: t.stringOffset },
      functionWords: t.functionWords,
      mappingWords,
      locationWords: t.locationWords,
      locationOffset: t.locationOffset,
      sampleOffset,
      sampleLocation: sampleLocation.data.subarray(0, sampleLocation.length),
      value,
      labels: {
        offset: labelOffset,
        key: labelKey.data.subarray(0, labelKey.length),
        value: labelValue.data.subarray(0, labelValue.length),
      },
    });
  }
}

/** Largest value of a pprof's sample. */
export const MAX_VALUE = (1n << 63n) - 1n;

function inRange(value: bigint): bigint {
  if (value > MAX_VALUE || value < -MAX_VALUE)
    throw new CinderblockError("unknown", `a stack's value is ${value}; the limit is ${MAX_VALUE}`, {
      reason: "malformed_profile",
    });
  return value;
}
