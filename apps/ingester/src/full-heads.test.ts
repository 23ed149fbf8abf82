import { join } from "node:path";
import { sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { encodePush, type SentPush } from "@cinderblock/ingest";
import { InMemoryLog } from "@cinderblock/kafka";
import type { QueryPool } from "@cinderblock/query-worker";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { bundledWorker, temporaryFolder, tinyPprof } from "@cinderblock/testkit";
import { encodePushRecord } from "@cinderblock/transport";
import { Ingester, type IngesterConfig } from "./ingester.ts";
import { Partitions } from "./partitions.ts";

const script = bundledWorker("apps/ingester/src/ingest-worker.ts");
const T0 = 1_795_409_460_000_000_000n;
const base = () => ({
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
});

/** A real ingester with real threads and a small limit for its heads. */
async function ingester(headBytes: number): Promise<Ingester> {
  const i = new Ingester(
    script,
    {
      dataPath: temporaryFolder(),
      workers: 1,
      windowMs: 3600_000,
      headBytes,
      logBytes: 1 << 30,
      segmentBytes: 1 << 20,
      idleMs: 3600_000,
      localBudgetBytes: 0,
      symbols: undefined,
      retentionMs: 3600_000,
      ballastBytes: 0,
      bucketDirectory: undefined,
      minFreeDiskBytes: 0,
      minDiskAvailable: 0,
      retentionDisabled: true,
      retentionIntervalMs: 3600_000,
      sync: false,
    } satisfies IngesterConfig,
    undefined as unknown as QueryPool,
    base(),
    (reason) => {
      throw new Error(reason);
    },
  );
  await i.start();
  return i;
}

/** A profile with unique stacks: a head interns all of them. */
function bulky(i: number): SentPush {
  const profile = tinyPprof({
    timeNanos: T0 + BigInt(i) * 1_000_000n,
    stacks: Array.from({ length: 100 }, (_, k) => ({
      frames: ["main", `function_number_${k}_of_profile_${i}`],
      values: [1],
    })),
  });
  const labels = [
    { name: "__name__", value: "process_cpu" },
    { name: "service_name", value: "shop" },
  ];
  return {
    kind: "push",
    codec: "proto",
    gzip: false,
    body: encodePush([{ labels, profiles: [profile] }], profile.length),
  };
}

/** Number of profiles on disk after all heads are cut. */
async function stored(i: Ingester): Promise<number> {
  await i.flush();
  return i.blocksOnDisk.metas("t").reduce((n, m) => n + m.stats.numProfiles, 0);
}

describe("an ingester with full heads", () => {
  it("refuses with the kind no-room, which survives the thread boundary, and accepts pushes again after its cuts", async () => {
    const i = await ingester(100_000);
    let refused: unknown,
      taken = 0;
    for (let n = 0; n < 200 && !refused; n++)
      await Promise.all(
        Array.from({ length: 8 }, (_, k) =>
          i.push("t", "shop", bulky(n * 8 + k), TEST_LIMITS).then(
            (a) => {
              expect(a.error).toBeUndefined();
              taken++;
            },
            (err: unknown) => {
              refused = err;
            },
          ),
        ),
      );
    expect(refused).toBeInstanceOf(CinderblockError);
    expect(refused).toMatchObject({
      kind: "no-room",
      reason: "rate_limited",
      detail: { resource: "heads", limit: 100_000 },
    });
    expect(i.pressure()).toBeGreaterThan(0);
    let again: unknown = refused;
    for (let n = 0; n < 200 && again; n++) {
      await sleep(20);
      again = await i.push("t", "shop", bulky(999_999), TEST_LIMITS).then(
        () => undefined,
        (err: unknown) => err,
      );
    }
    expect(again).toBeUndefined();
    expect(await stored(i)).toBe(taken + 1);
    await i.stop();
  }, 20_000);

  it("stores every record of a partition that it reads faster than it cuts", async () => {
    const log = new InMemoryLog(1),
      i = await ingester(500_000),
      RECORDS = 400;
    for (let n = 0; n < RECORDS; n++)
      await log.produce(
        0,
        encodePushRecord({
          tenant: "t",
          service: "shop",
          atMs: Number(T0 / 1_000_000n),
          limits: TEST_LIMITS,
          push: bulky(n),
          refused: 0,
        }),
      );
    const p = new Partitions(
      { id: "me", zone: "", topic: "pushes", file: join(temporaryFolder(), "partitions.json"), learnMs: 1 },
      log,
      i,
      () => ({ ids: ["me"], rule: 2 }),
      base(),
    );
    await p.start();
    for (let n = 0; n < 1000 && p.states()[0]?.position !== RECORDS; n++) await sleep(20);
    expect(p.states()[0]?.position).toBe(RECORDS);
    expect(await stored(i)).toBe(RECORDS);
    await p.stop();
    await i.stop();
  }, 30_000);
});
