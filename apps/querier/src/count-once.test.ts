import fc from "fast-check";
import { type BlockMeta, emptyShardHint, LABEL_SHARD, mergedHints, newUlid } from "@cinderblock/block-meta";
import { outdatedBlocks } from "@cinderblock/compact";
import type {
  BlockInfo,
  ExecuteAnswer,
  Exclusions,
  RowKeys,
  RowTimes,
  SelectRequest,
  SeriesRanges,
  SourceClient,
  SourceQuery,
} from "@cinderblock/query";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { Querier } from "./querier.ts";

const base = {
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
const MS = 1_000_000n;

/** A profile: series, time in ms, and its number among the profiles of that time. */
interface Row {
  series: number;
  ms: number;
  id: number;
}
const nameOf = (r: Row): string => `${r.series}/${r.ms}/${r.id}`;
interface Stored {
  meta: BlockMeta;
  rows: Row[];
}

/** Bucket without bytes: a block is its list of rows. Answers like a store-gateway. */
class Bucket implements SourceClient {
  readonly name = "store";
  readonly blocksOf = new Map<string, Stored>();
  /** every uploaded row */
  readonly uploaded = new Map<string, Row>();
  answered: string[] = [];
  asked = { times: 0, keys: 0, keyRows: 0 };

  add(rows: readonly Row[], compaction: BlockMeta["compaction"] | undefined, shard: string): Stored {
    const unique = [...new Map(rows.map((r) => [nameOf(r), r])).values()].sort(
      (a, b) => a.series - b.series || a.ms - b.ms || a.id - b.id,
    );
    const ulid = newUlid(1_700_000_000_000 + this.blocksOf.size);
    const times = unique.map((r) => r.ms);
    const meta: BlockMeta = {
      ulid,
      minTimeMs: Math.min(...times),
      maxTimeMs: Math.max(...times),
      stats: { numSamples: 1, numSeries: 1, numProfiles: unique.length },
      files: [],
      version: 3,
      source: "",
      downsampleResolution: 0,
      labels: shard === "" ? {} : { [LABEL_SHARD]: shard },
      compaction: compaction ?? { level: 1, sources: [ulid], parents: [] },
    };
    const stored = { meta, rows: unique };
    this.blocksOf.set(ulid, stored);
    for (const r of unique) this.uploaded.set(nameOf(r), r);
    return stored;
  }
  /**
   * Merges blocks of one shard, or splits unsharded blocks, like a compactor: outputs have the time range of
   * all inputs, and inputs stay.
   */
  compact(inputs: readonly Stored[], shards: number): void {
    const metas = inputs.map((b) => b.meta),
      rows = inputs.flatMap((b) => b.rows);
    const sources = [...new Set(metas.flatMap((m) => m.compaction.sources))].sort();
    const level = Math.max(...metas.map((m) => m.compaction.level)) + 1;
    const parts = Array.from({ length: Math.max(1, shards) }, (_, k) =>
      shards > 1 ? rows.filter((r) => r.series % shards === k) : rows,
    );
    const hints =
      shards > 1
        ? parts.flatMap((p, k) => (p.length === 0 ? [emptyShardHint({ number: k + 1, of: shards })] : []))
        : mergedHints(
            metas.map((m) => ({
              sources: m.compaction.sources,
              shardId: m.labels[LABEL_SHARD] ?? "",
              hints: m.compaction.hints ?? [],
            })),
          );
    parts.forEach((part, k) => {
      if (part.length === 0) return;
      const { meta } = this.add(
        part,
        { level, sources, parents: [], ...(hints.length > 0 ? { hints } : {}) },
        shards > 1 ? `${k + 1}_of_${shards}` : (metas[0]!.labels[LABEL_SHARD] ?? ""),
      );
      meta.minTimeMs = Math.min(...metas.map((m) => m.minTimeMs));
      meta.maxTimeMs = Math.max(...metas.map((m) => m.maxTimeMs));
    });
  }

  blocks(): Promise<BlockInfo[]> {
    return Promise.resolve(
      [...this.blocksOf.values()].map(({ meta: m }) => ({
        ulid: m.ulid,
        minTimeMs: m.minTimeMs,
        maxTimeMs: m.maxTimeMs,
        level: m.compaction.level,
        sources: m.compaction.sources,
        parents: [],
        shardId: m.labels[LABEL_SHARD] ?? "",
        hints: m.compaction.hints ?? [],
      })),
    );
  }
  private selected(ulid: string, s: SelectRequest): { row: Row; at: number }[] {
    return this.blocksOf
      .get(ulid)!
      .rows.map((row, at) => ({ row, at }))
      .filter(({ row }) => row.ms >= s.startMs && row.ms <= s.endMs);
  }
  execute(_t: string, ulids: readonly string[], q: SourceQuery, exclude: Exclusions): Promise<ExecuteAnswer> {
    for (const u of ulids)
      for (const { row, at } of this.selected(u, q.select))
        if (exclude[u]?.rows.includes(at) !== true) this.answered.push(nameOf(row));
    return Promise.resolve({ result: { kind: "series", series: [] }, missing: [] });
  }
  ranges(_t: string, ulids: readonly string[], s: SelectRequest): Promise<SeriesRanges[]> {
    return Promise.resolve(
      ulids.map((ulid) => {
        const all = this.blocksOf.get(ulid)!.rows,
          own = (n: number): Row[] => all.filter((r) => r.series === n);
        const series = [...new Set(all.map((r) => r.series))].filter(
          (n) => own(n)[0]!.ms <= s.endMs && own(n).at(-1)!.ms >= s.startMs,
        );
        return {
          ulid,
          form: "block",
          upTo: all.length,
          fingerprint: BigUint64Array.from(series, (n) => BigInt(n)),
          min: BigInt64Array.from(series, (n) => BigInt(own(n)[0]!.ms) * MS),
          max: BigInt64Array.from(series, (n) => BigInt(own(n).at(-1)!.ms) * MS),
        };
      }),
    );
  }
  times(_t: string, ulids: readonly string[], s: SelectRequest): Promise<RowTimes[]> {
    this.asked.times++;
    return Promise.resolve(
      ulids.map((ulid) => {
        const rows = this.selected(ulid, s),
          series = [...new Set(rows.map((r) => r.row.series))];
        return {
          ulid,
          form: "block",
          upTo: rows.length,
          fingerprint: BigUint64Array.from(series, (n) => BigInt(n)),
          count: Uint32Array.from(series, (n) => rows.filter((r) => r.row.series === n).length),
          timeNanos: BigInt64Array.from(rows, (r) => BigInt(r.row.ms) * MS),
        };
      }),
    );
  }
  keys(_t: string, ulids: readonly string[], s: SelectRequest): Promise<RowKeys[]> {
    this.asked.keys++;
    return Promise.resolve(
      ulids.map((ulid) => {
        const rows = this.selected(ulid, s),
          id = new Uint8Array(rows.length * 16);
        this.asked.keyRows += rows.length;
        rows.forEach((r, i) => id.set([r.row.id], 16 * i));
        return {
          ulid,
          form: "block",
          upTo: rows.length,
          fingerprint: BigUint64Array.from(rows, (r) => BigInt(r.row.series)),
          timeNanos: BigInt64Array.from(rows, (r) => BigInt(r.row.ms) * MS),
          id,
          total: BigInt64Array.from(rows, () => 1n),
          row: Uint32Array.from(rows, (r) => r.at),
        };
      }),
    );
  }
  labels(): Promise<never> {
    return Promise.reject(new Error("not asked here"));
  }
}

async function ask(
  bucket: Bucket,
  startMs: number,
  endMs: number,
): Promise<{ rows: string[]; warnings: string[]; digest: string }> {
  const querier = new Querier(
    {
      ingesters: () => [],
      stores: () => [bucket],
      coveredBy: () => Promise.resolve(false),
      reach: () => Promise.resolve([]),
      refresh: () => Promise.resolve(),
    },
    base,
  );
  bucket.answered = [];
  const r = await querier.run(
    "t",
    {
      kind: "select",
      query: {
        kind: "series",
        callSite: [],
        range: { startMs, endMs, stepMs: 1000, groupBy: [] },
        select: { profileTypeId: "p:cpu:ns:cpu:ns", labelSelector: "{}", startMs, endMs },
      },
    },
    Date.now() + 5000,
    new AbortController().signal,
  );
  return {
    rows: [...bucket.answered].sort(),
    warnings: r.warnings,
    digest: r.kind === "select" ? r.digest : "",
  };
}

const HOUR = 3600_000;
const rowsOf = (series: number, fromMs: number, n: number, id = 0): Row[] =>
  Array.from({ length: n }, (_, i) => ({ series, ms: fromMs + i * 1000, id }));
const names = (rows: readonly Row[]): string[] => rows.map(nameOf).sort();

describe("a late replica", () => {
  const all = Array.from({ length: 8 }, (_, h) => rowsOf(1, h * HOUR, 10)).flat();
  const compacted = (): Bucket => {
    const b = new Bucket();
    b.compact(
      Array.from({ length: 8 }, (_, h) => b.add(all.slice(h * 10, h * 10 + 10), undefined, "")),
      0,
    );
    return b;
  };
  it("counts once next to the compacted block of its hours, before and after a merge with other late blocks", async () => {
    const b = compacted();
    const late = [b.add(all.slice(0, 5), undefined, ""), b.add(all.slice(5, 10), undefined, "")];
    expect((await ask(b, 1, 8 * HOUR)).rows).toEqual(names(all.slice(1)));
    b.compact(late, 0);
    const r = await ask(b, 0, 8 * HOUR);
    expect([r.rows, r.warnings]).toEqual([names(all), []]);
  });
  it("counts once when two split jobs of one hour each had a replica", async () => {
    const b = new Bucket(),
      rows = [1, 2, 3, 4].flatMap((s) => rowsOf(s, 0, 10));
    b.compact([b.add(rows, undefined, "")], 2);
    b.compact([b.add(rows, undefined, "")], 2);
    expect((await ask(b, 0, HOUR)).rows).toEqual(names(rows));
  });
  it("compares keys only within the overlap, and only times if no row is shared", async () => {
    const b = compacted();
    b.compact([b.add(all.slice(0, 5), undefined, ""), b.add(all.slice(5, 10), undefined, "")], 0);
    await ask(b, 0, 8 * HOUR);
    expect(b.asked).toEqual({ times: 1, keys: 1, keyRows: 20 });
    const other = compacted();
    other.compact(
      [0, 1].map((k) =>
        other.add(
          rowsOf(1, k * HOUR, 10).map((r) => ({ ...r, ms: r.ms + 1 })),
          undefined,
          "",
        ),
      ),
      0,
    );
    await ask(other, 0, 8 * HOUR);
    expect(other.asked).toEqual({ times: 1, keys: 0, keyRows: 0 });
  });
  it("compares nothing for the shards of one compaction", async () => {
    const b = new Bucket(),
      rows = [1, 2, 3, 4].flatMap((s) => rowsOf(s, 0, 10));
    const parts = [b.add(rows.slice(0, 20), undefined, ""), b.add(rows.slice(20), undefined, "")];
    b.compact(parts, 4);
    for (const p of parts) b.blocksOf.delete(p.meta.ulid);
    let ranges = 0;
    const { ranges: real } = b;
    b.ranges = (...args) => {
      ranges++;
      return real.apply(b, args);
    };
    expect((await ask(b, 0, HOUR)).rows).toEqual(names(rows));
    expect([ranges, b.asked.times, b.asked.keys]).toEqual([0, 0, 0]);
  });
});

describe("blocks from two compactors with different lists", () => {
  it("are both read if their inputs are gone, and shared rows count once", async () => {
    const b = new Bucket();
    const [x, y, w] = [0, 1, 2].map((k) => b.add(rowsOf(k, 0, 5), undefined, ""));
    b.compact([x!, y!], 0);
    b.compact([y!, w!], 0);
    for (const p of [x!, y!, w!]) b.blocksOf.delete(p.meta.ulid);
    const r = await ask(b, 0, HOUR);
    expect([r.rows, r.warnings]).toEqual([names([0, 1, 2].flatMap((k) => rowsOf(k, 0, 5))), []]);
  });
  it("are read partly from shards and partly from an unsharded block", async () => {
    const b = new Bucket();
    const [x, y, w] = [0, 1, 2].map((k) => b.add(rowsOf(k, 0, 5), undefined, ""));
    b.compact([x!, y!], 0);
    b.compact([y!, w!], 2);
    for (const p of [x!, y!, w!]) b.blocksOf.delete(p.meta.ulid);
    const r = await ask(b, 0, HOUR);
    expect([r.rows, r.warnings]).toEqual([names([0, 1, 2].flatMap((k) => rowsOf(k, 0, 5))), []]);
  });
});

describe("each row of a bucket", () => {
  /** A step in the history of a bucket. */
  type Event =
    | { kind: "upload"; rows: boolean[] }
    | { kind: "compact"; inputs: boolean[]; shards: number; forget: boolean[] }
    | { kind: "clean"; which: boolean[] }
    | { kind: "lose"; which: number };
  const UNIVERSE: Row[] = [0, 1, 2, 3].flatMap((series) =>
    [0, 1, 2, 3].flatMap((k) =>
      (k === 2 ? [0, 1] : [0]).map((id) => ({ series, ms: 1000 + k * 700 + series, id })),
    ),
  );
  const flags = (n: number): fc.Arbitrary<boolean[]> =>
    fc.array(fc.boolean(), { minLength: n, maxLength: n });
  const event: fc.Arbitrary<Event> = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("upload" as const), rows: flags(UNIVERSE.length) }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("compact" as const),
        inputs: flags(12),
        shards: fc.constantFrom(0, 0, 2, 3),
        forget: flags(12),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("clean" as const), which: flags(12) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), which: fc.nat(50) }) },
  );

  it("counts exactly once in every complete answer, for any order of replicas, late uploads and compactions", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 2, maxLength: 14 }),
        fc.boolean(),
        async (events, losing) => {
          const b = new Bucket(),
            answers = new Map<string, string>();
          let lost = false;
          for (const e of events) {
            const live = [...b.blocksOf.values()];
            if (e.kind === "upload") {
              const rows = UNIVERSE.filter((_, i) => e.rows[i]);
              if (rows.length > 0) b.add(rows, undefined, "");
            } else if (e.kind === "compact") {
              const picked = live.filter((_, i) => e.inputs[i % 12]);
              const shard = picked[0]?.meta.labels[LABEL_SHARD] ?? "";
              const inputs = picked.filter((x) => (x.meta.labels[LABEL_SHARD] ?? "") === shard);
              const shards = shard === "" ? e.shards : 0;
              if (inputs.length < 2 && (inputs.length === 0 || shards < 2)) continue;
              b.compact(inputs, shards);
              // A compactor marks inputs once all outputs exist; the cleaner deletes them in any order.
              inputs.forEach((x, i) => {
                if (e.forget[i % 12]) b.blocksOf.delete(x.meta.ulid);
              });
            } else if (e.kind === "clean") {
              outdatedBlocks(live.map((x) => x.meta)).forEach((m, i) => {
                if (e.which[i % 12]) b.blocksOf.delete(m.ulid);
              });
            } else if (losing && live.length > 0) {
              // A block disappears without a mark.
              b.blocksOf.delete(live[e.which % live.length]!.meta.ulid);
              lost = true;
            }
            if (b.blocksOf.size === 0) continue;
            const { rows, warnings, digest } = await ask(b, 0, HOUR);
            expect(new Set(rows).size).toBe(rows.length); // never twice, even in a partial answer
            if (warnings.length > 0) {
              expect([lost, digest]).toEqual([true, ""]);
              continue;
            }
            const left = new Set([...b.blocksOf.values()].flatMap((x) => x.rows.map(nameOf)));
            const expected = [...(lost ? left : b.uploaded.keys())].sort();
            if (lost) for (const r of rows) expect(left.has(r)).toBe(true);
            else expect(rows).toEqual(expected);
            // One digest names one answer.
            const kept = answers.get(digest);
            if (kept !== undefined && !lost) expect(rows.join()).toBe(kept);
            answers.set(digest, rows.join());
          }
        },
      ),
      { numRuns: 1500 },
    );
  }, 120_000);
});
