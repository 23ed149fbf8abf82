import { decodeUtf8 } from "@cinderblock/bytes";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CinderblockError, CorruptError, withBlock } from "@cinderblock/errors";
import { AnnotationSets } from "@cinderblock/model";
import {
  type BinaryValues,
  type ColumnData,
  decodeChunk,
  type ParquetFooter,
  type RowGroup,
  rowOffsets,
} from "@cinderblock/parquet";
import { ColumnPath, mayHaveAnnotations } from "@cinderblock/profile-table";
import { type BlockFiles, readFooter } from "./files.ts";
import { type PageRun, readPages, type RunColumn } from "./pages.ts";
import type { RowColumns, RowSource, RowTable, WantedRows } from "./rows.ts";

const NO_ROWS = new Uint32Array(0);
/** Maximum samples of one table in memory at once: 12 bytes each. */
const BATCH_SAMPLES = 4 << 20;

/** Shared state of a block's tables: the order of its series and the list of its symbol partitions. */
export interface TableContext {
  meta: BlockMeta;
  files: BlockFiles;
  /** series -> its number in the tables' column SeriesIndex */
  seriesIndex: Uint32Array;
  /** index of a partition in the block's list; adds unknown partitions */
  partitionPosition(id: bigint): number;
  /** meta version 1: row of the stacktrace table -> stack node, once the symbols are loaded */
  leaf(): Uint32Array | undefined;
}

const SPANS = 2,
  TRACES = 4;
/** A kind of sample ID (span or trace): its bit in `have`, its column, and the number of 32-bit words per ID. */
interface SampleIdKind {
  bit: number;
  path: string;
  width: number;
}
const SAMPLE_ID_KINDS: readonly SampleIdKind[] = [
  { bit: SPANS, path: ColumnPath.spanId, width: 2 },
  { bit: TRACES, path: ColumnPath.traceId, width: 4 },
];

/** A view of 64-bit integers or bytes as 32-bit words; unaligned bytes are copied. */
function wordsOf(v: BigInt64Array | Uint8Array): Uint32Array {
  const own = v.byteOffset % 4 === 0 ? v : v.slice();
  return new Uint32Array(own.buffer, own.byteOffset, own.byteLength >> 2);
}

/**
 * One Parquet table of a block. Keys (series, time, partition) are read completely. For samples, only the
 * pages with wanted rows are read, and appended to growing columns.
 */
export class BlockTable implements RowSource {
  readonly batchRows: number;
  /** bytes of decoded columns held in memory */
  heldBytes = 0;
  private readonly context: TableContext;
  private readonly relPath: string;
  private seriesFrom = NO_ROWS;
  private seriesTo = NO_ROWS;
  private table: Promise<{ meta: ParquetFooter; tail: { bytes: Uint8Array; offset: number } }> | undefined;
  private readonly columns = new Map<string, Promise<ColumnData[]>>();
  private rows: Partial<RowTable> = {};
  /** row -> bits of its loaded columns; 1: samples, 2: spans, 4: trace IDs */
  private have = new Uint8Array(0);
  private samples = 0;
  private spanEntries = 0;
  private traceEntries = 0;
  private sampleBytes = 0;

  constructor(context: TableContext, relPath: string) {
    this.context = context;
    this.relPath = relPath;
    const { numSamples, numProfiles } = context.meta.stats;
    this.batchRows = Math.max(
      1,
      Math.floor(BATCH_SAMPLES / Math.max(1, numSamples / Math.max(1, numProfiles))),
    );
  }

  private get name(): string {
    return `${this.context.meta.ulid}/${this.relPath}`;
  }

  private footer(): Promise<{ meta: ParquetFooter; tail: { bytes: Uint8Array; offset: number } }> {
    this.table ??= readFooter(this.context.meta, this.context.files, this.relPath);
    this.table.catch(() => {
      this.table = undefined;
    });
    return this.table;
  }

  /** Reads bytes of the file. Bytes of its end are in memory since the footer was read. */
  private async read(offset: number, size: number): Promise<Uint8Array> {
    const { tail } = await this.footer();
    if (offset >= tail.offset && offset + size <= tail.offset + tail.bytes.length)
      return tail.bytes.subarray(offset - tail.offset, offset - tail.offset + size);
    const bytes = await this.context.files.read(this.relPath, offset, size);
    if (bytes.length !== size)
      throw new CorruptError(this.name, offset, `expected ${size} bytes, found ${bytes.length}`);
    return bytes;
  }

