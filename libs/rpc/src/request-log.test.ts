import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { QuerierService } from "@cinderblock/api";
import { CinderblockError } from "@cinderblock/errors";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { Tokens } from "@cinderblock/tenant";
import { Authorizer } from "./authorize.ts";
import { acceptRawBodies } from "./body.ts";
import { BodyBudget } from "./body-budget.ts";
import { rawUnary } from "./raw-unary.ts";
import { recordFailure } from "./request-failure.ts";
import { RequestLog } from "./request-log.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

type Line = Record<string, unknown>;

const PUSH = "/push.v1.PusherService/Push",
  LABELS = "/querier.v1.QuerierService/LabelNames",
  LIMIT = 4000;

/** Log lines and metrics of one test. */
function recording(level = "info"): { lines: Line[]; base: ConstructorParameters<typeof ApiServer>[2] } {
  const lines: Line[] = [];
  return {
    lines,
    base: {
      log: createLogger({ level, format: "json" }, (l) => lines.push(JSON.parse(l) as Line)),
      metrics: new Metrics(),
      tracer: noTracer,
      now: () => Date.now(),
    },
  };
}

/** Error that the handlers of the test end with. */
const ERRORS: Record<string, () => unknown> = {
  limit: () =>
    new CinderblockError("limit", "too many series; the limit is 7", {
      reason: "series_limit",
      detail: { limit: 7 },
    }),
  unavailable: () => new CinderblockError("unavailable", "no ingester answers"),
  internal: () => new TypeError("a defect"),
};

