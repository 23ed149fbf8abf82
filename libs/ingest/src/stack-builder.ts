import { encodeUtf8Into } from "@cinderblock/bytes";
import { ByteStrings, I64Column, PairTable, U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import type { Label } from "@cinderblock/model";
import { encodePprof, type PprofHeader, type PprofSource } from "@cinderblock/pprof";
import { HAS_FUNCTIONS, MAPPING_WORDS } from "@cinderblock/symdb";
import type { FrameBudget } from "./frame-budget.ts";
import { StackNodes } from "./stack-nodes.ts";
import { UNSCALED, WideSums } from "./wide-sums.ts";

/** Limits of a built profile; 0: no limit. They are checked before memory is allocated. */
export interface StackBounds {
  maxSamples: number;
  maxBytes: number;
  /** shared by all profiles of a body */
  frames?: FrameBudget;
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
const NO_BOUNDS: StackBounds = { maxSamples: 0, maxBytes: 0 };

/**
 * Collects stacks of function names with their values, for formats without symbol tables, as the columns of one
 * pprof. `reset` empties it and keeps its memory.
 *
 *   string -> functionOf -> function -> lineless -> location without a line
 *   (label set, node) -> sample -> one value per type
 */
export class StackBuilder {
  private readonly nodes = new StackNodes();
  private readonly strings = new ByteStrings();
  /** string -> function + 1, 0: none; functions are pairs of name and system name */
  private readonly functionOf = new U32Column(64);
  private readonly functionWords = new U32Column(256);
  /** function -> its location without a line + 1, 0: none */
  private readonly lineless = new U32Column(64);
  /** (function, line) -> location, for lines above 0 */
  private readonly lines = new PairTable(16);
  private readonly locationWords = new U32Column(256);
  /** node -> sample without labels + 1, 0: none */
  private readonly plainSample = new U32Column(64);
  /** (label set, node) -> sample */
  private readonly labeled = new PairTable(16);
  private readonly sampleSet = new U32Column(64);
  private readonly sampleNode = new U32Column(64);
  private readonly sums = new WideSums();
  private readonly sampleOffset = new U32Column(64);
  private readonly sampleLocation = new U32Column(256);
  private readonly value = new I64Column(64);
  private readonly labelOffset = new U32Column(64);
  private readonly labelKey = new U32Column(16);
  private readonly labelValue = new U32Column(16);
  private scratch = new Uint8Array(1024);
  private types = 1;
  private bounds = NO_BOUNDS;
  private style = TEXT_SYMBOLS;
  /** minimum size of the pprof: names, functions, and one byte for each frame of each sample's stack */
  private bytes = 0;

  /** @param types number of values per sample */
  constructor(types = 1, bounds = NO_BOUNDS, style = TEXT_SYMBOLS) {
    this.reset(types, bounds, style);
  }

  /** Begins another profile. */
  reset(types = 1, bounds = NO_BOUNDS, style = TEXT_SYMBOLS): void {
    this.types = types;
    this.bounds = bounds;
    this.style = style;
    this.bytes = 0;
    this.nodes.clear();
    this.strings.clear();
    this.strings.intern(this.scratch, 0, 0);
    this.lines.clear();
    this.labeled.clear();
    this.sums.clear();
    for (const column of [
      this.functionOf,
      this.functionWords,
      this.lineless,
      this.locationWords,
      this.plainSample,
      this.sampleSet,
      this.sampleNode,
    ])
      column.length = 0;
  }

  /** Allocated memory in bytes, nearly. */
  get byteLength(): number {
    return (
      this.nodes.byteLength +
      this.strings.byteLength +
      this.lines.byteLength +
      this.labeled.byteLength +
      this.locationWords.byteLength +
      this.sampleLocation.byteLength
    );
  }

  private grow(bytes: number): void {
    const { maxBytes } = this.bounds;
    this.bytes += bytes;
    if (maxBytes > 0 && (this.bytes > maxBytes || this.nodes.length > maxBytes))
      throw new CinderblockError(
        "invalid",
        `the profile exceeds the size limit (max_profile_size_byte, actual: more than ${maxBytes}, limit: ${maxBytes})`,
        { reason: "profile_size_limit" },
      );
  }

  /** Whether no value was added. */
  get isEmpty(): boolean {
    return this.sampleNode.length === 0;
  }

  /** Location of a function without a line, for `child`. */
  location(name: string): number {
    return this.locationAt(name, 0);
  }

  /** Location of a line of a function, for `child`; 0 is no line. */
  locationAt(name: string, line: number): number {
    const length = this.encoded(name),
      fn = this.function(this.scratch, 0, length);
    if (line === 0) return this.linelessOf(fn);
    const next = this.locationWords.length / 6,
      known = this.lines.getOrSet(fn, line, next);
    return known >= 0 ? known : this.addLocation(fn, line);
  }

  /** Location without a line of the function whose name is `bytes[from, end)`, which is UTF-8. */
  locationOf(bytes: Uint8Array, from: number, end: number): number {
    return this.linelessOf(this.function(bytes, from, end));
  }

  /** Encodes a text into `scratch`; returns its size in bytes. */
  private encoded(text: string): number {
    const { length } = text;
    if (this.scratch.length < 3 * length) this.scratch = new Uint8Array(6 * length);
    const { scratch } = this;
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i);
      if (c > 127) return encodeUtf8Into(text, scratch, 0);
      scratch[i] = c;
    }
    return length;
  }

  private function(bytes: Uint8Array, from: number, end: number): number {
    const { functionOf } = this,
      name = this.strings.intern(bytes, from, end);
    if (functionOf.length <= name) zeroTo(functionOf, name + 1);
    const known = functionOf.data[name]!;
    if (known > 0) return known - 1;
    this.grow(FUNCTION_BYTES + end - from);
    const fn = this.lineless.push(0);
    functionOf.data[name] = fn + 1;
    this.functionWords.push(name);
    this.functionWords.push(this.style.systemNames ? name : 0);
    this.functionWords.push(0);
    this.functionWords.push(0);
    return fn;
  }

  private linelessOf(fn: number): number {
    const known = this.lineless.data[fn]!;
    if (known > 0) return known - 1;
    const location = this.addLocation(fn, 0);
    this.lineless.data[fn] = location + 1;
    return location;
  }

  private addLocation(fn: number, line: number): number {
    const { locationWords } = this,
      location = locationWords.length / 6;
    locationWords.reserve(6);
    const { data } = locationWords,
      at = locationWords.length;
    data.fill(0, at, at + 4);
    data[at + 4] = fn;
    data[at + 5] = line;
    locationWords.length += 6;
    return location;
  }

  /** Node of a location under `parent`; 0 is the root. */
  child(parent: number, location: number): number {
    const { nodes } = this,
      before = nodes.length,
      node = nodes.child(parent, location);
    if (nodes.length > before) this.grow(0);
    return node;
  }

  /** Node of a whole stack of frames, leaf first; `locations` has the location of each frame. */
  stack(frames: Uint32Array, locations: Int32Array): number {
    const { nodes } = this,
      before = nodes.length,
      node = nodes.stack(frames, locations);
    if (nodes.length > before) this.grow(0);
    return node;
  }

  /** Adds a value to a stack, for profiles with one value per sample. */
  add(node: number, value: number | bigint): void {
    this.sums.add(this.sample(node, 0), value);
  }

  /** Adds values to a stack with the labels of a label set; set 0 has none. */
  addAll(node: number, values: readonly (number | bigint)[], labelSet: number): void {
    const sample = this.sample(node, labelSet);
    for (let k = 0, at = sample * this.types; k < this.types; k++) this.sums.add(at + k, values[k]!);
  }

  private sample(node: number, labelSet: number): number {
    const next = this.sampleNode.length;
    if (labelSet === 0) {
      const { plainSample } = this;
      if (plainSample.length <= node) zeroTo(plainSample, node + 1);
      const known = plainSample.data[node]!;
      if (known > 0) return known - 1;
      plainSample.data[node] = next + 1;
    } else {
      const known = this.labeled.getOrSet(labelSet, node, next);
      if (known >= 0) return known;
    }
    const { maxSamples } = this.bounds;
    if (maxSamples > 0 && next >= maxSamples)
      throw new CinderblockError(
        "invalid",
        `the profile exceeds the samples count limit (max_profile_stacktrace_samples, actual: more than ${maxSamples}, limit: ${maxSamples})`,
        { reason: "samples_limit" },
      );
    const frames = this.nodes.depthOf(node);
    this.grow(frames);
    this.bounds.frames?.take(frames);
    this.sampleSet.push(labelSet);
    this.sampleNode.push(node);
    this.sums.grow(this.types);
    return next;
  }

  /**
   * The stacks in the layout of a pprof, whose values are multiplied by `scale`; `labelsOf` gives the labels of a
   * set. Valid until the next call or `reset`.
   * @throws `unknown` for a value that a pprof cannot hold
   */
  source(scale = UNSCALED, labelsOf: (labelSet: number) => readonly Label[] = () => []): PprofSource {
    const { value, sampleOffset, strings } = this;
    this.sums.scaled(scale, value);
    this.putStacks();
    this.putLabels(labelsOf);
    const mappingWords = new Uint32Array(MAPPING_WORDS);
    mappingWords[MAPPING_WORDS - 1] = this.style.mappingFlags;
    return {
      strings: { bytes: strings.bytes.view(), offset: strings.offset.view() },
      functionWords: this.functionWords.view(),
      mappingWords,
      locationWords: this.locationWords.view(),
      locationOffset: multiples(this.locationWords.length / 6 + 1, 6),
      sampleOffset: sampleOffset.view(),
      sampleLocation: this.sampleLocation.view(),
      value: value.view(),
      labels: {
        offset: this.labelOffset.view(),
        key: this.labelKey.view(),
        value: this.labelValue.view(),
      },
    };
  }

  private putStacks(): void {
    const { nodes, sampleNode, sampleOffset, sampleLocation } = this;
    sampleOffset.length = sampleLocation.length = 0;
    sampleOffset.push(0);
    for (let i = 0; i < sampleNode.length; i++) {
      nodes.putStack(sampleNode.data[i]!, sampleLocation);
      sampleOffset.push(sampleLocation.length);
    }
  }

  private putLabels(labelsOf: (labelSet: number) => readonly Label[]): void {
    const { sampleSet, labelOffset, labelKey, labelValue } = this,
      /** label set -> strings of its names and values */
      texts = new Map<number, readonly (readonly [number, number])[]>();
    labelOffset.length = labelKey.length = labelValue.length = 0;
    labelOffset.push(0);
    for (let i = 0; i < sampleSet.length; i++) {
      const set = sampleSet.data[i]!;
      if (set > 0) {
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
      }
      labelOffset.push(labelKey.length);
    }
  }

  private string(text: string): number {
    const length = this.encoded(text);
    this.grow(length);
    return this.strings.intern(this.scratch, 0, length);
  }

  /**
   * Encodes the stacks as pprof.
   * @throws `unknown` for a value that a pprof cannot hold
   */
  encode(header: PprofHeader): Uint8Array {
    return encodePprof(header, this.source());
  }
}

/** Lengthens a column with zeros. */
function zeroTo(column: U32Column, length: number): void {
  const from = column.length;
  column.reserve(length - from);
  column.data.fill(0, from, length);
  column.length = length;
}

function multiples(n: number, of: number): Uint32Array {
  const out = new Uint32Array(n);
  for (let i = 0; i < n; i++) out[i] = i * of;
  return out;
}

/** Memory of a builder above which it is not kept for another push. */
const KEPT_BYTES = 4 << 20;

/** Builders whose memory is used again. One per thread. */
export class StackBuilders {
  private readonly all: StackBuilder[] = [];
  private taken = 0;

  /** Takes back all builders: the push that took them is processed. */
  release(): void {
    this.taken = 0;
    if (this.all.some((b) => b.byteLength > KEPT_BYTES)) this.all.length = 0;
  }

  /** An empty builder, until `release`. */
  take(types: number, bounds?: StackBounds, style?: SymbolStyle): StackBuilder {
    if (this.taken === this.all.length) this.all.push(new StackBuilder());
    const builder = this.all[this.taken++]!;
    builder.reset(types, bounds, style);
    return builder;
  }
}
