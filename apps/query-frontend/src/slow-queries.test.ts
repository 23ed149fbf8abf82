import { createLogger, Metrics, noTracer, startTracing } from "@cinderblock/telemetry";
import { startSpanCollector } from "@cinderblock/testkit";
import { SlowQueries } from "./slow-queries.ts";

it("a slow query's record and log line name the trace of its request", async () => {
  const collector = await startSpanCollector(),
    tracer = startTracing(collector.endpoint, "0"),
    lines: string[] = [];
  const slow = (of: typeof tracer): SlowQueries =>
    new SlowQueries(1, {
      log: createLogger({ level: "info", format: "logfmt" }, (l) => lines.push(l)),
      metrics: new Metrics(),
      tracer: of,
      now: () => Date.now(),
    });
  const measure = (queries: SlowQueries): Promise<void> =>
    queries.measure(["t"], { kind: "blocks", startMs: 0, endMs: 1 }, { parts: 1, kept: 0 }, [], async () => {
      await new Promise((done) => {
        setTimeout(done, 5);
      });
    });
  const [traced, untraced] = [slow(tracer), slow(noTracer)],
    request = tracer.request("query", {}, {}, true)!;
  await request.run(() => measure(traced));
  request.end(200);
  await request.run(() => measure(untraced));
  expect([traced, untraced].map((s) => s.list()[0]!.traceId)).toEqual([request.traceId, ""]);
  expect(lines.map((l) => / traceId=(\w+)/.exec(l)?.[1])).toEqual([request.traceId, undefined]);
  await tracer.stop();
  await collector.stop();
});
