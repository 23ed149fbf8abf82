import { setTimeout as sleep } from "node:timers/promises";
import { type CollectedSpan, type SpanCollector, startSpanCollector } from "@cinderblock/testkit";
import { createLogger, Metrics, noTracer, startTracing, type TraceHeaders, type Tracer } from "./index.ts";
import { headersOf, spanContextOf } from "./trace-context.ts";
import type { TracingOptions } from "./trace-export.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c",
  SPAN = "b7ad6b7169203331";
const parent = (sampled: boolean): TraceHeaders => ({
  traceparent: `00-${TRACE}-${SPAN}-0${sampled ? 1 : 0}`,
});

let collector: SpanCollector, tracers: Tracer[];
beforeEach(async () => {
  collector = await startSpanCollector();
  tracers = [];
});
afterEach(async () => {
  await Promise.all(tracers.map((t) => t.stop()));
  await collector.stop();
});
function tracing(options: TracingOptions = {}): Tracer {
  const tracer = startTracing(collector.endpoint, "1.2.3", options);
  tracers.push(tracer);
  return tracer;
}
/** Stops the tracers, which sends all spans: name -> span. */
async function collected(): Promise<Map<string, CollectedSpan>> {
  await Promise.all(tracers.splice(0).map((t) => t.stop()));
  return new Map(collector.spans.map((s) => [s.name, s]));
}

describe("trace context", () => {
  it("is read from W3C headers and written to them", () => {
    for (const headers of [
      parent(true),
      parent(false),
      { ...parent(true), tracestate: "vendor=1,other=a:b" },
      { traceparent: `00-${TRACE}-${SPAN}-03` },
    ] as TraceHeaders[])
      expect(headersOf(spanContextOf(headers)!)).toEqual(headers);
    // A later version with more fields.
    expect(spanContextOf({ traceparent: `cc-${TRACE}-${SPAN}-01-more` })).toMatchObject({ traceId: TRACE });
  });
  it("is absent from headers that are not valid", () => {
    for (const traceparent of [
      undefined,
      "",
      "nonsense",
      ["two"],
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE}-${SPAN}-01-more`,
      `ff-${TRACE}-${SPAN}-01`,
      `00-${"0".repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    ])
      expect([traceparent, spanContextOf({ traceparent })]).toEqual([traceparent, undefined]);
  });
  it("leaves out a state that is too long to pass on", () => {
    const state = Array.from({ length: 30 }, (_, i) => `vendor${i}=${"x".repeat(20)}`).join();
    expect(headersOf(spanContextOf({ ...parent(true), tracestate: state })!)).toEqual(parent(true));
  });
});

