import { decodeUtf8 } from "@cinderblock/bytes";
import { type BlockFiles, BlockSymbols, readFooter } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CorruptError, withBlock } from "@cinderblock/errors";
import { type Annotations, compareLabels, type Labels, NO_ANNOTATIONS } from "@cinderblock/model";
import { ColumnCursor, type ColumnRun, type ParquetFooter } from "@cinderblock/parquet";
import { ColumnPath, mayHaveAnnotations } from "@cinderblock/profile-table";
import { decodeIndex } from "@cinderblock/tsdb-index";

/** A series of a source, and the number of its consecutive rows in the table. */
export interface CompactedSeries {
  labels: Labels;
  fingerprint: bigint;
  rows: number;
}

/** Limits of a source's stream: samples of one run, and bytes to read ahead per column. */
export interface StreamBounds {
  maxEntries: number;
  windowBytes: number;
}

/** An input block of a compaction: its series in label order, its rows as a stream. */
export class SourceBlock {
  readonly meta: BlockMeta;
  readonly symbols: BlockSymbols;
  readonly series: CompactedSeries[];
  private readonly files: BlockFiles;
  private readonly table: ParquetFooter;

  private constructor(meta: BlockMeta, files: BlockFiles, table: ParquetFooter, series: CompactedSeries[]) {
    this.meta = meta;
    this.files = files;
    this.table = table;
    this.series = series;
    this.symbols = new BlockSymbols(meta, files);
  }

  /**
   * Reads the index and the series column.
   * @throws for a block whose rows are not in the order of its index
   */
  static open(meta: BlockMeta, files: BlockFiles): Promise<SourceBlock> {
    return withBlock(meta.ulid, () => SourceBlock.read(meta, files));
  }

  private static async read(meta: BlockMeta, files: BlockFiles): Promise<SourceBlock> {
    const file = `${meta.ulid}/profiles.parquet`;
    const list = decodeIndex(await files.read("index.tsdb", 0, undefined), `${meta.ulid}/index.tsdb`);
    const byOrdinal = new Map(list.map((s) => [s.seriesIndex, s]));
    const { meta: table } = await readFooter(meta, files, "profiles.parquet");
    const cursor = new ColumnCursor(table, ColumnPath.seriesIndex, file, 512 << 10, (o, n) =>
      files.read("profiles.parquet", o, n),
    );
    const series: CompactedSeries[] = [];
    let current = -1,
      row = 0;
    for (let n = await cursor.available(65_536); n > 0; n = await cursor.available(65_536)) {
      const { slots } = await cursor.readRun(n);
      const wide =
        slots instanceof BigInt64Array
          ? new Int32Array(slots.buffer, slots.byteOffset, slots.length * 2)
          : undefined;
      for (let i = 0; i < n; i++, row++) {
        const ordinal = wide ? wide[2 * i]! : (slots as Int32Array)[i]!;
        if (ordinal === current) {
          series[series.length - 1]!.rows++;
          continue;
        }
        const s = byOrdinal.get(ordinal);
        if (!s)
          throw new CorruptError(
            file,
            row,
            `expected a series of the index, found a row of series number ${ordinal}`,
          );
        const before = series.at(-1);
        if (before && compareLabels(before.labels, s.labels) >= 0)
          throw new CorruptError(file, row, "expected rows sorted by their labels");
        series.push({ labels: s.labels, fingerprint: s.fingerprint, rows: 1 });
        current = ordinal;
      }
    }
    return new SourceBlock(meta, files, table, series);
  }

  has(path: string): boolean {
    return this.table.leaves.some((l) => l.path === path);
  }

  /**
   * Stream of the rows from the first on. `all` loads all columns of an output; otherwise only the columns
   * that decide which rows to keep.
   */
  rows(all: boolean, bounds: StreamBounds): RowStream {
    const cursor = (path: string): ColumnCursor | undefined =>
      this.has(path)
        ? new ColumnCursor(
            this.table,
            path,
            `${this.meta.ulid}/profiles.parquet`,
            bounds.windowBytes,
            (o, n) => this.files.read("profiles.parquet", o, n),
          )
        : undefined;
    const annotated = all && this.table.rowGroups.some((g) => mayHaveAnnotations(this.table, g));
    return new RowStream(
      this.meta.ulid,
      {
        time: cursor(ColumnPath.timeNanos),
        id: cursor(ColumnPath.id),
        partition: cursor(ColumnPath.partition),
        total: cursor(ColumnPath.totalValue),
        stacktrace: cursor(ColumnPath.stacktraceId),
        value: all || !this.has(ColumnPath.totalValue) ? cursor(ColumnPath.value) : undefined,
        duration: all ? cursor(ColumnPath.durationNanos) : undefined,
        span: all ? cursor(ColumnPath.spanId) : undefined,
        trace: all ? cursor(ColumnPath.traceId) : undefined,
        annotationKey: annotated ? cursor(ColumnPath.annotationKey) : undefined,
        annotationValue: annotated ? cursor(ColumnPath.annotationValue) : undefined,
      },
      bounds.maxEntries,
    );
  }
}

interface Cursors {
  time: ColumnCursor | undefined;
  id: ColumnCursor | undefined;
  partition: ColumnCursor | undefined;
  total: ColumnCursor | undefined;
  stacktrace: ColumnCursor | undefined;
  value: ColumnCursor | undefined;
  duration: ColumnCursor | undefined;
  span: ColumnCursor | undefined;
  trace: ColumnCursor | undefined;
  annotationKey: ColumnCursor | undefined;
  annotationValue: ColumnCursor | undefined;
}

