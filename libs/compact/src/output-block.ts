import { mkdirSync, writeFileSync } from "node:fs";
import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import { ByteColumn, I32Column, I64Column, U32Column } from "@cinderblock/columnar";
import { AnnotationSets } from "@cinderblock/model";
import { CREATED_BY, type ProfileRows, ProfileTableWriter, ROWS_PER_GROUP } from "@cinderblock/profile-table";
import { encodeIndex, type IndexSeries } from "@cinderblock/tsdb-index";
import { Downsampler } from "./downsample.ts";
import type { MergedRow, MergedSeries } from "./merge.ts";
import { OutputFile } from "./output-file.ts";
import { annotationsOf } from "./source-block.ts";

const DOWNSAMPLED = [
  { name: "profiles_5m_sum.parquet", seconds: 300 },
  { name: "profiles_1h_sum.parquet", seconds: 3600 },
];

/**
 * One output of a compaction, in a directory named by its ULID. Rows arrive in order; a full row group is
 * written at once.
 */
export class OutputBlock {
  readonly ulid: string;
  readonly dir: string;
  readonly symbols: OutputFile;
  private readonly table: OutputFile;
  private readonly writer: ProfileTableWriter;
  private readonly downsamplers: { name: string; d: Downsampler }[];
  private readonly series: IndexSeries[] = [];
  private rank = -1;
  private rows = 0;
  private samples = 0;
  private readonly maxSamples: number;

  private readonly id = new ByteColumn(4096);
  private readonly seriesIndex = new I32Column(256);
  private readonly partition = new I64Column(256);
  private readonly total = new I64Column(256);
  private readonly time = new I64Column(256);
  private readonly duration = new I64Column(256);
  private readonly offset = new U32Column(256);
  private readonly stack = new U32Column(4096);
  private readonly value = new I64Column(4096);
  /** span IDs, one for each sample of the row group; absent while no row of the group has spans */
  private span: I64Column | undefined;
  private hasSpan: ByteColumn | undefined;
  private trace: ByteColumn | undefined;
  /** row -> its list in `annotations` */
  private readonly annotation = new U32Column(256);
  private annotations = new AnnotationSets();

  constructor(workDir: string, ulid: string, downsample: boolean, maxSamples: number) {
    this.ulid = ulid;
    this.dir = `${workDir}/${this.ulid}`;
    mkdirSync(this.dir, { recursive: true });
    this.maxSamples = maxSamples;
    this.symbols = new OutputFile(this.dir, "symbols.symdb");
    this.table = new OutputFile(this.dir, "profiles.parquet");
    this.writer = new ProfileTableWriter(CREATED_BY, this.table.write);
    this.downsamplers = downsample
      ? DOWNSAMPLED.map(({ name, seconds }) => ({
          name,
          d: new Downsampler(new OutputFile(this.dir, name), seconds, CREATED_BY, maxSamples),
        }))
      : [];
    this.offset.push(0);
  }

  /** Adds a row; `map` maps its stacks to this output's. */
  add(row: MergedRow, series: MergedSeries, map: Uint32Array): void {
    const { rows: r, at } = row;
    const time = r.time[at]!;
    if (row.rank !== this.rank) {
      this.rank = row.rank;
      this.series.push({
        labels: series.labels,
        fingerprint: series.fingerprint,
        minTime: time,
        maxTime: time,
        seriesIndex: this.series.length,
      });
    }
    const ordinal = this.series.length - 1;
    this.series[ordinal]!.maxTime = time;
    this.id.append(r.id, at * 16, at * 16 + 16);
    this.seriesIndex.push(ordinal);
    this.partition.push(r.partition[at]!);
    this.total.push(r.total[at]!);
    this.time.push(time);
    this.duration.push(r.duration?.[at] ?? 0n);

    const from = r.offset[at]!,
      n = r.offset[at + 1]! - from,
      to = this.stack.length;
    this.stack.reserve(n);
    this.value.reserve(n);
    const stack = this.stack.data,
      words = r.stacktraceWords;
    for (let k = 0; k < n; k++) stack[to + k] = map[words[2 * (from + k)]!]!;
    const v = r.value!;
    const first = v.offset![at]!;
    this.value.data.set((v.slots as BigInt64Array).subarray(first, first + n), to);
    this.stack.length = this.value.length = to + n;
    this.offset.push(to + n);
    this.addIds(row, to, n);
    const annotations = annotationsOf(r, at);
    this.annotation.push(this.annotations.intern(annotations));
    for (const { d } of this.downsamplers)
      d.add(ordinal, r.partition[at]!, time, stack, this.value.data, to, to + n, annotations);
    this.rows++;
    this.samples += n;
    if (this.seriesIndex.length >= ROWS_PER_GROUP || this.stack.length >= this.maxSamples) this.flush();
  }

