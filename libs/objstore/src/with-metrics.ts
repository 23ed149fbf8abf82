import type { Metrics } from "@cinderblock/telemetry";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "./bucket.ts";
import { isTimeout } from "./deadline.ts";

const OPERATIONS = ["get", "get_range", "upload", "attributes", "exists", "delete", "iter"] as const;
type Operation = (typeof OPERATIONS)[number];
/** counters per operation: calls, failures, bytes, microseconds, timeouts */
const FIELDS = 5;

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
  const show = (name: string, help: string, field: number, scale = 1): void => {
    metrics.gauge(name, help, ["bucket", "operation"], (g) =>
      OPERATIONS.forEach((operation, i) =>
        g.set({ bucket, operation }, Number(Atomics.load(cells, i * FIELDS + field)) * scale),
      ),
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
  metrics.gauge(
    "cinderblock_objstore_operation_timeouts_total",
    "Bucket operations canceled at their deadline because they made no progress.",
    ["operation"],
    (g) =>
      OPERATIONS.forEach((operation, i) => g.set({ operation }, Number(Atomics.load(cells, i * FIELDS + 4)))),
  );
}
