import type { Bucket } from "./bucket.ts";

/** A bucket whose objects are all below `prefix`, which has no slash at its end; "": the bucket itself. */
export function withPrefix(bucket: Bucket, prefix: string): Bucket {
  if (prefix === "") return bucket;
  const p = `${prefix}/`;
  return {
    name: bucket.name,
    get: (n) => bucket.get(p + n),
    getRange: (n, o, s) => bucket.getRange(p + n, o, s),
    put: (n, b) => bucket.put(p + n, b),
    putIfAbsent: (n, b) => bucket.putIfAbsent(p + n, b),
    putFile: (n, f) => bucket.putFile(p + n, f),
    attributes: (n) => bucket.attributes(p + n),
    exists: (n) => bucket.exists(p + n),
    delete: (n) => bucket.delete(p + n),
    list: async (n) => (await bucket.list(p + n)).map((x) => x.slice(p.length)),
  };
}
