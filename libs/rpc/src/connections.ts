import type { IncomingMessage, ServerResponse } from "node:http";
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import { Periodic } from "@cinderblock/async";
import type { Metrics } from "@cinderblock/telemetry";
import { type ArrivingHeaders, UNCOUNTED_HEADER_BYTES, LargeHeaders } from "./large-headers.ts";

/** Deadlines and limits of a port's connections. */
export interface ConnectionLimits {
  /** milliseconds for a request's headers, and for its body if it arrives slower than MIN_BYTES_PER_SECOND */
  readTimeoutMs: number;
  /** milliseconds between two requests of a connection */
  idleTimeoutMs: number;
  /**
   * milliseconds that an answer may wait for its client, if the client reads slower than MIN_BYTES_PER_SECOND
   */
  writeTimeoutMs: number;
  /** maximum number of open connections */
  maxConnections: number;
  /** maximum bytes of a request's line and headers */
  maxHeaderBytes: number;
  /** memory in bytes for headers above 64 KiB, of all connections together */
  largeHeadersBytes: number;
  /** name of the listener in v1's connection metrics */
  protocol: "http" | "internal";
}

/** A request over HTTP/1.1 or HTTP/2. */
export type AnyRequest = IncomingMessage | Http2ServerRequest;
/** A response over HTTP/1.1 or HTTP/2. */
export type AnyResponse = ServerResponse | Http2ServerResponse;

/** Minimum rate of a body or an answer that exceeds its timeout: 64 KiB/s. */
const MIN_BYTES_PER_SECOND = 64 << 10;
const SWEEP_MS = 1000;
/** Interval of looks at headers that arrive: in it, a port reads a few tens of megabytes. */
const HEADERS_MS = 100;

/** Status lines for errors of the HTTP/1.1 parser. */
const HEADER_OVERFLOW = "HPE_HEADER_OVERFLOW";
const PARSER_ERRORS: ReadonlyMap<string, string> = new Map([
  [HEADER_OVERFLOW, "431 Request Header Fields Too Large"],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", "413 Payload Too Large"],
  ["ERR_HTTP_REQUEST_TIMEOUT", "408 Request Timeout"],
]);

/** Answer to bytes that HTTP/1.1's parser rejected. */
function refusal(code: string, maxHeaderBytes: number): string {
  return answerOf(
    PARSER_ERRORS.get(code) ?? "400 Bad Request",
    code === HEADER_OVERFLOW
      ? `request line and headers are more than ${maxHeaderBytes} bytes; the limit is -server.http-max-header-bytes\n`
      : "",
  );
}

