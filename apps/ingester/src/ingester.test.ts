import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockMeta, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { CinderblockError, CorruptError } from "@cinderblock/errors";
import type { RawPush } from "@cinderblock/ingest";
import type { SourceQuery } from "@cinderblock/query";
import type { QueryPool } from "@cinderblock/query-worker";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { temporaryFolder } from "@cinderblock/testkit";
import { Ingester, type IngesterConfig } from "./ingester.ts";

/** An ingester that has not replayed its log yet. */
function beginning(dataPath: string, pool?: Partial<QueryPool>): Ingester {
  const base = {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer: startTracing("", "0"),
    now: () => Date.now(),
  };
  return new Ingester(
    new URL("file:///none"),
    { dataPath } as IngesterConfig,
    pool as QueryPool,
    base,
    () => undefined,
  );
}

describe("a starting ingester", () => {
  it("knows that it has no data when its disk is empty, so that answers are complete without it", async () => {
    expect(await beginning(join(temporaryFolder(), "not-there-yet")).source.blocks("t", 0, 1)).toEqual([]);
    expect(await beginning(temporaryFolder()).source.blocks("t", 0, 1)).toEqual([]);
  });

  it("does not know its data before its log is read, or while its disk has blocks", async () => {
    const logged = temporaryFolder(),
      log = join(logged, ".cinderblock", "log", "shard-0");
    mkdirSync(log, { recursive: true });
    writeFileSync(join(log, "00000001.log"), "");
    await expect(beginning(logged).source.blocks("t", 0, 1)).rejects.toThrow("the ingester is starting");
    const cut = temporaryFolder();
    mkdirSync(join(cut, "t", "local"), { recursive: true });
    await expect(beginning(cut).source.blocks("t", 0, 1)).rejects.toThrow("the ingester is starting");
  });

  it("refuses a push as unavailable, so that the distributor tries other replicas", async () => {
    const push = { body: Uint8Array.of(1) } as RawPush;
    await expect(
      beginning(temporaryFolder()).updateBaselines("t", "s", push, {} as IngestLimits, 0, undefined),
    ).rejects.toMatchObject({ kind: "unavailable", message: "the ingester is starting" });
  });
});

describe("a local block that a query cannot read", () => {
  const ulid = newUlid(1_795_000_000_000);
  /** Runs a query that fails; returns the error's kind and whether the block is still used. */
  async function failing(err: Error): Promise<{ kind: unknown; used: boolean; quarantined: boolean }> {
    const dataPath = temporaryFolder(),
      folder = join(dataPath, "t", "local", ulid);
    mkdirSync(folder, { recursive: true });
    const meta: BlockMeta = {
      ulid,
      minTimeMs: 1000,
      maxTimeMs: 2000,
      stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
      files: [],
      compaction: { level: 1, sources: [ulid], parents: [] },
      version: 3,
      labels: {},
      source: "ingester",
      downsampleResolution: 0,
    };
    writeFileSync(join(folder, "meta.json"), encodeMeta(meta));
    const ingester = beginning(dataPath, { execute: () => Promise.reject(err) });
    ingester.blocksOnDisk.scan();
    const kind = await ingester.source
      .execute("t", [ulid], {} as SourceQuery, {})
      .catch((e: unknown) => (e as CinderblockError).kind);
    return { kind, used: ingester.blocksOnDisk.has("t", ulid), quarantined: !existsSync(folder) };
  }

  it("is quarantined if the detail of the error names it", async () => {
    const err = new CorruptError("column Samples", 7, "expected 3 rows", { detail: { block: ulid } });
    expect(await failing(err)).toEqual({ kind: "corrupt", used: false, quarantined: true });
  });

  it("stays if the error only mentions it, or is no damage", async () => {
    for (const err of [
      new CinderblockError("corrupt", `${ulid}/profiles.parquet: damaged`),
      new CinderblockError("unavailable", "no answer", { detail: { block: ulid } }),
    ])
      expect(await failing(err)).toEqual({ kind: err.kind, used: true, quarantined: false });
  });
});
