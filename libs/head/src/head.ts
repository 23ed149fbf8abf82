import type { Hasher } from "@cinderblock/bytes";
import {
  I32Column,
  I64Column,
  PairTable,
  sortedOrder,
  positionsByValue,
  U32Column,
} from "@cinderblock/columnar";
import {
  FlameIndex,
  LabelIndex,
  type ProfileSource,
  type RowTable,
  type SourceSeries,
} from "@cinderblock/block";
import {
  type ProcessedProfile,
  type ProfileGroup,
  type SampleIds,
  stringAt,
  storedLabels,
} from "@cinderblock/ingest";
import {
  AnnotationSets,
  fingerprintBytes,
  type Labels,
  LABEL_SERVICE_NAME,
  labelsKey,
  labelValue,
  mayBeCumulative,
} from "@cinderblock/model";
import { type SymbolPartition as Symbols, SymbolPartition, type SymbolTables } from "@cinderblock/symdb";
import type { Baselines } from "./baselines.ts";
import {
  aggregateId,
  type AggregatedRow,
  type RowAggregates,
  type RowSamples,
  sumSamples,
} from "./row-aggregates.ts";
import { SymbolInterner } from "./symbol-interner.ts";

/** A series of a head and its row positions. */
export interface HeadSeries extends SourceSeries {
  minTimeNanos: bigint;
  maxTimeNanos: bigint;
  readonly key: string;
  rows: U32Column;
}

/** Symbols of one symbol partition in a head. */
export interface HeadPartition {
  id: bigint;
  symbols: Symbols;
  /** created by the first query that needs it */
  flame: FlameIndex | undefined;
}

/** One new row of a head: the fields for its log record, and for finding later copies of the profile. */
export interface NewRow {
  series: number;
  partition: number;
  timeNanos: bigint;
  durationNanos: bigint;
  id: Uint8Array;
  row: number;
}

/** Initial capacity for rows and samples of a head: there may be thousands of heads with one profile each. */
const ROWS = 4,
  SAMPLES = 16;
/**
 * Bytes of a head's, a symbol partition's and a series' objects in addition to their columns, measured with
 * 2,000 heads of one profile each.
 */
const EMPTY_BYTES = 10240,
  PARTITION_BYTES = 4096,
  SERIES_BYTES = 2048;

/**
 * Recent profiles of one tenant and one time window in memory: struct of arrays, symbols interned by symbol
 * partition.
 */
export class Head implements ProfileSource {
  readonly ulid: string;
  readonly form = "head";
  readonly tenant: string;
  /** end of the window, nanoseconds: a profile at t belongs to floor(t / w) * w + w */
  readonly windowEnd: bigint;
  readonly partitions: HeadPartition[] = [];
  readonly series: HeadSeries[] = [];
  /** created by the first query */
  private labels: LabelIndex | undefined;
  private readonly partitionAt = new Map<bigint, number>();
  private readonly seriesAt = new Map<string, number>();
  /**
   * (labels object, sample type) -> series; label sets are shared objects, so identity finds most profiles
   */
  private readonly cache = new Map<Labels, Map<string, number>>();
  private readonly duplicates = new PairTable(8);

  readonly rowSeries = new U32Column(ROWS);
  readonly rowPartition = new U32Column(ROWS);
  readonly rowTime = new I64Column(ROWS);
  readonly rowDuration = new I64Column(ROWS);
  readonly rowTotal = new I64Column(ROWS);
  readonly rowSampleStart = new U32Column(ROWS);
  readonly rowSampleEnd = new U32Column(ROWS);
  readonly rowSpanStart = new I32Column(ROWS);
  readonly rowTraceStart = new I32Column(ROWS);
  /** row -> its list in `annotations` */
  readonly rowAnnotations = new U32Column(ROWS);
  readonly annotations = new AnnotationSets();
  /** row -> profile ID, four 32-bit words */
  readonly rowId = new U32Column(4 * ROWS);
  readonly stacktraceId = new U32Column(SAMPLES);
  readonly value = new I64Column(SAMPLES);
  /** span IDs, two 32-bit words per sample */
  readonly spans = new U32Column(0);
  /** trace IDs, four 32-bit words per sample */
  readonly traces = new U32Column(0);

