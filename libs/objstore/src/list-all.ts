import type { Bucket } from "./bucket.ts";

/** Names of all objects below a prefix that ends in a slash; lists folder by folder. */
export async function listAll(bucket: Bucket, prefix: string): Promise<string[]> {
  const out: string[] = [];
  for (const name of await bucket.list(prefix))
    if (name.endsWith("/")) out.push(...(await listAll(bucket, name)));
    else out.push(name);
  return out;
}
