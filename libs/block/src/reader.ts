import type { SymbolTables } from "@cinderblock/symdb";
import type { BlockMeta } from "@cinderblock/block-meta";
import { type Hasher } from "@cinderblock/bytes";
import { CinderblockError, CorruptError } from "@cinderblock/errors";
import { fingerprintBytes } from "@cinderblock/model";
import { type ColumnData, decodeChunk, type FileMeta, rowOffsets } from "@cinderblock/parquet";
import { Column } from "@cinderblock/profile-table";
import { decodeIndex } from "@cinderblock/tsdb-index";
import { type BlockFiles, readFooter } from "./files.ts";
import { FlameIndex } from "./flame-index.ts";
import type { RowColumns, RowTable } from "./rows.ts";
import type { ProfileSource, SourceSeries } from "./source.ts";
import { BlockSymbols } from "./symbols.ts";

const EMPTY_ROWS = new Uint32Array(0);

/** One block, opened lazily: index first, columns and symbols when a question needs them. What was read stays in memory. */
export class BlockReader implements ProfileSource {
  readonly ulid: string;
  readonly meta: BlockMeta;
  series: SourceSeries[] = [];
  /** series -> its rows [from, to) in the table */
  private seriesFrom: Uint32Array = EMPTY_ROWS;
  private seriesTo: Uint32Array = EMPTY_ROWS;
  /** position in the index's series list by the table's SeriesIndex */
  private table: FileMeta | undefined;
  private tail: { bytes: Uint8Array; offset: number } | undefined;
  private readonly columns = new Map<string, Promise<ColumnData[]>>();
  private rows: Partial<RowTable> = {};
  private readonly blockSymbols: BlockSymbols;
  readonly partitions: bigint[] = [];
  private readonly partitionAt = new Map<bigint, number>();
  private readonly resolved = new Map<number, Promise<{ tables: SymbolTables; flame: FlameIndex }>>();
  private readonly files: BlockFiles;
  private readonly hasher: Hasher;
  private opening: Promise<void> | undefined;
  /** bytes of decoded columns and symbols held in memory */
  heldBytes = 0;

  constructor(meta: BlockMeta, files: BlockFiles, hasher: Hasher) {
    this.ulid = meta.ulid;
    this.meta = meta;
    this.files = files;
    this.hasher = hasher;
    this.blockSymbols = new BlockSymbols(meta, files);
  }

  /** Reads `index.tsdb`. */
  open(): Promise<void> {
    this.opening ??= this.readIndex().catch((err: unknown) => { this.opening = undefined; throw err; });
    return this.opening;
  }

  private name(file: string): string { return `${this.ulid}/${file}`; }

  private async readIndex(): Promise<void> {
    const bytes = await this.files.read("index.tsdb", 0, undefined);
    const list = decodeIndex(bytes, this.name("index.tsdb"));
    this.series = list.map((s) => ({ labels: s.labels, fingerprint: this.hasher.h64(fingerprintBytes(s.labels)), minTimeNanos: s.minTime, maxTimeNanos: s.maxTime }));
    this.seriesIndex = Uint32Array.from(list, (s) => s.seriesIndex);
    this.heldBytes += bytes.length * 4;
  }
  private seriesIndex: Uint32Array = EMPTY_ROWS;

  // ---- rows

  private async footer(): Promise<FileMeta> {
    if (this.table) return this.table;
    const { meta, tail } = await readFooter(this.meta, this.files, "profiles.parquet");
    this.table = meta;
    this.tail = tail;
    return meta;
  }

  private column(path: string): Promise<ColumnData[] | undefined> {
    return this.footer().then((meta) => {
      if (!meta.leaves.some((l) => l.path === path)) return undefined;
      let known = this.columns.get(path);
      if (!known) {
        known = Promise.all(meta.rowGroups.map(async (g) => {
          const chunk = g.columns.get(path)!;
          const tail = this.tail!;
          const bytes = chunk.start >= tail.offset && chunk.start + chunk.sizeBytes <= tail.offset + tail.bytes.length
            ? tail.bytes.subarray(chunk.start - tail.offset, chunk.start - tail.offset + chunk.sizeBytes)
            : await this.files.read("profiles.parquet", chunk.start, chunk.sizeBytes);
          if (bytes.length !== chunk.sizeBytes) throw new CorruptError(this.name("profiles.parquet"), chunk.start, `expected ${chunk.sizeBytes} bytes of column ${path}, found ${bytes.length}`);
          return decodeChunk(bytes, chunk, this.name("profiles.parquet"));
        }));
        this.columns.set(path, known);
        known.catch(() => this.columns.delete(path));
      }
      return known;
    });
  }

