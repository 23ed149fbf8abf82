import { hashRange, mix32, viewOf } from "@cinderblock/bytes";
import { U32Column } from "@cinderblock/columnar";
import { type NormalizedProfile, UNKNOWN } from "@cinderblock/ingest";
import { FUNCTION_WORDS, HAS_FUNCTIONS, LOCATION_HEAD, type SymbolPartition } from "@cinderblock/symdb";
import type { SymbolSource } from "@cinderblock/profile-kernel";

/** Bytes of a partition's entry objects in addition to their columns. */
const ENTRY_BYTES = 256;

/** Interns the symbols that a profile's samples reach into a partition; reuses its maps between profiles. */
export class SymbolInterner {
  private stringMap = new Uint32Array(1024);
  private functionMap = new Uint32Array(1024);
  private mappingMap = new Uint32Array(16);
  private locationMap = new Uint32Array(1024);
  private tuple = new Uint32Array(64);
  private profile: NormalizedProfile | undefined;
  private target: SymbolPartition | undefined;
  private readonly hashes = new WeakMap<SymbolPartition, StackHashes>();

  /** Stack node of each sample; 0 for a sample without locations. The result is valid until the next call. */
  stacks(p: NormalizedProfile, samples: Uint32Array, to: SymbolPartition): Uint32Array {
    if (p.kernel) {
      let source = this.sources.get(to);
      if (!source) this.sources.set(to, (source = new PartitionSource(to, this, nextHandle++)));
      source.profile = p;
      const nodes = p.kernel.stacks(p.tables, samples, source.handle, source);
      source.profile = undefined;
      if (nodes) {
        to.strings.release();
        return nodes;
      }
    }
    const nodes = this.stacksPlain(p, samples, to);
    // A partition outlives the profile by hours and must not retain the profile's bytes.
    to.strings.release();
    return nodes;
  }

  private readonly sources = new WeakMap<SymbolPartition, PartitionSource>();

  /** Plain TypeScript twin of the kernel's `stacks`; accepts any profile. */
  stacksPlain(p: NormalizedProfile, samples: Uint32Array, to: SymbolPartition): Uint32Array {
    if (this.profile !== p || this.target !== to) this.begin(p, to);
    const { refLocation, sampleFrom, sampleTo } = p;
    const { locationMap } = this;
    const n = samples.length;
    const out = this.nodes(n);
    let cache = this.stacksOf.get(to);
    if (!cache) this.stacksOf.set(to, (cache = new StackCache()));
    for (let i = 0; i < n; i++) {
      const s = samples[i]!;
      const from = sampleFrom[s]!,
        end = sampleTo[s]!;
      const size = end - from;
      if (this.sequence.length < size) this.sequence = new Uint32Array(size * 2);
      const { sequence } = this;
      // Successive profiles repeat the same stacks: one hash over the locations finds the leaf without a walk
      // through the tree.
      let h = size;
      for (let k = end - 1, at = 0; k >= from; k--, at++) {
        const ref = refLocation[k]!;
        let location = locationMap[ref]!;
        if (location === UNKNOWN) location = this.location(ref);
        sequence[at] = location;
        h = Math.imul(h ^ location, 0x85ebca6b);
        h ^= h >>> 15;
      }
      let node = cache.find(h, sequence, size);
      if (node < 0) {
        node = 0;
        for (let k = 0; k < size; k++) node = to.stackChild(node, sequence[k]!);
        cache.put(h, sequence, size, node);
      }
      out[i] = node;
    }
    return out;
  }

  private sequence = new Uint32Array(1024);
  private nodeScratch = new Uint32Array(1024);
  private readonly stacksOf = new WeakMap<SymbolPartition, StackCache>();

  /** Scratch array for the result of `stacks`, valid until the next call. */
  private nodes(n: number): Uint32Array {
    if (this.nodeScratch.length < n) this.nodeScratch = new Uint32Array(n * 2);
    return this.nodeScratch.subarray(0, n);
  }

