import { addInt64, I64Column, wordsOf } from "@cinderblock/columnar";
import type { ProfileSource } from "@cinderblock/block";
import { encodePprof, type PprofHeader } from "@cinderblock/pprof";
import {
  FUNCTION_WORDS,
  HAS_FUNCTIONS,
  LOCATION_HEAD,
  MAPPING_WORDS,
  SymbolPartition,
  SymbolRewriter,
  type SymbolTables,
} from "@cinderblock/symdb";
import { selectPartitionStacks } from "./select-stacks.ts";
import type { Segment } from "./segments.ts";
import type { SampleFilter } from "./select.ts";
import { sumByStack } from "./tree.ts";
import { callSiteFilter, stackPredicate } from "./stack-filter.ts";

/**
 * Stacks with complete symbols and their values, sent between components for a pprof answer. `value[node]` is
 * the node's self value.
 */
export interface PartialProfile extends SymbolTables {
  value: BigInt64Array;
}

/** Selection and transformation of stacks for a pprof (types.v1.StackTraceSelector). */
export interface StackSelector {
  callSite: string[];
  goPgo?: { keepLocations: number; aggregateCallees: boolean };
}

interface Stacks {
  tables: SymbolTables;
  byStack: BigInt64Array;
  keep: ((node: number) => boolean) | undefined;
}

/** Sums stacks of several symbol partitions. */
export class ProfileMerger {
  readonly symbols = new SymbolPartition();
  readonly value = new I64Column(256);
  /**
   * stacks of the first partition, until those of another are added: with a single one there is nothing to
   * merge
   */
  private alone: Stacks | undefined;
  private any = false;

  private addTo(node: number, v: bigint): void {
    while (this.value.length <= node) this.value.push(0n);
    this.value.data[node]! += v;
  }

  add(p: PartialProfile): void {
    this.settle();
    const rewriter = new SymbolRewriter(p, this.symbols);
    for (let i = 1; i < p.value.length; i++)
      if (p.value[i] !== 0n) this.addTo(rewriter.targetStack(i), p.value[i]!);
  }

  addStacks(
    tables: SymbolTables,
    byStack: BigInt64Array,
    keep: ((node: number) => boolean) | undefined,
  ): void {
    const stacks = { tables, byStack, keep };
    if (!this.any) {
      this.any = true;
      this.alone = stacks;
      return;
    }
    this.settle();
    this.merge(stacks);
  }

  private settle(): void {
    this.any = true;
    const { alone } = this;
    this.alone = undefined;
    if (alone) this.merge(alone);
  }

  private merge({ tables, byStack, keep }: Stacks): void {
    const rewriter = new SymbolRewriter(tables, this.symbols);
    const words = new Int32Array(byStack.buffer, byStack.byteOffset, byStack.length * 2);
    for (let s = 1; s < byStack.length; s++) {
      if ((words[2 * s]! | words[2 * s + 1]!) === 0 || (keep && !keep(s))) continue;
      this.addTo(rewriter.targetStack(s), byStack[s]!);
    }
  }

  finish(): PartialProfile {
    const picked =
      this.alone && selectPartitionStacks(this.alone.tables, this.alone.byStack, this.alone.keep);
    if (picked) return picked;
    this.settle();
    const t = this.symbols.tables();
    const value = new BigInt64Array(t.stackParent.length);
    value.set(this.value.view());
    return {
      stringBytes: t.stringBytes.slice(),
      stringOffset: t.stringOffset.slice(),
      functionWords: t.functionWords.slice(),
      mappingWords: t.mappingWords.slice(),
      locationWords: t.locationWords.slice(),
      locationOffset: t.locationOffset.slice(),
      stackParent: t.stackParent.slice(),
      stackLocation: t.stackLocation.slice(),
      value,
    };
  }
}

/** Builds the partial profile of the segments' rows. */
export async function buildProfile(
  source: ProfileSource,
  segments: readonly Segment[],
  filter: SampleFilter | undefined,
  stacks: StackSelector | undefined,
  into: ProfileMerger,
): Promise<void> {
  const { totals, symbols } = await sumByStack(source, segments, filter);
  for (const [p, byStack] of totals) {
    const s = symbols.get(p)!;
    const keep =
      stacks && stacks.callSite.length > 0
        ? await stackPredicate(s.tables, s.flame, callSiteFilter(stacks.callSite))
        : undefined;
    into.addStacks(s.tables, byStack, keep);
  }
}

/**
 * Encodes a merged profile as pprof. Mappings with functions lose their addresses; with `maxNodes`, small
 * stack ends become `other`.
 */
