import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { Metrics } from "@cinderblock/telemetry";
import type { Connections } from "./connections.ts";
import { createPortServer, type PortOptions } from "./port.ts";

/** A port on loopback with a clock and deadline checks that only the test advances. */
class Port {
  nowMs = 0;
  readonly metrics = new Metrics();
  readonly server: Server & { connections: Connections };
  private readonly clients: Socket[] = [];
  /** requests that reached the handler, with their responses */
  readonly requests: { req: IncomingMessage; res: ServerResponse }[] = [];

  constructor(
    options: Partial<PortOptions> = {},
    answer: (req: IncomingMessage, res: ServerResponse) => void = whole,
  ) {
    this.server = createPortServer(
      (req, res) => {
        this.requests.push({ req: req as IncomingMessage, res: res as ServerResponse });
        answer(req as IncomingMessage, res as ServerResponse);
      },
      {
        readTimeoutMs: 2000,
        idleTimeoutMs: 60_000,
        writeTimeoutMs: 5000,
        maxConnections: 100,
        protocol: "http",
        maxConcurrentStreams: 10,
        maxHeaderBytes: 64 << 10,
        largeHeadersBytes: 4 << 20,
        metrics: this.metrics,
        now: () => this.nowMs,
        ...options,
      },
    );
  }
  async listen(): Promise<this> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    // A pass of the port's own timers while a request arrives would refuse its headers half-way.
    this.server.connections.stop();
    return this;
  }
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }
  /** Connects a client and waits until the server has read all of `bytes`. */
  async client(bytes: string | Buffer): Promise<Socket> {
    const accepted = once(this.server, "connection");
    const socket = connect(this.port, "127.0.0.1");
    this.clients.push(socket);
    socket.on("error", () => undefined);
    const [peer] = (await accepted) as [Socket];
    if (bytes.length > 0) {
      socket.write(bytes);
      while (peer.bytesRead < Buffer.byteLength(bytes)) await turn();
    }
    return socket;
  }
  /** Advances the clock and sweeps. */
  after(ms: number): void {
    this.nowMs += ms;
    this.server.connections.sweep();
  }
  async closed(reason: string): Promise<number> {
    const m = await this.metrics.registry
      .getSingleMetric("cinderblock_server_closed_connections_total")!
      .get();
    return m.values.find((v) => v.labels.reason === reason)?.value ?? 0;
  }
  async stop(): Promise<void> {
    for (const c of this.clients) c.destroy();
    this.server.connections.closeAll();
    await new Promise((done) => {
      this.server.close(done);
    });
  }
}
const turn = (): Promise<void> =>
  new Promise((done) => {
    setImmediate(done);
  });
const whole = (req: IncomingMessage, res: ServerResponse): void => {
  req.resume();
  req.on("end", () => res.end("whole"));
  req.on("error", () => undefined);
};
const isClosed = async (socket: Socket): Promise<string> => {
  let text = "";
  socket.setEncoding("latin1").on("data", (c: string) => {
    text += c;
  });
  if (!socket.destroyed) await once(socket, "close");
  return text;
};

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const UNFINISHED: Record<string, string | Buffer> = {
  "nothing at all": "",
  "the first letters of a preface": "PR",
  "half a request line": "POST /ing",
  "headers without an end": "POST /ingest HTTP/1.1\r\nHost: x\r\n",
  "a body without an end": "POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc",
  "a chunked body without an end":
    "POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
  "HTTP/2's preface alone": PREFACE,
  "HTTP/2 without a request": Buffer.concat([Buffer.from(PREFACE), SETTINGS]),
  // HEADERS of stream 1 without END_HEADERS
  "HTTP/2 headers without an end": Buffer.concat([
    Buffer.from(PREFACE),
    SETTINGS,
    Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]),
  ]),
};

