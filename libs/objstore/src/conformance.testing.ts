import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CinderblockError } from "@cinderblock/errors";
import { temporaryFolder } from "@cinderblock/testkit";
import { type Bucket, type BucketSpec, listAll, openBucket } from "./index.ts";
import { type BackendName, TestStores } from "./stores.testing.ts";

const kindOf = (p: Promise<unknown>): Promise<string> =>
  p.then(
    () => "no error",
    (err: unknown) => (err instanceof CinderblockError ? err.kind : String(err)),
  );

/** Conformance suite for buckets of all stores. */
export function behavesAsBucket(store: BackendName): void {
  const stores = new TestStores();
  beforeAll(() => stores.start(store), 60_000);
  const each = (what: string, test: (bucket: Bucket, spec: BucketSpec) => Promise<void>): void => {
    it(what, async () => {
      const spec = stores.spec(store, `p-${what.replace(/\W+/g, "-")}`);
      await test(await openBucket(spec), spec);
    }, 60_000);
  };
  each("returns stored objects, completely and in ranges", async (b) => {
    const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => i & 255));
    await b.put("t/a.bin", bytes);
    expect(Buffer.from(await b.get("t/a.bin")).equals(bytes)).toBe(true);
    expect([...(await b.getRange("t/a.bin", 10, 3))]).toEqual([10, 11, 12]);
    expect((await b.getRange("t/a.bin", 990, 50)).length).toBe(10);
    expect((await b.getRange("t/a.bin", 2000, 5)).length).toBe(0);
    expect((await b.getRange("t/a.bin", 5, 0)).length).toBe(0);
    await b.put("t/a.bin", Buffer.from("other"));
    expect(Buffer.from(await b.get("t/a.bin")).toString()).toBe("other");
    await b.put("t/empty", Buffer.alloc(0));
    expect((await b.get("t/empty")).length).toBe(0);
  });
  each("creates an absent object once, among concurrent writers", async (b) => {
    const tries: boolean[] = [];
    const attempt = async (i: number): Promise<void> => {
      tries[i] = await b.putIfAbsent("t/claim", Buffer.from(String(i)));
    };
    // Swift checks the name before it reads the body: there, the first attempt finishes before the others
    // start.
    if (b.name === "swift") await attempt(0);
    await Promise.all(
      Array.from({ length: 12 }, (_, i) => (tries[i] === undefined ? attempt(i) : undefined)),
    );
    const winner = tries.indexOf(true);
    expect(tries.filter(Boolean)).toHaveLength(1);
    expect(Buffer.from(await b.get("t/claim")).toString()).toBe(String(winner));
    expect(await b.putIfAbsent("t/claim", Buffer.from("late"))).toBe(false);
    await b.delete("t/claim");
    expect(await b.putIfAbsent("t/claim", Buffer.from("new"))).toBe(true);
  });
  each("keeps names unchanged", async (b) => {
    const names = [
      "t/with blank",
      "t/ünïcode",
      "t/percent%41",
      "t/plus+and&amp",
      "t/hash#q?x=1",
      "t/quote'()!*",
    ];
    for (const n of names) await b.put(n, Buffer.from(n));
    expect(await b.list("t/")).toEqual([...names].sort());
    for (const n of names) expect(Buffer.from(await b.get(n)).toString()).toBe(n);
  });
  each("returns size and age, and reports missing objects", async (b) => {
    const before = Date.now();
    await b.put("t/x", Buffer.from("12345"));
    const a = await b.attributes("t/x");
    expect(a.size).toBe(5);
    expect(Math.abs(a.lastModifiedMs - before)).toBeLessThan(60_000);
    expect([await b.exists("t/x"), await b.exists("t/y"), await b.exists("t")]).toEqual([true, false, false]);
    for (const ask of [
      () => b.get("t/y"),
      () => b.getRange("t/y", 0, 1),
      () => b.attributes("t/y"),
      () => b.get("nothing/here"),
    ])
      expect(await kindOf(ask())).toBe("not-found");
  });
  each("lists one level, folders with a slash, in order", async (b) => {
    for (const n of ["t/b", "t/a/1", "t/a/2", "t/c/d/e", "u/x"]) await b.put(n, Buffer.from(n));
    expect(await b.list("")).toEqual(["t/", "u/"]);
    expect(await b.list("t/")).toEqual(["t/a/", "t/b", "t/c/"]);
    expect(await b.list("t/a")).toEqual(["t/a/"]);
    expect(await b.list("nothing/")).toEqual([]);
    expect(await listAll(b, "t/")).toEqual(["t/a/1", "t/a/2", "t/b", "t/c/d/e"]);
  });
  each("lists more than a page", async (b) => {
    const names = Array.from({ length: 1100 }, (_, i) => `many/${String(i).padStart(5, "0")}`);
    for (let i = 0; i < names.length; i += 50)
      await Promise.all(names.slice(i, i + 50).map((n) => b.put(n, Buffer.from("x"))));
    expect(await b.list("many/")).toEqual(names);
  });
  each("deletes idempotently; a folder without objects is gone", async (b) => {
    await b.put("t/only", Buffer.from("x"));
    await b.delete("t/only");
    await b.delete("t/only");
    expect(await b.exists("t/only")).toBe(false);
    expect(await b.list("t/")).toEqual([]);
  });
  each("uploads files, large ones in parts", async (b) => {
    const path = join(temporaryFolder(), "large");
    const bytes = Buffer.alloc(37 << 20);
    for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, i);
    writeFileSync(path, bytes);
    await b.putFile("t/large", path);
    expect((await b.attributes("t/large")).size).toBe(bytes.length);
    expect(
      Buffer.from(await b.getRange("t/large", 20 << 20, 4096)).equals(
        bytes.subarray(20 << 20, (20 << 20) + 4096),
      ),
    ).toBe(true);
    expect(await kindOf(b.putFile("t/none", join(temporaryFolder(), "missing")))).not.toBe("no error");
    expect(await b.exists("t/none")).toBe(false);
  });
  each("counts operations and failures in counters that threads share", async (b, spec) => {
    await b.put("t/a", Buffer.from("12345"));
    await b.get("t/a");
    await b.get("t/b").catch(() => undefined);
    const cells = new BigInt64Array(spec.counters);
    expect(cells.slice(0, 3)).toEqual(BigInt64Array.of(2n, 0n, 5n)); // get: two calls, no failure, five bytes
  });
}