  private begin(p: NormalizedProfile, to: SymbolPartition): void {
    this.profile = p;
    this.target = to;
    const t = p.tables;
    this.stringMap = clear(this.stringMap, t.strings);
    this.functionMap = clear(this.functionMap, t.functions);
    this.mappingMap = clear(this.mappingMap, t.mappings);
    this.locationMap = clear(this.locationMap, t.locations);
  }

  /** Interns a mapping of a profile. */
  mappingOf(p: NormalizedProfile, to: SymbolPartition, i: number): number {
    if (this.profile !== p || this.target !== to) this.begin(p, to);
    return this.mapping(i);
  }

  private string(i: number): number {
    const t = this.profile!.tables;
    const known = this.stringMap[i]!;
    if (known !== UNKNOWN) return known;
    return (this.stringMap[i] = this.target!.strings.intern(
      t.bytes,
      t.stringStart.data[i]!,
      t.stringEnd.data[i]!,
    ));
  }

  private func(i: number): number {
    const known = this.functionMap[i]!;
    if (known !== UNKNOWN) return known;
    const t = this.profile!.tables;
    const { tuple } = this;
    const a = this.string(t.funcName.data[i]!),
      b = this.string(t.funcSystemName.data[i]!),
      c = this.string(t.funcFilename.data[i]!);
    tuple[0] = a;
    tuple[1] = b;
    tuple[2] = c;
    tuple[3] = t.funcStartLine.data[i]!;
    return (this.functionMap[i] = this.target!.functions.intern(tuple, FUNCTION_WORDS));
  }

  private mapping(i: number): number {
    const { tuple } = this;
    if (i === UNKNOWN) return this.target!.mappings.intern(tuple.fill(0, 0, 9), 9);
    const known = this.mappingMap[i]!;
    if (known !== UNKNOWN) return known;
    const t = this.profile!.tables;
    const filename = this.string(t.mappingFilename.data[i]!),
      buildId = this.string(t.mappingBuildId.data[i]!);
    tuple[0] = t.mappingStart.words[2 * i]!;
    tuple[1] = t.mappingStart.words[2 * i + 1]!;
    tuple[2] = t.mappingLimit.words[2 * i]!;
    tuple[3] = t.mappingLimit.words[2 * i + 1]!;
    tuple[4] = t.mappingOffset.words[2 * i]!;
    tuple[5] = t.mappingOffset.words[2 * i + 1]!;
    tuple[6] = filename;
    tuple[7] = buildId;
    tuple[8] = t.mappingFlags.data[i]!;
    // A mapping with known functions needs no addresses.
    if ((tuple[8] & HAS_FUNCTIONS) !== 0) tuple.fill(0, 0, 6);
    return (this.mappingMap[i] = this.target!.mappings.intern(tuple, 9));
  }

  private location(i: number): number {
    const { profile } = this;
    const t = profile!.tables;
    const from = t.locLines.data[i]!,
      to = t.locLines.data[i + 1]!;
    const size = LOCATION_HEAD + 2 * (to - from);
    const tuple = size > 64 ? new Uint32Array(size) : TUPLE;
    const m = profile!.locationMapping[i]!;
    tuple[0] = this.mapping(m);
    const symbolised = m !== UNKNOWN && (t.mappingFlags.data[m]! & HAS_FUNCTIONS) !== 0;
    tuple[1] = symbolised ? 0 : t.locAddress.words[2 * i]!;
    tuple[2] = symbolised ? 0 : t.locAddress.words[2 * i + 1]!;
    tuple[3] = t.locFolded.data[i]!;
    for (let k = from, at = LOCATION_HEAD; k < to; k++) {
      tuple[at++] = this.func(profile!.lineFunction[k]!);
      tuple[at++] = t.lineNumber.data[k]!;
    }
    return (this.locationMap[i] = this.target!.locations.intern(tuple, size));
  }

