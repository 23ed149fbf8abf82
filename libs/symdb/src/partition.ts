import { ByteStrings, I32Column, PairTable, U32Column } from "@cinderblock/columnar";
import {
  FUNCTION_WORDS,
  locationCount,
  LOCATION_HEAD,
  MAPPING_WORDS,
  stringCount,
  type SymbolTables,
} from "./tables.ts";
import { WordTuples } from "./word-tuples.ts";

/**
 * A growing symbol partition: equal content gets the same ID, and IDs follow the order of first use, as in
 * v1's writer.
 *
 * IDs are dense from 0. String 0 is "" and stack node 0 is the root, both from the start. The columns have
 * the layout of `SymbolTables`; a lookup costs one hash of the content.
 */
export class SymbolPartition {
  readonly strings = new ByteStrings();
  readonly functions = new WordTuples();
  readonly mappings = new WordTuples();
  readonly locations = new WordTuples();
  readonly stackParent = new I32Column(16);
  readonly stackLocation = new U32Column(16);
  /** (parent, location) -> child */
  private readonly children = new PairTable(8);

  constructor() {
    this.strings.intern(new Uint8Array(0), 0, 0);
    this.stackParent.push(-1);
    this.stackLocation.push(0);
  }

  /** Child of `parent` with `location`; adds a new node. 0 is the root. */
  stackChild(parent: number, location: number): number {
    const node = this.stackParent.length;
    const found = this.children.getOrSet(parent, location, node);
    if (found >= 0) return found;
    this.stackParent.push(parent);
    this.stackLocation.push(location);
    return node;
  }

  /**
   * Views of the current columns, without a copy. They stay valid, because columns grow into new memory and
   * never change written values. Symbols added later are not in them.
   */
  tables(): SymbolTables {
    return {
      stringBytes: this.strings.bytes.view(),
      stringOffset: this.strings.offset.view(),
      functionWords: this.functions.words.view(),
      mappingWords: this.mappings.words.view(),
      locationWords: this.locations.words.view(),
      locationOffset: this.locations.offset.view(),
      stackParent: this.stackParent.view(),
      stackLocation: this.stackLocation.view(),
    };
  }

  /** Allocated memory in bytes, including free capacity and hash tables. */
  get byteLength(): number {
    return (
      this.strings.byteLength +
      this.functions.byteLength +
      this.mappings.byteLength +
      this.locations.byteLength +
      this.stackParent.byteLength +
      this.stackLocation.byteLength +
      this.children.byteLength
    );
  }
}

/** Entry of a map whose source ID has no target yet. */
const NONE = 0xffffffff;

/**
 * Copies symbols of one partition into another: only reached symbols, each at most once. Each map is
 * `[source IDs] -> target ID`, so that a repeated ID costs one array read.
 *
 *   targetStack(node) -> targetLocation -> targetFunction -> targetString
 *                                      `-> targetMapping  -> targetString
 *
 * References past the end of a damaged source do not throw: strings become "", functions, mappings and
 * locations all-zero entries, stacks the root.
 */
export class SymbolRewriter {
  private readonly from: SymbolTables;
  private readonly to: SymbolPartition;
  private readonly stringMap: Uint32Array;
  private readonly functionMap: Uint32Array;
  private readonly mappingMap: Uint32Array;
  private readonly locationMap: Uint32Array;
  private readonly stackMap: Uint32Array;
  private tuple = new Uint32Array(64);
  /** scratch memory of `targetStack` */
  private readonly path: number[] = [];

  constructor(from: SymbolTables, to: SymbolPartition) {
    this.from = from;
    this.to = to;
    this.stringMap = new Uint32Array(stringCount(from)).fill(NONE);
    this.functionMap = new Uint32Array(from.functionWords.length / FUNCTION_WORDS).fill(NONE);
    this.mappingMap = new Uint32Array(from.mappingWords.length / MAPPING_WORDS).fill(NONE);
    this.locationMap = new Uint32Array(locationCount(from)).fill(NONE);
    this.stackMap = new Uint32Array(from.stackParent.length).fill(NONE);
  }

