import { Semaphore } from "@cinderblock/async";
import type { Bucket } from "./bucket.ts";

/** Limits a bucket to `limit` requests in flight; other requests wait in order. */
export function limitConcurrency(bucket: Bucket, limit: number): Bucket {
  const slots = new Semaphore(limit);
  const run = <T>(work: () => Promise<T>): Promise<T> => slots.run(work);
  return {
    name: bucket.name,
    get: (n) => run(() => bucket.get(n)),
    getRange: (n, o, s) => run(() => bucket.getRange(n, o, s)),
    put: (n, b) => run(() => bucket.put(n, b)),
    putIfAbsent: (n, b) => run(() => bucket.putIfAbsent(n, b)),
    putFile: (n, f) => run(() => bucket.putFile(n, f)),
    attributes: (n) => run(() => bucket.attributes(n)),
    exists: (n) => run(() => bucket.exists(n)),
    delete: (n) => run(() => bucket.delete(n)),
    list: (n) => run(() => bucket.list(n)),
  };
}