export function renderPprof(
  p: PartialProfile,
  header: PprofHeader,
  maxNodes: number,
  goPgo: StackSelector["goPgo"],
): Uint8Array {
  const clean = sanitise(p);
  const shaped = goPgo ? pgo(clean, goPgo) : maxNodes > 0 ? truncate(clean, maxNodes) : clean;
  const { value, stackParent, stackLocation } = shaped;
  // Parents precede their children, so one pass computes the depth of each node.
  const depth = new Uint32Array(value.length),
    words = wordsOf(value);
  let samples = 0,
    length = 0;
  for (let i = 1; i < value.length; i++) {
    depth[i] = depth[stackParent[i]!]! + 1;
    if ((words[2 * i]! | words[2 * i + 1]!) !== 0) {
      samples++;
      length += depth[i]!;
    }
  }
  const sampleOffset = new Uint32Array(samples + 1),
    locations = new Uint32Array(length),
    values = new BigInt64Array(samples),
    to = wordsOf(values);
  for (let i = 1, n = 0; i < value.length; i++) {
    if ((words[2 * i]! | words[2 * i + 1]!) === 0) continue;
    addInt64(to, n, words, i);
    sampleOffset[n + 1] = putStack(locations, sampleOffset[n++]!, stackParent, stackLocation, i);
  }
  return encodePprof(header, {
    strings: { bytes: shaped.stringBytes, offset: shaped.stringOffset },
    functionWords: shaped.functionWords,
    mappingWords: shaped.mappingWords,
    locationWords: shaped.locationWords,
    locationOffset: shaped.locationOffset,
    sampleOffset,
    sampleLocation: locations,
    value: values,
  });
}

/** Writes the locations of a stack at `at`, leaf first. @returns the end position */
function putStack(
  locations: Uint32Array,
  at: number,
  parent: Int32Array,
  location: Uint32Array,
  leaf: number,
): number {
  let o = at;
  for (let node = leaf; node > 0; node = parent[node]!) locations[o++] = location[node]!;
  return o;
}

/**
 * Clears the addresses of mappings whose functions are known, and merges equal mappings and then equal
 * locations. Mappings are equal if size, offset and build ID (without one: the file) are: the largest one
 * stands for all, with the flags of all. Mappings without locations are dropped.
 */
function sanitise(p: PartialProfile): PartialProfile {
  const words = p.mappingWords.slice(),
    count = words.length / MAPPING_WORDS,
    locationWords = p.locationWords.slice(),
    locations = p.locationOffset.length - 1;
  const used = new Uint8Array(count);
  let rebuild = false;
  for (let i = 0; i < locations; i++) {
    const at = p.locationOffset[i]!,
      m = locationWords[at]!;
    if (m >= count) {
      rebuild = true;
      continue;
    }
    used[m] = 1;
    if ((words[m * MAPPING_WORDS + 8]! & HAS_FUNCTIONS) === 0) continue;
    if ((locationWords[at + 1]! | locationWords[at + 2]!) !== 0) rebuild = true;
    locationWords[at + 1] = locationWords[at + 2] = 0;
  }
  const groups = new Map<string, number>(),
    groupOf = new Uint32Array(count),
    mappingWords = new Uint32Array(words.length);
  for (let m = 0; m < count; m++) {
    if (used[m] === 0) continue;
    const at = m * MAPPING_WORDS;
    if ((words[at + 8]! & HAS_FUNCTIONS) !== 0) words.fill(0, at, at + 6);
    const key = mappingKey(words, at),
      known = groups.get(key),
      to = (known ?? groups.size) * MAPPING_WORDS,
      flags = mappingWords[to + 8]! | words[at + 8]!;
    if (known !== undefined) rebuild = true;
    if (known === undefined || isLarger(words, at, mappingWords, to))
      mappingWords.set(words.subarray(at, at + MAPPING_WORDS), to);
    mappingWords[to + 8] = flags;
    groups.set(key, (groupOf[m] = known ?? groups.size));
  }
  for (let i = 0; i < locations; i++) {
    const at = p.locationOffset[i]!,
      m = locationWords[at]!;
    if (m < count) locationWords[at] = groupOf[m]!;
  }
  const clean = {
    ...p,
    mappingWords: mappingWords.slice(0, groups.size * MAPPING_WORDS),
    locationWords,
  };
  if (!rebuild) return clean;
  const merged = new ProfileMerger();
  merged.add(clean);
  return merged.finish();
}

const PAGE = 4096n;

