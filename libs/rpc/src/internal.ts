import { Agent, request as httpRequest } from "node:http";
import { type Agent as TlsAgent, request as httpsRequest } from "node:https";
import { CinderblockError, type ErrorRecord, fromErrorRecord, toErrorRecord } from "@cinderblock/errors";
import { decodeMessage, encodeMessage } from "@cinderblock/message";
import { acceptRawBodies } from "./body.ts";
import { EDGE } from "./edge.ts";
import type { Routes } from "./server.ts";

/** What components say to each other lies below this path, apart from the public API. */
const ROOT = "/cinderblock.internal.v1";
const TYPE = "application/x-cinderblock-message";
const TIMEOUT_HEADER = "x-cinderblock-timeout-ms";
const MAX_BODY = 1 << 30;
/** Connections to other processes. */
const KEPT = { keepAlive: true, maxSockets: 256, keepAliveMsecs: 10_000 };

/** `signal` aborts when the caller went away or its time is over. */
export type InternalMethod = (args: never, signal: AbortSignal) => Promise<unknown>;
export type InternalMethods = Record<string, InternalMethod>;

/** Serves the methods of a component to other processes. */
export function internalRoutes(service: string, methods: InternalMethods): Routes {
  return {
    http: (app) => {
      acceptRawBodies(app, MAX_BODY, () => undefined);
      for (const [name, method] of Object.entries(methods)) {
        app.post(`${ROOT}/${service}/${name}`, async (request, reply) => {
          const abort = new AbortController();
          const timeout = Number(request.headers[TIMEOUT_HEADER] ?? 0);
          const timer =
            timeout > 0 ? setTimeout(() => abort.abort(), Math.min(timeout, 0x7fffffff)) : undefined;
          reply.raw.on("close", () => {
            clearTimeout(timer);
            if (!reply.raw.writableFinished) abort.abort();
          });
          try {
            const args = decodeMessage((request.body as Uint8Array | undefined) ?? new Uint8Array(0));
            const answer = encodeMessage(await method(args as never, abort.signal));
            await reply
              .code(200)
              .type(TYPE)
              .send(Buffer.from(answer.buffer, answer.byteOffset, answer.length));
          } catch (err) {
            const record = toErrorRecord(err);
            await reply
              .code(EDGE[record.kind].http)
              .type("application/json")
              .send(Buffer.from(JSON.stringify(record)));
          }
        });
      }
    },
  };
}

export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** Bytes that came and went, for the metric of what a query moves between components. */
export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
}

/** Calls another process. Connections are kept; a process that does not answer is `unavailable`. */
export class InternalClient {
  private readonly agent: Agent | TlsAgent;
  private readonly request: typeof httpRequest;
  private readonly traffic: Traffic;
  private readonly token: string;

  /**
   * @param token what the other processes let this one in by; empty: they ask for none
   * @param tls how they are called; absent: in cleartext
   */
  constructor(
    traffic: Traffic = { sentBytes: 0, receivedBytes: 0 },
    token = "",
    tls?: (options: typeof KEPT) => TlsAgent,
  ) {
    this.traffic = traffic;
    this.token = token;
    this.agent = tls ? tls(KEPT) : new Agent(KEPT);
    this.request = tls ? httpsRequest : httpRequest;
  }

  call<T>(address: string, service: string, method: string, args: unknown, options: CallOptions): Promise<T> {
    const body = encodeMessage(args);
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? ["", address, "4040"];
    this.traffic.sentBytes += body.length;
    return new Promise<T>((resolve, reject) => {
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
          path: `${ROOT}/${service}/${method}`,
          timeout: options.timeoutMs,
          ...(options.signal ? { signal: options.signal } : {}),
          headers: {
            "content-type": TYPE,
            "content-length": body.length,
            [TIMEOUT_HEADER]: Math.ceil(options.timeoutMs),
            ...(this.token === "" ? {} : { authorization: `Bearer ${this.token}` }),
          },
        },
        (res) => {
          const chunks: Buffer[] = [];
          res.on("data", (c: Buffer) => chunks.push(c));
          res.on("error", gone);
          res.on("end", () => {
            const all = Buffer.concat(chunks);
            this.traffic.receivedBytes += all.length;
            try {
              if (res.statusCode === 200) resolve(decodeMessage(all) as T);
              else if ((res.headers["content-type"] ?? "").startsWith("application/json"))
                reject(fromErrorRecord(JSON.parse(all.toString()) as ErrorRecord));
              else
                reject(
                  new CinderblockError(
                    "unavailable",
                    `${service} at ${address} does not know ${method}: status ${res.statusCode}`,
                  ),
                );
            } catch (err) {
              reject(err as Error);
            }
          });
        },
      );
      req.on("timeout", () => req.destroy(new Error(`no answer within ${Math.ceil(options.timeoutMs)} ms`)));
      req.on("error", gone);
      req.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}