  /** times of the first and the last profile; 0 without rows */
  minTimeNanos = 0n;
  maxTimeNanos = 0n;
  lastWriteMs = 0;
  /** a frozen head accepts no more profiles; its cut is running or due */
  frozen = false;

  private readonly hasher: Hasher;
  private readonly interner: SymbolInterner;

  /**
   * @param interner may be shared by the heads of a thread: its scratch memory is larger than a small head
   */
  constructor(
    ulid: string,
    tenant: string,
    windowEnd: bigint,
    hasher: Hasher,
    interner = new SymbolInterner(),
  ) {
    this.interner = interner;
    this.ulid = ulid;
    this.tenant = tenant;
    this.windowEnd = windowEnd;
    this.hasher = hasher;
  }

  get rowCount(): number {
    return this.rowSeries.length;
  }

  get labelIndex(): LabelIndex {
    return (this.labels ??= new LabelIndex(this.series));
  }

  /** bytes of the label index */
  get indexBytes(): number {
    return this.labels?.byteLength ?? 0;
  }

  get byteLength(): number {
    let n = this.indexBytes;
    for (const c of [
      this.rowSeries,
      this.rowPartition,
      this.rowTime,
      this.rowDuration,
      this.rowTotal,
      this.rowSampleStart,
      this.rowSampleEnd,
      this.rowSpanStart,
      this.rowTraceStart,
      this.rowAnnotations,
      this.rowId,
      this.stacktraceId,
      this.value,
      this.spans,
      this.traces,
    ])
      n += c.byteLength;
    for (const p of this.partitions) n += this.partitionBytes(p);
    return (
      n +
      EMPTY_BYTES +
      this.annotations.byteLength +
      this.duplicates.byteLength +
      this.series.length * SERIES_BYTES
    );
  }

  /** Bytes of a partition's symbols, including their lookup structures. */
  private partitionBytes({ symbols, flame }: HeadPartition): number {
    return (
      PARTITION_BYTES + symbols.byteLength + (flame?.byteLength ?? 0) + this.interner.byteLength(symbols)
    );
  }

  partitionIndex(id: bigint): number {
    let at = this.partitionAt.get(id);
    if (at === undefined) {
      at = this.partitions.push({ id, symbols: new SymbolPartition(), flame: undefined }) - 1;
      this.partitionAt.set(id, at);
    }
    return at;
  }

  seriesIndex(labels: Labels): number {
    const key = labelsKey(labels);
    let at = this.seriesAt.get(key);
    if (at === undefined) {
      at =
        this.series.push({
          labels,
          key,
          fingerprint: this.hasher.h64(fingerprintBytes(labels)),
          minTimeNanos: 0n,
          maxTimeNanos: 0n,
          rows: new U32Column(8),
        }) - 1;
      this.seriesAt.set(key, at);
    }
    return at;
  }

  /** Reserves the position of a series whose labels were in a damaged log record: its rows are lost. */
  addLostSeries(): void {
    this.series.push({
      labels: [],
      key: "",
      fingerprint: 0n,
      minTimeNanos: 0n,
      maxTimeNanos: 0n,
      rows: new U32Column(8),
    });
  }

  isLostSeries(index: number): boolean {
    return this.series[index]!.labels.length === 0;
  }

  hasSeries(labels: Labels): boolean {
    return this.seriesAt.has(labelsKey(labels));
  }

