import { request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { setTimeout as settle } from "node:timers/promises";
import { QuerierService, StoreGatewayService } from "@cinderblock/api";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { freePort } from "@cinderblock/testkit";
import { acceptRawBodies } from "./body.ts";
import { BodyBudget } from "./body-budget.ts";
import { internalService } from "./internal-service.ts";
import { rawUnary } from "./raw-unary.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

const LIMIT = 160_000,
  /** more than a sixteenth of the limit; two of them do not fit */
  LARGE = 100_000,
  SMALL = 5000;

describe("a budget of bodies", () => {
  it("reserves a quarter for small bodies, for any large ones", () => {
    const b = new BodyBudget(LIMIT);
    const large = b.reserve(LARGE);
    expect(() => b.reserve(30_000)).toThrow(
      "request bodies use 100000 bytes and this one needs 30000 more; the limit is 160000 (-memory.inflight-bytes)",
    );
    const small = Array.from({ length: 12 }, () => b.reserve(SMALL));
    expect(b.heldBytes).toBe(LARGE + 12 * SMALL);
    expect(() => b.reserve(SMALL)).toThrow(/the limit is 160000/);
    large.release();
    expect(b.reserve(LARGE - SMALL).release()).toBeUndefined();
    for (const s of small) s.release();
    expect(b.heldBytes).toBe(0);
  });

  it("accepts one body above the limit without other large ones, and small ones next to it", () => {
    const b = new BodyBudget(LIMIT);
    b.reserve(10 * LIMIT);
    for (let i = 0; i < 8; i++) b.reserve(SMALL);
    expect(() => b.reserve(SMALL)).toThrow(/the limit is/);
  });

  it("counts a body of unknown length as it grows, and every holder releases", () => {
    const b = new BodyBudget(LIMIT),
      t = b.reserve(0);
    b.reserve(LARGE);
    t.grow(SMALL);
    expect(() => t.grow(50_000)).toThrow(/this one needs 45000 more/);
    expect(b.heldBytes).toBe(LARGE + SMALL);
    t.retain();
    t.release();
    expect(b.heldBytes).toBe(LARGE + SMALL);
    t.release();
    t.release();
    expect(b.heldBytes).toBe(LARGE);
  });

  it("grants memory to waiting bodies in order, and drops a disconnected one", async () => {
    const b = new BodyBudget(LIMIT),
      first = b.reserve(LARGE),
      order: string[] = [];
    const leaves = new AbortController(),
      stays = new AbortController().signal;
    const left = b.acquire(LARGE, leaves.signal).then(
      () => order.push("left"),
      (err: Error) => order.push(err.message),
    );
    const second = b.acquire(LARGE, stays).then((t) => {
      order.push("second");
      return t;
    });
    const third = b.acquire(SMALL, stays).then(() => order.push("third"));
    leaves.abort();
    await left;
    first.release();
    await Promise.all([second, third]);
    expect(order).toEqual(["the client disconnected while its body waited for memory", "second", "third"]);
    expect(b.heldBytes).toBe(LARGE + SMALL);
  });
});

interface Way {
  path: string;
  headers: Record<string, string>;
  http2?: boolean;
  /** the headers do not state the length */
  chunked?: boolean;
  /** answer to a refused call: status, body, trailers */
  refused: RegExp;
}
const PUSH = "/push.v1.PusherService/Push",
  LABELS = "/querier.v1.QuerierService/LabelNames";
const WAYS: Record<string, Way> = {
  "Connect, past the router": {
    path: PUSH,
    headers: { "content-type": "application/proto" },
    refused: /^429 .*resource_exhausted/,
  },
  "Connect, in chunks": {
    path: PUSH,
    headers: { "content-type": "application/proto" },
    chunked: true,
    refused: /^429 .*resource_exhausted/,
  },
  "Connect, over HTTP/2": {
    path: PUSH,
    headers: { "content-type": "application/proto" },
    http2: true,
    chunked: true,
    refused: /^429 .*resource_exhausted/,
  },
  gRPC: {
    path: PUSH,
    headers: { "content-type": "application/grpc", te: "trailers" },
    http2: true,
    chunked: true,
    refused: /^200 .*grpc-status 8/,
  },
  "gRPC-web": {
    path: PUSH,
    headers: { "content-type": "application/grpc-web+proto" },
    refused: /^200 .*grpc-status: 8/s,
  },
  "the Connect library": {
    path: LABELS,
    headers: { "content-type": "application/json" },
    refused: /^429 .*resource_exhausted/,
  },
  "the Connect library, in chunks": {
    path: LABELS,
    headers: { "content-type": "application/json" },
    chunked: true,
    refused: /^429 .*resource_exhausted/,
  },
  "the Connect library, gRPC": {
    path: LABELS,
    headers: { "content-type": "application/grpc", te: "trailers" },
    http2: true,
    chunked: true,
    refused: /^200 .*grpc-status 8/,
  },
};

describe("a server", () => {
  const base = {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer: startTracing("", "0"),
    now: () => Date.now(),
  };
  let server: ApiServer,
    bodies: BodyBudget,
    internal: BodyBudget,
    port = 0;
  beforeEach(async () => {
    bodies = new BodyBudget(LIMIT);
    internal = new BodyBudget(LIMIT);
    port = await freePort();
    const answer = (): Promise<Uint8Array> => Promise.resolve(new Uint8Array(0)),
      raw = { limitBytes: 10 * LIMIT, budget: bodies };
    server = new ApiServer(
      testServer({
        port,
        bodies,
        internalBodies: { budget: internal, limitBytes: LIMIT },
      }),
      [
        {
          direct: { ...raw, path: PUSH, handler: answer },
          http: (app) => {
            acceptRawBodies(app, raw);
            rawUnary(app, PUSH, answer);
          },
          connect: (router) => {
            router.service(QuerierService, { labelNames: () => ({ names: [] }) });
          },
        },
        internalService(StoreGatewayService, {
          canServe: () => Promise.resolve({ serves: true }),
          registerBlock: () => Promise.resolve({ known: true }),
        }),
      ],
      { ...base, metrics: new Metrics() },
    );
    await server.start();
  });
  afterEach(() => server.stop());

  /** Sends a request of `length` bytes without its last byte; `answer` is the response. */
  function begin(way: Way, length: number): { answer: Promise<string>; leave: () => void } {
    const headers = way.chunked ? way.headers : { ...way.headers, "content-length": String(length) };
    const body = Buffer.alloc(length - 1, "a");
    // Envelope of a gRPC message: an uncompressed flag, and the length.
    if (way.headers["content-type"]!.startsWith("application/grpc")) {
      body[0] = 0;
      body.writeUInt32BE(length - 5, 1);
    }
    if (way.http2) {
      const session = connectHttp2(`http://127.0.0.1:${port}`);
      session.on("error", () => undefined);
      const stream = session.request(
        { ":method": "POST", ":path": way.path, ...headers },
        { endStream: false },
      );
      stream.write(body);
      const answer = new Promise<string>((done) => {
        let status = "",
          text = "";
        const told = (h: Record<string, unknown>): void => {
          for (const k of ["grpc-status", "grpc-message"])
            if (h[k] !== undefined) text += ` ${k} ${String(h[k])}`;
        };
        stream.on("response", (h) => {
          status = String(h[":status"]);
          told(h);
        });
        stream.on("trailers", told);
        stream.on("data", (c: Buffer) => {
          text += c.toString("latin1");
        });
        stream.on("error", () => undefined);
        stream.on("close", () => {
          session.destroy();
          done(`${status} ${text}`);
        });
      });
      return { answer, leave: () => session.destroy() };
    }
    const req = request({ host: "127.0.0.1", port, method: "POST", path: way.path, headers, agent: false });
    const answer = new Promise<string>((done) => {
      req.on("response", (res) => {
        let text = "";
        res.setEncoding("latin1").on("data", (c: string) => {
          text += c;
        });
        res.on("end", () => done(`${res.statusCode} ${text}`));
        res.on("error", () => done(`${res.statusCode} ${text}`));
      });
      req.on("error", (err) => done(err.message));
    });
    req.write(body);
    return { answer, leave: () => req.destroy() };
  }
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds())
      await new Promise((done) => {
        setImmediate(done);
      });
  };

  it.each(Object.keys(WAYS))("limits the memory of unfinished bodies over %s", async (name) => {
    const way = WAYS[name]!;
    const first = begin(way, LARGE);
    await until(() => bodies.heldBytes >= LARGE - 1);
    const second = begin(way, LARGE);
    expect(await second.answer).toMatch(way.refused);
    second.leave();
    await until(() => bodies.heldBytes <= LARGE);
    // A small body still fits.
    const small = begin(way, SMALL);
    await until(() => bodies.heldBytes >= LARGE - 1 + SMALL - 1);
    small.leave();
    first.leave();
    await until(() => bodies.heldBytes === 0);
  });

  it.each(["application/proto", "application/json"])(
    "answers a refused push of %s with Connection: close although the client reads only after it has sent all",
    async (type) => {
      const first = begin(WAYS["Connect, past the router"]!, LARGE);
      await until(() => bodies.heldBytes >= LARGE - 1);
      const length = 8 * LIMIT,
        socket = connectTcp(port, "127.0.0.1");
      let answer = "";
      socket.setEncoding("latin1").pause();
      socket.write(
        `POST ${PUSH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`,
      );
      // The answer has arrived in the socket's buffer before the first byte of the body is sent.
      await settle(100);
      const ended = new Promise<string>((done) => {
        socket.on("error", (err) => done(err.message));
        socket.on("data", (c: string) => {
          answer += c;
        });
        socket.on("end", () => done("end"));
        socket.pause();
      });
      for (let sent = 0; sent < length; sent += LIMIT) {
        const written = await new Promise<Error | null | undefined>((done) => {
          socket.write(Buffer.alloc(LIMIT), done);
        });
        expect(written ?? undefined).toBeUndefined();
      }
      socket.resume();
      expect(await ended).toBe("end");
      expect(answer).toMatch(/^HTTP\/1.1 429 .*resource_exhausted/s);
      socket.destroy();
      first.leave();
    },
  );

  it("makes calls of other processes wait for memory instead of refusing them, and limits each", async () => {
    const way: Way = {
      path: "/cinderblock.internal.v1.StoreGatewayService/CanServe",
      headers: { "content-type": "application/proto" },
      refused: /^413 /,
    };
    const first = begin(way, LARGE);
    await until(() => internal.heldBytes === LARGE);
    const second = begin(way, LARGE);
    let answered = false;
    void second.answer.then(() => (answered = true));
    for (let i = 0; i < 20; i++) await until(() => true);
    expect([internal.heldBytes, answered]).toEqual([LARGE, false]);
    first.leave();
    await until(() => internal.heldBytes === LARGE);
    second.leave();
    await until(() => internal.heldBytes === 0);
    const third = begin(way, LIMIT + 1);
    expect(await third.answer).toMatch(way.refused);
    third.leave();
  });
});