  /** A complete column; undefined if the table lacks it. */
  private async column(path: string): Promise<ColumnData[] | undefined> {
    const { meta } = await this.footer();
    if (!meta.leaves.some((l) => l.path === path)) return undefined;
    let known = this.columns.get(path);
    if (!known) {
      known = Promise.all(
        meta.rowGroups.map(async (g) => {
          const chunk = g.columns.get(path)!;
          return decodeChunk(await this.read(chunk.start, chunk.sizeBytes), chunk, this.name);
        }),
      );
      this.columns.set(path, known);
      known.catch(() => this.columns.delete(path));
    }
    return known;
  }

  private async joined(path: string): Promise<BigInt64Array | undefined> {
    const parts = await this.column(path);
    if (!parts) return undefined;
    if (parts.length === 1) return parts[0]!.values as BigInt64Array;
    let n = 0;
    for (const p of parts) n += (p.values as BigInt64Array).length;
    const out = new BigInt64Array(n);
    let at = 0;
    for (const p of parts) {
      out.set(p.values as BigInt64Array, at);
      at += (p.values as BigInt64Array).length;
    }
    return out;
  }

  load(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable> {
    return withBlock(this.context.meta.ulid, () => this.loadColumns(need, wanted));
  }
  private async loadColumns(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable> {
    const { meta } = await this.footer();
    const r = this.rows;
    if (!r.timeNanos) await this.loadKeys(meta);
    if (need.includes("totals") && !r.totalValue) {
      const totals = await this.joined(ColumnPath.totalValue);
      // Blocks of meta version 1 store no totals: sum the samples instead.
      const values = totals ?? (await this.sumTotals());
      // A concurrent query may have set the totals during the await.
      if (!r.totalValue) {
        r.totalValue = values;
        this.heldBytes += meta.numRows * 8;
      }
      this.columns.delete(ColumnPath.totalValue);
    }
    if (need.includes("ids") && !r.id) await this.loadIds(meta);
    if (need.includes("annotations") && !r.annotation) await this.loadAnnotations(meta);
    const idBits = (need.includes("spans") ? SPANS : 0) | (need.includes("traces") ? TRACES : 0),
      bits = idBits | (need.includes("samples") || idBits !== 0 ? 1 : 0);
    // A concurrent query may release rows in the meantime: read them again.
    for (let missing = this.missing(wanted, bits); missing.length > 0; missing = this.missing(wanted, bits))
      await this.loadLists(meta, missing, bits);
    return { ...this.rows } as RowTable;
  }

  private async loadIds(meta: ParquetFooter): Promise<void> {
    const parts = await this.column(ColumnPath.id);
    const id = new Uint8Array(meta.numRows * 16);
    let at = 0;
    for (const p of parts ?? []) {
      id.set(p.values as Uint8Array, at);
      at += (p.values as Uint8Array).length;
    }
    if (this.rows.id) return;
    this.rows.id = id;
    this.heldBytes += id.length;
    this.columns.delete(ColumnPath.id);
  }

  private async loadAnnotations(meta: ParquetFooter): Promise<void> {
    const set = new Uint32Array(meta.numRows),
      sets = new AnnotationSets();
    let first = 0;
    for (const group of meta.rowGroups) {
      if (mayHaveAnnotations(meta, group))
        await this.annotationsOf(group, set.subarray(first, first + group.numRows), sets);
      first += group.numRows;
    }
    if (this.rows.annotation) return; // a concurrent query has stored the annotations already
    Object.assign(this.rows, { annotation: set, annotations: sets });
    this.heldBytes += set.byteLength + sets.byteLength;
  }

  private async annotationsOf(group: RowGroup, set: Uint32Array, sets: AnnotationSets): Promise<void> {
    const [keys, values] = (await Promise.all(
      [ColumnPath.annotationKey, ColumnPath.annotationValue].map(async (path) => {
        const chunk = group.columns.get(path);
        if (!chunk) throw new CorruptError(this.name, 0, `expected column ${path} in every row group`);
        return decodeChunk(await this.read(chunk.start, chunk.sizeBytes), chunk, this.name);
      }),
    )) as [ColumnData, ColumnData];
    const offset = rowOffsets(keys, group.numRows, 1),
      more = rowOffsets(values, group.numRows, 1);
    const text = (c: ColumnData, k: number): string => {
      const v = c.values as BinaryValues;
      return decodeUtf8(v.bytes, v.offset[k]!, v.offset[k + 1]!);
    };
    for (let i = 0; i < group.numRows; i++) {
      if (offset[i + 1] !== more[i + 1])
        throw new CorruptError(this.name, i, "expected a value for each key of an annotation");
      const list = [];
      for (let k = offset[i]!; k < offset[i + 1]!; k++)
        list.push({ key: text(keys, k), value: text(values, k) });
      set[i] = sets.intern(list);
    }
  }

  private async loadKeys(meta: ParquetFooter): Promise<void> {
    const [index, time, partition] = await Promise.all([
      this.column(ColumnPath.seriesIndex),
      this.joined(ColumnPath.timeNanos),
      this.joined(ColumnPath.partition),
    ]);
    if (this.rows.timeNanos) return; // a concurrent query has stored the keys already
    if (!index || !time)
      throw new CorruptError(this.name, 0, "expected the columns SeriesIndex and TimeNanos");
    const n = meta.numRows;
    const { seriesIndex } = this.context;
    const bySeriesIndex = new Map<number, number>();
    seriesIndex.forEach((v, i) => bySeriesIndex.set(v, i));
    this.seriesFrom = new Uint32Array(seriesIndex.length);
    this.seriesTo = new Uint32Array(seriesIndex.length);
    let row = 0;
    for (const part of index) {
      const values = part.values;
      const wide =
        values instanceof BigInt64Array
          ? new Int32Array(values.buffer, values.byteOffset, values.length * 2)
          : undefined;
      const count = (values as Int32Array).length;
      for (let i = 0; i < count; i++, row++) {
        const s = bySeriesIndex.get(wide ? wide[2 * i]! : (values as Int32Array)[i]!);
        if (s === undefined) continue;
        if (this.seriesTo[s] === 0) this.seriesFrom[s] = row;
        else if (this.seriesTo[s] !== row)
          throw new CorruptError(this.name, row, "expected the rows of a series to be contiguous");
        this.seriesTo[s] = row + 1;
      }
    }
    const positions = new Uint32Array(n);
    if (partition) {
      // Rows of one series, and most of their neighbors, are in one partition.
      let last = -1n,
        at = 0;
      for (let i = 0; i < n; i++) {
        const id = partition[i]!;
        if (id !== last) {
          last = id;
          at = this.context.partitionPosition(BigInt.asUintN(64, id));
        }
        positions[i] = at;
      }
    } else this.context.partitionPosition(0n);
    this.rows.timeNanos = time;
    this.rows.partition = positions;
    this.columns.clear();
    this.heldBytes += n * 12;
    this.have = new Uint8Array(n);
    this.forgetSamples();
  }

  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array {
    const time = this.rows.timeNanos;
    if (!time) throw new CinderblockError("internal", "rows were requested before they were loaded");
    const from = this.seriesFrom[index]!,
      to = this.seriesTo[index]!;
    // Rows of a series are in time order: two binary searches find the range.
    const first = lowerBound(time, from, to, startNanos);
    const last = lowerBound(time, first, to, endNanos + 1n);
    const out = new Uint32Array(last - first);
    for (let i = 0; i < out.length; i++) out[i] = first + i;
    return out;
  }

  // ---- samples, their spans and traces

  private forgetSamples(): void {
    const n = this.have.length;
    Object.assign(this.rows, {
      sampleStart: new Uint32Array(n),
      sampleEnd: new Uint32Array(n),
      stacktraceId: NO_ROWS,
      value: new BigInt64Array(0),
      spanStart: new Int32Array(n).fill(-1),
      spans: NO_ROWS,
      traceStart: new Int32Array(n).fill(-1),
      traces: NO_ROWS,
    });
    this.samples = this.spanEntries = this.traceEntries = this.sampleBytes = 0;
  }

  release(): void {
    this.heldBytes -= this.sampleBytes;
    // New arrays, because tables returned earlier keep theirs.
    this.have = new Uint8Array(this.have.length);
    this.forgetSamples();
  }

  /** Wanted rows that lack one of `bits`, ascending. */
  private missing(wanted: WantedRows | undefined, bits: number): Uint32Array {
    if (bits === 0) return NO_ROWS;
    const { have } = this;
    let n = 0;
    if (!wanted) {
      for (let i = 0; i < have.length; i++) if ((have[i]! & bits) !== bits) n++;
      const out = new Uint32Array(n);
      for (let i = 0, at = 0; at < n; i++) if ((have[i]! & bits) !== bits) out[at++] = i;
      return out;
    }
    for (const { rows } of wanted)
      for (let i = 0; i < rows.length; i++) if ((have[rows[i]!]! & bits) !== bits) n++;
    const out = new Uint32Array(n);
    let at = 0;
    for (const { rows } of wanted)
      for (let i = 0; i < rows.length && at < n; i++)
        if ((have[rows[i]!]! & bits) !== bits) out[at++] = rows[i]!;
    for (let i = 1; i < n; i++) if (out[i - 1]! >= out[i]!) return out.sort();
    return out;
  }

  private async loadLists(meta: ParquetFooter, rows: Uint32Array, bits: number): Promise<void> {
    // A table may lack the columns of IDs.
    const kinds = SAMPLE_ID_KINDS.filter((m) => (bits & m.bit) !== 0),
      there = kinds.filter((m) => meta.leaves.some((l) => l.path === m.path));
    const paths = [ColumnPath.stacktraceId, ColumnPath.value, ...there.map((m) => m.path)];
    const runs = await readPages(meta, this.name, paths, rows, (offset, size) => this.read(offset, size));
    let entries = 0;
    for (const run of runs) entries += run.columns[0]!.entries;
    this.reserve(entries, bits);
    for (const run of runs) {
      this.addSamples(run);
      for (const m of kinds)
        this.addSampleIds(run, m, there.includes(m) ? run.columns[2 + there.indexOf(m)] : undefined);
    }
    this.account();
  }

  private reserve(entries: number, bits: number): void {
    const r = this.rows as RowTable;
    const room = (size: number, used: number, more: number): number =>
      used + more <= size ? 0 : Math.max(used + more, used === 0 ? 0 : size * 2);
    const size = room(r.stacktraceId.length, this.samples, entries);
    if (size > 0) {
      const ids = new Uint32Array(size),
        value = new BigInt64Array(size);
      ids.set(r.stacktraceId.subarray(0, this.samples));
      value.set(r.value.subarray(0, this.samples));
      r.stacktraceId = ids;
      r.value = value;
    }
    const wider = (data: Uint32Array, used: number, more: number): Uint32Array => {
      const words = room(data.length, used, more);
      if (words === 0) return data;
      const grown = new Uint32Array(words);
      grown.set(data.subarray(0, used));
      return grown;
    };
    if ((bits & SPANS) !== 0) r.spans = wider(r.spans, this.spanEntries * 2, entries * 2);
    if ((bits & TRACES) !== 0) r.traces = wider(r.traces, this.traceEntries * 4, entries * 4);
  }

  /** Appends the rows of a run that are not loaded yet to the columns. */
  private addSamples({ firstRow, rows, columns: [ids, values] }: PageRun): void {
    const { have } = this;
    const idOffset = ids!.offset,
      valueOffset = values!.offset;
    let some = false;
    for (let i = 0; i < rows; i++) {
      const expected = idOffset[i + 1]! - idOffset[i]!,
        found = valueOffset[i + 1]! - valueOffset[i]!;
      if (found !== expected)
        throw new CorruptError(this.name, firstRow + i, `expected ${expected} sample values, found ${found}`);
      if ((have[firstRow + i]! & 1) !== 0) some = true;
    }
    if (!some) {
      this.copySamples(ids!, values!, firstRow, 0, rows);
      return;
    }
    for (let i = 0; i < rows; i++)
      if ((have[firstRow + i]! & 1) === 0) this.copySamples(ids!, values!, firstRow, i, i + 1);
  }

  /** Copies rows [from, to) of a run. */
  private copySamples(ids: RunColumn, values: RunColumn, firstRow: number, from: number, to: number): void {
    const r = this.rows as RowTable;
    const a = ids.offset[from]!,
      b = ids.offset[to]!,
      at = this.samples;
    const wide = ids.data.values as BigInt64Array,
      lows = new Uint32Array(wide.buffer, wide.byteOffset, wide.length * 2);
    copyIds(r.stacktraceId, at, lows, a, b, this.context.leaf());
    r.value.set((values.data.values as BigInt64Array).subarray(values.offset[from]!, values.offset[to]!), at);
    for (let i = from; i < to; i++) {
      r.sampleStart[firstRow + i] = at + ids.offset[i]! - a;
      r.sampleEnd[firstRow + i] = at + ids.offset[i + 1]! - a;
      this.have[firstRow + i]! |= 1;
    }
    this.samples = at + b - a;
  }

  /**
   * Adds IDs of samples; definition levels say which samples have one. In a table without the column, no row
   * has any.
   */
  private addSampleIds(
    { firstRow, rows }: PageRun,
    { bit, width }: SampleIdKind,
    column: RunColumn | undefined,
  ): void {
    const { have } = this,
      r = this.rows as RowTable;
    if (!column) {
      for (let i = 0; i < rows; i++) have[firstRow + i]! |= bit;
      return;
    }
    const { data, offset, skipped } = column,
      values = wordsOf(data.values as BigInt64Array | Uint8Array),
      def = data.def!;
    // entry -> value, if any; levels cover all entries of the pages, from the first on
    const words = new Uint32Array(offset[rows]! * width);
    for (let i = 0, entry = 0, value = 0; i < def.length && entry < offset[rows]!; i++) {
      if (def[i]! < 1) continue;
      if (def[i] === data.leaf.maxDef) {
        if (entry >= skipped)
          for (let w = 0; w < width; w++) words[entry * width + w] = values[value * width + w]!;
        value++;
      }
      entry++;
    }
    const [starts, target] = bit === SPANS ? [r.spanStart, r.spans] : [r.traceStart, r.traces];
    for (let i = 0; i < rows; i++) {
      const row = firstRow + i;
      if ((have[row]! & bit) !== 0) continue;
      const a = offset[i]!,
        b = offset[i + 1]!,
        at = bit === SPANS ? this.spanEntries : this.traceEntries;
      starts[row] = at;
      target.set(words.subarray(a * width, b * width), at * width);
      if (bit === SPANS) this.spanEntries = at + b - a;
      else this.traceEntries = at + b - a;
      have[row]! |= bit;
    }
  }

  private account(): void {
    const r = this.rows as RowTable;
    const now =
      r.stacktraceId.byteLength +
      r.value.byteLength +
      r.spans.byteLength +
      r.traces.byteLength +
      this.have.length * 16;
    this.heldBytes += now - this.sampleBytes;
    this.sampleBytes = now;
  }

  private async sumTotals(): Promise<BigInt64Array> {
    const t = await this.load(["samples"]);
    const out = new BigInt64Array(t.sampleStart.length);
    for (let i = 0; i < out.length; i++)
      for (let k = t.sampleStart[i]!; k < t.sampleEnd[i]!; k++) out[i]! += t.value[k]!;
    return out;
  }

  /** Blocks of meta version 1: replaces stacktrace IDs, which are row numbers, by leaves of a tree. */
  replaceRowNumbersByLeaves(leaf: Uint32Array): void {
    const ids = this.rows.stacktraceId;
    if (ids) for (let i = 0; i < this.samples; i++) ids[i] = leaf[ids[i]!] ?? 0;
  }
}

/** Copies the low words of stacktrace IDs; with `leaf`, the corresponding stack nodes. */
function copyIds(
  to: Uint32Array,
  at: number,
  lows: Uint32Array,
  from: number,
  end: number,
  leaf: Uint32Array | undefined,
): void {
  if (!leaf) {
    for (let k = from; k < end; k++) to[at + k - from] = lows[2 * k]!;
    return;
  }
  for (let k = from; k < end; k++) to[at + k - from] = leaf[lows[2 * k]!] ?? 0;
}

function lowerBound(time: BigInt64Array, from: number, to: number, value: bigint): number {
  let lo = from,
    hi = to;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (time[mid]! < value) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}
