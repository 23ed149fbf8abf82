import { CinderblockError } from "@cinderblock/errors";
import type { AssignedJob, JobResult } from "@cinderblock/query";
import { noTracer, startTracing, type Tracer } from "@cinderblock/telemetry";
import { startSpanCollector } from "@cinderblock/testkit";
import { QuerierLoop } from "./querier-loop.ts";
import type { Querier } from "./querier.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c",
  SPAN = "b7ad6b7169203331";
const RESULT: JobResult = { kind: "blocks", recent: [], stored: [], warnings: [] };

/** Runs jobs of these traces one after the other; returns the trace that each of them ran and ended in. */
async function run(
  tracer: Tracer,
  traces: readonly (AssignedJob["trace"] | undefined)[],
  answer: () => Promise<JobResult> = () => Promise.resolve(RESULT),
): Promise<{ ran: (string | undefined)[]; ended: (string | undefined)[] }> {
  const ran: (string | undefined)[] = [],
    ended: (string | undefined)[] = [],
    jobs = traces.map((trace): AssignedJob => {
      const end = (): void => void ended.push(tracer.traceId());
      return {
        tenant: "t",
        job: { kind: "blocks", startMs: 0, endMs: 1 },
        deadlineMs: Date.now() + 60_000,
        signal: new AbortController().signal,
        done: end,
        fail: end,
        ...(trace ? { trace } : {}),
      };
    });
  const querier = {
    run: () => {
      ran.push(tracer.traceId());
      return answer();
    },
  } as unknown as Querier;
  const loop = new QuerierLoop(
    querier,
    { next: () => Promise.resolve(jobs.shift()) },
    1,
    "querier-0",
    tracer,
  );
  await loop.start();
  await loop.stop();
  return { ran, ended };
}

describe("a querier's loop", () => {
  it("runs each job, and returns its result, in the trace of the query's request", async () => {
    const collector = await startSpanCollector(),
      tracer = startTracing(collector.endpoint, "0");
    const traces = [{ traceparent: `00-${TRACE}-${SPAN}-01` }, undefined];
    expect(await run(tracer, traces)).toEqual({ ran: [TRACE, undefined], ended: [TRACE, undefined] });
    const failing = (): Promise<never> => Promise.reject(new CinderblockError("unavailable", "gone"));
    expect((await run(tracer, traces, failing)).ended).toEqual([TRACE, undefined]);
    await tracer.stop();
    const span = { name: "querier.blocks", traceId: TRACE, parentSpanId: SPAN, attributes: { tenant: "t" } };
    expect(collector.spans).toMatchObject([
      { ...span, failed: false },
      { ...span, failed: true },
    ]);
    await collector.stop();
  });
  it("runs jobs without tracing", async () => {
    expect(await run(noTracer, [{ traceparent: `00-${TRACE}-${SPAN}-01` }])).toEqual({
      ran: [undefined],
      ended: [undefined],
    });
  });
});
