import { encodeBucketIndex, encodeDeletionMark, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { KnownBlocks } from "./known-blocks.ts";

const T0 = 1_795_000_000_000;

/** In-memory bucket that counts requests; requests can fail by name, or be delayed. */
class Objects implements Pick<Bucket, "get" | "list"> {
  readonly all = new Map<string, Uint8Array>();
  readonly requests: string[] = [];
  fails: (request: string) => boolean = () => false;
  onList: () => Promise<void> = () => Promise.resolve();
  async get(name: string): Promise<Uint8Array> {
    this.ask(`get ${name}`);
    const bytes = this.all.get(name);
    if (!bytes) throw new CinderblockError("not-found", name);
    return Promise.resolve(bytes);
  }
  async list(prefix: string): Promise<string[]> {
    this.ask(`list ${prefix}`);
    const found = new Set(
      [...this.all.keys()]
        .filter((n) => n.startsWith(prefix))
        .map((n) => prefix + n.slice(prefix.length).replace(/\/.*/, "/")),
    );
    await this.onList();
    return [...found].sort();
  }
  private ask(request: string): void {
    this.requests.push(request);
    if (this.fails(request)) throw new CinderblockError("unavailable", "bucket is away");
  }

  block(tenant: string, atMs = T0): string {
    const ulid = newUlid(atMs);
    this.all.set(
      `${tenant}/phlaredb/${ulid}/meta.json`,
      Buffer.from(
        encodeMeta({
          ulid,
          minTimeMs: atMs,
          maxTimeMs: atMs + 1,
          stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
          files: [],
          version: 3,
          source: "ingester",
          downsampleResolution: 0,
          labels: {},
          compaction: { level: 1, sources: [ulid], parents: [] },
        }),
      ),
    );
    return ulid;
  }
  index(tenant: string, ulids: readonly string[], updatedMs = T0): void {
    this.all.set(
      `${tenant}/phlaredb/bucket-index.json.gz`,
      encodeBucketIndex({
        version: 3,
        blocks: ulids.map((ulid) => ({
          ulid,
          minTimeMs: T0,
          maxTimeMs: T0 + 1,
          uploadedAtS: T0 / 1000,
          shardId: "",
          level: 1,
        })),
        marks: [],
        updatedAtS: updatedMs / 1000,
      }),
    );
  }
  mark(tenant: string, ulid: string, atMs: number): void {
    const text = encodeDeletionMark({ id: ulid, version: 1, details: "", deletionTimeS: atMs / 1000 });
    this.all.set(`${tenant}/phlaredb/${ulid}/deletion-mark.json`, Buffer.from(text));
    this.all.set(`${tenant}/phlaredb/markers/${ulid}-deletion-mark.json`, Buffer.from(text));
  }
}

function known(bucket: Objects): {
  blocks: KnownBlocks;
  at: (ms: number) => void;
  ulids: (tenant: string) => string[];
} {
  let now = T0;
  const blocks = new KnownBlocks(
    bucket as unknown as Bucket,
    { metaConcurrency: 4, ignoreDeletionMarksDelayMs: 1_800_000, maxStaleMs: 3_600_000 },
    {
      log: createLogger({ level: "silent", format: "logfmt" }),
      metrics: new Metrics(),
      tracer: noTracer,
      now: () => now,
    },
  );
  return {
    blocks,
    at: (ms) => (now = T0 + ms),
    ulids: (tenant) => blocks.metasOf(tenant).map((m) => m.ulid),
  };
}

describe("blocks known to a store-gateway", () => {
  it("include those uploaded since the bucket index was written", async () => {
    const bucket = new Objects(),
      indexed = bucket.block("t"),
      since = bucket.block("t");
    bucket.index("t", [indexed]);
    const { blocks, ulids } = known(bucket);
    await blocks.sync();
    expect(ulids("t").sort()).toEqual([indexed, since].sort());
    const later = bucket.block("t");
    await blocks.sync();
    expect(ulids("t")).toContain(later);
  });
  it("cost one list request for all tenants, and one list and one get request per tenant with known metas", async () => {
    const bucket = new Objects(),
      { blocks } = known(bucket);
    for (const tenant of ["a", "b"]) bucket.index(tenant, [bucket.block(tenant), bucket.block(tenant)]);
    await blocks.sync();
    bucket.requests.length = 0;
    await blocks.sync();
    expect(bucket.requests.sort()).toEqual([
      "get a/phlaredb/bucket-index.json.gz",
      "get b/phlaredb/bucket-index.json.gz",
      "list ",
      "list a/phlaredb/",
      "list b/phlaredb/",
    ]);
  });
  it("exclude a block with an old mark, whether or not the index names it", async () => {
    const bucket = new Objects(),
      [marked, fresh] = [bucket.block("t"), bucket.block("t")];
    bucket.mark("t", marked, T0 - 3_600_000);
    bucket.mark("t", fresh, T0 - 60_000);
    const { blocks, ulids } = known(bucket);
    await blocks.sync();
    expect(ulids("t")).toEqual([fresh]);
    bucket.index("t", []);
    await blocks.sync();
    expect(ulids("t")).toEqual([fresh]);
  });
  it("keep a block registered during their listing", async () => {
    const bucket = new Objects(),
      first = bucket.block("t"),
      { blocks, ulids } = known(bucket);
    let late = "";
    bucket.onList = async () => {
      if (late !== "") return;
      late = bucket.block("t");
      await blocks.registerBlock("t", late);
    };
    await blocks.syncTenant("t");
    expect(ulids("t").sort()).toEqual([first, late].sort());
    bucket.all.delete(`t/phlaredb/${late}/meta.json`);
    await blocks.syncTenant("t");
    expect(ulids("t")).toEqual([first]);
  });
  it("are unknown, not empty, while listing the bucket fails", async () => {
    const bucket = new Objects(),
      one = bucket.block("t"),
      { blocks, at, ulids } = known(bucket);
    bucket.fails = () => true;
    await expect(blocks.sync()).rejects.toThrow("bucket is away");
    await expect(blocks.blocksOf("t")).rejects.toThrow("the blocks of tenant t have not been listed yet");
    const asked = bucket.requests.length;
    await expect(blocks.blocksOf("t")).rejects.toThrow("have not been listed yet");
    expect(bucket.requests).toHaveLength(asked); // no second request at once
    bucket.fails = () => false;
    at(3000);
    await blocks.blocksOf("t");
    expect(ulids("t")).toEqual([one]);
  });
  it("of a failing tenant do not hide other tenants' blocks, and an unknown tenant costs no request", async () => {
    const bucket = new Objects(),
      [one] = [bucket.block("good"), bucket.block("bad")],
      { blocks, at, ulids } = known(bucket);
    bucket.fails = (r) => r === "list bad/phlaredb/";
    await blocks.sync();
    expect(ulids("good")).toEqual([one]);
    await expect(blocks.blocksOf("bad")).rejects.toThrow("have not been listed yet");
    const asked = bucket.requests.length;
    await blocks.blocksOf("nobody");
    expect(bucket.requests).toHaveLength(asked);
    bucket.fails = () => false;
    at(3000);
    await blocks.blocksOf("bad");
    expect(ulids("bad")).toHaveLength(1);
    // A failing bucket does not change known blocks.
    bucket.fails = () => true;
    await blocks.blocksOf("bad");
    await expect(blocks.sync()).rejects.toThrow("bucket is away");
    expect(ulids("bad")).toHaveLength(1);
  });
});
