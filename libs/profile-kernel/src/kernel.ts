import { randomBytes } from "node:crypto";
import type { I64Column, U32Column } from "@cinderblock/columnar";
import { encodeUtf8Into, utf8Length } from "@cinderblock/bytes";
import { headerStrings, type PprofHeader, type PprofSource, PprofTables } from "@cinderblock/pprof";
import { type ColumnViews, fillColumns, type HeaderStrings, rowsOf } from "./fill.ts";
import { KERNEL_WASM } from "./gen/kernel-wasm.ts";
import {
  PROFILE_START,
  COLUMNS,
  type ColumnSpec,
  HEADER_START,
  HeaderWord,
  COLUMN_ADDRESSES,
} from "./layout.ts";

interface Exports {
  count(from: number, length: number): number;
  /** decodes a pprof; returns 0 if it is refused, 1 if it is decoded, 2 if the columns are too short */
  decode(from: number, length: number): number;
  setSeed(seed: bigint): void;
  normalise(maxDepth: number): number;
  begin(from: number, partition: number): void;
  stacks(n: number): number;
}

/**
 * Symbol partition that assigns IDs to symbols missing from the kernel's cache. Word columns are valid during
 * the call.
 */
export interface SymbolSource {
  string(bytes: Uint8Array, start: number, end: number): number;
  function(name: number, systemName: number, filename: number, startLine: number): number;
  /** a mapping of the profile; 0xffffffff is the stub for locations without a mapping */
  mapping(index: number): number;
  location(words: Uint32Array): number;
  /** the node under `parent` for these locations, root first */
  stack(parent: number, locations: Uint32Array): number;
}

/** Result of a normalization: views of the kernel's memory, valid until the next `decode`. */
export interface ResidentProfile {
  refLocation: Uint32Array;
  sampleFrom: Uint32Array;
  sampleTo: Uint32Array;
  lineFunction: Uint32Array;
  locationMapping: Uint32Array;
  keep: Uint8Array;
  kept: number;
}

type Name = keyof typeof COLUMNS;
const SPECS = Object.entries(COLUMNS) as [Name, ColumnSpec][];

/** Maximum size of the columns; larger profiles use the plain decoder. */
const MAX_BYTES = 48 << 20;

/** result of `decode`: columns are too short, or do not exist yet */
const NO_ROOM = 2;

let compiled: WebAssembly.Module | undefined;

/**
 * The write path's hot loops in WebAssembly (ADR 5): decodes a pprof into columns in its own memory,
 * normalizes it, and interns its symbols through a table of 3 MiB from content hashes to IDs. Handles only
 * the usual case: every method reports an unusual one, and then the plain twin runs. One per thread; holds
 * one profile at a time.
 */