/**
 * Consecutive rows of a source. Entries of row i are [offset[i], offset[i + 1]) in `stacktrace`; other lists
 * may begin elsewhere and have their own offsets.
 */
export interface RowBatch {
  length: number;
  time: BigInt64Array;
  /** time as pairs of words, low first, for comparisons without BigInt */
  timeLow: Uint32Array;
  timeHigh: Int32Array;
  id: Uint8Array;
  partition: BigInt64Array;
  total: BigInt64Array;
  offset: Uint32Array;
  /** entry -> stacktrace ID at 2 * entry (low word) */
  stacktraceWords: Uint32Array;
  value: ColumnRun | undefined;
  duration: BigInt64Array | undefined;
  span: ColumnRun | undefined;
  trace: ColumnRun | undefined;
  /** absent if no row of the run has annotations */
  annotations: { keys: ColumnRun; values: ColumnRun } | undefined;
}

/** Annotations of a row. */
export function annotationsOf({ annotations }: RowBatch, at: number): Annotations {
  if (!annotations) return NO_ANNOTATIONS;
  const { keys, values } = annotations,
    from = keys.offset![at]!,
    n = keys.offset![at + 1]! - from,
    first = values.offset![at]!;
  return Array.from({ length: n }, (_, k) => ({
    key: textAt(keys, from + k),
    value: textAt(values, first + k),
  }));
}

function textAt({ texts }: ColumnRun, entry: number): string {
  return decodeUtf8(texts!.bytes, texts!.offset[entry]!, texts!.offset[entry + 1]!);
}

const MAX_ROWS = 2048;

/** Delivers a source's rows in runs of a bounded number of samples. */
export class RowStream {
  private readonly cursors: Cursors;
  private readonly ulid: string;
  private readonly maxEntries: number;

  constructor(ulid: string, cursors: Cursors, maxEntries: number) {
    this.ulid = ulid;
    this.cursors = cursors;
    this.maxEntries = maxEntries;
  }

  /** The next run; undefined at the end. */
  next(): Promise<RowBatch | undefined> {
    return withBlock(this.ulid, () => this.read());
  }

  private async read(): Promise<RowBatch | undefined> {
    const c = this.cursors;
    if (!c.time || !c.stacktrace)
      throw new CorruptError(
        `${this.ulid}/profiles.parquet`,
        0,
        "expected the columns TimeNanos and Samples",
      );
    const n = await c.stacktrace.available(MAX_ROWS, this.maxEntries);
    if (n === 0) return undefined;
    const take = (cursor: ColumnCursor | undefined): Promise<ColumnRun | undefined> =>
      cursor ? cursor.readRun(n) : Promise.resolve(undefined);
    const [time, id, partition, total, stacktrace, value, duration, span, trace, keys, values] =
      await Promise.all([
        take(c.time),
        take(c.id),
        take(c.partition),
        take(c.total),
        take(c.stacktrace),
        take(c.value),
        take(c.duration),
        take(c.span),
        take(c.trace),
        take(c.annotationKey),
        take(c.annotationValue),
      ]);
    const times = time!.slots as BigInt64Array;
    const words = new Int32Array(times.buffer, times.byteOffset, n * 2);
    const timeLow = new Uint32Array(n),
      timeHigh = new Int32Array(n);
    for (let i = 0; i < n; i++) {
      timeLow[i] = words[2 * i]!;
      timeHigh[i] = words[2 * i + 1]!;
    }
    const ids = stacktrace!.slots as BigInt64Array;
    return {
      length: n,
      time: times,
      timeLow,
      timeHigh,
      id: (id?.slots as Uint8Array | undefined) ?? new Uint8Array(n * 16),
      partition: (partition?.slots as BigInt64Array | undefined) ?? new BigInt64Array(n),
      total: (total?.slots as BigInt64Array | undefined) ?? sums(value!),
      offset: stacktrace!.offset!,
      stacktraceWords: new Uint32Array(ids.buffer, ids.byteOffset, ids.length * 2),
      value,
      duration: duration?.slots as BigInt64Array | undefined,
      span,
      trace,
      annotations: this.annotations(keys, values),
    };
  }

  private annotations(keys: ColumnRun | undefined, values: ColumnRun | undefined): RowBatch["annotations"] {
    if (!keys || !values || keys.offset![0] === keys.offset![keys.rows]) return undefined;
    for (let i = 0; i < keys.rows; i++)
      if (keys.offset![i + 1]! - keys.offset![i]! !== values.offset![i + 1]! - values.offset![i]!)
        throw new CorruptError(
          `${this.ulid}/profiles.parquet`,
          i,
          "expected a value for each key of an annotation",
        );
    return { keys, values };
  }
}

/** Totals of rows; computed from samples, because blocks of meta version 1 store none. */
function sums(value: ColumnRun): BigInt64Array {
  const out = new BigInt64Array(value.rows);
  const slots = value.slots as BigInt64Array;
  for (let i = 0; i < value.rows; i++)
    for (let k = value.offset![i]!; k < value.offset![i + 1]!; k++) out[i]! += slots[k]!;
  return out;
}
