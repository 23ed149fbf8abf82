import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { temporaryFolder } from "@cinderblock/testkit";
import { type Bucket, FilesystemBucket } from "@cinderblock/objstore";
import {
  convertDebugFile,
  DebugFiles,
  type SymbolizerConfig,
  TABLE_RESULTS,
  tableCounters,
  TableStore,
  uploadedName,
} from "./index.ts";

const bytes = new Uint8Array(
  gunzipSync(readFileSync(`${import.meta.dirname}/../../native-symbols/src/golden/tiny-dwarf5.gz`)),
);
const directory = temporaryFolder();

function store(
  bucket: Bucket,
  more: Partial<SymbolizerConfig> = {},
): { tables: TableStore; clock: { now: number }; counts: () => Record<string, number> } {
  const counters = tableCounters(),
    clock = { now: Date.now() };
  const config: SymbolizerConfig = {
    directory: join(directory, "cache"),
    urls: [],
    script: "file:///none",
    maxFileBytes: 1 << 20,
    fetchTimeoutMs: 1000,
    waitMs: 300,
    absentMs: 5000,
    memoryBytes: 1 << 20,
    diskBytes: 1 << 20,
    counters,
    ...more,
  };
  return {
    tables: new TableStore(config, bucket, () => clock.now),
    clock,
    counts: () =>
      Object.fromEntries(
        TABLE_RESULTS.map((r, i) => [r, Number(new BigInt64Array(counters)[i])]).filter(([, n]) => n !== 0),
      ) as Record<string, number>,
  };
}

describe("tables of debug files", () => {
  it("are a tenant's uploads, read once, evicted by size, and looked up again later if absent", async () => {
    const bucket = new FilesystemBucket(join(directory, "bucket")),
      files = new DebugFiles(bucket, (call) => Promise.resolve(convertDebugFile(call)));
    const { buildId } = await files.upload("a", bytes, ""),
      { tables, clock, counts } = store(bucket);
    expect([
      (await tables.get("a", buildId)).state,
      (await tables.get("a", buildId)).state,
      counts(),
    ]).toEqual(["here", "here", { uploaded: 1 }]);
    expect(await tables.get("b", buildId)).toEqual({ state: "absent", untilMs: clock.now + 5000 });
    await files.upload("b", bytes, "");
    expect((await tables.get("b", buildId)).state).toBe("absent");
    clock.now += 5001;
    expect([(await tables.get("b", buildId)).state, counts()]).toEqual(["here", { uploaded: 2, absent: 1 }]);
    const small = store(bucket, { memoryBytes: 100 });
    for (const tenant of ["a", "b", "a"]) await small.tables.get(tenant, buildId);
    expect(small.counts()).toEqual({ uploaded: 3 });
    // A changed table, or one of a later version, counts as absent.
    await bucket.put(
      uploadedName("c", buildId),
      Buffer.from("CBSY and something else, which is long enough to be looked at closely"),
    );
    expect((await tables.get("c", buildId)).state).toBe("absent");
    await expect(files.upload("a", bytes, "abcdef01")).rejects.toThrow("not abcdef01");
  });
  it("do not fail a query when the bucket fails or hangs, and delay it once, not per block", async () => {
    const failing = store({ get: () => Promise.reject(new Error("no route to host")) } as unknown as Bucket);
    expect([await failing.tables.get("a", "abcdef01"), failing.counts()]).toEqual([
      { state: "failed", untilMs: failing.clock.now + 60_000, reason: "no route to host" },
      { failed: 1 },
    ]);
    const hanging = store({ get: () => new Promise(() => undefined) } as unknown as Bucket);
    expect(await hanging.tables.get("a", "abcdef01")).toEqual({ state: "pending" });
    hanging.clock.now += 300;
    // Without a wait, the answer arrives before the longer timer.
    const first = await Promise.race([
      hanging.tables.get("a", "abcdef01"),
      new Promise((r) => {
        setTimeout(r, 250, "waited");
      }),
    ]);
    expect(first).toEqual({ state: "pending" });
  });
});
