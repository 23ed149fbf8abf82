import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";

/**
 * Fault of a request: a replaced answer, no answer, no answer followed by a cut connection, an answer that
 * stops after some bytes of its body, a cut connection, or a pause; undefined passes the request.
 */
export type Fault =
  | { status: number; body?: string; headers?: Record<string, string> }
  | { cutAfterBytes: number }
  | { silent: true }
  | { silentMs: number }
  | { stallAfter: number }
  | { delayMs: number }
  | undefined;

/** A running proxy whose behavior a test changes by request. */
export interface FaultProxy {
  /** host and port */
  address: string;
  /** chooses the fault of each request; by default all pass */
  decide: (request: { method: string; url: string; headers: IncomingHttpHeaders }) => Fault;
  /** number of received requests */
  seen: number;
  stop(): void;
}

/**
 * A proxy for an HTTP server (host and port) that simulates a bad network or a busy server. Passes the Host
 * header unchanged, so that signatures stay valid.
 */
export async function faultProxy(target: string): Promise<FaultProxy> {
  const [hostname, port] = target.split(":");
  const sockets = new Set<Socket>();
  const forward = (
    req: IncomingMessage,
    res: ServerResponse,
    cutAfter: number,
    stallAfter = Infinity,
  ): void => {
    const up = request(
      { agent: false, hostname, port, method: req.method, path: req.url, headers: req.headers },
      (answer) => {
        res.writeHead(answer.statusCode!, answer.headers);
        if (stallAfter === Infinity) answer.pipe(res);
        else {
          let left = stallAfter;
          answer.on("data", (chunk: Buffer) => {
            if (left > 0) res.write(chunk.subarray(0, left));
            left -= chunk.length;
          });
        }
        answer.on("error", () => res.destroy());
      },
    );
    up.on("error", () => res.destroy());
    let sent = 0;
    req.on("data", (chunk: Buffer) => {
      sent += chunk.length;
      if (sent > cutAfter) {
        up.destroy();
        req.socket.destroy();
        return;
      }
      if (!up.write(chunk)) {
        req.pause();
        up.once("drain", () => req.resume());
      }
    });
    req.on("end", () => up.end());
    req.on("error", () => up.destroy());
  };
  const server: Server = createServer((req, res) => {
    proxy.seen++;
    const fault = proxy.decide({ method: req.method!, url: req.url!, headers: req.headers });
    if (!fault) {
      forward(req, res, Infinity);
      return;
    }
    if ("status" in fault) {
      req.resume();
      req.on("end", () => {
        res.writeHead(fault.status, { "content-type": "text/plain", ...fault.headers });
        res.end(fault.body ?? "");
      });
      return;
    }
    if ("silent" in fault) {
      req.resume();
      return;
    }
    if ("silentMs" in fault) {
      req.resume();
      setTimeout(() => req.socket.destroy(), fault.silentMs).unref();
      return;
    }
    if ("stallAfter" in fault) {
      forward(req, res, Infinity, fault.stallAfter);
      return;
    }
    if ("delayMs" in fault) {
      setTimeout(() => forward(req, res, Infinity), fault.delayMs);
      return;
    }
    forward(req, res, fault.cutAfterBytes);
  });
  server.on("connection", (s) => {
    sockets.add(s);
    s.once("close", () => sockets.delete(s));
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  const proxy: FaultProxy = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => undefined,
    seen: 0,
    stop: () => {
      server.close();
      for (const s of sockets) s.destroy();
    },
  };
  return proxy;
}
