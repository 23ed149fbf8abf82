import { encodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { encodePprof, type PprofHeader } from "@cinderblock/pprof";
import { SymbolPartition } from "@cinderblock/symdb";
import type { Label } from "@cinderblock/model";

/** Limits of a built profile; 0: no limit. They are checked before memory is allocated. */
export interface StackBounds {
  maxSamples: number;
  maxBytes: number;
}

/** Minimum bytes of a function in a pprof, without its name. */
const FUNCTION_BYTES = 12;

/**
 * Collects stacks of function names with their values, for formats without symbol tables, and encodes one
 * pprof.
 */
export class StackBuilder {
  private readonly symbols = new SymbolPartition();
  private readonly locations = new Map<string, number>();
  /** label set -> node -> position of its first value */
  private readonly samples = new Map<string, { labels: readonly Label[]; nodes: Map<number, number> }>();
  private readonly values: bigint[] = [];
  private readonly word = new Uint32Array(6);
  private readonly types: number;
  private readonly bounds: StackBounds;
  /** minimum size of the pprof: names, functions, and one byte for each frame of a stack */
  private bytes = 0;

  /** @param types number of values per sample */
  constructor(types = 1, bounds: StackBounds = { maxSamples: 0, maxBytes: 0 }) {
    this.types = types;
    this.bounds = bounds;
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

  /** Location of a function, for `childAt`. */
  location(name: string): number {
    let location = this.locations.get(name);
    if (location === undefined) {
      const { word, symbols } = this;
      const at = this.string(name);
      this.grow(FUNCTION_BYTES);
      word[0] = at;
      word[1] = at;
      word[2] = 0;
      word[3] = 0;
      const fn = symbols.functions.intern(word, 4);
      word.fill(0, 0, 4);
      word[4] = fn;
      word[5] = 0;
      location = symbols.locations.intern(word, 6);
      this.locations.set(name, location);
    }
    return location;
  }

  /** Node of a location under `parent`; 0 is the root. */
  childAt(parent: number, location: number): number {
    const { stackParent } = this.symbols,
      before = stackParent.length,
      node = this.symbols.stackChild(parent, location);
    if (stackParent.length > before) this.grow(1);
    return node;
  }

  /** Adds values to a stack. `key` names the label set; `labels` is called for a new key. */
  add(node: number, values: readonly bigint[], key = "", labels: () => readonly Label[] = () => []): void {
    let set = this.samples.get(key);
    if (!set) this.samples.set(key, (set = { labels: labels(), nodes: new Map() }));
    let at = set.nodes.get(node);
    if (at === undefined) {
      at = this.values.length;
      const { maxSamples } = this.bounds;
      if (maxSamples > 0 && at >= maxSamples * this.types)
        throw new CinderblockError(
          "invalid",
          `the profile exceeds the samples count limit (max_profile_stacktrace_samples, actual: more than ${maxSamples}, limit: ${maxSamples})`,
          { reason: "samples_limit" },
        );
      set.nodes.set(node, at);
      for (let k = 0; k < this.types; k++) this.values.push(0n);
    }
    for (let k = 0; k < this.types; k++) this.values[at + k]! += values[k]!;
  }

  /**
   * Encodes the stacks as pprof; `scale` converts each value.
   * @throws `unknown` for a value that a pprof cannot hold
   */
  encode(header: PprofHeader, scale: (value: bigint) => bigint = (v) => v): Uint8Array {
    const sampleOffset = [0],
      sampleLocation: number[] = [],
      value: bigint[] = [],
      labelOffset = [0],
      labelKey: number[] = [],
      labelValue: number[] = [];
    for (const { labels, nodes } of this.samples.values()) {
      const ids = labels.map((l) => [this.string(l.name), this.string(l.value)] as const);
      for (const [node, first] of nodes) {
        for (let at = node; at > 0; at = this.symbols.stackParent.data[at]!)
          sampleLocation.push(this.symbols.stackLocation.data[at]!);
        sampleOffset.push(sampleLocation.length);
        for (let k = 0; k < this.types; k++) value.push(inRange(scale(this.values[first + k]!)));
        for (const [k, v] of ids) {
          labelKey.push(k);
          labelValue.push(v);
        }
        labelOffset.push(labelKey.length);
      }
    }
    const t = this.symbols.tables();
    return encodePprof(header, {
      strings: { bytes: t.stringBytes, offset: t.stringOffset },
      functionWords: t.functionWords,
      mappingWords: new Uint32Array(9),
      locationWords: t.locationWords,
      locationOffset: t.locationOffset,
      sampleOffset: Uint32Array.from(sampleOffset),
      sampleLocation: Uint32Array.from(sampleLocation),
      value: BigInt64Array.from(value),
      labels: {
        offset: Uint32Array.from(labelOffset),
        key: Uint32Array.from(labelKey),
        value: Uint32Array.from(labelValue),
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
