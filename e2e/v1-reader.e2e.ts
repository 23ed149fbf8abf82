import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeWith, part, tinyPprof } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { Server } from "./server.ts";

/**
 * After a move back, Pyroscope v1 reads blocks that Cinderblock wrote. v1 uses this release of parquet-go,
 * which seeks by the offset index and skips pages by the column index: the test compares both indexes with
 * the values.
 */

const HOUR = 3600_000;
interface Table {
  Rows: number;
  Columns: Record<string, { Values: number; Nulls: number; Sum: number; Pages: number }>;
}

describeWith(["parquet-go"], "v1's library reads the tables of our blocks", () => {
  const server = new Server(),
    begin = (Math.floor(Date.now() / (8 * HOUR)) - 2) * 8 * HOUR;
  afterAll(() => server.stop());
  const bucket = join(server.dir, "bucket");
  const tables = (): string[] =>
    readdirSync(bucket, { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".parquet"))
      .map((f) => join(bucket, f))
      .sort();
  const meta = (
    path: string,
  ): { compaction: { level: number }; stats: { numProfiles: number; numSamples: number } } =>
    JSON.parse(readFileSync(join(dirname(path), "meta.json"), "utf8")) as never;
  const readAll = (paths: string[]): Record<string, Table> => {
    const r = spawnSync(part("parquet-go"), paths, { encoding: "utf8", maxBuffer: 1 << 26 });
    expect(r.status === 0 ? "" : r.stdout + r.stderr).toBe("");
    return JSON.parse(r.stdout) as Record<string, Table>;
  };

  it("as cut, compacted and downsampled: values, spans, and seek indexes", async () => {
    await server.start("-validation.reject-older-than=0", "-compactor.enabled=false");
    let value = 0,
      profiles = 0;
    // Large profiles give tables of several pages; some have spans. The last profile completes the range
    // before it.
    for (let i = 0; i <= 120; i++) {
      const stacks = Array.from({ length: i % 3 === 0 ? 9000 : 1 + (i % 5) }, (_, k) => ({
        frames: ["main", `f${k % 4000}`, `g${k % 7}${k >= 4000 ? "b" : ""}`, `h${k % 3}`],
        values: [(i + k) % 9 === 0 ? 0 : 1 + ((i * 31 + k) % 1000)],
        ...(i % 4 === 1 ? { labels: { profile_id: "00000000000000ab" } } : {}),
      }));
      const body = gzipSync(
        tinyPprof({
          stacks,
          timeNanos: BigInt(i === 120 ? begin + 9 * HOUR : begin + i * 3 * 60_000) * 1_000_000n,
        }),
        { level: 1 },
      );
      const r = await server.json("/push.v1.PusherService/Push", {
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "service_name", value: `s${i % 6}` },
            ],
            samples: [{ rawProfile: body.toString("base64") }],
          },
        ],
      });
      expect(r.status).toBe(200);
      profiles++;
      for (const s of stacks) if (s.values[0]! > 0) value += s.values[0]!;
    }
    await server.json("/ingester.v1.IngesterService/Flush", {});
    await until(
      "the blocks are in the bucket",
      () => Promise.resolve(tables().reduce((n, f) => n + meta(f).stats.numProfiles, 0) === profiles),
      30_000,
    );
    const level1 = readAll(tables());
    const check = (found: Record<string, Table>): { rows: number; sum: number; samples: number } => {
      let rows = 0,
        sum = 0,
        count = 0;
      for (const [path, t] of Object.entries(found)) {
        const of = (name: string): Table["Columns"][string] => t.Columns[name]!;
        expect(of("Samples.list.element.Value").Sum).toBe(of("TotalValue").Sum);
        expect(of("Samples.list.element.StacktraceID").Values).toBe(of("Samples.list.element.Value").Values);
        expect(of("SeriesIndex").Values).toBe(t.Rows);
        if (!path.endsWith("/profiles.parquet")) continue;
        expect([t.Rows, of("Samples.list.element.Value").Values]).toEqual([
          meta(path).stats.numProfiles,
          meta(path).stats.numSamples,
        ]);
        rows += t.Rows;
        sum += of("TotalValue").Sum;
        count += of("Samples.list.element.Value").Values;
      }
      return { rows, sum, samples: count };
    };
    const one = check(level1);
    expect([one.rows, one.sum]).toEqual([profiles, value]);
    const spans = Object.values(level1).reduce(
      (n, t) => n + t.Columns["Samples.list.element.SpanID"]!.Values,
      0,
    );
    expect(spans).toBeGreaterThan(50);

    await server.stop();
    await server.start(
      "-validation.reject-older-than=0",
      "-compactor.downsampler-enabled=true",
      "-compactor.block-ranges=1h,2h,8h",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
      "-compactor.cleanup-interval=300ms",
      "-compactor.deletion-delay=0s",
      "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
      "-blocks-storage.bucket-store.sync-interval=300ms",
    );
    await until(
      "the blocks are merged and thinned out",
      () =>
        Promise.resolve(
          tables().some((f) => f.endsWith("profiles_1h_sum.parquet")) &&
            tables().filter((f) => f.endsWith("/profiles.parquet")).length === 2,
        ),
      60_000,
    );
    const merged = readAll(tables()),
      two = check(merged);
    expect(two).toEqual({ rows: profiles, sum: value, samples: one.samples });
    expect(
      Math.max(...Object.values(merged).map((t) => t.Columns["Samples.list.element.Value"]!.Pages)),
    ).toBeGreaterThan(1);
    const alone = Object.entries(merged).find(([p]) => meta(p).compaction.level === 1)![1].Columns.TotalValue!
      .Sum;
    for (const kind of ["5m", "1h"])
      expect(
        alone +
          Object.entries(merged)
            .filter(([p]) => p.endsWith(`profiles_${kind}_sum.parquet`))
            .reduce((n, [, t]) => n + t.Columns.TotalValue!.Sum, 0),
      ).toBe(value);
  }, 240_000);
});
