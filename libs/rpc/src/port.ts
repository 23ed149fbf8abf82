import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  type Server as HttpServer,
  type ServerResponse,
} from "node:http";
import {
  createServer as createHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import { createServer as createNet, type Server as NetServer, type Socket } from "node:net";

export interface PortOptions {
  readTimeoutMs: number;
  idleTimeoutMs: number;
  maxConcurrentStreams: number;
  /** hands over connections that came through TLS; absent: cleartext */
  secured?: ((onSocket: (socket: Socket) => void) => NetServer) | undefined;
}

/**
 * One port for HTTP/1.1 and HTTP/2: the first bytes of a connection tell ("PRI " is HTTP/2's preface). Looks like an
 * http.Server to Fastify.
 */
export function createPortServer(
  handler: (req: IncomingMessage | Http2ServerRequest, res: ServerResponse | Http2ServerResponse) => void,
  options: PortOptions,
): NetServer {
  /** HTTP/1 connections -> requests being answered */
  const active = new Map<Socket, number>();
  let closing = false;
  const counted: RequestListener = (req, res) => {
    const { socket } = req;
    active.set(socket, (active.get(socket) ?? 0) + 1);
    res.once("close", () => {
      const left = (active.get(socket) ?? 1) - 1;
      if (closing && left === 0) socket.destroy();
      else if (active.has(socket)) active.set(socket, left);
    });
    (handler as RequestListener)(req, res);
  };
  const h1: HttpServer = createHttp(
    {
      requestTimeout: options.readTimeoutMs,
      keepAliveTimeout: options.idleTimeoutMs,
      highWaterMark: 256 << 10,
    },
    counted,
  );
  const h2 = createHttp2(
    { settings: { maxConcurrentStreams: options.maxConcurrentStreams, initialWindowSize: 4 << 20 } },
    handler as (req: Http2ServerRequest, res: Http2ServerResponse) => void,
  );
  const sessions = new Set<ServerHttp2Session>();
  h2.on("session", (s) => {
    sessions.add(s);
    s.setLocalWindowSize(16 << 20);
    s.on("close", () => sessions.delete(s));
  });
  const waiting = new Set<Socket>();
  const open =
    options.secured ?? ((onSocket) => createNet({ pauseOnConnect: false, noDelay: true }, onSocket));
  const port = open((socket) => {
    waiting.add(socket);
    socket.setTimeout(options.idleTimeoutMs, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    const sniff = (): void => {
      const first = socket.read() as Buffer | null;
      if (first === null) {
        if (!socket.destroyed) socket.once("readable", sniff);
        return;
      }
      // Fewer than four bytes: wait for the rest, an HTTP/1 method has at least three letters and a blank.
      if (first.length < 4 && "PRI ".startsWith(first.toString("latin1"))) {
        socket.unshift(first);
        setTimeout(() => socket.once("readable", sniff), 5);
        return;
      }
      waiting.delete(socket);
      socket.setTimeout(0);
      socket.removeAllListeners("timeout");
      socket.unshift(first);
      const isHttp2 = first.toString("latin1", 0, 4) === "PRI ";
      if (!isHttp2) {
        active.set(socket, 0);
        socket.on("close", () => active.delete(socket));
      }
      (isHttp2 ? h2 : h1).emit("connection", socket);
    };
    socket.once("readable", sniff);
    socket.on("close", () => waiting.delete(socket));
  });
  // Fastify asks for these on close.
  return Object.assign(port, {
    closeIdleConnections: () => {
      closing = true;
      for (const [socket, requests] of active) if (requests === 0) socket.destroy();
      for (const s of sessions) s.close();
      for (const s of waiting) s.destroy();
    },
    closeAllConnections: () => {
      for (const socket of active.keys()) socket.destroy();
      for (const s of sessions) s.destroy();
      for (const s of waiting) s.destroy();
    },
    setTimeout: () => port,
    keepAliveTimeout: options.idleTimeoutMs,
    requestTimeout: options.readTimeoutMs,
  });
}