  /** Target ID of a source string; "" for an ID past the end. */
  targetString(id: number): number {
    const { from } = this;
    if (id >= this.stringMap.length) return 0;
    const known = this.stringMap[id]!;
    if (known !== NONE) return known;
    return (this.stringMap[id] = this.to.strings.intern(
      from.stringBytes,
      from.stringOffset[id]!,
      from.stringOffset[id + 1]!,
    ));
  }

  /** Target ID of a source function, whose three strings are copied with it. */
  targetFunction(id: number): number {
    if (id >= this.functionMap.length)
      return this.to.functions.intern(this.tuple.fill(0, 0, FUNCTION_WORDS), FUNCTION_WORDS);
    const known = this.functionMap[id]!;
    if (known !== NONE) return known;
    const w = this.from.functionWords,
      at = id * FUNCTION_WORDS;
    const a = this.targetString(w[at]!),
      b = this.targetString(w[at + 1]!),
      c = this.targetString(w[at + 2]!);
    const { tuple } = this;
    tuple[0] = a;
    tuple[1] = b;
    tuple[2] = c;
    tuple[3] = w[at + 3]!;
    return (this.functionMap[id] = this.to.functions.intern(tuple, FUNCTION_WORDS));
  }

  /** Target ID of a source mapping, whose file name and build ID are copied with it. */
  targetMapping(id: number): number {
    if (id >= this.mappingMap.length)
      return this.to.mappings.intern(this.tuple.fill(0, 0, MAPPING_WORDS), MAPPING_WORDS);
    const known = this.mappingMap[id]!;
    if (known !== NONE) return known;
    const w = this.from.mappingWords,
      at = id * MAPPING_WORDS;
    const filename = this.targetString(w[at + 6]!),
      buildId = this.targetString(w[at + 7]!);
    const { tuple } = this;
    for (let i = 0; i < MAPPING_WORDS; i++) tuple[i] = w[at + i]!;
    tuple[6] = filename;
    tuple[7] = buildId;
    return (this.mappingMap[id] = this.to.mappings.intern(tuple, MAPPING_WORDS));
  }

  /**
   * Target ID of a source location, whose mapping and functions are copied with it. The folded flag is part
   * of the compared content.
   */
  targetLocation(id: number): number {
    if (id >= this.locationMap.length) id = NONE;
    const known = id === NONE ? NONE : this.locationMap[id]!;
    if (known !== NONE) return known;
    const w = this.from.locationWords;
    const at = id === NONE ? 0 : this.from.locationOffset[id]!,
      end = id === NONE ? 0 : this.from.locationOffset[id + 1]!;
    const size = Math.max(LOCATION_HEAD, end - at);
    const tuple = new Uint32Array(size);
    if (end > at) {
      tuple[0] = this.targetMapping(w[at]!);
      tuple[1] = w[at + 1]!;
      tuple[2] = w[at + 2]!;
      tuple[3] = w[at + 3]!;
      for (let i = LOCATION_HEAD; i + 1 < size; i += 2) {
        tuple[i] = this.targetFunction(w[at + i]!);
        tuple[i + 1] = w[at + i + 1]!;
      }
    }
    const out = this.to.locations.intern(tuple, size);
    if (id !== NONE) this.locationMap[id] = out;
    return out;
  }

  /**
   * Node in the target of the stack that ends in `node` of the source. O(depth) for a new stack, O(1) for a
   * known one.
   */
  targetStack(node: number): number {
    const { stackParent, stackLocation } = this.from;
    if (node >= this.stackMap.length) return 0;
    const known = this.stackMap[node]!;
    if (known !== NONE) return known;
    // Walk up to the first known ancestor, then down again, without recursion, because stacks may be deep.
    const { path } = this;
    let at = node,
      depth = 0;
    while (at > 0 && stackParent[at]! >= 0 && this.stackMap[at] === NONE) {
      path[depth++] = at;
      at = stackParent[at]!;
    }
    let target = at > 0 && stackParent[at]! >= 0 ? this.stackMap[at]! : 0;
    for (let i = depth - 1; i >= 0; i--) {
      target = this.to.stackChild(target, this.targetLocation(stackLocation[path[i]!]!));
      this.stackMap[path[i]!] = target;
    }
    return target;
  }
}