  private addIds({ rows: r, at }: MergedRow, to: number, n: number): void {
    const { span, trace } = r;
    if (span) {
      const first = span.offset![at]!;
      const any = n > 0 && (!span.present || span.present.subarray(first, first + n).includes(1));
      if (any && !this.span) {
        this.span = new I64Column(4096);
        this.hasSpan = new ByteColumn(4096);
      }
      if (any) {
        pad(this.span!, to);
        padBytes(this.hasSpan!, to);
        this.span!.reserve(n);
        this.span!.data.set((span.slots as BigInt64Array).subarray(first, first + n), to);
        this.span!.length = to + n;
        if (span.present) this.hasSpan!.append(span.present, first, first + n);
        else padBytes(this.hasSpan!, to + n, 1);
      }
    }
    if (trace) {
      const first = trace.offset![at]!;
      if (n === 0 || (trace.present && !trace.present.subarray(first, first + n).includes(1))) return;
      this.trace ??= new ByteColumn(4096);
      padBytes(this.trace, to * 16);
      this.trace.append(trace.slots as Uint8Array, first * 16, (first + n) * 16);
    }
  }

  private flush(): void {
    const length = this.seriesIndex.length;
    if (length === 0) return;
    const samples = this.stack.length;
    if (this.span) {
      pad(this.span, samples);
      padBytes(this.hasSpan!, samples);
    }
    if (this.trace) padBytes(this.trace, samples * 16);
    const rows: ProfileRows = {
      length,
      id: this.id.view(),
      seriesIndex: this.seriesIndex.view(),
      partition: this.partition.view(),
      totalValue: this.total.view(),
      timeNanos: this.time.view(),
      durationNanos: this.duration.view(),
      sampleOffset: this.offset.view(),
      stacktraceId: this.stack.view(),
      value: this.value.view(),
      ...(this.span ? { spanId: this.span.view(), hasSpan: this.hasSpan!.view() } : {}),
      ...(this.trace ? { traceId: this.trace.view() } : {}),
      ...(this.annotations.length > 1
        ? { annotations: { set: this.annotation.view(), sets: this.annotations } }
        : {}),
    };
    this.writer.write(rows);
    for (const c of [
      this.id,
      this.seriesIndex,
      this.partition,
      this.total,
      this.time,
      this.duration,
      this.offset,
      this.stack,
      this.value,
      this.annotation,
    ])
      c.length = 0;
    if (this.annotations.length > 1) this.annotations = new AnnotationSets();
    this.span = this.hasSpan = this.trace = undefined;
    this.offset.push(0);
  }

  /** Writes the remaining rows and the index. The returned meta lacks only the fields of its compaction. */
  finish(): Pick<BlockMeta, "ulid" | "files" | "stats"> {
    this.flush();
    this.writer.finish();
    this.table.finish();
    this.symbols.finish();
    for (const { d } of this.downsamplers) d.finish();
    const index = new OutputFile(this.dir, "index.tsdb");
    index.write(encodeIndex(this.series));
    index.finish();
    return {
      ulid: this.ulid,
      stats: { numSamples: this.samples, numSeries: this.series.length, numProfiles: this.rows },
      files: [
        { relPath: "index.tsdb", sizeBytes: index.sizeBytes, tsdb: { numSeries: this.series.length } },
        {
          relPath: "profiles.parquet",
          sizeBytes: this.table.sizeBytes,
          parquet: { numRowGroups: this.writer.rowGroups, numRows: this.rows },
        },
        ...this.downsamplers.map(({ name, d }) => ({
          relPath: name,
          sizeBytes: d.file.sizeBytes,
          parquet: { numRowGroups: d.rowGroups, numRows: d.rows },
        })),
        { relPath: "symbols.symdb", sizeBytes: this.symbols.sizeBytes },
      ],
    };
  }

  writeMeta(meta: BlockMeta): void {
    writeFileSync(`${this.dir}/meta.json`, encodeMeta(meta));
  }

  /** Closes the files after a failure. */
  closeFiles(): void {
    for (const f of [this.symbols, this.table, ...this.downsamplers.map(({ d }) => d.file)]) f.close();
  }
}

function pad(column: I64Column, length: number): void {
  column.reserve(Math.max(0, length - column.length));
  if (length > column.length) {
    column.data.fill(0n, column.length, length);
    column.length = length;
  }
}

function padBytes(column: ByteColumn, length: number, value = 0): void {
  if (length > column.length) {
    const more = new Uint8Array(length - column.length);
    if (value !== 0) more.fill(value);
    column.append(more, 0, more.length);
  }
}