export class ProfileKernel {
  /** columns are views of the kernel's memory */
  readonly tables = new PprofTables();
  private readonly memory = new WebAssembly.Memory({ initial: Math.ceil(PROFILE_START / 65536) + 16 });
  private readonly wasm: Exports;
  private bytes: Uint8Array;
  private header: Uint32Array;
  private longs: BigInt64Array;
  private words: Uint32Array;
  private readonly views: ColumnViews = new Map();
  private columns: {
    column: U32Column | I64Column;
    data: Uint32Array | BigInt64Array;
    words: Int32Array | undefined;
    rows: number;
    fence: number;
  }[] = [];
  private readonly capacity = new Uint32Array(11);
  private inputBytes = 0;
  /** the profile in the kernel's memory at PROFILE_START */
  private loaded: Uint8Array | undefined;
  private source: SymbolSource | undefined;
  private begun = -1;

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_WASM, "base64"));
    const source = (): SymbolSource => this.source!;
    const instance = new WebAssembly.Instance(compiled, {
      env: {
        memory: this.memory,
        abort: () => {
          throw new Error("profile kernel aborted");
        },
      },
      head: {
        missString: (start: number, end: number) => source().string(this.loaded!, start, end),
        missFunction: (name: number, systemName: number, filename: number, startLine: number) =>
          source().function(name >>> 0, systemName >>> 0, filename >>> 0, startLine >>> 0),
        missMapping: (index: number) => source().mapping(index >>> 0),
        missLocation: (at: number, n: number) =>
          source().location(this.words.subarray(at >>> 2, (at >>> 2) + n)),
        missStack: (parent: number, at: number, n: number) =>
          source().stack(parent >>> 0, this.words.subarray(at >>> 2, (at >>> 2) + n)),
      },
    });
    this.wasm = instance.exports as unknown as Exports;
    this.wasm.setSeed(randomBytes(8).readBigUInt64LE());
    this.bytes = new Uint8Array(this.memory.buffer);
    this.header = new Uint32Array(this.memory.buffer, HEADER_START, 64);
    this.longs = new BigInt64Array(this.memory.buffer, HEADER_START, 32);
    this.words = new Uint32Array(this.memory.buffer);
  }

  /** Size of the kernel's memory in bytes; it never shrinks. */
  get byteLength(): number {
    return this.memory.buffer.byteLength;
  }

  private grow(end: number): void {
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / 65536);
    if (missing <= 0) return;
    this.memory.grow(missing);
    const { buffer } = this.memory;
    this.bytes = new Uint8Array(buffer);
    this.header = new Uint32Array(buffer, HEADER_START, 64);
    this.longs = new BigInt64Array(buffer, HEADER_START, 32);
    this.words = new Uint32Array(buffer);
  }

  /** Places the columns, for at least `need` rows each, after `inputBytes` of profile. */
  private lay(inputBytes: number, need: Uint32Array): boolean {
    const capacity = this.capacity.map((c, i) => Math.max(c, Math.ceil(need[i]! * 1.25), 64));
    const rowsOf = (s: ColumnSpec): number => capacity[HeaderWord[s.rows]]! + 2;
    let at = PROFILE_START + Math.ceil(inputBytes / 64) * 64 + 64;
    const addresses = SPECS.map(([, s]) => {
      const here = at;
      at += Math.ceil((rowsOf(s) * s.bytes) / 8) * 8;
      return here;
    });
    if (at - PROFILE_START > MAX_BYTES) return false;
    this.grow(at);
    this.capacity.set(capacity);
    this.header.set(capacity, HeaderWord.capacity);
    this.inputBytes = inputBytes;
    const { buffer } = this.memory;
    this.columns = [];
    SPECS.forEach(([name, s], i) => {
      this.words[(COLUMN_ADDRESSES >>> 2) + i] = addresses[i]!;
      const rows = rowsOf(s),
        address = addresses[i]!;
      const data =
        s.bytes === 1
          ? new Uint8Array(buffer, address, rows)
          : s.bytes === 4
            ? new Uint32Array(buffer, address, rows)
            : new BigInt64Array(buffer, address, rows);
      this.views.set(name, data);
      if (!s.table) return;
      this.columns.push({
        column: this.tables[s.table] as U32Column | I64Column,
        data: data as Uint32Array | BigInt64Array,
        words: s.bytes === 8 ? new Int32Array(buffer, address, rows * 2) : undefined,
        rows: HeaderWord[s.rows],
        fence: s.fence ? 1 : 0,
      });
    });
    return true;
  }

  /** Columns of a pprof, valid until the next call; undefined if the plain decoder must decode it. */
  decode(profile: Uint8Array): PprofTables | undefined {
    const { length } = profile;
    this.loaded = undefined;
    this.begun = -1;
    if (length > MAX_BYTES / 4) return undefined;
    // Replaced strings are appended to the profile: reserve space for a few.
    if (length > this.inputBytes) {
      const input = length + (length >>> 2) + 4096;
      if (this.inputBytes > 0 || this.columns.length > 0) {
        if (!this.lay(input, this.capacity)) return undefined;
      } else this.inputBytes = input;
      this.grow(PROFILE_START + this.inputBytes);
    }
    this.bytes.set(profile, PROFILE_START);
    let done = this.columns.length === 0 ? NO_ROOM : this.wasm.decode(PROFILE_START, length);
    if (done === NO_ROOM) {
      if (
        this.wasm.count(PROFILE_START, length) === 0 ||
        !this.lay(this.inputBytes, this.header.slice(0, 11))
      )
        return undefined;
      // The counted rows fit, so the decoder can skip its check, which bounds a sample's rows by its bytes.
      this.header.fill(0xffffffff, HeaderWord.capacity, HeaderWord.capacity + 11);
      done = this.wasm.decode(PROFILE_START, length);
      this.header.set(this.capacity, HeaderWord.capacity);
    }
    if (done === 0) return undefined;
    return this.publish(profile);
  }

  /**
   * Columns of a profile that is no pprof, valid until the next call; undefined if they are too large. The
   * columns are those of the pprof that `encodePprof` would write, but `bytes` has strings alone.
   */
  load(header: PprofHeader, s: PprofSource): PprofTables | undefined {
    this.loaded = undefined;
    this.begun = -1;
    const places = headerStrings(header, s),
      stringBytes = s.strings.bytes.length + places.texts.reduce((n, t) => n + utf8Length(t), 0),
      need = rowsOf(s, places);
    if (stringBytes > MAX_BYTES / 4) return undefined;
    if (stringBytes > this.inputBytes || need.some((n, i) => n > this.capacity[i]!)) {
      // Replaced strings are appended to the profile's: reserve space for a few.
      const input = Math.max(this.inputBytes, stringBytes + (stringBytes >>> 2) + 4096);
      if (!this.lay(input, need)) return undefined;
    }
    this.header.fill(0, 0, HeaderWord.capacity);
    this.header.set(need);
    fillColumns(this.views, s);
    this.putStrings(s, places);
    this.putHeader(header, places);
    return this.publish(this.bytes.subarray(PROFILE_START, PROFILE_START + stringBytes));
  }

  private putStrings({ strings }: PprofSource, { texts, base }: HeaderStrings): void {
    const { bytes } = this,
      start = this.views.get("stringStart") as Uint32Array,
      end = this.views.get("stringEnd") as Uint32Array;
    bytes.set(strings.bytes, PROFILE_START);
    start.set(strings.offset.subarray(0, base));
    end.set(strings.offset.subarray(1, base + 1));
    let at = strings.bytes.length,
      i = Math.max(1, base);
    if (base === 0) start[0] = end[0] = 0;
    for (const text of texts) {
      start[i] = at;
      at += encodeUtf8Into(text, bytes, PROFILE_START + at);
      end[i++] = at;
    }
  }

  private putHeader(header: PprofHeader, { types, period, defaultType }: HeaderStrings): void {
    const { header: words, longs } = this,
      type = this.views.get("typeType") as Uint32Array,
      unit = this.views.get("typeUnit") as Uint32Array;
    types.forEach((t, i) => ([type[i], unit[i]] = t));
    words[HeaderWord.hasPeriodType] = period ? 1 : 0;
    words[HeaderWord.periodType] = period?.[0] ?? 0;
    words[HeaderWord.periodUnit] = period?.[1] ?? 0;
    words[HeaderWord.defaultSampleType] = defaultType;
    longs[HeaderWord.timeNanos / 2] = header.timeNanos;
    longs[HeaderWord.durationNanos / 2] = header.durationNanos;
    longs[HeaderWord.period / 2] = header.period;
  }

  /** The tables of the profile whose columns are in memory, and whose strings lie in `profile`. */
  private publish(profile: Uint8Array): PprofTables {
    const { header, longs, tables: t } = this;
    t.bytes = profile;
    for (const { column, data, words, rows, fence } of this.columns) {
      (column as { data: typeof data }).data = data;
      if (words) (column as I64Column).words = words;
      column.length = header[rows]! + fence;
    }
    t.dropFrames = header[HeaderWord.dropFrames]!;
    t.keepFrames = header[HeaderWord.keepFrames]!;
    t.hasPeriodType = header[HeaderWord.hasPeriodType] === 1;
    t.periodType = header[HeaderWord.periodType]!;
    t.periodUnit = header[HeaderWord.periodUnit]!;
    t.defaultSampleType = header[HeaderWord.defaultSampleType]!;
    t.timeNanos = longs[HeaderWord.timeNanos / 2]!;
    t.durationNanos = longs[HeaderWord.durationNanos / 2]!;
    t.period = longs[HeaderWord.period / 2]!;
    this.loaded = profile;
    return t;
  }

  /** Whether `tables` are this kernel's and still in its memory, even after strings were replaced. */
  private holds(tables: PprofTables): boolean {
    if (tables !== this.tables || !this.loaded) return false;
    for (const { column, data } of this.columns) if (column.data !== data) return false;
    if (tables.bytes === this.loaded) return true;
    if (tables.bytes.length > this.inputBytes) return false;
    this.bytes.set(tables.bytes, PROFILE_START);
    // Strings may have been appended to the decoded ones.
    this.header[HeaderWord.strings] = tables.strings;
    this.loaded = tables.bytes;
    this.begun = -1;
    return true;
  }

  /** Resolves references and drops the samples that v1 drops; undefined if the plain twin must do it. */
  normalise(tables: PprofTables, maxDepth: number): ResidentProfile | undefined {
    if (!this.holds(tables) || this.wasm.normalise(maxDepth) === 0) return undefined;
    const { header } = this;
    const u32 = (name: Name, n: number): Uint32Array => (this.views.get(name) as Uint32Array).subarray(0, n);
    const samples = header[HeaderWord.samples]!;
    return {
      refLocation: u32("refLocation", header[HeaderWord.refs]!),
      sampleFrom: u32("sampleFrom", samples),
      sampleTo: u32("sampleTo", samples),
      lineFunction: u32("lineFunction", header[HeaderWord.lines]!),
      locationMapping: u32("locationMapping", header[HeaderWord.locations]!),
      keep: (this.views.get("keep") as Uint8Array).subarray(0, samples),
      kept: header[HeaderWord.kept]!,
    };
  }

  /**
   * Stack node of each sample, interned into the partition that `handle` identifies; valid until the next
   * call. Undefined if the plain interner must do it: symbols interned so far stay, and their IDs are the
   * same there.
   */
  stacks(
    tables: PprofTables,
    samples: Uint32Array,
    handle: number,
    source: SymbolSource,
  ): Uint32Array | undefined {
    if (!this.holds(tables)) return undefined;
    this.source = source;
    try {
      if (this.begun !== handle) {
        this.wasm.begin(PROFILE_START, handle);
        this.begun = handle;
      }
      (this.views.get("group") as Uint32Array).set(samples);
      if (this.wasm.stacks(samples.length) === 0) {
        this.begun = -1;
        return undefined;
      }
      return (this.views.get("nodes") as Uint32Array).subarray(0, samples.length);
    } finally {
      this.source = undefined;
    }
  }
}
