import { hash128, type Hasher } from "@cinderblock/bytes";
import { sortedOrder, positionsByValue } from "@cinderblock/columnar";
import {
  type Annotations,
  type Labels,
  LABEL_SESSION_ID,
  labelsKey,
  NO_ANNOTATIONS,
} from "@cinderblock/model";

/**
 * Samples of one row: ascending by stack, then span and trace. `spans` has 2 words per sample, `traces` has
 * 4.
 */
export interface RowSamples {
  stacks: Uint32Array;
  values: BigInt64Array;
  spans: Uint32Array | undefined;
  traces: Uint32Array | undefined;
}

/**
 * Rows that are aggregated into one. Series, time and ID follow from all of them, whether or not some were
 * stored before.
 */
export interface AggregatedRow {
  /** series of the first row; the other rows may have other sessions */
  series: number;
  partition: number;
  /** earliest time of the aggregated rows */
  timeNanos: bigint;
  /** sum of the rows' durations */
  durationNanos: bigint;
  /** profile IDs in order, each once: a retried profile does not count again */
  ids: Map<string, Uint8Array>;
  annotations: Annotations;
  samples: RowSamples[];
}

/** Collects rows of equal series (without the session label), partition and `windowNanos` of time. */
export class RowAggregates {
  private readonly windowNanos: bigint;
  private readonly rows = new Map<string, AggregatedRow>();

  constructor(windowNanos: bigint) {
    this.windowNanos = windowNanos;
  }

  /** Adds a row. @param samples undefined: the row is stored already */
  add(
    labels: Labels,
    row: {
      series: number;
      partition: number;
      timeNanos: bigint;
      durationNanos: bigint;
      id: Uint8Array;
      annotations: Annotations;
    },
    samples: RowSamples | undefined,
  ): void {
    const key = `${row.timeNanos / this.windowNanos} ${row.partition} ${labelsKey(labels.filter((l) => l.name !== LABEL_SESSION_ID))}`;
    let known = this.rows.get(key);
    if (!known)
      this.rows.set(
        key,
        (known = {
          series: row.series,
          partition: row.partition,
          timeNanos: row.timeNanos,
          durationNanos: 0n,
          ids: new Map(),
          annotations: NO_ANNOTATIONS,
          samples: [],
        }),
      );
    const id = Buffer.from(row.id).toString("latin1");
    if (known.ids.has(id)) return;
    known.ids.set(id, row.id);
    if (row.timeNanos < known.timeNanos) known.timeNanos = row.timeNanos;
    known.durationNanos += row.durationNanos;
    const { annotations } = known;
    const more = row.annotations.filter(
      (a) => !annotations.some((b) => a.key === b.key && a.value === b.value),
    );
    if (more.length > 0) known.annotations = [...annotations, ...more];
    if (samples) known.samples.push(samples);
  }

  aggregatedRows(): AggregatedRow[] {
    return [...this.rows.values()];
  }
}

/** ID of an aggregated row: 128 bits over the IDs of its rows, in order. */
export function aggregateId(hasher: Hasher, ids: readonly Uint8Array[]): Uint8Array {
  return hash128(hasher, Buffer.concat(ids));
}

/**
 * Sums samples: equal stack, span and trace merge into one. If only some rows have spans or traces, the
 * others get 0.
 */
export function sumSamples(list: readonly RowSamples[]): RowSamples {
  if (list.length === 1) return list[0]!;
  const n = list.reduce((sum, s) => sum + s.stacks.length, 0);
  const stacks = new Uint32Array(n),
    values = new BigInt64Array(n);
  const spans = list.some((s) => s.spans) ? new Uint32Array(n * 2) : undefined,
    traces = list.some((s) => s.traces) ? new Uint32Array(n * 4) : undefined;
  let at = 0;
  for (const s of list) {
    stacks.set(s.stacks, at);
    values.set(s.values, at);
    if (s.spans) spans!.set(s.spans, at * 2);
    if (s.traces) traces!.set(s.traces, at * 4);
    at += s.stacks.length;
  }
  const between = (a: number, b: number): number =>
    stacks[a]! - stacks[b]! || wordsBetween(spans, 2, a, b) || wordsBetween(traces, 4, a, b);
  const order = spans || traces ? positionsByValue(stacks, between) : sortedOrder(stacks);
  const out = {
    stacks: new Uint32Array(n),
    values: new BigInt64Array(n),
    spans: spans && new Uint32Array(n * 2),
    traces: traces && new Uint32Array(n * 4),
  };
  let length = 0;
  for (let i = 0; i < n; i++) {
    const s = order[i]!;
    if (length > 0 && between(order[i - 1]!, s) === 0) {
      out.values[length - 1]! += values[s]!;
      continue;
    }
    out.stacks[length] = stacks[s]!;
    out.values[length] = values[s]!;
    if (spans) out.spans!.set(spans.subarray(s * 2, s * 2 + 2), length * 2);
    if (traces) out.traces!.set(traces.subarray(s * 4, s * 4 + 4), length * 4);
    length++;
  }
  return {
    stacks: out.stacks.subarray(0, length),
    values: out.values.subarray(0, length),
    spans: out.spans?.subarray(0, length * 2),
    traces: out.traces?.subarray(0, length * 4),
  };
}

function wordsBetween(words: Uint32Array | undefined, each: number, a: number, b: number): number {
  if (words)
    for (let i = 0; i < each; i++) {
      const d = words[a * each + i]! - words[b * each + i]!;
      if (d !== 0) return d;
    }
  return 0;
}
