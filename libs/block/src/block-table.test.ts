import type { BlockMeta } from "@cinderblock/block-meta";
import { encodeProfileTable, type ProfileRows } from "@cinderblock/profile-table";
import { Random } from "@cinderblock/testkit";
import fc from "fast-check";
import { BlockTable } from "./block-table.ts";
import { coalesceRanges, MAX_RANGES } from "./ranges.ts";
import type { RowTable } from "./rows.ts";

const ROWS = 60,
  SAMPLES = 30_000;

/**
 * A table of 60 rows and seven pages of samples, with three rows per series, and spans in every second row.
 */
function bigTable(): { bytes: Uint8Array; rows: ProfileRows } {
  const random = new Random(7),
    n = ROWS * SAMPLES;
  const rows: ProfileRows = {
    length: ROWS,
    id: new Uint8Array(ROWS * 16),
    seriesIndex: new Int32Array(ROWS),
    partition: new BigInt64Array(ROWS),
    totalValue: new BigInt64Array(ROWS),
    timeNanos: new BigInt64Array(ROWS),
    durationNanos: new BigInt64Array(ROWS),
    sampleOffset: new Uint32Array(ROWS + 1),
    stacktraceId: new Uint32Array(n),
    value: new BigInt64Array(n),
    spanId: new BigInt64Array(n),
    hasSpan: new Uint8Array(n),
  };
  const values = new Uint32Array(rows.value.buffer),
    spans = new Uint32Array(rows.spanId!.buffer);
  for (let i = 0; i < ROWS; i++) {
    let total = 0;
    rows.seriesIndex[i] = Math.floor(i / 3);
    rows.timeNanos[i] = BigInt(1000 + (i % 3) * 10);
    rows.sampleOffset[i + 1] = (i + 1) * SAMPLES;
    for (let k = i * SAMPLES; k < (i + 1) * SAMPLES; k++) {
      rows.stacktraceId[k] = random.below(2 ** 30);
      // Only the low words, which avoids a million BigInts.
      total += values[2 * k] = random.below(2 ** 30);
      if (i % 2 === 0) spans[2 * k] = k;
    }
    rows.totalValue[i] = BigInt(total);
    if (i % 2 === 0) rows.hasSpan!.fill(1, i * SAMPLES, (i + 1) * SAMPLES);
  }
  return { bytes: encodeProfileTable(rows, "test").bytes, rows };
}
const big = bigTable();

/** Opens the table behind a file that counts its reads, and may be slow. */
function opened(delay?: () => Promise<void>) {
  const reads: { offset: number; size: number }[] = [];
  const meta = {
    ulid: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    files: [{ relPath: "profiles.parquet", sizeBytes: big.bytes.length }],
    stats: { numSamples: ROWS * SAMPLES, numProfiles: ROWS, numSeries: 20 },
  } as unknown as BlockMeta;
  const table = new BlockTable(
    {
      meta,
      seriesIndex: Uint32Array.from({ length: ROWS / 3 }, (_, i) => i),
      partitionPosition: () => 0,
      leaf: () => undefined,
      files: {
        size: () => Promise.resolve(big.bytes.length),
        read: async (_name, offset, size) => {
          reads.push({ offset, size: size! });
          await delay?.();
          return big.bytes.slice(offset, offset + size!);
        },
      },
    },
    "profiles.parquet",
  );
  return { table, reads };
}
const wanted = (...rows: number[]): { rows: Uint32Array }[] => [{ rows: Uint32Array.from(rows) }];

/** Checks that a table returns the written row. */
function expectRow(t: RowTable, row: number, spans = false): void {
  const from = row * SAMPLES;
  expect(t.sampleEnd[row]! - t.sampleStart[row]!).toBe(SAMPLES);
  for (const k of [0, 1, SAMPLES / 2, SAMPLES - 1]) {
    expect(t.stacktraceId[t.sampleStart[row]! + k]).toBe(big.rows.stacktraceId[from + k]);
    expect(t.value[t.sampleStart[row]! + k]).toBe(big.rows.value[from + k]);
    if (spans) expect(t.spans[2 * (t.spanStart[row]! + k)]).toBe(row % 2 === 0 ? from + k : 0);
  }
}