  /**
   * Adds the rows of one group, one for each sample type with values, and returns them. Retried profiles add
   * nothing.
   * @param into collects rows that may be aggregated with others instead: all rows except those of cumulative
   * types
   */
  append(
    p: ProcessedProfile,
    group: ProfileGroup,
    partition: number,
    baselines: Baselines,
    into?: RowAggregates,
  ): NewRow[] {
    const { profile } = p;
    const t = profile.tables;
    const symbols = this.partitions[partition]!.symbols;
    const nodes = p.stripped
      ? new Uint32Array(group.samples.length)
      : this.interner.stacks(profile, group.samples, symbols);
    const order = this.order(nodes, group.samples, p.ids);
    const annotations = this.annotations.intern(p.annotations);
    const types = t.sampleTypes;
    const periodType = t.hasPeriodType ? stringAt(t, t.periodType) : "",
      periodUnit = t.hasPeriodType ? stringAt(t, t.periodUnit) : "";
    const out: NewRow[] = [];
    for (let k = 0; k < types; k++) {
      const type = stringAt(t, t.typeType.data[k]!),
        unit = stringAt(t, t.typeUnit.data[k]!);
      const signature = `${type}\u0000${unit}\u0000${periodType}\u0000${periodUnit}\u0000${t.hasPeriodType}`;
      const start = this.stacktraceId.length;
      this.gather(nodes, order, group.samples, p, k);
      if (this.stacktraceId.length === start) continue;
      let bySignature = this.cache.get(group.labels);
      if (!bySignature) this.cache.set(group.labels, (bySignature = new Map()));
      let series = bySignature.get(signature);
      if (series === undefined) {
        series = this.seriesIndex(
          storedLabels(group.labels, { type, unit, periodType, periodUnit, hasPeriod: t.hasPeriodType }),
        );
        bySignature.set(signature, series);
      }
      const cumulative = isCumulative(group.labels, type);
      if (cumulative && baselines.origin) {
        // Each Kafka partition has its own baselines: a profile is compared in each partition that has it, and is
        // stored once.
        if (this.subtractBaseline(series, partition, start, profile.timeNanos, baselines) === 0) continue;
      }
      const isNew = this.addId(series, group.id);
      if (into && !cumulative) {
        into.add(
          this.series[series]!.labels,
          {
            series,
            partition,
            timeNanos: profile.timeNanos,
            durationNanos: t.durationNanos,
            id: group.id,
            annotations: p.annotations,
          },
          isNew ? this.samplesFrom(start) : undefined,
        );
        this.truncate(start);
        continue;
      }
      if (!isNew) {
        this.truncate(start);
        continue;
      }
      if (
        cumulative &&
        !baselines.origin &&
        this.subtractBaseline(series, partition, start, profile.timeNanos, baselines) === 0
      ) {
        out.push({
          series,
          partition,
          timeNanos: profile.timeNanos,
          durationNanos: t.durationNanos,
          id: group.id,
          row: -1,
        });
        continue;
      }
      out.push(
        this.pushRow(
          series,
          partition,
          profile.timeNanos,
          t.durationNanos,
          group.id,
          start,
          p.ids,
          annotations,
        ),
      );
    }
    return out;
  }

  /**
   * Replaces the samples from `start` on, which are cumulative, by their growth since the series' baseline.
   * @returns the number of samples that grew; the others are removed
   */
  private subtractBaseline(
    series: number,
    partition: number,
    start: number,
    timeNanos: bigint,
    baselines: Baselines,
  ): number {
    const kept = baselines.difference(
      this.series[series]!,
      this.interner.contentHashes(this.partitions[partition]!.symbols),
      this.stacktraceId.data,
      this.value.data,
      start,
      this.stacktraceId.length,
      timeNanos,
    );
    this.truncate(kept);
    return kept - start;
  }

