import { I32Column, I64Column, U32Column } from "@cinderblock/columnar";
import { type Annotations, AnnotationSets } from "@cinderblock/model";
import { DownsampledTableWriter } from "@cinderblock/profile-table";
import type { OutputFile } from "./output-file.ts";

const ROWS = 100_000;

/**
 * One downsampled table: sums of consecutive rows with equal time bucket, series and symbol partition
 * (docs/formats/profiles-parquet.md).
 */
export class Downsampler {
  private readonly writer: DownsampledTableWriter;
  readonly file: OutputFile;
  private readonly bucketNanos: bigint;
  private readonly maxSamples: number;
  private readonly series = new I32Column(256);
  private readonly partition = new I64Column(256);
  private readonly total = new I64Column(256);
  private readonly time = new I64Column(256);
  private readonly offset = new U32Column(256);
  private readonly stack = new U32Column(4096);
  private readonly value = new I64Column(4096);
  /** row -> its list in `sets`: the annotations of all its profiles */
  private readonly annotation = new U32Column(256);
  private sets = new AnnotationSets();
  private sums = new Map<number, number>();
  private key = { bucket: -1n, series: -1, partition: 0n };
  rows = 0;

  constructor(file: OutputFile, seconds: number, createdBy: string, maxSamples: number) {
    this.file = file;
    this.bucketNanos = BigInt(seconds) * 1_000_000_000n;
    this.maxSamples = maxSamples;
    this.writer = new DownsampledTableWriter(createdBy, file.write);
    this.offset.push(0);
  }

  get rowGroups(): number {
    return this.writer.rowGroups;
  }

  /** Adds a row of the output, in output order, with the samples [from, to) of the two columns. */
  add(
    series: number,
    partition: bigint,
    timeNanos: bigint,
    stacks: Uint32Array,
    values: BigInt64Array,
    from: number,
    to: number,
    annotations: Annotations,
  ): void {
    const bucket = timeNanos / this.bucketNanos;
    if (series !== this.key.series || bucket !== this.key.bucket || partition !== this.key.partition) {
      this.end();
      if (this.series.length >= ROWS || this.stack.length >= this.maxSamples) this.flush();
      this.key = { bucket, series, partition };
      this.series.push(series);
      this.partition.push(partition);
      this.time.push(bucket * this.bucketNanos);
      this.total.push(0n);
      this.annotation.push(0);
    }
    const row = this.total.length - 1;
    if (annotations.length > 0)
      this.annotation.data[row] = this.sets.union(this.annotation.data[row]!, this.sets.intern(annotations));
    for (let k = from; k < to; k++) {
      const at = this.sums.get(stacks[k]!);
      if (at === undefined) {
        this.sums.set(stacks[k]!, this.stack.push(stacks[k]!));
        this.value.push(values[k]!);
      } else this.value.data[at]! += values[k]!;
      this.total.data[row]! += values[k]!;
    }
  }

  private end(): void {
    if (this.series.length === this.offset.length - 1) return;
    this.offset.push(this.stack.length);
    this.sums = new Map();
    this.rows++;
  }

  private flush(): void {
    if (this.series.length === 0) return;
    this.writer.write({
      length: this.series.length,
      seriesIndex: this.series.view(),
      partition: this.partition.view(),
      totalValue: this.total.view(),
      timeNanos: this.time.view(),
      sampleOffset: this.offset.view(),
      stacktraceId: this.stack.view(),
      value: this.value.view(),
      ...(this.sets.length > 1 ? { annotations: { set: this.annotation.view(), sets: this.sets } } : {}),
    });
    for (const c of [
      this.series,
      this.partition,
      this.total,
      this.time,
      this.offset,
      this.stack,
      this.value,
      this.annotation,
    ])
      c.length = 0;
    if (this.sets.length > 1) this.sets = new AnnotationSets();
    this.offset.push(0);
  }

  finish(): void {
    this.end();
    this.flush();
    this.writer.finish();
    this.file.finish();
  }
}