describe("a server's log of refused and failed requests", () => {
  let server: ApiServer, lines: Line[], base: ConstructorParameters<typeof ApiServer>[2];
  let failing = "limit";
  const start = async (level?: string, gate?: Authorizer): Promise<void> => {
    ({ lines, base } = recording(level));
    const fail = (): Promise<never> => Promise.reject(ERRORS[failing]!() as Error);
    const handler = (): Promise<Uint8Array> => (failing === "" ? Promise.resolve(new Uint8Array(0)) : fail());
    const raw = { limitBytes: LIMIT, budget: new BodyBudget(1 << 20) };
    server = new ApiServer(
      testServer({ bodies: raw.budget }),
      [
        {
          direct: { ...raw, path: PUSH, handler },
          http: (app) => {
            acceptRawBodies(app, raw);
            rawUnary(app, PUSH, handler);
            app.get("/pyroscope/render", handler);
            app.get("/ready", (_request, reply) => reply.code(503).send("not yet"));
          },
          connect: (router) => {
            router.service(QuerierService, {
              labelNames: () => (failing === "" ? { names: [] } : fail()),
            });
          },
        },
      ],
      base,
      gate,
    );
    await server.start();
    lines.length = 0;
  };
  afterEach(async () => {
    await server.stop();
    failing = "limit";
  });
  const requestLines = (): Line[] => lines.filter((l) => String(l.msg).startsWith("request "));

  /** Sends a request and waits for its whole answer. */
  function send(
    path: string,
    headers: Record<string, string>,
    body: Uint8Array,
    http2 = false,
  ): Promise<void> {
    const sent = { "x-scope-orgid": "shop", ...headers };
    if (!http2)
      return new Promise((done, fail) => {
        const method = headers[":method"] ?? "POST";
        delete (sent as Record<string, string>)[":method"];
        const r = request({
          port: server.port,
          host: "127.0.0.1",
          method,
          path,
          headers: sent,
          agent: false,
        });
        r.on("response", (res) => res.resume().on("end", () => done()));
        r.on("error", fail);
        r.end(body);
      });
    return new Promise((done, fail) => {
      const session = connectHttp2(`http://127.0.0.1:${server.port}`);
      session.on("error", fail);
      const stream = session.request({ ":method": "POST", ":path": path, ...sent });
      stream.on("close", () => {
        session.close();
        done();
      });
      stream.resume().end(body);
    });
  }
  const envelope = (message: Uint8Array): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  };
  const MESSAGE = Buffer.of(10, 0),
    EMPTY = Buffer.alloc(0);

  /** Request of each protocol. */
  const WAYS: Record<string, [path: string, headers: Record<string, string>, body: Buffer, http2?: boolean]> =
    {
      "Connect, past the router": [PUSH, { "content-type": "application/proto" }, MESSAGE],
      "Connect, JSON": [PUSH, { "content-type": "application/json" }, Buffer.from("{}")],
      "Connect over HTTP/2": [PUSH, { "content-type": "application/proto" }, MESSAGE, true],
      gRPC: [PUSH, { "content-type": "application/grpc", te: "trailers" }, envelope(MESSAGE), true],
      "gRPC-web": [PUSH, { "content-type": "application/grpc-web+proto" }, envelope(MESSAGE)],
      "plain HTTP": ["/pyroscope/render", { ":method": "GET" }, EMPTY],
      "the Connect library": [LABELS, { "content-type": "application/json" }, Buffer.from("{}")],
      "the Connect library, gRPC": [
        LABELS,
        { "content-type": "application/grpc", te: "trailers" },
        envelope(EMPTY),
        true,
      ],
      "the Connect library, gRPC-web": [
        LABELS,
        { "content-type": "application/grpc-web+proto" },
        envelope(EMPTY),
      ],
    };

  it.each(Object.keys(WAYS))("has one line with tenant, route, reason and limit: %s", async (way) => {
    await start();
    await send(...WAYS[way]!);
    await server.stop();
    expect(requestLines()).toEqual([
      expect.objectContaining({
        level: 40,
        msg: "request refused",
        tenant: "shop",
        route: WAYS[way]![0],
        kind: "limit",
        reason: "series_limit",
        limit: 7,
        error: "too many series; the limit is 7",
      }),
    ]);
    const failed = /cinderblock_server_failed_requests_total\{route="\w+",kind="limit"\} 1/;
    expect(await base.metrics.registry.metrics()).toMatch(failed);
  });

  it.each(Object.keys(WAYS))("is an error for a failure of this system: %s", async (way) => {
    failing = "unavailable";
    await start();
    await send(...WAYS[way]!);
    failing = "internal";
    await send(...WAYS[way]!);
    await server.stop();
    expect(requestLines()).toMatchObject([
      { level: 50, msg: "request failed", kind: "unavailable", error: "no ingester answers" },
      {
        level: 50,
        msg: "request failed",
        kind: "internal",
        err: { message: "a defect", stack: expect.stringContaining("request-log.test.ts") as string },
      },
    ]);
  });

  it.each(Object.keys(WAYS))("has no line for an accepted request, except at debug: %s", async (way) => {
    failing = "";
    await start();
    await send(...WAYS[way]!);
    expect(requestLines()).toEqual([]);
    base.log.level = "debug";
    await send(...WAYS[way]!);
    await server.stop();
    expect(requestLines()).toMatchObject([
      { level: 20, msg: "request served", tenant: "shop", route: WAYS[way]![0], status: 200 },
    ]);
  });

  /** Requests that end before a handler: error of the line. */
  const EARLY: Record<string, [(typeof WAYS)[string], RegExp, kind: string]> = {
    "undecodable JSON": [[LABELS, { "content-type": "application/json" }, Buffer.from("{")], /./, "invalid"],
    "undecodable protobuf": [
      [LABELS, { "content-type": "application/proto" }, Buffer.of(0xff)],
      /unmarshal|parse binary/,
      "invalid",
    ],
    "undecodable protobuf, gRPC": [
      [LABELS, { "content-type": "application/grpc", te: "trailers" }, envelope(Buffer.of(0xff)), true],
      /parse binary/,
      "invalid",
    ],
    "undecodable protobuf, gRPC-web": [
      [LABELS, { "content-type": "application/grpc-web+proto" }, envelope(Buffer.of(0xff))],
      /parse binary/,
      "invalid",
    ],
    "a wrong content type": [
      [PUSH, { "content-type": "text/html" }, MESSAGE],
      /content type "text\/html"/,
      "invalid",
    ],
    "a wrong content type, Connect library": [
      [LABELS, { "content-type": "text/html" }, MESSAGE],
      /content type "text\/html"/,
      "invalid",
    ],
    "an unknown compression": [
      [LABELS, { "content-type": "application/json", "content-encoding": "br" }, MESSAGE],
      /unknown compression "br"/,
      "unimplemented",
    ],
    "a body that is too large": [
      [PUSH, { "content-type": "application/json" }, Buffer.alloc(LIMIT + 1)],
      /4001 bytes; the limit is 4000/,
      "too-large",
    ],
    "an incomplete gRPC message": [
      [PUSH, { "content-type": "application/grpc", te: "trailers" }, Buffer.of(0), true],
      /incomplete envelope/,
      "invalid",
    ],
    "a page of another site": [
      [PUSH, { "content-type": "text/plain", "sec-fetch-site": "cross-site" }, MESSAGE],
      /cross-site request refused/,
      "forbidden",
    ],
  };
  it.each(Object.keys(EARLY))("names the error of a request that reaches no handler: %s", async (name) => {
    const [way, error, kind] = EARLY[name]!;
    await start();
    await send(...way);
    await server.stop();
    expect(requestLines()).toEqual([
      expect.objectContaining({
        level: 40,
        tenant: "shop",
        route: way[0],
        kind,
        error: expect.stringMatching(error) as string,
      }),
    ]);
  });

  it("names a caller without a token", async () => {
    await start("info", new Authorizer(new Tokens({ tokens: [] }, "tokens.yaml"), true));
    await send(...WAYS["Connect, past the router"]!);
    await server.stop();
    expect(requestLines()).toMatchObject([{ kind: "unauthenticated", status: 401, route: PUSH }]);
  });

  it("has no line for probes and unknown paths", async () => {
    await start();
    await send("/ready", { ":method": "GET" }, EMPTY);
    await send("/nothing", { ":method": "GET" }, EMPTY);
    await server.stop();
    expect(requestLines()).toEqual([]);
    expect(await base.metrics.registry.metrics()).not.toMatch(/failed_requests_total\{/);
  });
});