  /**
   * Adds a row that aggregates several.
   * @returns undefined when all of them, or the aggregate, were stored already
   */
  appendAggregate(row: AggregatedRow): NewRow | undefined {
    if (row.samples.length === 0) return undefined;
    const [first] = row.ids.values(),
      merged = row.ids.size > 1,
      id = merged ? aggregateId(this.hasher, [...row.ids.values()]) : first!;
    if (merged && !this.addId(row.series, id)) return undefined;
    const { stacks, values, spans, traces } = sumSamples(row.samples),
      start = this.stacktraceId.length;
    this.stacktraceId.append(stacks);
    this.value.append(values);
    const spanStart = spans ? this.spans.length / 2 : -1,
      traceStart = traces ? this.traces.length / 4 : -1;
    if (spans) this.spans.append(spans);
    if (traces) this.traces.append(traces);
    const added = this.addRow(
      row.series,
      row.partition,
      row.timeNanos,
      row.durationNanos,
      id,
      start,
      this.stacktraceId.length,
      spanStart,
      traceStart,
      this.annotations.intern(row.annotations),
    );
    return {
      series: row.series,
      partition: row.partition,
      timeNanos: row.timeNanos,
      durationNanos: row.durationNanos,
      id,
      row: added,
    };
  }

  /** Copies the samples at the end of the columns. */
  private samplesFrom(start: number): RowSamples {
    const end = this.stacktraceId.length;
    return {
      stacks: this.stacktraceId.data.slice(start, end),
      values: this.value.data.slice(start, end),
      spans:
        this.pendingSpans < 0
          ? undefined
          : this.spans.data.slice(this.pendingSpans, this.pendingSpans + (end - start) * 2),
      traces:
        this.pendingTraces < 0
          ? undefined
          : this.traces.data.slice(this.pendingTraces, this.pendingTraces + (end - start) * 4),
    };
  }

  /** Removes samples from the end of the columns, with their spans and traces. */
  private truncate(samples: number): void {
    this.stacktraceId.length = this.value.length = samples;
    if (this.pendingSpans >= 0) this.spans.length = this.pendingSpans + (samples - this.pendingFrom) * 2;
    if (this.pendingTraces >= 0) this.traces.length = this.pendingTraces + (samples - this.pendingFrom) * 4;
  }

  private pendingSpans = -1;
  private pendingTraces = -1;
  private pendingFrom = 0;

  /**
   * Appends the samples of sample type `k` to the columns: ascending by stack, equal ones summed, values
   * above 0 only.
   */
  private gather(
    nodes: Uint32Array,
    order: Uint32Array,
    samples: Uint32Array,
    p: ProcessedProfile,
    k: number,
  ): void {
    const t = p.profile.tables;
    const first = t.sampleValues.data,
      values = t.value.data,
      words = t.value.words;
    const { spans, traces } = p.ids;
    const n = order.length;
    const { stacktraceId, value } = this;
    stacktraceId.reserve(n);
    value.reserve(n);
    this.pendingFrom = stacktraceId.length;
    this.pendingSpans = spans ? this.spans.length : -1;
    this.pendingTraces = traces ? this.traces.length : -1;
    const ids = stacktraceId.data,
      out = value.data;
    let at = stacktraceId.length;
    let previous = -1;
    for (let i = 0; i < n; i++) {
      const g = order[i]!,
        s = samples[g]!;
      const v = first[s]! + k;
      if ((words[2 * v]! | words[2 * v + 1]!) === 0) continue;
      if (previous >= 0 && nodes[previous] === nodes[g] && sameIds(spans, traces, samples[previous]!, s)) {
        out[at - 1]! += values[v]!;
        continue;
      }
      ids[at] = nodes[g]!;
      out[at] = values[v]!;
      at++;
      previous = g;
      if (spans) {
        this.spans.push(spans[2 * s]!);
        this.spans.push(spans[2 * s + 1]!);
      }
      if (traces) {
        const w = new DataView(traces.buffer, s * 16, 16);
        for (let b = 0; b < 16; b += 4) this.traces.push(w.getUint32(b, true));
      }
    }
    stacktraceId.length = value.length = at;
  }