  /** Bytes kept for a partition in addition to its own. */
  byteLength(of: SymbolPartition): number {
    const stacks = this.stacksOf.get(of)?.byteLength ?? 0,
      hashes = this.hashes.get(of)?.byteLength ?? 0;
    return ENTRY_BYTES + stacks + hashes;
  }

  /** Current content hashes of a partition's stacks. */
  contentHashes(symbols: SymbolPartition): StackHashes {
    let h = this.hashes.get(symbols);
    if (!h) this.hashes.set(symbols, (h = new StackHashes()));
    h.extend(symbols);
    return h;
  }
}

const TUPLE = new Uint32Array(64);

/** Handles identify partitions in the kernels' caches; a thread never reuses a handle. */
let nextHandle = 1;

/** Answers a miss of the kernel's cache from the partition itself. */
class PartitionSource implements SymbolSource {
  profile: NormalizedProfile | undefined;
  readonly handle: number;
  private readonly partition: SymbolPartition;
  private readonly interner: SymbolInterner;
  private readonly tuple = new Uint32Array(FUNCTION_WORDS);

  constructor(partition: SymbolPartition, interner: SymbolInterner, handle: number) {
    this.partition = partition;
    this.interner = interner;
    this.handle = handle;
  }

  string(bytes: Uint8Array, start: number, end: number): number {
    return this.partition.strings.intern(bytes, start, end);
  }
  function(name: number, systemName: number, filename: number, startLine: number): number {
    const { tuple } = this;
    tuple[0] = name;
    tuple[1] = systemName;
    tuple[2] = filename;
    tuple[3] = startLine;
    return this.partition.functions.intern(tuple, FUNCTION_WORDS);
  }
  mapping(index: number): number {
    return this.interner.mappingOf(this.profile!, this.partition, index);
  }
  location(words: Uint32Array): number {
    return this.partition.locations.intern(words, words.length);
  }
  stack(parent: number, locations: Uint32Array): number {
    let node = parent;
    for (let i = 0; i < locations.length; i++) node = this.partition.stackChild(node, locations[i]!);
    return node;
  }
}

/**
 * Recently used stacks of a partition: hash of their locations -> leaf, verified against a copy of the
 * locations. Bounded.
 */
class StackCache {
  private static readonly MIN_SLOTS = 16;
  private static readonly MAX_SLOTS = 32768;
  private static readonly WORDS = 1 << 20;
  /** slots in which a hash may lie, one after another */
  private static readonly WAYS = 4;
  private mask = StackCache.MIN_SLOTS - 1;
  private hash = new Int32Array(StackCache.MIN_SLOTS);
  /** leaf + 1; 0 is a free slot */
  private leaf = new Uint32Array(StackCache.MIN_SLOTS);
  private offset = new Uint32Array(StackCache.MIN_SLOTS);
  private size = new Uint16Array(StackCache.MIN_SLOTS);
  private words = new Uint32Array(64);
  private used = 0;
  private count = 0;

  get byteLength(): number {
    return (
      this.hash.byteLength +
      this.leaf.byteLength +
      this.offset.byteLength +
      this.size.byteLength +
      this.words.byteLength
    );
  }

  find(h: number, sequence: Uint32Array, size: number): number {
    const { mask, hash, leaf, words } = this;
    for (let way = 0; way < StackCache.WAYS; way++) {
      const at = (h + way) & mask;
      if (hash[at] !== h || this.size[at] !== size || leaf[at] === 0) continue;
      const from = this.offset[at]!;
      let i = 0;
      while (i < size && words[from + i] === sequence[i]) i++;
      if (i === size) return leaf[at]! - 1;
    }
    return -1;
  }

