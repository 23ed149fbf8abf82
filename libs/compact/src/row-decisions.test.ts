import { type BlockMeta, newUlid } from "@cinderblock/block-meta";
import { encodeProfileTable } from "@cinderblock/profile-table";
import { SymdbWriter } from "@cinderblock/symdb";
import { Random } from "@cinderblock/testkit";
import { encodeIndex } from "@cinderblock/tsdb-index";
import { mergeSeries } from "./merge.ts";
import { decideRows } from "./row-decisions.ts";
import { SourceBlock } from "./source-block.ts";

/** A row of a block; few values each, so that all combinations of equal and different parts are met. */
interface Row {
  series: number;
  time: number;
  id: number;
  total: number;
}
const rowOf = (random: Random): Row => ({
  series: random.below(3),
  time: 1 + random.below(3),
  id: random.below(3),
  total: random.below(5) - 1,
});
const inOrder = (a: Row, b: Row): number => a.series - b.series || a.time - b.time || a.id - b.id;
const keyOf = (r: Row): string => `${r.series} ${r.time} ${r.id}`;

/** A block with these rows, in order. */
function blockOf(rows: readonly Row[]): Promise<SourceBlock> {
  const n = rows.length,
    ulid = newUlid(Date.now()),
    used = [...new Set(rows.map((r) => r.series))],
    id = new Uint8Array(n * 16);
  // IDs differ only in their last byte.
  rows.forEach((r, i) => (id[i * 16 + 15] = r.id));
  const table = encodeProfileTable(
    {
      length: n,
      id,
      seriesIndex: Int32Array.from(rows, (r) => used.indexOf(r.series)),
      partition: new BigInt64Array(n),
      totalValue: BigInt64Array.from(rows, (r) => BigInt(r.total)),
      timeNanos: BigInt64Array.from(rows, (r) => BigInt(r.time)),
      durationNanos: new BigInt64Array(n),
      sampleOffset: Uint32Array.from({ length: n + 1 }, (_, i) => i),
      stacktraceId: new Uint32Array(n),
      value: BigInt64Array.from(rows, (r) => BigInt(r.total)),
    },
    "cinderblock",
  );
  const contents: Record<string, Uint8Array> = {
    "index.tsdb": encodeIndex(
      used.map((s, seriesIndex) => ({
        labels: [{ name: "id", value: String(s) }],
        fingerprint: BigInt(s),
        minTime: 1n,
        maxTime: 3n,
        seriesIndex,
      })),
    ),
    "profiles.parquet": table.bytes,
    "symbols.symdb": new SymdbWriter().finish(),
  };
  const meta: BlockMeta = {
    ulid,
    minTimeMs: 0,
    maxTimeMs: 0,
    stats: { numSamples: n, numSeries: used.length, numProfiles: n },
    files: Object.entries(contents).map(([relPath, bytes]) => ({ relPath, sizeBytes: bytes.length })),
    compaction: { level: 1, sources: [ulid], parents: [] },
    version: 3,
    labels: {},
    source: "ingester",
    downsampleResolution: 0,
  };
  return SourceBlock.open(meta, {
    read: (f, at, size) =>
      Promise.resolve(contents[f]!.subarray(at, size === undefined ? undefined : at + size)),
    size: (f) => Promise.resolve(contents[f]!.length),
  });
}

describe("the rows that a compaction keeps", () => {
  it("are one for each series, time and ID: the smallest positive sum, else the first", async () => {
    for (let seed = 0; seed < 100; seed++) {
      const random = new Random(seed);
      const blocks = Array.from({ length: 1 + random.below(4) }, () =>
        Array.from({ length: 1 + random.below(12) }, () => rowOf(random)).sort(inOrder),
      );
      const expected = new Map<string, number>();
      for (const r of blocks.flat()) {
        const kept = expected.get(keyOf(r));
        if (kept === undefined || (r.total > 0 && (kept <= 0 || r.total < kept)))
          expected.set(keyOf(r), r.total);
      }
      const sources = await Promise.all(blocks.map(blockOf)),
        { ranks } = mergeSeries(sources);
      const { rows, duplicates } = await decideRows(
        sources,
        ranks,
        1,
        () => 0,
        { maxEntries: 4, windowBytes: 1 << 16 },
        () => false,
      );
      const kept = blocks.flatMap((b, s) => b.filter((_, i) => rows[s]!.has(i)));
      expect({ seed, rows: kept.map((r) => `${keyOf(r)} ${r.total}`).sort() }).toEqual({
        seed,
        rows: [...expected].map(([key, total]) => `${key} ${total}`).sort(),
      });
      expect(duplicates).toBe(blocks.flat().length - expected.size);
    }
  });
});