  private pushRow(
    series: number,
    partition: number,
    timeNanos: bigint,
    durationNanos: bigint,
    id: Uint8Array,
    start: number,
    ids: SampleIds,
    annotations: number,
  ): NewRow {
    const end = this.stacktraceId.length;
    let spanStart = -1,
      traceStart = -1;
    if (ids.spans) spanStart = this.pendingSpans / 2;
    if (ids.traces) traceStart = this.pendingTraces / 4;
    const row = this.addRow(
      series,
      partition,
      timeNanos,
      durationNanos,
      id,
      start,
      end,
      spanStart,
      traceStart,
      annotations,
    );
    return { series, partition, timeNanos, durationNanos, id, row };
  }

  /** Registers a row whose samples are already in the columns. */
  addRow(
    series: number,
    partition: number,
    timeNanos: bigint,
    durationNanos: bigint,
    id: Uint8Array,
    start: number,
    end: number,
    spanStart: number,
    traceStart: number,
    annotations: number,
  ): number {
    const sum = TOTAL;
    sum[0] = 0n;
    const { data } = this.value;
    for (let i = start; i < end; i++) sum[0]! += data[i]!;
    const row = this.rowSeries.push(series);
    this.rowPartition.push(partition);
    this.rowTime.push(timeNanos);
    this.rowDuration.push(durationNanos);
    this.rowTotal.push(sum[0]!);
    this.rowSampleStart.push(start);
    this.rowSampleEnd.push(end);
    this.rowSpanStart.push(spanStart);
    this.rowTraceStart.push(traceStart);
    this.rowAnnotations.push(annotations);
    for (let b = 0; b < 16; b += 4)
      this.rowId.push((id[b]! | (id[b + 1]! << 8) | (id[b + 2]! << 16) | (id[b + 3]! << 24)) >>> 0);
    const s = this.series[series]!;
    if (s.rows.length === 0 || timeNanos < s.minTimeNanos) s.minTimeNanos = timeNanos;
    if (s.rows.length === 0 || timeNanos > s.maxTimeNanos) s.maxTimeNanos = timeNanos;
    s.rows.push(row);
    if (row === 0 || timeNanos < this.minTimeNanos) this.minTimeNanos = timeNanos;
    if (row === 0 || timeNanos > this.maxTimeNanos) this.maxTimeNanos = timeNanos;
    return row;
  }

  /**
   * Records a profile ID; false when this series already has it. The key is 64 bits of the content hash and
   * the series.
   */
  addId(series: number, id: Uint8Array): boolean {
    const lo = (id[0]! | (id[1]! << 8) | (id[2]! << 16) | (id[3]! << 24)) >>> 0;
    const hi = (id[4]! | (id[5]! << 8) | (id[6]! << 16) | (id[7]! << 24)) >>> 0;
    return this.duplicates.getOrSet(lo, (hi ^ Math.imul(series + 1, 0x9e3779b1)) >>> 0, 0) < 0;
  }

  /** Orders samples by stack, then span and trace, so that equal samples are adjacent. */
  private order(nodes: Uint32Array, samples: Uint32Array, ids: SampleIds): Uint32Array {
    return ids.spans || ids.traces
      ? positionsByValue(nodes, (a, b) => compareIds(ids, samples[a]!, samples[b]!))
      : sortedOrder(nodes);
  }

  // ---- ProfileSource

  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array {
    const s = this.series[index]!;
    const n = s.rows.length;
    const rows = s.rows.data;
    if (s.minTimeNanos >= startNanos && s.maxTimeNanos <= endNanos) return rows.subarray(0, n);
    if (s.minTimeNanos > endNanos || s.maxTimeNanos < startNanos) return rows.subarray(0, 0);
    const out = new Uint32Array(n);
    const time = this.rowTime.data;
    let at = 0;
    for (let i = 0; i < n; i++) {
      const r = rows[i]!;
      if (time[r]! >= startNanos && time[r]! <= endNanos) out[at++] = r;
    }
    return out.subarray(0, at);
  }

  /** A head is completely in memory. */
  readonly batchRows = Infinity;
  readonly coarse = [];
  release(): void {
    /* nothing was loaded */
  }

