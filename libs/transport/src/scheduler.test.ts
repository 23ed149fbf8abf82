import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DoneRequestSchema,
  HeartbeatRequestSchema,
  NextRequestSchema,
  NextResponseSchema,
} from "@cinderblock/api";
import { toJobResult, toQueryJob } from "./wire/jobs.ts";
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
const result: JobResult = { kind: "blocks", recent: [], stored: [], chosen: [], warnings: [] };
type Handed = { id: bigint; tenant: string } | undefined;

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
type Handlers = ReturnType<typeof serveScheduler>["handlers"];
/** Polls; the taken query, or null. */
const poll = async (m: Handlers, querier: string, running: bigint[] = [], waitMs = 0): Promise<Handed> =>
  (await passing(m.next(create(NextRequestSchema, { querier, running, waitMs }), signal))).job as Handed;
const next = (m: Handlers, querier: string): Promise<Handed> => poll(m, querier);
const done = async (m: Handlers, id: bigint): Promise<boolean | undefined> =>
  (
    await m.done(
      create(DoneRequestSchema, { id, outcome: { case: "result", value: toJobResult(result) } }),
      signal,
    )
  ).wanted;
const beatOf = async (m: Handlers, querier: string, running: bigint[] = []): Promise<bigint[] | undefined> =>
  (await m.heartbeat(create(HeartbeatRequestSchema, { querier, running }), signal)).abandoned;

describe("a scheduler over the network", () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it("reschedules a query when its querier stops responding; the first complete answer wins", async () => {
    const { scheduler, outcome } = one();
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const first = await next(methods, "a");
    expect(first).toMatchObject({ tenant: "t" });
    const second = await next(methods, "b");
    expect(second).toMatchObject({ tenant: "t" });
    expect(await done(methods, first!.id)).toBe(false);
    expect(await done(methods, second!.id)).toBe(true);
    await expect(outcome).resolves.toEqual(result);
    stop();
  });
  it("leaves a query with a querier that sends heartbeats", async () => {
    const { scheduler, outcome } = one();
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const first = await next(methods, "a");
    const beat = setInterval(() => {
      void beatOf(methods, "a", [first!.id]);
    }, 300);
    expect(await next(methods, "b")).toBeUndefined();
    clearInterval(beat);
    await done(methods, first!.id);
    await expect(outcome).resolves.toEqual(result);
    stop();
  });
  it("fails a query after three lost queriers, with a reason", async () => {
    const { scheduler, outcome } = one();
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow(
      new CinderblockError("unavailable", "the query failed with 3 queriers, last c"),
    );
    for (const q of ["a", "b", "c"]) expect(await next(methods, q)).toMatchObject({ tenant: "t" });
    await passing(failure);
    stop();
  });
  it("reschedules a query whose poll response was lost, though the querier is alive", async () => {
    const { scheduler, outcome } = one();
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const taken = await next(methods, "a");
    const ask = (ids: bigint[]): Promise<Handed> => poll(methods, "a", ids, 100);
    expect(await ask([taken!.id])).toBeUndefined();
    await jest.advanceTimersByTimeAsync(2100);
    await beatOf(methods, "a", [taken!.id]);
    expect(await ask([taken!.id])).toBeUndefined(); // the querier has it
    const second = await ask([]);
    expect(second).toMatchObject({ tenant: "t" });
    await done(methods, second!.id);
    await expect(outcome).resolves.toEqual(result);
    stop();
  });
  it("fails a query whose answer to a poll never arrived three times, though its querier lives", async () => {
    const { scheduler, outcome } = one();
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow(/the query failed with 3 queriers, last a/);
    const ask = (): Promise<unknown> => poll(methods, "a", [], 100);
    for (let tries = 1; tries <= 3; tries++) {
      expect(await ask()).toMatchObject({ tenant: "t" });
      await jest.advanceTimersByTimeAsync(2100);
    }
    expect(await ask()).toBeUndefined();
    await passing(failure);
    stop();
  });
  it("notifies a querier of an abandoned query", async () => {
    const gone = new AbortController(),
      { scheduler, outcome } = one(60_000, gone.signal);
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow("context canceled");
    const taken = await next(methods, "a");
    expect(await beatOf(methods, "a", [taken!.id])).toEqual([]);
    gone.abort();
    await passing(failure);
    expect(await beatOf(methods, "a", [taken!.id])).toEqual([taken!.id]);
    stop();
  });
  it("releases a query without a result at its deadline, though its querier is alive", async () => {
    const { scheduler, outcome } = one(1000);
    const { handlers: methods, stop } = serveScheduler(scheduler, base);
    const failure = expect(outcome).rejects.toThrow("context deadline exceeded");
    const taken = await next(methods, "a");
    const beat = setInterval(() => {
      void beatOf(methods, "a", [taken!.id]);
    }, 300);
    await passing(failure);
    clearInterval(beat);
    expect(await done(methods, taken!.id)).toBe(false);
    stop();
  });

  it("hands the trace of a query's request over, at each try, and no field without one", async () => {
    const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    for (const more of [{ trace }, {}]) {
      const { scheduler, outcome } = one(60_000, undefined, more),
        { handlers: methods, stop } = serveScheduler(scheduler, base);
      const first = await next(methods, "a"),
        second = await next(methods, "b");
      expect(second!.id).not.toBe(first!.id);
      for (const handed of [first, second])
        expect(handed).toEqual({
          id: expect.any(BigInt) as bigint,
          tenant: "t",
          job: toQueryJob(job),
          deadlineMs: expect.any(Number) as number,
          ...more,
        });
      await done(methods, second!.id);
      await expect(outcome).resolves.toEqual(result);
      stop();
    }
  });

  it("gives a querier the trace of a job, and of a job without one none", async () => {
    const trace = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    const jobs = [
      { id: 1n, tenant: "t", job: toQueryJob(job), deadlineMs: 1, trace },
      { id: 2n, tenant: "t", job: toQueryJob(job), deadlineMs: 1 },
    ];
    const client = {
      of: () => ({
        next: () =>
          Promise.resolve(
            fromBinary(
              NextResponseSchema,
              toBinary(NextResponseSchema, create(NextResponseSchema, { job: jobs.shift()! })),
            ),
          ),
      }),
    } as unknown as InternalClient;
    const remote = new RemoteJobs(client, () => ["scheduler:1"], base);
    expect((await remote.next("q"))!.trace).toEqual(trace);
    expect("trace" in (await remote.next("q"))!).toBe(false);
    remote.stop();
    await remote.drainResults();
  });
});
