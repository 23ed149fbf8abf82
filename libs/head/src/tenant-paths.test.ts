import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter, loadHasher } from "@cinderblock/bytes";
import { newUlid } from "@cinderblock/block-meta";
import { PushProcessor, RateGate } from "@cinderblock/ingest";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { temporaryFolder, tinyPprof } from "@cinderblock/testkit";
import { Head, HeadShard, LogWriter, logDirectory } from "./index.ts";
import { cutHead } from "./cut.ts";
import { encodeHeadRecord } from "./log-records.ts";

const T0 = 1_795_409_460_000_000_000n;

async function shardIn(dataPath: string): Promise<{ shard: HeadShard; processor: PushProcessor }> {
  const hasher = await loadHasher();
  const shard = new HeadShard(hasher, {
    shard: 0,
    dataPath,
    windowNanos: 3_600_000_000_000n,
    headBytes: 1 << 30,
    logBytes: 1 << 30,
    segmentBytes: 1 << 20,
    idleMs: 0,
    sync: false,
    onFailure: (err) => {
      throw err;
    },
    onBlock: () => undefined,
    now: () => Date.now(),
  });
  return { shard, processor: new PushProcessor(hasher, shard) };
}

function push(processor: PushProcessor, tenant: string): ReturnType<PushProcessor["process"]> {
  const body = {
    series: [
      {
        labels: [
          { name: "__name__", value: "process_cpu" },
          { name: "service_name", value: "shop" },
        ],
        samples: [
          {
            rawProfile: Buffer.from(
              tinyPprof({ timeNanos: T0, stacks: [{ frames: ["main"], values: [1] }] }),
            ).toString("base64"),
          },
        ],
      },
    ],
  };
  return processor.process(
    tenant,
    { kind: "push", codec: "json", gzip: false, body: Buffer.from(JSON.stringify(body)) },
    TEST_LIMITS,
    new RateGate(new SharedArrayBuffer(8)),
    Number(T0 / 1_000_000n),
  );
}

/** All paths below a folder, except a shard's own files. */
const found = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((f) => !f.includes(".cinderblock"))
    .sort();

describe("the folders of heads", () => {
  let outer = "",
    dataPath = "";
  beforeEach(() => {
    outer = temporaryFolder();
    dataPath = join(outer, "data");
    mkdirSync(dataPath);
  });
  afterEach(() => rmSync(outer, { recursive: true, force: true }));

  it("are never created for an invalid tenant ID: the append is refused, and a cut writes nothing", async () => {
    const { shard, processor } = await shardIn(dataPath);
    shard.replay();
    shard.resume();
    expect(push(processor, "good").profiles).toBe(1);
    for (const tenant of ["../../outside", "..", "", "a/b", "/etc"])
      expect(push(processor, tenant).error).toMatchObject({ kind: "invalid" });
    await shard.commit();
    await shard.flush();
    expect(found(outer).filter((f) => !f.startsWith("data/good"))).toEqual(["data"]);
    const hostile = new Head(newUlid(Number(T0 / 1_000_000n)), "../../outside", T0, await loadHasher());
    Object.defineProperty(hostile, "rowCount", { value: 1 });
    await expect(cutHead(hostile, dataPath)).rejects.toMatchObject({ kind: "invalid" });
    await shard.close();
  });

  it.each([
    ["tenant", "../../outside", undefined],
    ["ULID", "good", "../../../outside"],
  ])(
    "are not created from a log record with a foreign %s, which counts as damaged",
    async (_what, tenant, ulid) => {
      const hasher = await loadHasher(),
        log = new LogWriter(logDirectory(dataPath, 0), {
          segmentBytes: 1 << 20,
          sync: false,
          onFailure: (err) => {
            throw err;
          },
        });
      log.open(1);
      const record = new ByteWriter(1024);
      encodeHeadRecord(7, new Head(ulid ?? newUlid(Number(T0 / 1_000_000n)), tenant, T0, hasher), record);
      log.append(record.finish().slice());
      await log.commit();
      await log.close();

      const { shard } = await shardIn(dataPath);
      const report = shard.replay();
      shard.resume();
      expect(report.damaged).toHaveLength(1);
      expect(shard.tenants()).toEqual([]);
      await shard.flush();
      await shard.close();
      expect(found(outer)).toEqual(["data"]);
      expect(existsSync(join(outer, "outside"))).toBe(false);
    },
  );
});