  private readonly table = new HeadTable(this);
  load(): Promise<RowTable> {
    return Promise.resolve(this.table);
  }

  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }> {
    const p = this.partitions[partition]!;
    const tables = p.symbols.tables();
    const flame = (p.flame ??= new FlameIndex());
    flame.extend(tables);
    return Promise.resolve({ tables, flame });
  }
}

/**
 * The columns at the time of each access: profiles arrive between the steps of a query, and a column that
 * grows is reallocated.
 */
class HeadTable implements RowTable {
  private readonly head: Head;
  constructor(head: Head) {
    this.head = head;
  }
  get timeNanos(): BigInt64Array {
    return this.head.rowTime.data;
  }
  get totalValue(): BigInt64Array {
    return this.head.rowTotal.data;
  }
  get partition(): Uint32Array {
    return this.head.rowPartition.data;
  }
  get sampleStart(): Uint32Array {
    return this.head.rowSampleStart.data;
  }
  get sampleEnd(): Uint32Array {
    return this.head.rowSampleEnd.data;
  }
  get stacktraceId(): Uint32Array {
    return this.head.stacktraceId.data;
  }
  get value(): BigInt64Array {
    return this.head.value.data;
  }
  get spanStart(): Int32Array {
    return this.head.rowSpanStart.data;
  }
  get spans(): Uint32Array {
    return this.head.spans.data;
  }
  get traceStart(): Int32Array {
    return this.head.rowTraceStart.data;
  }
  get traces(): Uint32Array {
    return this.head.traces.data;
  }
  get annotation(): Uint32Array {
    return this.head.rowAnnotations.data;
  }
  get annotations(): AnnotationSets {
    return this.head.annotations;
  }
  get id(): Uint8Array {
    const { rowId } = this.head;
    return new Uint8Array(rowId.data.buffer, 0, rowId.length * 4);
  }
}

const TOTAL = new BigInt64Array(1);

function sameIds(
  spans: Uint32Array | undefined,
  traces: Uint8Array | undefined,
  a: number,
  b: number,
): boolean {
  if (spans && (spans[2 * a] !== spans[2 * b] || spans[2 * a + 1] !== spans[2 * b + 1])) return false;
  if (traces) for (let i = 0; i < 16; i++) if (traces[a * 16 + i] !== traces[b * 16 + i]) return false;
  return true;
}

function compareIds(ids: SampleIds, a: number, b: number): number {
  const { spans, traces } = ids;
  if (spans) {
    const d = spans[2 * a]! - spans[2 * b]! || spans[2 * a + 1]! - spans[2 * b + 1]!;
    if (d !== 0) return d;
  }
  if (traces)
    for (let i = 0; i < 16; i++) {
      const d = traces[a * 16 + i]! - traces[b * 16 + i]!;
      if (d !== 0) return d;
    }
  return 0;
}

/** Whether v1 differences this sample type on the server. */
export function isCumulative(labels: Labels, type: string): boolean {
  return (type === "alloc_objects" || type === "alloc_space") && mayBeCumulative(labels);
}

/** Name of a profile's symbol partition (docs/formats/symbols-symdb.md). */
export function partitionKey(p: ProcessedProfile, labels: Labels): string {
  const t = p.profile.tables;
  if (t.mappings > 0 && labelValue(labels, "__otel__") !== "true") {
    const path = stringAt(t, t.mappingFilename.data[0]!).replaceAll("\\", "/").trim();
    const skip =
      path === "" ||
      path.startsWith("[") ||
      path.startsWith("linux-vdso") ||
      path.startsWith("/dev/dri/") ||
      path.startsWith("//anon");
    const base = path
      .split("/")
      .filter((x) => x !== "" && x !== ".")
      .at(-1);
    if (!skip && base !== undefined) return base;
  }
  return labelValue(labels, LABEL_SERVICE_NAME) || "unknown";
}
