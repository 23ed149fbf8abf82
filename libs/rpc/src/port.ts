import { createServer as createHttp, type RequestListener, type Server as HttpServer } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { createServer as createNet, type Server as NetServer, type Socket } from "node:net";
import type { Metrics } from "@cinderblock/telemetry";
import { type AnyRequest, type AnyResponse, type ConnectionLimits, Connections } from "./connections.ts";

/** Maximum number of a request's header fields; cookies of HTTP/2 may come one by one. */
const MAX_HEADER_FIELDS = 4096;

/** Options of a port that serves HTTP/1.1 and HTTP/2. */
export interface PortOptions extends ConnectionLimits {
  maxConcurrentStreams: number;
  /** creates a server that decrypts TLS and passes on the connections; absent: cleartext */
  secured?: ((onSocket: (socket: Socket) => void) => NetServer) | undefined;
  metrics?: Metrics | undefined;
  /** monotonic clock in milliseconds */
  now?: () => number;
}

/**
 * Creates one port for HTTP/1.1 and HTTP/2. The first bytes of a connection select the protocol: "PRI "
 * starts HTTP/2's preface. Fastify sees an http.Server. Every connection has deadlines from the start
 * (`Connections`).
 */
export function createPortServer(
  handler: (req: AnyRequest, res: AnyResponse) => void,
  options: PortOptions,
): NetServer & { connections: Connections } {
  const connections = new Connections(options, options.metrics, options.now);
  const served = (req: AnyRequest, res: AnyResponse): void => {
    if (connections.begin(req, res)) handler(req, res);
  };
  const h1: HttpServer = createHttp(
    {
      // `Connections` enforces the deadlines of first requests and of bodies; Node's deadlines cover later
      // headers and idle time.
      requestTimeout: 0,
      headersTimeout: options.readTimeoutMs,
      keepAliveTimeout: options.idleTimeoutMs,
      connectionsCheckingInterval: connections.sweepMs,
      maxHeaderSize: options.maxHeaderBytes,
      highWaterMark: 256 << 10,
    },
    served as RequestListener,
  );
  h1.maxHeadersCount = MAX_HEADER_FIELDS;
  h1.on("clientError", (err, socket) => connections.refuse(socket as Socket, err));
  // Node starts checking deadlines when a server listens, which this server never does itself.
  h1.emit("listening");
  const h2 = createHttp2(
    {
      settings: {
        maxConcurrentStreams: options.maxConcurrentStreams,
        initialWindowSize: 4 << 20,
        maxHeaderListSize: options.maxHeaderBytes,
      },
      maxHeaderListPairs: MAX_HEADER_FIELDS,
    },
    served,
  );
  /** the socket that is being passed to the HTTP/2 server, for its event `session` */
  let given: Socket | undefined;
  h2.on("session", (s) => {
    connections.session(given!, s);
    s.setLocalWindowSize(16 << 20);
  });

  const sniffed = (socket: Socket, isHttp2: boolean): void => {
    given = isHttp2 ? socket : undefined;
    (isHttp2 ? h2 : h1).emit("connection", socket);
  };
  const onSocket = (socket: Socket): void => {
    socket.on("error", () => socket.destroy());
    const sniff = (): void => {
      const first = socket.read() as Buffer | null;
      if (first === null) {
        if (!socket.destroyed) socket.once("readable", sniff);
        return;
      }
      socket.unshift(first);
      // Fewer than four bytes: wait for the rest, because an HTTP/1 method has at least three letters and a
      // blank.
      if (first.length < 4 && "PRI ".startsWith(first.toString("latin1")))
        setTimeout(() => socket.once("readable", sniff), 5);
      else sniffed(socket, first.toString("latin1", 0, 4) === "PRI ");
    };
    socket.once("readable", sniff);
  };
  /** accepted sockets during the handshake, by peer: the TLS socket is another object */
  const handshakes = new Map<string, Socket>();
  const peer = (s: Socket): string => `${s.remoteAddress} ${s.remotePort} ${s.localAddress}`;
  const port = options.secured
    ? options.secured((socket) => {
        const accepted = handshakes.get(peer(socket));
        if (!accepted) {
          socket.destroy();
          return;
        }
        connections.replace(accepted, socket);
        onSocket(socket);
      })
    : createNet({ pauseOnConnect: false, noDelay: true }, onSocket);
  // Register the connection before the other listeners, which start to read or the TLS handshake.
  port.prependListener("connection", (socket: Socket) => {
    if (!connections.accept(socket) || !options.secured) return;
    const key = peer(socket);
    handshakes.set(key, socket);
    socket.once("close", () => handshakes.delete(key));
  });
  port.on("listening", () => connections.start());
  port.on("close", () => {
    connections.stop();
    h1.close();
  });
  // Fastify calls these on close.
  return Object.assign(port, {
    connections,
    closeIdleConnections: () => connections.closeIdle(),
    closeAllConnections: () => connections.closeAll(),
    setTimeout: () => port,
    keepAliveTimeout: options.idleTimeoutMs,
    requestTimeout: options.readTimeoutMs,
  });
}