describe("failures of one kind", () => {
  /** A log whose timers the test ends by hand. */
  function manual(): { lines: Line[]; log: RequestLog; pass: () => void; timers: Set<() => void> } {
    const { lines, base } = recording(),
      timers = new Set<() => void>();
    const log = new RequestLog(base, { protocol: "http", multitenancy: true }, (_ms, work) => {
      timers.add(work);
      return () => timers.delete(work);
    });
    const pass = (): void => {
      for (const work of [...timers]) {
        timers.delete(work);
        work();
      }
    };
    return { lines, log, pass, timers };
  }
  const fail = (
    log: RequestLog,
    tenant: string,
    text = "too much",
    reason = "rate_limited" as const,
  ): void => {
    const r = { headers: { "x-scope-orgid": tenant }, socket: {} };
    recordFailure(r, new CinderblockError("limit", text, { reason }));
    log.ended(r, { method: "POST", url: PUSH, status: 429, seconds: 0.001 }, "push");
  };

  it("are logged once, and then as a number with the last of them", () => {
    const { lines, log, pass, timers } = manual();
    for (let i = 0; i < 100; i++) fail(log, "shop", `too much ${i}`);
    expect(lines.map((l) => [l.error, l.repeated])).toEqual([["too much 0", undefined]]);
    pass();
    expect(lines.map((l) => [l.error, l.repeated]).slice(1)).toEqual([["too much 99", 99]]);
    fail(log, "shop", "again");
    pass();
    pass();
    expect(lines.map((l) => [l.error, l.repeated]).slice(2)).toEqual([["again", 1]]);
    expect(timers.size).toBe(0);
    fail(log, "shop", "after a pause");
    expect(lines.at(-1)).toMatchObject({ error: "after a pause" });
  });

  it("are counted by tenant", () => {
    const { lines, log } = manual();
    for (const tenant of ["a", "b", "a", "b"]) fail(log, tenant);
    expect(lines.map((l) => l.tenant)).toEqual(["a", "b"]);
  });

  it("share a line when there are too many kinds", () => {
    const { lines, log, pass, timers } = manual();
    for (let i = 0; i < 10_000; i++) fail(log, `tenant-${i}`);
    expect([lines.length, timers.size]).toEqual([257, 257]);
    pass();
    expect(lines.at(-1)).toMatchObject({ tenant: "tenant-9999", repeated: 10_000 - 257 });
  });

  it("are written before a stop", () => {
    const { lines, log, timers } = manual();
    for (let i = 0; i < 5; i++) fail(log, "shop");
    log.stop();
    expect([lines.at(-1)!.repeated, timers.size]).toEqual([4, 0]);
  });
});
