import { Deferred } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { createLogger, Metrics } from "@cinderblock/telemetry";
import { bundledWorker } from "@cinderblock/testkit";
import { Transfer, WorkerPool } from "./index.ts";
import type { TestMethods, TestNotices } from "./pool-worker.testing.ts";

const script = bundledWorker("libs/threads/src/pool-worker.testing.ts");
type Pool = WorkerPool<TestMethods, TestNotices>;

const pools: Pool[] = [];
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.stop()));
});

/** A pool of real threads, its metrics, and the indexes of its started threads. */
function create(count: number, options: { deaths?: number; onDeath?: (index: number) => void } = {}) {
  const metrics = new Metrics(),
    deathsAtStart = new Int32Array(new SharedArrayBuffer(4));
  deathsAtStart[0] = options.deaths ?? 0;
  const started: number[] = [];
  const pool: Pool = new WorkerPool<TestMethods, TestNotices>(
    {
      name: "test",
      script,
      count,
      data: (index) => ({ index, deathsAtStart }),
      notices: () => ({
        hello: (index) => void started.push(index),
      }),
      ...(options.onDeath ? { onDeath: options.onDeath } : {}),
    },
    { log: createLogger({ level: "fatal", format: "json" }), metrics },
  );
  pools.push(pool);
  return { pool, metrics, started };
}
/** Waits for a state, which is looked at in each turn of the event loop. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
}
const valueOf = async (metrics: Metrics, name: string): Promise<number | undefined> =>
  (await metrics.registry.getSingleMetric(name)!.get()).values[0]?.value;

describe("pool of worker threads", () => {
  it("calls methods by their declared names, and transfers arguments and results", async () => {
    const { pool } = create(2);
    pool.start();
    expect(await pool.each((call) => call.index())).toEqual([0, 1]);
    const body = new Uint8Array(1000);
    expect(await pool.idlest().call.lengthOf(new Transfer(body, [body.buffer]))).toBe(1000);
    expect(body.length).toBe(0);
    expect(await pool.idlest().call.bytes(3)).toEqual(new Uint8Array(3));
    await pool.stop();
    expect(pool.threads).toEqual([]);
  });

  it("passes errors with kind, reason and detail", async () => {
    const { pool } = create(1);
    pool.start();
    const [thread] = pool.threads;
    await expect(thread!.call.fail("corrupt")).rejects.toMatchObject({
      kind: "corrupt",
      detail: { file: "ULID/profiles.parquet", offset: 17 },
    });
    await expect(thread!.call.fail("limit")).rejects.toMatchObject({
      kind: "limit",
      reason: "series_limit",
      detail: { limit: 3 },
    });
    await pool.stop();
  });

  it("fails the calls in flight of a thread that dies, restarts it, and counts that", async () => {
    const { pool, metrics, started } = create(1);
    pool.start();
    expect(await valueOf(metrics, "cinderblock_worker_restarts_total")).toBe(0);
    await pool.idlest().call.index();
    const dead = pool.threads[0]!;
    await expect(dead.call.die()).rejects.toMatchObject({ kind: "unavailable" });
    await until(() => started.length === 2);
    expect(pool.threads[0]).not.toBe(dead);
    expect(await pool.idlest().call.index()).toBe(0);
    expect(await valueOf(metrics, "cinderblock_worker_restarts_total")).toBe(1);
    expect(await valueOf(metrics, "cinderblock_worker_threads")).toBe(1);
    await pool.stop();
  });

  it("delays the restart of a thread that dies at its start, and uses the running threads meanwhile", async () => {
    const { pool, metrics, started } = create(2, { deaths: 1 });
    pool.start();
    await until(() => pool.threads.some((t) => !t.isRunning));
    expect(pool.idlest().isRunning).toBe(true);
    await until(() => started.length === 2);
    expect([...started].sort()).toEqual([0, 1]);
    expect(await valueOf(metrics, "cinderblock_worker_restarts_total")).toBe(1);
    await pool.stop();
  });

  it("leaves a dead thread to its owner where the owner decides", async () => {
    const died = new Deferred<number>();
    const { pool, started } = create(1, { onDeath: (index) => died.resolve(index) });
    pool.start();
    await expect(pool.idlest().call.die()).rejects.toBeInstanceOf(CinderblockError);
    expect(await died.promise).toBe(0);
    await expect(pool.idlest().call.index()).rejects.toMatchObject({ kind: "unavailable" });
    expect(started).toEqual([0]);
    await pool.stop();
  });

  it("drains: waits for calls in flight and refuses further ones", async () => {
    const { pool } = create(1);
    pool.start();
    const [thread] = pool.threads,
      cell = new Int32Array(new SharedArrayBuffer(4));
    const answer = thread!.call.wait(cell),
      stopped = pool.stop(60_000);
    await expect(thread!.call.index()).rejects.toMatchObject({ kind: "unavailable" });
    Atomics.store(cell, 0, 1);
    Atomics.notify(cell, 0);
    expect(await answer).toBe("released");
    await stopped;
  });

  it("fails the calls in flight when it stops without a drain", async () => {
    const { pool } = create(1);
    pool.start();
    await pool.idlest().call.index();
    const failed = expect(
      pool.idlest().call.wait(new Int32Array(new SharedArrayBuffer(4))),
    ).rejects.toMatchObject({ kind: "unavailable" });
    await pool.stop();
    await failed;
  });

  it("runs a job in a thread of its own, and ends that thread at the stop", async () => {
    const { pool, metrics } = create(0);
    pool.start();
    expect(await pool.inOwnThread((call) => call.index())).toBe(0);
    expect(await valueOf(metrics, "cinderblock_worker_threads")).toBe(0);
    const running = new Deferred<void>();
    const job = expect(
      pool.inOwnThread(async (call) => {
        await call.index();
        running.resolve();
        await call.wait(new Int32Array(new SharedArrayBuffer(4)));
      }),
    ).rejects.toMatchObject({ kind: "unavailable" });
    await running.promise;
    expect(await valueOf(metrics, "cinderblock_worker_threads")).toBe(1);
    await pool.stop();
    await job;
    await expect(pool.inOwnThread((call) => call.index())).rejects.toMatchObject({ kind: "unavailable" });
  });
});