describe("a block's table", () => {
  it("reads the pages that hold the wanted rows and no others", async () => {
    const { table, reads } = opened();
    await table.load(["keys"]);
    const before = reads.length,
      bytes = (): number => reads.slice(before).reduce((n, r) => n + r.size, 0);
    expectRow(await table.load(["samples"], wanted(31)), 31);
    // positions of the pages, a page of IDs, a page of values
    expect(reads.length - before).toBeLessThanOrEqual(3);
    expect(bytes()).toBeLessThan(big.bytes.length / 4);
    const after = reads.length;
    expectRow(await table.load(["samples"], wanted(30, 31)), 30); // the same page
    expect(reads.length).toBe(after);
  });
  it("returns every row for any order of requests, with spans and without", async () => {
    const { table } = opened();
    for (const rows of [[59], [0, 1], [58, 59], [20, 21, 40]])
      for (const r of rows) expectRow(await table.load(["samples"], wanted(...rows)), r);
    for (const r of [0, 40, 7]) expectRow(await table.load(["samples", "spans"], wanted(r)), r, true);
    const all = await table.load(["samples", "spans", "totals", "ids"]);
    for (let r = 0; r < ROWS; r++) {
      expectRow(all, r, true);
      expect(all.totalValue[r]).toBe(big.rows.totalValue[r]);
    }
  });
  it("keeps returned rows valid after releasing others, and counts its memory", async () => {
    const { table } = opened();
    const first = await table.load(["samples"], wanted(3, 4, 5));
    const held = table.heldBytes;
    table.release();
    expect(table.heldBytes).toBeLessThan(held - 3 * SAMPLES * 12);
    const second = await table.load(["samples"], wanted(50));
    for (const r of [3, 4, 5]) expectRow(first, r);
    expectRow(second, 50);
    expect(second.sampleEnd[3]).toBe(second.sampleStart[3]); // released
  });
  it("answers concurrent requests, and releases rows between them", async () => {
    const random = new Random(3);
    const { table } = opened(
      () =>
        new Promise((r) => {
          setTimeout(r, random.below(4));
        }),
    );
    await Promise.all(
      Array.from({ length: 24 }, async (_, i) => {
        const rows = [random.below(ROWS), random.below(ROWS)].sort((a, b) => a - b),
          spans = i % 3 === 0;
        const t = await table.load(spans ? ["samples", "spans"] : ["samples"], wanted(...rows));
        for (const r of rows) expectRow(t, r, spans);
        if (i % 5 === 0) table.release();
      }),
    );
  }, 60_000);
});

describe("ranges of a file", () => {
  it("cover the wanted rows in a limited number of requests, ascending", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1 << 26), fc.nat(1 << 18)), { maxLength: 60 }), (list) => {
        const ranges = list.map(([start, size]) => ({ start, end: start + size }));
        const out = coalesceRanges(ranges);
        expect(out.length).toBeLessThanOrEqual(MAX_RANGES);
        for (let i = 1; i < out.length; i++) expect(out[i]!.start).toBeGreaterThan(out[i - 1]!.end);
        for (const r of ranges)
          if (r.end > r.start) expect(out.some((o) => o.start <= r.start && o.end >= r.end)).toBe(true);
      }),
    );
  });
  it("joins across the smallest gaps first", () => {
    const far = Array.from({ length: MAX_RANGES + 1 }, (_, i) => ({
      start: i * (10 << 20),
      end: i * (10 << 20) + 1,
    }));
    far[3]!.start -= 1 << 20;
    const out = coalesceRanges(far);
    expect(out).toHaveLength(MAX_RANGES);
    expect(out[2]).toEqual({ start: far[2]!.start, end: far[3]!.end });
  });
});
