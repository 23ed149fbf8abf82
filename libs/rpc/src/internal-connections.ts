import { Agent, request as httpRequest } from "node:http";
import { type Agent as TlsAgent, request as httpsRequest } from "node:https";
import { CinderblockError } from "@cinderblock/errors";
import type { TraceHeaders } from "@cinderblock/telemetry";
import { TIMEOUT_HEADER } from "./internal-service.ts";

/** Options of kept-alive connections to other processes. */
export const KEPT = { keepAlive: true, maxSockets: 256, keepAliveMsecs: 10_000 };

/** Deadline and abort signal of one call. */
export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** Counts sent and received bytes, for the metric of traffic between components. */
export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
}

/** A method of another process. */
export interface Target {
  address: string;
  /** names for error messages */
  service: string;
  method: string;
  path: string;
}

/** Token and trace that a call shows. */
export interface Sender {
  token: string | undefined;
  trace: TraceHeaders | undefined;
}

/** Response of another process, of any status. */
export interface Response {
  status: number;
  contentType: string;
  body: Buffer;
}

/** Kept-alive connections to other processes. */
export class InternalConnections {
  private readonly agent: Agent | TlsAgent;
  private readonly request: typeof httpRequest;
  private readonly traffic: Traffic;

  /** @param tls creates the TLS agent; absent: cleartext */
  constructor(traffic: Traffic, tls?: (options: typeof KEPT) => TlsAgent) {
    this.traffic = traffic;
    this.agent = tls ? tls(KEPT) : new Agent(KEPT);
    this.request = tls ? httpsRequest : httpRequest;
  }

  /**
   * Sends one request.
   * @param body parts of the body
   * @throws `unavailable` without a response, `canceled` when the signal aborts
   */
  exchange(
    to: Target,
    contentType: string,
    body: readonly Uint8Array[],
    { token, trace }: Sender,
    options: CallOptions,
  ): Promise<Response> {
    const { address, service, method, path } = to;
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? ["", address, "4040"];
    const length = body.reduce((n, part) => n + part.length, 0);
    this.traffic.sentBytes += length;
    return new Promise<Response>((resolve, reject) => {
      const gone = (err: Error): void => {
        if (options.signal?.aborted) reject(new CinderblockError("canceled", "context canceled"));
        else
          reject(
            new CinderblockError(
              "unavailable",
              `${service} at ${address} did not answer ${method}: ${err.message}`,
              { cause: err },
            ),
          );
      };
      const req = this.request(
        {
          host,
          port,
          agent: this.agent,
          method: "POST",
          path,
          timeout: options.timeoutMs,
          ...(options.signal ? { signal: options.signal } : {}),
          headers: {
            "content-type": contentType,
            "content-length": length,
            "connect-protocol-version": "1",
            [TIMEOUT_HEADER]: Math.ceil(options.timeoutMs),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...trace,
          },
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on("data", (c: Buffer) => chunks.push(c));
          res.on("error", gone);
          res.on("end", () => {
            const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
            this.traffic.receivedBytes += all.length;
            resolve({
              status: res.statusCode ?? 0,
              contentType: res.headers["content-type"] ?? "",
              body: all,
            });
          });
        },
      );
      req.on("timeout", () =>
        req.destroy(new Error(`no response within ${Math.ceil(options.timeoutMs)} ms`)),
      );
      req.on("error", gone);
      for (const part of body) req.write(part);
      req.end();
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