/** Last answer of an HTTP/1.1 connection. */
function answerOf(status: string, text: string): string {
  return `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
}

type CloseReason = "read_timeout" | "idle_timeout" | "write_timeout" | "limit" | "large_headers";

/** One connection of the port. */
interface Connection {
  socket: Socket;
  session: ServerHttp2Session | undefined;
  /** start of the wait for a request: time of the accept, or end of the last request */
  waitingSince: number;
  /** bytes read from the connection when the wait for a request began */
  bytesBefore: number;
  /** a complete request has arrived on this connection */
  proven: boolean;
  requests: Set<Exchange>;
}

/** A request and its answer. */
interface Exchange {
  connection: Connection;
  req: AnyRequest;
  res: AnyResponse;
  answered: boolean;
  startedAt: number;
  bytesAtStart: number;
  /**
   * milliseconds that the answer's bytes have waited for the client, and the bytes sent on the connection
   * before
   */
  waitedMs: number;
  sentAtStart: number;
  /** frees the memory of the request's headers */
  release: () => void;
}

/**
 * The connections of a port and their deadlines, for HTTP/1.1 and HTTP/2: handshake and headers, bodies, idle
 * connections, answers that no client reads (docs/correctness.md, "Every wait has a deadline"). At the
 * connection limit, a new connection replaces the longest-waiting connection without a complete request, so
 * slow clients lock out no others.
 */
export class Connections {
  private readonly open = new Map<Socket, Connection>();
  /**
   * connections without a request in flight, oldest first: without any complete request so far, and the
   * others
   */
  private readonly unproven = new Set<Connection>();
  private readonly idle = new Set<Connection>();
  private readonly exchanges = new Set<Exchange>();
  private readonly limits: ConnectionLimits;
  private readonly now: () => number;
  private readonly closed: ((reason: CloseReason) => void) | undefined;
  private readonly ofSession = new WeakMap<object, Connection>();
  private readonly headers: LargeHeaders;
  private readonly loops: Periodic[] = [];
  private sweptAt = 0;
  private closing = false;

  constructor(
    limits: ConnectionLimits,
    metrics: Metrics | undefined,
    now: () => number = () => performance.now(),
  ) {
    this.limits = limits;
    this.headers = new LargeHeaders(limits.largeHeadersBytes);
    this.now = now;
    metrics?.gauge(
      "pyroscope_tcp_connections",
      "Open connections of the server's port.",
      ["protocol"],
      (g) => {
        g.set({ protocol: limits.protocol }, this.open.size);
      },
    );
    metrics
      ?.gauge("pyroscope_tcp_connections_limit", "Limit of connections of the server's port.", ["protocol"])
      .set({ protocol: limits.protocol }, limits.maxConnections);
    const counter = metrics?.counter(
      "cinderblock_server_closed_connections_total",
      "Connections and HTTP/2 streams closed by the server before their client, by reason.",
      ["reason"],
    );
    if (counter) this.closed = (reason) => counter.inc({ reason });
  }

  get size(): number {
    return this.open.size;
  }

  /** Interval between checks of the deadlines. */
  get sweepMs(): number {
    const { readTimeoutMs, idleTimeoutMs, writeTimeoutMs } = this.limits;
    return Math.ceil(
      Math.max(50, Math.min(SWEEP_MS, readTimeoutMs / 2, idleTimeoutMs / 2, writeTimeoutMs / 2)),
    );
  }

  start(): void {
    this.sweptAt = this.now();
    this.every(this.sweepMs, () => this.sweep());
    this.every(HEADERS_MS, () => this.checkHeaders());
  }
  private every(everyMs: number, work: () => void): void {
    const loop = new Periodic(
      { everyMs, deadlineMs: 10 * SWEEP_MS, jitter: 0 },
      () => Promise.resolve(work()),
      (end) => {
        if (!end.ok && !end.late) throw end.err as Error;
      },
    );
    this.loops.push(loop);
    loop.start();
  }
  stop(): void {
    for (const loop of this.loops.splice(0)) void loop.stop(0);
  }

  /** Registers an accepted connection; without room, closes the socket and returns false. */
  accept(socket: Socket): boolean {
    if (this.open.size >= this.limits.maxConnections && !this.makeRoom()) {
      this.closed?.("limit");
      socket.destroy();
      return false;
    }
    const c: Connection = {
      socket,
      session: undefined,
      waitingSince: this.now(),
      bytesBefore: socket.bytesRead,
      proven: false,
      requests: new Set(),
    };
    this.open.set(socket, c);
    this.unproven.add(c);
    socket.once("close", () => this.gone(c));
    return true;
  }

  /** Replaces an accepted socket by the TLS socket over it. */
  replace(accepted: Socket, socket: Socket): void {
    const c = this.open.get(accepted);
    if (!c) {
      socket.destroy();
      return;
    }
    c.socket = socket;
    c.bytesBefore = socket.bytesRead;
    this.open.delete(accepted);
    this.open.set(socket, c);
    socket.once("close", () => this.gone(c));
  }

  session(socket: Socket, session: ServerHttp2Session): void {
    const c = this.open.get(socket);
    if (!c) return;
    c.session = session;
    this.ofSession.set(session, c);
  }

  private gone(c: Connection): void {
    this.open.delete(c.socket);
    this.unproven.delete(c);
    this.idle.delete(c);
    for (const e of c.requests) this.forget(e);
  }
  private forget(e: Exchange): void {
    this.exchanges.delete(e);
    e.release();
  }

  /**
   * Registers a request whose headers have arrived.
   * @returns false if it was refused, because its headers do not fit into the memory for large headers
   */
  begin(req: AnyRequest, res: AnyResponse): boolean {
    const c = "stream" in req ? this.ofSession.get(req.stream.session!) : this.open.get(req.socket);
    if (!c) return true; // the connection was closed in the meantime
    const release = this.headers.reserve(req);
    if (typeof release === "string") {
      this.closed?.("large_headers");
      res.statusCode = 503;
      res.setHeader("content-type", "text/plain; charset=utf-8");
      if (!c.session) res.setHeader("connection", "close");
      res.end(release);
      return false;
    }
    const e: Exchange = {
      connection: c,
      req,
      res,
      answered: false,
      startedAt: this.now(),
      bytesAtStart: c.socket.bytesRead,
      waitedMs: 0,
      sentAtStart: sentBytes(c.socket),
      release,
    };
    c.requests.add(e);
    this.exchanges.add(e);
    this.unproven.delete(c);
    this.idle.delete(c);
    res.once("close", () => {
      e.answered = true;
      // After an early answer, the rest of an HTTP/1.1 body must still arrive within its deadline, before the
      // next request.
      if (isWhole(req) || c.session || this.closing || c.socket.destroyed) this.settle(e);
    });
    return true;
  }

  /** Unregisters a completed request. */
  private settle(e: Exchange): void {
    const { connection: c, req } = e;
    this.forget(e);
    c.requests.delete(e);
    c.proven ||= isWhole(req);
    if (c.requests.size > 0 || !this.open.has(c.socket)) return;
    if (this.closing) {
      if (!c.session) c.socket.destroy();
      return;
    }
    c.waitingSince = this.now();
    c.bytesBefore = c.socket.bytesRead;
    (c.proven ? this.idle : this.unproven).add(c);
  }

  /** Closes a connection without a complete request in flight; false without such a connection. */
  private makeRoom(): boolean {
    for (const waiting of [this.unproven, this.idle])
      for (const c of waiting) {
        this.end(c, "limit");
        return true;
      }
    for (const e of this.exchanges)
      if (!isWhole(e.req) && !e.connection.proven) {
        this.end(e.connection, "limit");
        return true;
      }
    return false;
  }

  /**
   * Answers and closes a connection that HTTP/1.1's parser rejected: its bytes are not a request, or came too
   * slowly.
   */
  refuse(socket: Socket, err: Error & { code?: string }): void {
    const c = this.open.get(socket);
    if (err.code === "ERR_HTTP_REQUEST_TIMEOUT") this.closed?.("read_timeout");
    if (c && socket.writable && ![...c.requests].some((e) => e.res.headersSent))
      socket.end(refusal(err.code ?? "", this.limits.maxHeaderBytes));
    else socket.destroy(err);
  }

  private end(c: Connection, reason: CloseReason): void {
    this.closed?.(reason);
    this.gone(c);
    c.session?.destroy();
    c.socket.destroy();
  }

  /** Refuses connections whose arriving headers exceed the memory for large headers. */
  checkHeaders(): void {
    const arriving: ArrivingHeaders<Connection>[] = [];
    for (const set of [this.unproven, this.idle])
      for (const connection of set) {
        const bytes = connection.socket.bytesRead - connection.bytesBefore;
        // HTTP/2 frames without a request are no headers; the session limits their memory.
        if (bytes > UNCOUNTED_HEADER_BYTES && !connection.session) arriving.push({ connection, bytes });
      }
    for (const c of this.headers.excess(arriving)) {
      this.closed?.("large_headers");
      this.gone(c);
      c.socket.end(answerOf("503 Service Unavailable", this.headers.refusal));
      c.socket.destroySoon();
    }
  }

  /** Ends connections and requests that exceed their deadlines. */
  sweep(): void {
    const now = this.now(),
      elapsed = now - this.sweptAt,
      { readTimeoutMs, idleTimeoutMs, writeTimeoutMs } = this.limits;
    this.sweptAt = now;
    for (const c of this.unproven) if (now - c.waitingSince > readTimeoutMs) this.end(c, "read_timeout");
    // HTTP/2 frames may belong to no request, so measure the time without a request. Node's
    // own HTTP/1.1 server closes idle connections.
    for (const c of this.idle)
      if (c.session && now - c.waitingSince > idleTimeoutMs) this.end(c, "idle_timeout");
    for (const e of this.exchanges) {
      const { socket } = e.connection;
      if (e.answered && isWhole(e.req)) {
        this.settle(e);
        continue;
      }
      if (!isWhole(e.req)) {
        // A body that continues after its answer would keep an HTTP/2 stream open. Send the trailers first.
        if ("stream" in e.res && e.res.stream.writableFinished) {
          if (e.answered) e.res.stream.close(constants.NGHTTP2_NO_ERROR);
          e.answered = true;
          continue;
        }
        const received = socket.bytesRead - e.bytesAtStart;
        if (now - e.startedAt > readTimeoutMs + (received / MIN_BYTES_PER_SECOND) * 1000)
          this.giveUp(e, "read_timeout");
        continue;
      }
      if (("stream" in e.res ? e.res.stream.writableLength : socket.writableLength) === 0) continue;
      e.waitedMs += elapsed;
      const sent = sentBytes(socket) - e.sentAtStart;
      if (e.waitedMs > writeTimeoutMs + (sent / MIN_BYTES_PER_SECOND) * 1000) this.giveUp(e, "write_timeout");
    }
  }

  /** Ends a request: closes its connection, or only its stream in HTTP/2. */
  private giveUp(e: Exchange, reason: CloseReason): void {
    this.forget(e);
    if ("stream" in e.res) {
      this.closed?.(reason);
      e.res.stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    if (reason === "read_timeout" && !e.res.headersSent && e.connection.socket.writable)
      e.connection.socket.write("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    this.end(e.connection, reason);
  }

  /** Accepts no more requests: closes idle connections now, and the others after their last answer. */
  closeIdle(): void {
    this.closing = true;
    for (const c of [...this.unproven, ...this.idle]) if (!c.session) c.socket.destroy();
    for (const c of this.open.values()) c.session?.close();
  }

  closeAll(): void {
    for (const c of [...this.open.values()]) {
      c.session?.destroy();
      c.socket.destroy();
    }
  }
}

/** Bytes that the kernel has accepted; `bytesWritten` also counts bytes queued in the process. */
function sentBytes(socket: Socket): number {
  const { _bytesDispatched: dispatched, _handle: handle } = socket as Socket & {
    _bytesDispatched?: number;
    _handle?: { writeQueueSize?: number } | null;
  };
  return (dispatched ?? socket.bytesWritten) - (handle?.writeQueueSize ?? 0);
}

/** Whether a request has arrived completely. */
function isWhole(req: AnyRequest): boolean {
  return req.complete || ("stream" in req && req.stream.endAfterHeaders);
}
