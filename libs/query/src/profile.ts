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
import { callSiteFilter, stackPredicate } from "./comparison-tree.ts";

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
  /** the first stacks, until others are added: often they are the only ones and need no merge */
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
      if (p.value[i] !== 0n) this.addTo(rewriter.stack(i), p.value[i]!);
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
      this.addTo(rewriter.stack(s), byStack[s]!);
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
 * Clears the addresses of mappings whose functions are known, then merges equal locations; flags do not
 * distinguish mappings.
 */
function sanitise(p: PartialProfile): PartialProfile {
  const mappingWords = p.mappingWords.slice(),
    locationWords = p.locationWords.slice();
  const flags = new Map<string, number>();
  const keyOf = (i: number): string => mappingWords.subarray(i, i + MAPPING_WORDS - 1).join(",");
  for (let i = 0; i < mappingWords.length; i += MAPPING_WORDS) {
    if ((mappingWords[i + 8]! & HAS_FUNCTIONS) !== 0) mappingWords.fill(0, i, i + 6);
    flags.set(keyOf(i), (flags.get(keyOf(i)) ?? 0) | mappingWords[i + 8]!);
  }
  for (let i = 0; i + 1 < p.locationOffset.length; i++) {
    const at = p.locationOffset[i]!;
    if ((mappingWords[locationWords[at]! * MAPPING_WORDS + 8]! & HAS_FUNCTIONS) !== 0)
      locationWords[at + 1] = locationWords[at + 2] = 0;
  }
  for (let i = 0; i < mappingWords.length; i += MAPPING_WORDS) mappingWords[i + 8] = flags.get(keyOf(i))!;
  // The mappings are distinct and the locations unchanged: there is nothing to merge.
  if (flags.size * MAPPING_WORDS === mappingWords.length && same(locationWords, p.locationWords))
    return { ...p, mappingWords };
  const merged = new ProfileMerger();
  merged.add({ ...p, mappingWords, locationWords });
  return merged.finish();
}

function same(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
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
    let node = rewriter.stack(at);
    if (at !== i) {
      const mapping =
        at > 0
          ? out.symbols.locations.words.data[
              out.symbols.locations.offset.data[out.symbols.stackLocation.data[node]!]!
            ]!
          : rewriter.mapping(0);
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
 * Profile for Go's compiler (PGO): keeps the `keepLocations` frames nearest the leaf; may merge callees of
 * one call site.
 */
function pgo(p: PartialProfile, options: NonNullable<StackSelector["goPgo"]>): PartialProfile {
  const out = new ProfileMerger();
  const rewriter = new SymbolRewriter(p, out.symbols);
  const keep = Math.max(1, options.keepLocations);
  for (let i = 1; i < p.value.length; i++) {
    if (p.value[i] === 0n) continue;
    const stack: number[] = [];
    for (let at = i; at > 0 && stack.length < keep; at = p.stackParent[at]!) stack.push(p.stackLocation[at]!);
    let node = 0;
    for (let k = stack.length - 1; k >= 0; k--) {
      let location = rewriter.location(stack[k]!);
      if (k === 0 && options.aggregateCallees) location = withoutLines(out.symbols, location);
      node = out.symbols.stackChild(node, location);
    }
    addValue(out, node, p.value[i]!);
  }
  return out.finish();
}

/** A location of the same functions without line numbers: PGO ignores the leaf's lines. */
function withoutLines(s: SymbolPartition, location: number): number {
  const from = s.locations.offset.data[location]!,
    to = s.locations.offset.data[location + 1]!;
  const tuple = s.locations.words.data.slice(from, to);
  for (let k = LOCATION_HEAD + 1; k < tuple.length; k += 2) tuple[k] = 0;
  return s.locations.intern(tuple, tuple.length);
}