  put(h: number, sequence: Uint32Array, size: number, leaf: number): void {
    if (size > 4096) return;
    if (this.used + size > StackCache.WORDS) {
      this.leaf.fill(0);
      this.used = this.count = 0;
    }
    if (this.count * 2 > this.mask && this.mask + 1 < StackCache.MAX_SLOTS) this.grow();
    if (this.used + size > this.words.length) {
      const grown = new Uint32Array(
        Math.min(StackCache.WORDS, Math.max(this.words.length * 2, this.used + size)),
      );
      grown.set(this.words.subarray(0, this.used));
      this.words = grown;
    }
    for (let i = 0; i < size; i++) this.words[this.used + i] = sequence[i]!;
    this.place(h, leaf + 1, this.used, size);
    this.used += size;
  }

  private place(h: number, leaf: number, offset: number, size: number): void {
    let at = h & this.mask;
    for (let way = 0; way < StackCache.WAYS; way++) {
      const slot = (h + way) & this.mask;
      if (this.leaf[slot] === 0) {
        at = slot;
        this.count++;
        break;
      }
    }
    this.hash[at] = h;
    this.leaf[at] = leaf;
    this.offset[at] = offset;
    this.size[at] = size;
  }

  private grow(): void {
    const { hash, leaf, offset, size } = this;
    const n = leaf.length * 4;
    this.mask = n - 1;
    this.count = 0;
    this.hash = new Int32Array(n);
    this.leaf = new Uint32Array(n);
    this.offset = new Uint32Array(n);
    this.size = new Uint16Array(n);
    for (let i = 0; i < leaf.length; i++)
      if (leaf[i] !== 0) this.place(hash[i]!, leaf[i]!, offset[i]!, size[i]!);
  }
}

function clear(map: Uint32Array<ArrayBuffer>, n: number): Uint32Array<ArrayBuffer> {
  if (map.length < n) return new Uint32Array(n * 2).fill(UNKNOWN);
  return map.fill(UNKNOWN, 0, n);
}

/**
 * Two hash words per stack over its content (names, files, lines), which makes stacks comparable across
 * heads.
 */
export class StackHashes {
  readonly lo = new U32Column(16);
  readonly hi = new U32Column(16);
  private readonly locationLo = new U32Column(16);
  private readonly locationHi = new U32Column(16);

  get byteLength(): number {
    return this.lo.byteLength + this.hi.byteLength + this.locationLo.byteLength + this.locationHi.byteLength;
  }

  extend(s: SymbolPartition): void {
    const { locations, functions, strings } = s;
    const view = viewOf(strings.bytes.data);
    const hashString = (id: number, seed: number): number =>
      mix32(seed, hashRange(view, strings.offset.data[id]!, strings.offset.data[id + 1]!));
    for (let i = this.locationLo.length; i < locations.length; i++) {
      let a = 1,
        b = 2;
      const from = locations.offset.data[i]!,
        to = locations.offset.data[i + 1]!;
      const w = locations.words.data;
      for (let k = from + 1; k < from + 3; k++) {
        a = mix32(a, w[k]!);
        b = mix32(w[k]!, b);
      }
      for (let k = from + LOCATION_HEAD; k < to; k += 2) {
        const f = w[k]! * FUNCTION_WORDS;
        for (let c = 0; c < 3; c++) {
          a = hashString(functions.words.data[f + c]!, a);
          b = mix32(b, a ^ 0x5bd1e995);
        }
        a = mix32(a, w[k + 1]!);
        b = mix32(w[k + 1]!, b);
      }
      this.locationLo.push(a);
      this.locationHi.push(b);
    }
    for (let i = this.lo.length; i < s.stackParent.length; i++) {
      const p = s.stackParent.data[i]!;
      if (p < 0) {
        this.lo.push(7);
        this.hi.push(11);
        continue;
      }
      const l = s.stackLocation.data[i]!;
      this.lo.push(mix32(this.lo.data[p]!, this.locationLo.data[l]!));
      this.hi.push(mix32(this.locationHi.data[l]!, this.hi.data[p]!));
    }
  }
}