  private async joined(path: string): Promise<BigInt64Array | undefined> {
    const parts = await this.column(path);
    if (!parts) return undefined;
    if (parts.length === 1) return parts[0]!.values as BigInt64Array;
    let n = 0;
    for (const p of parts) n += (p.values as BigInt64Array).length;
    const out = new BigInt64Array(n);
    let at = 0;
    for (const p of parts) { out.set(p.values as BigInt64Array, at); at += (p.values as BigInt64Array).length; }
    return out;
  }

  async load(need: readonly RowColumns[]): Promise<RowTable> {
    const meta = await this.footer();
    const r = this.rows;
    if (!r.timeNanos) await this.loadKeys(meta);
    if (need.includes("totals") && !r.totalValue) {
      const totals = await this.joined(Column.totalValue);
      // Blocks of meta version 1 have no totals: they are the sums of the samples.
      r.totalValue = totals ?? (await this.sumTotals());
      this.heldBytes += meta.numRows * 8;
      this.columns.delete(Column.totalValue);
    }
    if ((need.includes("samples") || need.includes("spans")) && !r.stacktraceId) await this.loadSamples(meta);
    if (need.includes("spans") && !r.spans) await this.loadSpans(meta);
    if (need.includes("ids") && !r.id) {
      const parts = await this.column(Column.id);
      const id = new Uint8Array(meta.numRows * 16);
      let at = 0;
      for (const p of parts ?? []) { id.set(p.values as Uint8Array, at); at += (p.values as Uint8Array).length; }
      r.id = id;
      this.heldBytes += id.length;
      this.columns.delete(Column.id);
    }
    return r as RowTable;
  }

  private async loadKeys(meta: FileMeta): Promise<void> {
    const [index, time, partition] = await Promise.all([this.column(Column.seriesIndex), this.joined(Column.timeNanos), this.joined(Column.partition)]);
    if (!index || !time) throw new CorruptError(this.name("profiles.parquet"), 0, "expected the columns SeriesIndex and TimeNanos");
    const n = meta.numRows;
    const bySeriesIndex = new Map<number, number>();
    this.seriesIndex.forEach((v, i) => bySeriesIndex.set(v, i));
    this.seriesFrom = new Uint32Array(this.series.length);
    this.seriesTo = new Uint32Array(this.series.length);
    let row = 0;
    for (const part of index) {
      const values = part.values;
      const wide = values instanceof BigInt64Array ? new Int32Array(values.buffer, values.byteOffset, values.length * 2) : undefined;
      const count = (values as Int32Array).length;
      for (let i = 0; i < count; i++, row++) {
        const s = bySeriesIndex.get(wide ? wide[2 * i]! : (values as Int32Array)[i]!);
        if (s === undefined) continue;
        if (this.seriesTo[s] === 0) this.seriesFrom[s] = row;
        else if (this.seriesTo[s] !== row) throw new CorruptError(this.name("profiles.parquet"), row, "expected the rows of a series to lie together");
        this.seriesTo[s] = row + 1;
      }
    }
    const positions = new Uint32Array(n);
    if (partition) for (let i = 0; i < n; i++) positions[i] = this.partitionPosition(BigInt.asUintN(64, partition[i]!));
    else this.partitionPosition(0n);
    this.rows.timeNanos = time;
    this.rows.partition = positions;
    this.columns.clear();
    this.heldBytes += n * 12;
  }

  private partitionPosition(id: bigint): number {
    let at = this.partitionAt.get(id);
    if (at === undefined) { at = this.partitions.push(id) - 1; this.partitionAt.set(id, at); }
    return at;
  }

