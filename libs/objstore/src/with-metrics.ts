import type { Metrics } from "@cinderblock/telemetry";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "./bucket.ts";
import { isTimeout } from "./deadline.ts";

const OPERATIONS = ["get", "get_range", "upload", "attributes", "exists", "delete", "iter"] as const;
type Operation = (typeof OPERATIONS)[number];
/** Upper bounds of a successful operation's duration, in seconds, as in v1. */
const BUCKETS = [0.001, 0.01, 0.1, 0.3, 0.6, 1, 3, 6, 9, 20, 30, 60, 90, 120];
/**
 * Counters per operation: calls, failures, bytes, microseconds, timeouts, microseconds of successful calls, and
 * successful calls by bucket of their duration.
 */
const SUCCESS_MICROS = 5,
  FIRST_BUCKET = 6,
  FIELDS = FIRST_BUCKET + BUCKETS.length + 1;

/** Creates counters that all threads of a process share. */
export function operationCounters(): SharedArrayBuffer {
  return new SharedArrayBuffer(OPERATIONS.length * FIELDS * 8);
}

/** Counts the requests of a bucket. `observeOperations` exports the counts under v1's metric names. */
export function withMetrics(bucket: Bucket, counters: SharedArrayBuffer): Bucket {
  const cells = new BigInt64Array(counters);
  async function run<T>(
    operation: Operation,
    work: () => Promise<T>,
    bytes: (result: T) => number = () => 0,
  ): Promise<T> {
    const at = OPERATIONS.indexOf(operation) * FIELDS;
    const started = performance.now();
    Atomics.add(cells, at, 1n);
    try {
      const result = await work();
      Atomics.add(cells, at + 2, BigInt(bytes(result)));
      const seconds = (performance.now() - started) / 1000,
        bucket = BUCKETS.findIndex((most) => seconds <= most);
      Atomics.add(cells, at + SUCCESS_MICROS, BigInt(Math.round(seconds * 1e6)));
      Atomics.add(cells, at + FIRST_BUCKET + (bucket < 0 ? BUCKETS.length : bucket), 1n);
      return result;
    } catch (err) {
      // A missing object is an answer, not a failure.
      if (!(err instanceof CinderblockError && err.kind === "not-found")) Atomics.add(cells, at + 1, 1n);
      if (isTimeout(err)) Atomics.add(cells, at + 4, 1n);
      throw err;
    } finally {
      Atomics.add(cells, at + 3, BigInt(Math.round((performance.now() - started) * 1000)));
    }
  }
  const size = (b: Uint8Array): number => b.length;
  return {
    name: bucket.name,
    get: (n) => run("get", () => bucket.get(n), size),
    getRange: (n, o, s) => run("get_range", () => bucket.getRange(n, o, s), size),
    put: (n, b) =>
      run(
        "upload",
        () => bucket.put(n, b),
        () => b.length,
      ),
    putIfAbsent: (n, b) =>
      run(
        "upload",
        () => bucket.putIfAbsent(n, b),
        () => b.length,
      ),
    putFile: (n, f) => run("upload", () => bucket.putFile(n, f)),
    attributes: (n) => run("attributes", () => bucket.attributes(n)),
    exists: (n) => run("exists", () => bucket.exists(n)),
    delete: (n) => run("delete", () => bucket.delete(n)),
    list: (n) => run("iter", () => bucket.list(n)),
  };
}

/** Exports the counters as metrics. */
export function observeOperations(counters: SharedArrayBuffer, bucket: string, metrics: Metrics): void {
  const cells = new BigInt64Array(counters);
  const cell = (operation: number, field: number): number =>
    Number(Atomics.load(cells, operation * FIELDS + field));
  const show = (name: string, help: string, field: number, scale = 1): void => {
    metrics.counterFrom(name, help, ["bucket", "operation"], (c) =>
      OPERATIONS.forEach((operation, i) => c.inc({ bucket, operation }, cell(i, field) * scale)),
    );
  };
  show("objstore_bucket_operations_total", "Bucket operations.", 0);
  show(
    "objstore_bucket_operation_failures_total",
    "Failed bucket operations; a missing object is not a failure.",
    1,
  );
  show("objstore_bucket_operation_transferred_bytes_total", "Bytes transferred by bucket operations.", 2);
  show("objstore_bucket_operation_seconds_total", "Duration of bucket operations.", 3, 1e-6);
  metrics.counterFrom(
    "cinderblock_objstore_operation_timeouts_total",
    "Bucket operations canceled at their deadline because they made no progress.",
    ["operation"],
    (c) => OPERATIONS.forEach((operation, i) => c.inc({ operation }, cell(i, 4))),
  );
  metrics.histogramFrom(
    "objstore_bucket_operation_duration_seconds",
    "Duration of successful bucket operations.",
    BUCKETS,
    () =>
      OPERATIONS.map((operation, i) => ({
        labels: { bucket, operation },
        counts: Array.from({ length: BUCKETS.length + 1 }, (_, k) => cell(i, FIRST_BUCKET + k)),
        sum: cell(i, SUCCESS_MICROS) / 1e6,
      })),
  );
}
