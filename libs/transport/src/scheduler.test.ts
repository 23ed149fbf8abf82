import { CinderblockError } from "@cinderblock/errors";
import type { JobResult, QueryJob } from "@cinderblock/query";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import type { InternalClient } from "@cinderblock/rpc";
import { type LocalScheduler, RemoteJobs, serveScheduler } from "./index.ts";

const base = {
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => Date.now(),
};
const job: QueryJob = { kind: "blocks", startMs: 0, endMs: 1 };
const result: JobResult = { kind: "blocks", recent: [], stored: [], warnings: [] };
type Handed = { id: number; tenant: string } | null;

/** A scheduler with one query, and the outcome of the query. */
function one(
  deadlineMs = 60_000,
  wanted = new AbortController().signal,
  more: { trace?: { traceparent: string } } = {},
): { scheduler: LocalScheduler; outcome: Promise<JobResult> } {
  let done!: (r: JobResult) => void, fail!: (e: unknown) => void;
  const outcome = new Promise<JobResult>((a, b) => {
    done = a;
    fail = b;
  });
  let given = false;
  return {
    outcome,
    scheduler: {
      enqueue: () => outcome,
      recordHeartbeat: () => undefined,
      dropQuerier: () => undefined,
      next: (_q, signal) =>
        given
          ? new Promise((r) => {
              signal?.addEventListener("abort", () => {
                r(undefined);
              });
            })
          : ((given = true),
            Promise.resolve({
              tenant: "t",
              job,
              deadlineMs: Date.now() + deadlineMs,
              signal: wanted,
              done,
              fail,
              ...more,
            })),
    },
  };
}
const signal = new AbortController().signal;
/** Lets time pass until a promise settles, at most a minute. */
async function passing<T>(promise: Promise<T>): Promise<T> {
  let settled = false;
  const seen = promise.finally(() => {
    settled = true;
  });
  seen.catch(() => undefined);
  for (let ms = 0; !settled && ms < 60_000; ms += 50) await jest.advanceTimersByTimeAsync(50);
  expect(settled).toBe(true);
  return seen;
}
const next = (m: ReturnType<typeof serveScheduler>["methods"], q: string): Promise<Handed> =>
  passing(m.next.run([q], signal) as Promise<Handed>);

describe("a scheduler over the network", () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it("reschedules a query when its querier stops responding; the first complete answer wins", async () => {
    const { scheduler, outcome } = one();
    const { methods, stop } = serveScheduler(scheduler, base);
    const first = await next(methods, "a");
    expect(first).toMatchObject({ tenant: "t" });
    const second = await next(methods, "b");
    expect(second).toMatchObject({ tenant: "t" });
    expect(await methods.done.run([first!.id, result, null], signal)).toBe(false);
    expect(await methods.done.run([second!.id, result, null], signal)).toBe(true);
    await expect(outcome).resolves.toBe(result);
    stop();
  });
  it("leaves a query with a querier that sends heartbeats", async () => {
    const { scheduler, outcome } = one();
    const { methods, stop } = serveScheduler(scheduler, base);
    const first = await next(methods, "a");
    const beat = setInterval(() => {
      void methods.alive.run(["a"], signal);
    }, 300);
    expect(await next(methods, "b")).toBeNull();
    clearInterval(beat);
    await methods.done.run([first!.id, result, null], signal);
    await expect(outcome).resolves.toBe(result);
    stop();
  });
  it("fails a query after three lost queriers, with a reason", async () => {
    const { scheduler, outcome } = one();
    const { methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow(
      new CinderblockError("unavailable", "the query failed with 3 queriers, last c"),
    );
    for (const q of ["a", "b", "c"]) expect(await next(methods, q)).toMatchObject({ tenant: "t" });
    await passing(failure);
    stop();
  });
  it("reschedules a query whose poll response was lost, though the querier is alive", async () => {
    const { scheduler, outcome } = one();
    const { methods, stop } = serveScheduler(scheduler, base);
    const taken = await next(methods, "a");
    const poll = (ids: number[]): Promise<Handed> =>
      passing(methods.next.run(["a", ids, 100], signal) as Promise<Handed>);
    expect(await poll([taken!.id])).toBeNull();
    await jest.advanceTimersByTimeAsync(2100);
    await methods.alive.run(["a", [taken!.id]], signal);
    expect(await poll([taken!.id])).toBeNull(); // the querier has it
    const second = await poll([]);
    expect(second).toMatchObject({ tenant: "t" });
    await methods.done.run([second!.id, result, null], signal);
    await expect(outcome).resolves.toBe(result);
    stop();
  });
  it("fails a query whose answer to a poll never arrived three times, though its querier lives", async () => {
    const { scheduler, outcome } = one();
    const { methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow(/the query failed with 3 queriers, last a/);
    const poll = (): Promise<unknown> => passing(methods.next.run(["a", [], 100], signal));
    for (let tries = 1; tries <= 3; tries++) {
      expect(await poll()).toMatchObject({ tenant: "t" });
      await jest.advanceTimersByTimeAsync(2100);
    }
    expect(await poll()).toBeNull();
    await passing(failure);
    stop();
  });
  it("notifies a querier of an abandoned query", async () => {
    const gone = new AbortController(),
      { scheduler, outcome } = one(60_000, gone.signal);
    const { methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow("context canceled");
    const taken = await next(methods, "a");
    expect(await methods.alive.run(["a", [taken!.id]], signal)).toEqual([]);
    gone.abort();
    await passing(failure);
    expect(await methods.alive.run(["a", [taken!.id]], signal)).toEqual([taken!.id]);
    stop();
  });
  it("releases a query without a result at its deadline, though its querier is alive", async () => {
    const { scheduler, outcome } = one(1000);
    const { methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow("context deadline exceeded");
    const taken = await next(methods, "a");
    const beat = setInterval(() => {
      void methods.alive.run(["a"], signal);
    }, 300);
    await passing(failure);
    clearInterval(beat);
    expect(await methods.done.run([taken!.id, result, null], signal)).toBe(false);
    stop();
  });

  it("hands the trace of a query's request over, at each try, and no field without one", async () => {
    const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    for (const more of [{ trace }, {}]) {
      const { scheduler, outcome } = one(60_000, undefined, more),
        { methods, stop } = serveScheduler(scheduler, base);
      const first = await next(methods, "a"),
        second = await next(methods, "b");
      expect(second!.id).not.toBe(first!.id);
      for (const handed of [first, second])
        expect(handed).toEqual({
          id: expect.any(Number) as number,
          tenant: "t",
          job,
          deadlineMs: expect.any(Number) as number,
          ...more,
        });
      await methods.done.run([second!.id, result, null], signal);
      await expect(outcome).resolves.toEqual(result);
      stop();
    }
  });

  it("gives a querier the trace of a job, and of a job of the previous release none", async () => {
    const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    const jobs = [
      { id: 1, tenant: "t", job, deadlineMs: 1, trace },
      { id: 2, tenant: "t", job, deadlineMs: 1 },
    ];
    const client = { call: () => Promise.resolve(jobs.shift()) } as unknown as InternalClient;
    const remote = new RemoteJobs(client, () => ["scheduler:1"], base);
    expect((await remote.next("q"))!.trace).toEqual(trace);
    expect("trace" in (await remote.next("q"))!).toBe(false);
    remote.stop();
    await remote.drainResults();
  });
});
