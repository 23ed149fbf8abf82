import { createServer, type IncomingHttpHeaders, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { QuerierService, StoreGatewayService } from "@cinderblock/api";
import { CinderblockError } from "@cinderblock/errors";
import { createLogger, Metrics, noTracer, startTracing, type Tracer } from "@cinderblock/telemetry";
import { type CollectedSpan, type SpanCollector, startSpanCollector } from "@cinderblock/testkit";
import { acceptRawBodies } from "./body.ts";
import { BodyBudget } from "./body-budget.ts";
import { InternalClient } from "./internal-client.ts";
import type { Gate } from "./authorize.ts";
import { TokenSet } from "./internal-gate.ts";
import { internalService } from "./internal-service.ts";
import { rawUnary } from "./raw-unary.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c",
  SPAN = "b7ad6b7169203331",
  CALLER = { traceparent: `00-${TRACE}-${SPAN}-01` };
const PUSH = "/push.v1.PusherService/Push",
  LABELS = "/querier.v1.QuerierService/LabelNames",
  SAY = "/cinderblock.internal.v1.StoreGatewayService/CanServe";

const token = new TokenSet(["a-token-of-the-cluster"]);
const credentials = {
  current: () => token.current,
  accepts: (shown: string) => token.accepts(shown),
  refresh: () => Promise.resolve(),
};

describe("spans of requests", () => {
  let collector: SpanCollector, tracer: Tracer, lines: Record<string, unknown>[], metrics: Metrics;
  const servers: ApiServer[] = [],
    clients: InternalClient[] = [];
  beforeEach(async () => {
    collector = await startSpanCollector();
    tracer = startTracing(collector.endpoint, "0");
    lines = [];
    metrics = new Metrics();
  });
  afterEach(async () => {
    for (const c of clients.splice(0)) c.close();
    for (const s of servers.splice(0)) await s.stop();
    await tracer.stop();
    await collector.stop();
  });
  /** All spans, after the servers have served their requests. */
  async function collected(): Promise<CollectedSpan[]> {
    for (const s of servers.splice(0)) await s.stop();
    await tracer.stop();
    return collector.spans;
  }
  const baseOf = (of: Tracer): ConstructorParameters<typeof ApiServer>[2] => ({
    log: createLogger({ level: "debug", format: "json" }, (l) =>
      lines.push(JSON.parse(l) as Record<string, unknown>),
    ),
    metrics,
    tracer: of,
    now: () => Date.now(),
  });

  /** A stage of a handler, which exists only where the handler runs in its request's span. */
  const stage = <T>(result: T): Promise<T> =>
    sleep(1).then(() => tracer.span("stage", {}, () => Promise.resolve(result)));
  async function publicServer(gate?: Gate): Promise<ApiServer> {
    const raw = { limitBytes: 1 << 20, budget: new BodyBudget(1 << 20) },
      handler = (): Promise<Uint8Array> => stage(new Uint8Array(0));
    const server = new ApiServer(
      testServer({ bodies: raw.budget }),
      [
        {
          direct: { ...raw, path: PUSH, handler },
          http: (app) => {
            acceptRawBodies(app, raw);
            rawUnary(app, PUSH, handler);
            app.get("/pyroscope/render", () => stage({}));
            app.get("/ready", () => stage("ready"));
            app.get("/metrics", () => stage("metrics"));
            app.get("/ring", () => sleep(60_000, undefined, { ref: false }));
            app.get("/status/fails", () =>
              Promise.reject(new CinderblockError("unavailable", "no ingester")),
            );
          },
          connect: (router) => {
            router.service(QuerierService, { labelNames: () => stage({ names: [] }) });
          },
        },
      ],
      baseOf(tracer),
      gate,
    );
    servers.push(server);
    await server.start();
    return server;
  }
  async function internalServer(of: Tracer): Promise<{ server: ApiServer; address: string }> {
    const server = new ApiServer(
      testServer({ protocol: "internal" }),
      [
        internalService(StoreGatewayService, {
          canServe: () => stage({ serves: true }),
          registerBlock: () => stage({ known: true }),
        }),
      ],
      baseOf(of),
      undefined,
      "internal server",
    );
    servers.push(server);
    await server.start();
    return { server, address: `127.0.0.1:${server.port}` };
  }
  function client(of: Tracer): InternalClient {
    const c = new InternalClient(credentials, undefined, undefined, of);
    clients.push(c);
    return c;
  }
  const say = async (c: InternalClient, address: string): Promise<boolean> =>
    (await c.of(StoreGatewayService, address).canServe({}, { timeoutMs: 5000 })).serves;

  interface Sent {
    path: string;
    method?: string;
    headers?: Record<string, string>;
    body?: Uint8Array;
    http2?: boolean;
  }
  /** Sends a request and waits for its whole answer. */
  function send(server: ApiServer, { path, method = "POST", headers, body, http2 }: Sent): Promise<void> {
    return new Promise((done, fail) => {
      if (http2) {
        const session = connectHttp2(`http://127.0.0.1:${server.port}`);
        session.on("error", fail);
        const stream = session.request({ ":method": method, ":path": path, ...headers });
        stream.on("close", () => {
          session.close();
          done();
        });
        stream.resume().end(body);
        return;
      }
      const r = request({ port: server.port, host: "127.0.0.1", method, path, headers, agent: false });
      r.on("response", (res) => res.resume().on("end", () => done()));
      r.on("error", fail);
      // In two parts, so that the body arrives after the headers.
      r.flushHeaders();
      setTimeout(() => r.end(body), 10);
    });
  }
  const envelope = (message: Uint8Array): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const MESSAGE = Buffer.of(10, 0),
    JSON_TYPE = { "content-type": "application/json" };
  /** A gate that admits everybody; the direct way exists only without a gate. */
  const gate: Gate = { enabled: true, hook: () => Promise.resolve() };

  const WAYS: Record<string, Sent & { gate?: Gate }> = {
    "Connect, past the router": {
      path: PUSH,
      headers: { "content-type": "application/proto", "content-length": "2" },
      body: MESSAGE,
    },
    "Connect, through the router": {
      path: PUSH,
      headers: { "content-type": "application/proto", "content-length": "2" },
      body: MESSAGE,
      gate,
    },
    "Connect, JSON": { path: PUSH, headers: JSON_TYPE, body: Buffer.from("{}") },
    gRPC: {
      path: PUSH,
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: envelope(MESSAGE),
      http2: true,
    },
    "plain HTTP": { path: "/pyroscope/render", method: "GET" },
    "the Connect library": { path: LABELS, headers: JSON_TYPE, body: Buffer.from("{}") },
    "the Connect library, gRPC": {
      path: LABELS,
      headers: { "content-type": "application/grpc", te: "trailers" },
      body: envelope(new Uint8Array(0)),
      http2: true,
    },
  };
  it.each(Object.keys(WAYS))("contain the handler's stages, within the caller's trace: %s", async (way) => {
    const { gate: admits, ...sent } = WAYS[way]!;
    const server = await publicServer(admits);
    await send(server, { ...sent, headers: { ...sent.headers, ...CALLER, "x-scope-orgid": "shop" } });
    const spans = await collected();
    const [served, inner] = [`${sent.method ?? "POST"} ${sent.path}`, "stage"].map(
      (name) => spans.find((s) => s.name === name)!,
    );
    expect(served).toMatchObject({
      traceId: TRACE,
      parentSpanId: SPAN,
      kind: 2,
      failed: false,
      attributes: { tenant: "shop", "http.route": sent.path, "http.response.status_code": 200 },
    });
    expect(inner).toMatchObject({ traceId: TRACE, parentSpanId: served!.spanId });
    expect(spans).toHaveLength(2);
    expect(lines.filter((l) => l.msg === "request served")).toEqual([
      expect.objectContaining({ route: sent.path, traceId: TRACE }),
    ]);
  });

  it("begin a trace, except for probes, scrapes and unknown paths, which join the caller's", async () => {
    const server = await publicServer();
    const paths = ["/ready", "/metrics", "/nothing", "/pyroscope/render"];
    for (const path of paths) await send(server, { path, method: "GET" });
    for (const path of paths) await send(server, { path, method: "GET", headers: CALLER });
    const spans = (await collected()).filter((s) => s.kind === 2);
    expect(spans.filter((s) => s.parentSpanId === "").map((s) => s.name)).toEqual(["GET /pyroscope/render"]);
    expect(spans.filter((s) => s.traceId === TRACE).map((s) => s.name)).toEqual([
      "GET /ready",
      "GET /metrics",
      "GET other",
      "GET /pyroscope/render",
    ]);
  });

  it("name the kind of the error that ended the request", async () => {
    const server = await publicServer();
    await send(server, { path: "/status/fails", method: "GET" });
    const spans = await collected();
    expect(spans).toEqual([
      expect.objectContaining({
        failed: true,
        attributes: expect.objectContaining({
          "error.type": "unavailable",
          "http.response.status_code": 503,
        }) as unknown,
      }),
    ]);
    expect(lines.find((l) => l.msg === "request failed")).toMatchObject({ traceId: spans[0]!.traceId });
  });

  it("end when the client leaves, as do the request's metrics and its line", async () => {
    const server = await publicServer();
    const r = request({ port: server.port, host: "127.0.0.1", path: "/ring", headers: CALLER });
    r.on("error", () => undefined);
    r.end();
    const inflight = async (): Promise<string | undefined> =>
      /route="ring"\} (\d)/.exec(
        await metrics.registry.getSingleMetricAsString("pyroscope_inflight_requests"),
      )?.[1];
    while ((await inflight()) !== "1") await sleep(5);
    r.destroy();
    while ((await inflight()) !== "0") await sleep(5);
    expect(await collected()).toEqual([
      expect.objectContaining({
        name: "GET /ring",
        parentSpanId: SPAN,
        attributes: expect.objectContaining({
          "http.response.status_code": 499,
          "error.type": "canceled",
        }) as unknown,
      }),
    ]);
    expect(lines.filter((l) => l.route === "/ring")).toEqual([
      expect.objectContaining({ status: 499, kind: "canceled", traceId: TRACE }),
    ]);
  });

  it("of internal calls continue the calling request's trace in the other process", async () => {
    const { address } = await internalServer(tracer),
      c = client(tracer);
    const caller = tracer.request("caller", CALLER, {}, false)!;
    expect(await caller.run(() => say(c, address))).toBe(true);
    caller.end(200);
    const spans = await collected();
    const chain: string[] = [];
    for (
      let s = spans.find((x) => x.name === "stage");
      s;
      s = spans.find((x) => x.spanId === s!.parentSpanId)
    )
      chain.push(s.name);
    expect(chain).toEqual(["stage", `POST ${SAY}`, "StoreGatewayService/CanServe", "caller"]);
    expect(new Set(spans.map((s) => s.traceId))).toEqual(new Set([TRACE]));
    expect(spans).toHaveLength(4);
  });

  it("do not exist for internal calls outside of a request, such as polls", async () => {
    const { address } = await internalServer(tracer);
    await say(client(tracer), address);
    expect(await collected()).toEqual([]);
  });

  it("cost an internal call no header while tracing is off, also within a caller's trace", async () => {
    const seen: IncomingHttpHeaders[] = [];
    const other = createServer((req, res) => {
      seen.push(req.headers);
      res.setHeader("content-type", "application/proto").end();
    });
    await new Promise<void>((done) => {
      other.listen(0, "127.0.0.1", done);
    });
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`,
      caller = tracer.request("caller", CALLER, {}, false)!;
    await caller.run(() => say(client(noTracer), address));
    await say(client(tracer), address);
    await caller.run(() => say(client(tracer), address));
    caller.end(200);
    expect(seen.map((h) => "traceparent" in h)).toEqual([false, false, true]);
    // The headers are otherwise the same.
    const { traceparent: _traceparent, ...rest } = seen[2]!;
    expect(rest).toEqual(seen[0]);
    other.closeAllConnections();
    other.close();
  });
});