describe("a port", () => {
  it.each(Object.keys(UNFINISHED))(
    "closes a connection that sends %s, after the read timeout",
    async (way) => {
      const port = await new Port().listen();
      try {
        const client = await port.client(UNFINISHED[way]!);
        port.after(1900);
        expect(port.server.connections.size).toBe(1);
        port.after(200);
        await isClosed(client);
        expect(port.server.connections.size).toBe(0);
        expect(await port.closed("read_timeout")).toBe(1);
      } finally {
        await port.stop();
      }
    },
  );

  it("responds 408 after complete headers of an HTTP/1.1 request", async () => {
    const port = await new Port().listen();
    try {
      const client = await port.client(UNFINISHED["a body without an end"]!);
      port.after(2100);
      expect(await isClosed(client)).toMatch(/^HTTP\/1\.1 408 /);
    } finally {
      await port.stop();
    }
  });

  it("applies the same timeout to later requests, and closes idle connections", async () => {
    // Node enforces these deadlines itself: in real time, so they are short.
    const port = await new Port({ readTimeoutMs: 100, idleTimeoutMs: 100 }).listen();
    try {
      const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
      const slow = await port.client(request),
        idle = await port.client(request);
      await Promise.all([once(slow, "data"), once(idle, "data")]);
      slow.write("GET / HT");
      expect(await isClosed(slow)).toMatch(/^HTTP\/1\.1 408 /);
      expect(await isClosed(idle)).toBe("");
    } finally {
      await port.stop();
    }
  });

  it("allows a progressing large body to exceed the read timeout", async () => {
    const port = await new Port().listen();
    try {
      const length = 1 << 20,
        head = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;
      const client = await port.client(Buffer.concat([Buffer.from(head), Buffer.alloc(length / 2)]));
      port.after(9000); // 2 s, and 8 s for 512 KiB
      expect(port.server.connections.size).toBe(1);
      const answered = once(client, "data") as Promise<[Buffer]>;
      client.write(Buffer.alloc(length / 2));
      expect(String((await answered)[0])).toMatch(/200 OK/);
    } finally {
      await port.stop();
    }
  });

  it("ends an HTTP/2 stream without a body, and keeps the others of its session", async () => {
    const port = await new Port().listen();
    const session = connectHttp2(`http://127.0.0.1:${port.port}`);
    try {
      const stream = session.request({ ":method": "POST", ":path": "/" }, { endStream: false });
      stream.write("abc");
      while (port.requests.length < 1) await turn();
      port.after(2100);
      await once(stream, "close");
      const other = session.request({ ":path": "/" });
      other.resume();
      const [headers] = (await once(other, "response")) as [Record<string, unknown>];
      expect(headers[":status"]).toBe(200);
      await once(other, "close");
      while (port.server.connections.size > 0) {
        await turn();
        port.after(60_001);
      }
      expect(await port.closed("idle_timeout")).toBe(1);
    } finally {
      session.destroy();
      await port.stop();
    }
  });

  it("does not limit handlers: a complete request may wait for its response", async () => {
    const port = await new Port({}, () => undefined).listen();
    await port.client("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    const session = connectHttp2(`http://127.0.0.1:${port.port}`);
    try {
      session.request({ ":path": "/" });
      while (port.requests.length < 2) await turn();
      port.after(50_000);
      expect(port.server.connections.size).toBe(2);
    } finally {
      session.destroy();
      await port.stop();
    }
  });

  it("ends a response that its client does not read", async () => {
    const port = await new Port({}, (_req, res) => void res.end(Buffer.alloc(64 << 20))).listen();
    try {
      const client = await port.client("");
      client.pause();
      client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      while (port.requests.length < 1) await turn();
      for (let i = 0; i < 4; i++) port.after(1000);
      expect(port.server.connections.size).toBe(1);
      // Bytes in kernel buffers count as sent, at 64 KiB/s.
      for (let i = 0; i < 200 && port.server.connections.size > 0; i++) port.after(1000);
      expect(port.server.connections.size).toBe(0);
      expect(await port.closed("write_timeout")).toBe(1);
    } finally {
      await port.stop();
    }
  });

  it("closes the oldest connection without a complete request for a new one at the limit, never an active one", async () => {
    const port = await new Port({ maxConnections: 3 }, () => undefined).listen();
    try {
      const served = await port.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      while (port.requests.length < 1) await turn();
      const slow = await port.client("GET /"),
        slower = await port.client("GET /");
      const fresh = await port.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await isClosed(slow);
      while (port.requests.length < 2) await turn();
      expect([served.destroyed, slower.destroyed, fresh.destroyed]).toEqual([false, false, false]);
      const last = await port.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await isClosed(slower);
      while (port.requests.length < 3) await turn();
      // All three are in use: there is no room for a fourth connection.
      const refused = await port.client("");
      await isClosed(refused);
      expect([served.destroyed, fresh.destroyed, last.destroyed]).toEqual([false, false, false]);
      expect(await port.closed("limit")).toBe(3);
    } finally {
      await port.stop();
    }
  });

  it.each([64 << 10, 1 << 20])(
    "refuses headers above the limit of %i bytes and names the flag",
    async (limit) => {
      const port = await new Port({ maxHeaderBytes: limit }).listen();
      try {
        const long = (n: number): string => `GET /${"a".repeat(n)} HTTP/1.1\r\nHost: x\r\n\r\n`;
        const taken = await port.client(long(limit - 4096));
        expect(String(((await once(taken, "data")) as [Buffer])[0])).toMatch(/^HTTP\/1\.1 200/);
        const refused = await port.client("");
        refused.write(long(limit + 4096));
        const answer = await isClosed(refused);
        expect(answer).toMatch(/^HTTP\/1\.1 431/);
        expect(answer).toContain(`more than ${limit} bytes; the limit is -server.http-max-header-bytes`);
      } finally {
        await port.stop();
      }
    },
  );

  /** A request with that many bytes of headers; without their end if `open`. */
  const large = (bytes: number, open = false): string =>
    `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${"a".repeat(bytes)}${open ? "" : "\r\n\r\n"}`;
  const LARGE = { maxHeaderBytes: 1 << 20, largeHeadersBytes: 1 << 20 };

  it("refuses the largest arriving headers when all together exceed their memory", async () => {
    const port = await new Port(LARGE).listen();
    try {
      const clients = [];
      for (const kib of [10, 600, 700, 800]) clients.push(await port.client(large(kib << 10, true)));
      port.server.connections.checkHeaders();
      for (const c of clients.slice(2)) {
        const answer = await isClosed(c);
        expect(answer).toMatch(/^HTTP\/1\.1 503 /);
        expect(answer).toContain("exceed their 1048576 bytes of memory");
      }
      expect(await port.closed("large_headers")).toBe(2);
      for (const c of clients.slice(0, 2)) {
        c.write("\r\n\r\n");
        expect(String(((await once(c, "data")) as [Buffer])[0])).toMatch(/^HTTP\/1\.1 200/);
      }
      port.server.connections.checkHeaders();
      expect(await port.closed("large_headers")).toBe(2);
    } finally {
      await port.stop();
    }
  });

  it("counts the headers of requests in progress, and refuses only large ones", async () => {
    const waiting: ServerResponse[] = [];
    const port = await new Port(LARGE, (_req, res) => waiting.push(res)).listen();
    try {
      const first = await port.client(large(900 << 10));
      while (waiting.length < 1) await turn();
      const second = await port.client(large(900 << 10));
      expect(await isClosed(second)).toMatch(/^HTTP\/1\.1 503 /);
      await port.client(large(10 << 10));
      while (waiting.length < 2) await turn();
      waiting[0]!.end();
      await once(first, "data");
      await port.client(large(900 << 10));
      while (waiting.length < 3) await turn();
      expect(await port.closed("large_headers")).toBe(1);
    } finally {
      await port.stop();
    }
  });

  it("keeps every header of a request, over HTTP/2 too", async () => {
    const seen: number[] = [];
    const port = await new Port({ maxHeaderBytes: 1 << 20 }, (req, res) => {
      seen.push(Object.keys(req.headers).filter((k) => k.startsWith("x-")).length);
      res.end();
    }).listen();
    try {
      const names = Array.from({ length: 3000 }, (_, i) => `x-${i}`);
      const h1 = await port.client(
        `GET / HTTP/1.1\r\nHost: x\r\n${names.map((n) => `${n}: 1\r\n`).join("")}\r\n`,
      );
      await once(h1, "data");
      const session = connectHttp2(`http://127.0.0.1:${port.port}`);
      const stream = session.request({ ":path": "/", ...Object.fromEntries(names.map((n) => [n, "1"])) });
      stream.resume();
      await once(stream, "end");
      session.destroy();
      expect(seen).toEqual([3000, 3000]);
    } finally {
      await port.stop();
    }
  });
});
