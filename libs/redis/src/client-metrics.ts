import { type Metrics, timeBuckets } from "@cinderblock/telemetry";

/** Purpose of a connection to Redis: rings and the internal token, or the results cache. */
export type RedisPurpose = "ring" | "cache";

/** Records the calls of one connection. */
export interface CallRecorder {
  /** @param seconds duration of the call, until its answer or its error */
  record(seconds: number, failed: boolean): void;
}

/**
 * Metrics of one connection, by its purpose.
 * @param connected whether the connection accepts calls now, on each scrape
 */
export function clientMetrics(
  metrics: Metrics,
  purpose: RedisPurpose,
  connected: () => boolean,
): CallRecorder {
  const labels = { purpose };
  metrics.gauge(
    "cinderblock_redis_connected",
    "1 while the connection to Redis is open, which its first call opens, by purpose of the connection.",
    ["purpose"],
    (g) => {
      g.set(labels, connected() ? 1 : 0);
    },
  );
  const failures = metrics.counter(
    "cinderblock_redis_call_failures_total",
    "Calls of Redis that failed or got no answer in time, by purpose of the connection.",
    ["purpose"],
  );
  failures.inc(labels, 0);
  const duration = metrics
    .histogram(
      "cinderblock_redis_call_duration_seconds",
      "Duration of the calls of Redis, failed ones included, by purpose of the connection.",
      ["purpose"],
      timeBuckets,
    )
    .labels(labels);
  return {
    record(seconds, failed) {
      duration.observe(seconds);
      if (failed) failures.inc(labels);
    },
  };
}
