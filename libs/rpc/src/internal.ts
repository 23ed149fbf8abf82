import { Agent, request as httpRequest } from "node:http";
import { type Agent as TlsAgent, request as httpsRequest } from "node:https";
import {
  CinderblockError,
  type ErrorRecord,
  fromErrorRecord,
  kindOf,
  toErrorRecord,
} from "@cinderblock/errors";
import { decodeMessage, encodeMessage } from "@cinderblock/message";
import { noTracer, type TraceHeaders, type Tracer } from "@cinderblock/telemetry";
import type { FastifyReply, FastifyRequest } from "fastify";
import { acceptRawBodies } from "./body.ts";
import { ERROR_CODES } from "./error-codes.ts";
import type { InternalCredentials } from "./internal-gate.ts";
import type { InternalMethods } from "./internal-method.ts";
import { recordFailure } from "./request-failure.ts";
import type { Routes } from "./server.ts";

/** Path prefix of methods for other processes of the cluster, on a separate listener. */
const ROOT = "/cinderblock.internal.v1";
const TYPE = "application/x-cinderblock-message";
const TIMEOUT_HEADER = "x-cinderblock-timeout-ms";
/** Options of kept-alive connections to other processes. */
const KEPT = { keepAlive: true, maxSockets: 256, keepAliveMsecs: 10_000 };

/** Sends an error to another process: kind and message, without the stack. */
export async function sendInternalError(
  request: FastifyRequest,
  reply: FastifyReply,
  err: unknown,
): Promise<void> {
  recordFailure(request.raw, err);
  const { stack: _stack, ...record } = toErrorRecord(err);
  await reply
    .code(ERROR_CODES[record.kind].http)
    .type("application/json")
    .send(Buffer.from(JSON.stringify(record)));
}

/** Routes of a component's methods for other processes. */
export function internalRoutes(service: string, methods: InternalMethods): Routes {
  return {
    http: (app) => {
      acceptRawBodies(app, { ...app.internalBodies, waits: true });
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
            const answer = encodeMessage(await method.run(args, abort.signal));
            await reply
              .code(200)
              .type(TYPE)
              .send(Buffer.from(answer.buffer, answer.byteOffset, answer.length));
          } catch (err) {
            await sendInternalError(request, reply, err);
          }
        });
      }
    },
  };
}

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

/**
 * Calls methods of other processes over kept-alive connections. A process that does not answer is
 * `unavailable`.
 */
export class InternalClient {
  private readonly agent: Agent | TlsAgent;
  private readonly request: typeof httpRequest;
  private readonly traffic: Traffic;
  private readonly credentials: InternalCredentials;
  private readonly tracer: Tracer;

  /**
   * @param credentials tokens that the other processes accept
   * @param tls creates the TLS agent; absent: cleartext
   * @param tracer calls made within a trace carry it
   */
  constructor(
    credentials: InternalCredentials,
    traffic: Traffic = { sentBytes: 0, receivedBytes: 0 },
    tls?: (options: typeof KEPT) => TlsAgent,
    tracer: Tracer = noTracer,
  ) {
    this.credentials = credentials;
    this.tracer = tracer;
    this.traffic = traffic;
    this.agent = tls ? tls(KEPT) : new Agent(KEPT);
    this.request = tls ? httpsRequest : httpRequest;
  }

  call<T>(address: string, service: string, method: string, args: unknown, options: CallOptions): Promise<T> {
    if (!this.tracer.enabled) return this.authorized(address, service, method, args, options, undefined);
    return this.tracer.send("call", `${service}/${method}`, { "server.address": address }, (trace) =>
      this.authorized(address, service, method, args, options, trace),
    );
  }

  private async authorized<T>(
    address: string,
    service: string,
    method: string,
    args: unknown,
    options: CallOptions,
    trace: TraceHeaders | undefined,
  ): Promise<T> {
    const body = encodeMessage(args),
      { credentials } = this;
    if (credentials.current() === undefined) await credentials.refresh();
    const shown = credentials.current();
    try {
      return await this.send<T>(address, service, method, body, shown, options, trace);
    } catch (err) {
      if (kindOf(err) !== "unauthenticated") throw err;
      // The other side has a newer or an older token: read the current token and retry.
      await credentials.refresh();
      const now = credentials.current();
      if (now !== undefined && now !== shown)
        return await this.send<T>(address, service, method, body, now, options, trace).catch(
          (again: unknown) => {
            throw kindOf(again) === "unauthenticated" ? refusedBy(service, address, again) : again;
          },
        );
      throw refusedBy(service, address, err);
    }
  }

  private send<T>(
    address: string,
    service: string,
    method: string,
    body: Uint8Array,
    token: string | undefined,
    options: CallOptions,
    trace: TraceHeaders | undefined,
  ): Promise<T> {
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
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...trace,
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
              else reject(unexpectedStatus(service, address, method, res.statusCode ?? 0));
            } catch (err) {
              reject(err as Error);
            }
          });
        },
      );
      req.on("timeout", () =>
        req.destroy(new Error(`no response within ${Math.ceil(options.timeoutMs)} ms`)),
      );
      req.on("error", gone);
      req.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/**
 * Error of a process that has no such method: one of another release, or another program at this address.
 * Like a process that does not answer, it is `unavailable`; only the process that called sees this class.
 */
export class UnknownMethodError extends CinderblockError {
  constructor(service: string, address: string, method: string) {
    super("unavailable", `${service} at ${address} has no method ${method}`, { detail: { service, method } });
    this.name = "UnknownMethodError";
  }
}

/** Error of a response that is no answer of an internal method. */
function unexpectedStatus(
  service: string,
  address: string,
  method: string,
  status: number,
): CinderblockError {
  if (status === 404) return new UnknownMethodError(service, address, method);
  return new CinderblockError(
    "unavailable",
    `${service} at ${address} did not answer ${method}: status ${status}`,
    { detail: { status } },
  );
}

/**
 * Error of a refused token. A process that refuses this one counts as unavailable: callers continue without
 * it and report that.
 */
function refusedBy(service: string, address: string, err: unknown): CinderblockError {
  return new CinderblockError(
    "unavailable",
    `${service} at ${address} refuses this process's internal token: all processes of a cluster need the same token (-auth.internal-token, -auth.internal-token-file, or the same -redis.address and -redis.key-prefix)`,
    { cause: err },
  );
}