  private async loadSamples(meta: FileMeta): Promise<void> {
    const [ids, values] = await Promise.all([this.column(Column.stacktraceId), this.column(Column.value)]);
    if (!ids || !values) throw new CorruptError(this.name("profiles.parquet"), 0, "expected the columns of samples");
    let samples = 0;
    for (const p of ids) samples += (p.values as BigInt64Array).length;
    const stacktraceId = new Uint32Array(samples), value = new BigInt64Array(samples);
    const start = new Uint32Array(meta.numRows), end = new Uint32Array(meta.numRows);
    let row = 0, at = 0;
    ids.forEach((p, g) => {
      const rows = meta.rowGroups[g]!.numRows;
      const offsets = rowOffsets(p, rows, 1);
      const lows = new Uint32Array((p.values as BigInt64Array).buffer, (p.values as BigInt64Array).byteOffset, (p.values as BigInt64Array).length * 2);
      const n = lows.length / 2;
      for (let i = 0; i < n; i++) stacktraceId[at + i] = lows[2 * i]!;
      const v = values[g]!.values as BigInt64Array;
      if (v.length !== n) throw new CorruptError(this.name("profiles.parquet"), g, `expected ${n} sample values, found ${v.length}`);
      value.set(v, at);
      for (let i = 0; i < rows; i++) { start[row + i] = at + offsets[i]!; end[row + i] = at + offsets[i + 1]!; }
      row += rows;
      at += n;
    });
    Object.assign(this.rows, { stacktraceId, value, sampleStart: start, sampleEnd: end });
    this.columns.delete(Column.stacktraceId);
    this.columns.delete(Column.value);
    this.heldBytes += samples * 12 + meta.numRows * 8;
  }

  private async sumTotals(): Promise<BigInt64Array> {
    const t = await this.load(["samples"]);
    const out = new BigInt64Array(t.sampleStart.length);
    for (let i = 0; i < out.length; i++) for (let k = t.sampleStart[i]!; k < t.sampleEnd[i]!; k++) out[i]! += t.value[k]!;
    return out;
  }

  private async loadSpans(meta: FileMeta): Promise<void> {
    const parts = await this.column(Column.spanId);
    const spanStart = new Int32Array(meta.numRows).fill(-1);
    const words: Uint32Array[] = [];
    let row = 0, at = 0;
    for (const [g, p] of (parts ?? []).entries()) {
      const rows = meta.rowGroups[g]!.numRows;
      const offsets = rowOffsets(p, rows, 1);
      const values = p.values as BigInt64Array;
      const lows = new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
      // Levels say which samples have a value; rows without spans have none at all.
      const out = new Uint32Array(offsets[rows]! * 2);
      const def = p.def!;
      let entry = 0, value = 0;
      for (let i = 0; i < def.length; i++) {
        if (def[i]! < 1) continue;
        if (def[i] === p.leaf.maxDef) { out[entry * 2] = lows[value * 2]!; out[entry * 2 + 1] = lows[value * 2 + 1]!; value++; }
        entry++;
      }
      for (let i = 0; i < rows; i++) spanStart[row + i] = at + offsets[i]!;
      words.push(out);
      row += rows;
      at += offsets[rows]!;
    }
    const spans = new Uint32Array(at * 2);
    let pos = 0;
    for (const w of words) { spans.set(w, pos); pos += w.length; }
    Object.assign(this.rows, { spanStart, spans });
    this.columns.delete(Column.spanId);
    this.heldBytes += spans.byteLength;
  }

  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array {
    const time = this.rows.timeNanos;
    if (!time) throw new CinderblockError("internal", "rows were asked for before they were loaded");
    const from = this.seriesFrom[index]!, to = this.seriesTo[index]!;
    // Rows of a series are in time order: two binary searches.
    const first = lowerBound(time, from, to, startNanos);
    const last = lowerBound(time, first, to, endNanos + 1n);
    const out = new Uint32Array(last - first);
    for (let i = 0; i < out.length; i++) out[i] = first + i;
    return out;
  }

  // ---- symbols

  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }> {
    let known = this.resolved.get(partition);
    if (!known) {
      known = this.blockSymbols.read(this.partitions[partition]!).then(({ tables, leaf }) => {
        if (leaf) this.remap(leaf);
        const flame = new FlameIndex();
        flame.extend(tables);
        this.heldBytes += tables.stringBytes.length + 4 * (tables.functionWords.length + tables.locationWords.length + 3 * tables.stackParent.length) + flame.byteLength;
        return { tables, flame };
      });
      this.resolved.set(partition, known);
      known.catch(() => this.resolved.delete(partition));
    }
    return known;
  }


  /** Blocks of meta version 1: stacktrace ids are row numbers, here they become leaves of a tree. */
  private remap(leaf: Uint32Array): void {
    const ids = this.rows.stacktraceId;
    if (ids) for (let i = 0; i < ids.length; i++) ids[i] = leaf[ids[i]!] ?? 0;
  }
}

function lowerBound(time: BigInt64Array, from: number, to: number, value: bigint): number {
  let lo = from, hi = to;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (time[mid]! < value) lo = mid + 1; else hi = mid;
  }
  return lo;
}