describe("spans", () => {
  it("of a request, its stages and its calls are one trace below the caller's span", async () => {
    const tracer = tracing({ service: "cinderblock-test", instance: "test-0" });
    const request = tracer.request("GET /x", parent(true), { tenant: "shop" }, false)!;
    expect(request.traceId).toBe(TRACE);
    await request.run(() =>
      tracer.span("stage", { n: 1 }, () =>
        tracer.send("call", "Other/method", {}, (headers) => {
          expect(tracer.traceId()).toBe(TRACE);
          expect(headers!.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
          return Promise.resolve();
        }),
      ),
    );
    request.end(200);
    const spans = await collected(),
      [server, stage, call] = ["GET /x", "stage", "Other/method"].map((n) => spans.get(n)!);
    expect([server!.traceId, server!.parentSpanId, server!.kind, server!.attributes]).toEqual([
      TRACE,
      SPAN,
      2,
      { tenant: "shop", "http.response.status_code": 200 },
    ]);
    expect([stage!.parentSpanId, call!.parentSpanId, call!.kind]).toEqual([server!.spanId, stage!.spanId, 3]);
    expect([server!.service, server!.instance]).toEqual(["cinderblock-test", "test-0"]);
    expect(collector.spans).toHaveLength(3);
  });

  it("begin with requests alone: work outside of a request has none, and hands no headers over", async () => {
    const tracer = tracing();
    expect(tracer.request("POST /poll", {}, {}, false)).toBeUndefined();
    await tracer.span("stage", {}, () => Promise.resolve());
    expect(await tracer.send("message", "send", {}, (headers) => Promise.resolve(headers))).toBeUndefined();
    expect(
      await tracer.resume("job", {}, undefined, () => Promise.resolve(tracer.traceId())),
    ).toBeUndefined();
    expect([tracer.headers(), tracer.traceId()]).toEqual([undefined, undefined]);
    expect((await collected()).size).toBe(0);
  });

  it("end with their request: timers that it leaves behind make no spans and name no trace", async () => {
    const tracer = tracing();
    const request = tracer.request("GET /x", {}, {}, true)!;
    const late = request.run(async () => {
      await sleep(20);
      await tracer.span("late", {}, () => Promise.resolve());
      return [tracer.traceId(), tracer.headers()];
    });
    request.end(200);
    request.end(500);
    expect(await late).toEqual([undefined, undefined]);
    expect([...(await collected()).keys()]).toEqual(["GET /x"]);
    expect(collector.spans[0]!.failed).toBe(false);
  });

  it("of concurrent requests stay apart", async () => {
    const tracer = tracing();
    const ids = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const request = tracer.request(`r${i}`, {}, {}, true)!;
        const seen = await request.run(async () => {
          await sleep(i % 5);
          return tracer.span(`s${i}`, {}, () => Promise.resolve(tracer.traceId()));
        });
        request.end(200);
        return seen === request.traceId;
      }),
    );
    expect(ids).not.toContain(false);
    const spans = await collected();
    for (let i = 0; i < 20; i++) expect(spans.get(`s${i}`)!.parentSpanId).toBe(spans.get(`r${i}`)!.spanId);
  });

  it("continue in another process, and mark errors", async () => {
    const [a, b] = [tracing(), tracing()];
    const request = a.request("GET /x", {}, {}, true)!,
      headers = request.run(() => a.headers());
    const failing = b.resume("job", { tenant: "t" }, headers, () =>
      b.span("inner", {}, () => Promise.reject(new Error("no data"))),
    );
    await expect(failing).rejects.toThrow("no data");
    request.end(500, "unavailable");
    const spans = await collected();
    expect(spans.get("job")).toMatchObject({
      traceId: request.traceId,
      parentSpanId: spans.get("GET /x")!.spanId,
      kind: 5,
      failed: true,
    });
    expect(spans.get("inner")!.parentSpanId).toBe(spans.get("job")!.spanId);
    expect(spans.get("GET /x")).toMatchObject({
      failed: true,
      attributes: { "error.type": "unavailable", "http.response.status_code": 500 },
    });
  });

  it("of work for several requests continue the first recorded trace, and link to the others", async () => {
    const tracer = tracing();
    const others = ["1", "2"].map((d) => ({ traceparent: `00-${d.repeat(32)}-${d.repeat(16)}-01` }));
    await tracer.resume("aggregate", {}, [parent(false), ...others], () => Promise.resolve());
    expect((await collected()).get("aggregate")).toMatchObject({
      traceId: "1".repeat(32),
      links: [SPAN, "2".repeat(16)],
    });
  });
});