const long = (words: Uint32Array, at: number): bigint => (BigInt(words[at + 1]!) << 32n) | BigInt(words[at]!);
const mappingSize = (words: Uint32Array, at: number): bigint =>
  BigInt.asUintN(64, long(words, at + 2) - long(words, at));

/** Key that is equal for mappings that count as one; their sizes are rounded up to pages, modulo 2^64. */
function mappingKey(words: Uint32Array, at: number): string {
  const pages = BigInt.asUintN(64, mappingSize(words, at) + PAGE - 1n) / PAGE;
  return `${pages} ${long(words, at + 4)} ${words[at + 7]! || words[at + 6]!}`;
}

/** Whether mapping `a` is larger than `b`, or as large and before it. */
function isLarger(words: Uint32Array, a: number, others: Uint32Array, b: number): boolean {
  const difference = mappingSize(words, a) - mappingSize(others, b);
  return difference > 0n || (difference === 0n && long(words, a) < long(others, b));
}

/**
 * Merges stack nodes with a total below the `maxNodes`-th largest into a location `other` under their parent.
 */
function truncate(p: PartialProfile, maxNodes: number): PartialProfile {
  const n = p.stackParent.length;
  if (n - 1 <= maxNodes) return p;
  const total = p.value.slice();
  for (let i = n - 1; i > 0; i--) if (p.stackParent[i]! >= 0) total[p.stackParent[i]!]! += total[i]!;
  const sorted = total.slice(1).sort();
  const minimum = sorted[Math.max(0, sorted.length - maxNodes)]!;
  const out = new ProfileMerger();
  const rewriter = new SymbolRewriter(p, out.symbols);
  const text = Buffer.from("other");
  const name = out.symbols.strings.intern(text, 0, text.length);
  const fn = out.symbols.functions.intern(Uint32Array.of(name, name, 0, 0), FUNCTION_WORDS);
  for (let i = 1; i < n; i++) {
    if (p.value[i] === 0n) continue;
    let at = i;
    while (at > 0 && total[at]! < minimum) at = p.stackParent[at]!;
    let node = rewriter.targetStack(at);
    if (at !== i) {
      const mapping =
        at > 0
          ? out.symbols.locations.words.data[
              out.symbols.locations.offset.data[out.symbols.stackLocation.data[node]!]!
            ]!
          : rewriter.targetMapping(0);
      const location = out.symbols.locations.intern(
        Uint32Array.of(mapping, 0, 0, 0, fn, 0),
        LOCATION_HEAD + 2,
      );
      node = out.symbols.stackChild(node, location);
    }
    addValue(out, node, p.value[i]!);
  }
  return out.finish();
}

function addValue(m: ProfileMerger, node: number, v: bigint): void {
  while (m.value.length <= node) m.value.push(0n);
  m.value.data[node]! += v;
}

/**
 * Profile for Go's compiler (PGO): keeps the `keepLocations` frames nearest the leaf, or all frames if that is
 * 0. With `aggregateCallees`, locations that end a stack lose their line, also within other stacks.
 */
function pgo(p: PartialProfile, options: NonNullable<StackSelector["goPgo"]>): PartialProfile {
  const out = new ProfileMerger();
  const { keepLocations, aggregateCallees } = options,
    keep = keepLocations > 0 ? keepLocations : Number.POSITIVE_INFINITY;
  const locationWords = aggregateCallees ? withoutLeafLines(p) : p.locationWords,
    rewriter = new SymbolRewriter({ ...p, locationWords }, out.symbols);
  const stack: number[] = [];
  for (let i = 1; i < p.value.length; i++) {
    if (p.value[i] === 0n) continue;
    stack.length = 0;
    for (let at = i; at > 0 && stack.length < keep; at = p.stackParent[at]!) stack.push(p.stackLocation[at]!);
    let node = 0;
    for (let k = stack.length - 1; k >= 0; k--)
      node = out.symbols.stackChild(node, rewriter.targetLocation(stack[k]!));
    addValue(out, node, p.value[i]!);
  }
  return out.finish();
}

/** The locations without the line of the innermost function where they end a stack with a value. */
function withoutLeafLines(p: PartialProfile): Uint32Array {
  const words = p.locationWords.slice();
  for (let i = 1; i < p.value.length; i++) {
    if (p.value[i] === 0n) continue;
    const location = p.stackLocation[i]!,
      line = p.locationOffset[location]! + LOCATION_HEAD + 1;
    if (line < p.locationOffset[location + 1]!) words[line] = 0;
  }
  return words;
}
