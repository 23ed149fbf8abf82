import { CinderblockError } from "@cinderblock/errors";
import { Metrics } from "@cinderblock/telemetry";
import type { Bucket } from "./bucket.ts";
import { observeOperations, operationCounters, withMetrics } from "./with-metrics.ts";

describe("metrics of bucket operations", () => {
  afterEach(() => {
    jest.useRealTimers();
  });

  it("count calls and failures, and the durations of successful calls in v1's buckets", async () => {
    jest.useFakeTimers();
    const counters = operationCounters(),
      metrics = new Metrics();
    observeOperations(counters, "blocks", metrics);
    /** Answers after a delay in milliseconds; odd delays fail, 404 is a missing object. */
    const store = {
      name: "blocks",
      get: (name: string) =>
        new Promise<Uint8Array>((done, fail) => {
          const ms = Number(name);
          setTimeout(() => {
            if (ms === 404) fail(new CinderblockError("not-found", "no object"));
            else if (ms % 2 === 1) fail(new CinderblockError("unavailable", "no answer"));
            else done(new Uint8Array(10));
          }, ms);
        }),
    } as unknown as Bucket;
    const bucket = withMetrics(store, counters);
    const delays = [0, 8, 8, 50, 500, 15_000, 200_000, 404, 7];
    const all = Promise.allSettled(delays.map((ms) => bucket.get(String(ms))));
    await jest.advanceTimersByTimeAsync(200_000);
    await all;
    const lines = (await metrics.registry.metrics()).split("\n"),
      of = (name: string): string[] =>
        lines.filter((l) => l.startsWith(name) && l.includes('operation="get"'));
    const le = (rows: string[]): string[] => rows.map((r) => /le="(.*?)"\} (.*)/.exec(r)!.slice(1).join(" "));
    const name = "objstore_bucket_operation_duration_seconds";
    expect(le(of(`${name}_bucket`))).toEqual(
      "0.001 1,0.01 3,0.1 4,0.3 4,0.6 5,1 5,3 5,6 5,9 5,20 6,30 6,60 6,90 6,120 6,+Inf 7".split(","),
    );
    expect([of(`${name}_count`), of(`${name}_sum`)]).toEqual([
      [`${name}_count{bucket="blocks",operation="get"} 7`],
      [`${name}_sum{bucket="blocks",operation="get"} 215.566`],
    ]);
    expect([of("objstore_bucket_operations_total"), of("objstore_bucket_operation_failures_total")]).toEqual([
      ['objstore_bucket_operations_total{bucket="blocks",operation="get"} 9'],
      ['objstore_bucket_operation_failures_total{bucket="blocks",operation="get"} 1'],
    ]);
    // Types are those of v1; Prometheus warns of the rate of a gauge.
    expect(lines.filter((l) => l.startsWith("# TYPE objstore_"))).toEqual([
      "# TYPE objstore_bucket_operations_total counter",
      "# TYPE objstore_bucket_operation_failures_total counter",
      "# TYPE objstore_bucket_operation_transferred_bytes_total counter",
      "# TYPE objstore_bucket_operation_seconds_total counter",
      "# TYPE objstore_bucket_operation_duration_seconds histogram",
    ]);
    // A second scrape shows the same values.
    expect((await metrics.registry.metrics()).split("\n").filter((l) => l.startsWith("objstore_"))).toEqual(
      lines.filter((l) => l.startsWith("objstore_")),
    );
  });
});