describe("sampling", () => {
  it("follows the caller's flag, whatever the ratio", async () => {
    for (const sampleRatio of [0, 1]) {
      const tracer = tracing({ sampleRatio });
      for (const sampled of [true, false]) {
        const request = tracer.request(`${sampleRatio} ${sampled}`, parent(sampled), {}, true)!;
        const [flag, id] = await request.run(() =>
          tracer.send("call", `call ${sampled}`, {}, (h) =>
            Promise.resolve([h!.traceparent.slice(-2), tracer.traceId()]),
          ),
        );
        // Unrecorded requests have an ID, too, for log lines, and tell the next process that they are unrecorded.
        expect([flag, id]).toEqual([sampled ? "01" : "00", TRACE]);
        request.end(200);
      }
    }
    const spans = await collected();
    expect([...spans.keys()].sort()).toEqual(["0 true", "1 true", "call true"]);
  });

  it("records the share of new traces that the ratio asks for", async () => {
    for (const [sampleRatio, least, most] of [
      [0, 0, 0],
      [0.25, 60, 140],
      [1, 400, 400],
    ] as const) {
      const tracer = tracing({ sampleRatio });
      for (let i = 0; i < 400; i++) tracer.request("r", {}, {}, true)!.end(200);
      await collected();
      const n = collector.spans.splice(0).length;
      expect([sampleRatio, n >= least && n <= most, n]).toEqual([sampleRatio, true, n]);
    }
  });

  it("reads OpenTelemetry's variables without a ratio", async () => {
    process.env.OTEL_TRACES_SAMPLER = "parentbased_always_off";
    process.env.OTEL_SERVICE_NAME = "named";
    process.env.OTEL_RESOURCE_ATTRIBUTES = "service.instance.id=pod-7";
    try {
      const tracer = tracing({ service: "cinderblock-test" });
      tracer.request("new", {}, {}, true)!.end(200);
      tracer.request("asked for", parent(true), {}, true)!.end(200);
    } finally {
      delete process.env.OTEL_TRACES_SAMPLER;
      delete process.env.OTEL_SERVICE_NAME;
      delete process.env.OTEL_RESOURCE_ATTRIBUTES;
    }
    await collected();
    expect(collector.spans.map((s) => [s.name, s.service, s.instance])).toEqual([
      ["asked for", "named", "pod-7"],
    ]);
  });
});

describe("an endpoint", () => {
  it("that refuses spans is in the log and in metrics", async () => {
    const metrics = new Metrics(),
      lines: string[] = [];
    const log = createLogger({ level: "warn", format: "logfmt" }, (l) => lines.push(l));
    const tracer = tracing({ metrics, log });
    tracer.request("sent", {}, {}, true)!.end(200);
    await collected();
    const lost = startTracing(collector.endpoint.replace("/v1/traces", "/refused"), "1", { metrics, log });
    lost.request("lost", {}, {}, true)!.end(200);
    await lost.stop().catch(() => undefined);
    const text = await metrics.registry.getSingleMetricAsString("cinderblock_tracing_spans_total");
    expect(text).toContain('cinderblock_tracing_spans_total{result="ended"} 2');
    expect(text).toContain('cinderblock_tracing_spans_total{result="sent"} 1');
    expect(text).toContain('cinderblock_tracing_spans_total{result="failed"} 1');
    expect(lines).toEqual([expect.stringContaining('level=warn msg="spans could not be sent"')]);
  });
  it("that is empty turns tracing off: no headers, no IDs, no spans", async () => {
    const tracer = startTracing("", "1");
    expect(tracer).toBe(noTracer);
    expect(tracer.request("r", parent(true), {}, true)).toBeUndefined();
    const work = (): Promise<number> => Promise.resolve(1);
    expect(tracer.span("s", {}, work)).toBeInstanceOf(Promise);
    expect(await tracer.send("call", "c", {}, (headers) => Promise.resolve(headers))).toBeUndefined();
    expect(await tracer.resume("j", {}, parent(true), work)).toBe(1);
    expect([tracer.headers(), tracer.traceId()]).toEqual([undefined, undefined]);
  });
});

it("a log line names the trace of the request that it is written for, and its own fields win", () => {
  const tracer = tracing(),
    lines: string[] = [];
  const log = createLogger(
    { level: "info", format: "logfmt", fields: () => ({ traceId: tracer.traceId() }) },
    (l) => lines.push(l),
  );
  const request = tracer.request("r", parent(true), {}, false)!;
  request.run(() => {
    log.info("within");
    log.info({ traceId: "its own" }, "explicit");
  });
  request.end(200);
  log.info("outside");
  expect(lines.map((l) => / traceId=(.*)$/m.exec(l)?.[1])).toEqual([TRACE, '"its own"', undefined]);
});
