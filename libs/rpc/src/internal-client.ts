import type { Agent as TlsAgent } from "node:https";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { noTracer, type TraceHeaders, type Tracer } from "@cinderblock/telemetry";
import { InternalConnections, type KEPT, type Target, type Traffic } from "./internal-connections.ts";
import { decodeBody, encodeParts } from "./internal-codec.ts";
import { errorOf } from "./internal-errors.ts";
import type { InternalCredentials } from "./internal-gate.ts";
import { PROTO } from "./internal-service.ts";

/** Deadline of a call without one. */
const DEFAULT_TIMEOUT_MS = 30_000;
/** Number of addresses whose clients are kept, per service; processes come and go. */
const MAX_CLIENTS = 1000;
/** Headers of an answer: services between processes have none. */
const NO_HEADERS = new Headers();

/**
 * Calls methods of other processes over kept-alive connections. A process that does not answer is
 * `unavailable`.
 */
export class InternalClient {
  private readonly connections: InternalConnections;
  private readonly credentials: InternalCredentials;
  private readonly tracer: Tracer;
  /** service -> address -> its client */
  private readonly clients = new Map<DescService, Map<string, object>>();

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
    this.connections = new InternalConnections(traffic, tls);
  }

  /**
   * The methods of a service in the process at `address`. A call fails with the other process's error, kind
   * and detail included; `timeoutMs` and `signal` of its options end it.
   */
  of<S extends DescService>(service: S, address: string): Client<S> {
    let known = this.clients.get(service);
    if (!known || known.size >= MAX_CLIENTS) this.clients.set(service, (known = new Map<string, object>()));
    let client = known.get(address) as Client<S> | undefined;
    if (!client) known.set(address, (client = createClient(service, this.transport(service, address))));
    return client;
  }

  private transport(service: DescService, address: string): Transport {
    return {
      unary: async (method, signal, timeoutMs = DEFAULT_TIMEOUT_MS, _header, input) => {
        const body = encodeParts(method.input, input);
        const to: Target = {
          address,
          service: service.name,
          method: method.name,
          path: `/${service.typeName}/${method.name}`,
        };
        const message = await this.traced(to, (trace) =>
          this.withToken(to, async (token) => {
            const answer = await this.connections.exchange(
              to,
              PROTO,
              body,
              { token, trace },
              { timeoutMs, signal },
            );
            if (answer.status === 200) return decodeBody(method.output, answer.body);
            if (answer.contentType.startsWith("application/json")) throw errorOf(answer.body);
            throw unexpectedStatus(to, answer.status);
          }),
        );
        return { stream: false, service, method, message, header: NO_HEADERS, trailer: NO_HEADERS };
      },
      stream: () => Promise.reject(new CinderblockError("unimplemented", "internal calls are unary")),
    };
  }

  private traced<T>(to: Target, work: (trace: TraceHeaders | undefined) => Promise<T>): Promise<T> {
    if (!this.tracer.enabled) return work(undefined);
    return this.tracer.send("call", `${to.service}/${to.method}`, { "server.address": to.address }, work);
  }

  /** Runs a call with this process's token, and again if the token has changed. */
  private async withToken<T>(to: Target, work: (token: string | undefined) => Promise<T>): Promise<T> {
    const { credentials } = this;
    if (credentials.current() === undefined) await credentials.refresh();
    const shown = credentials.current();
    try {
      return await work(shown);
    } catch (err) {
      if (kindOf(err) !== "unauthenticated") throw err;
      // The other side has a newer or an older token: read the current token and retry.
      await credentials.refresh();
      const now = credentials.current();
      if (now !== undefined && now !== shown)
        return await work(now).catch((again: unknown) => {
          throw kindOf(again) === "unauthenticated" ? refusedBy(to, again) : again;
        });
      throw refusedBy(to, err);
    }
  }

  close(): void {
    this.connections.close();
  }
}

/**
 * Error of a process that has no such method: one of another release, or another program at this address.
 * Like a process that does not answer, it is `unavailable`; only the process that called sees this class.
 */
export class UnknownMethodError extends CinderblockError {
  constructor({ service, address, method }: Target) {
    super("unavailable", `${service} at ${address} has no method ${method}`, { detail: { service, method } });
    this.name = "UnknownMethodError";
  }
}

/** Error of a response that is no answer of an internal method. */
function unexpectedStatus(to: Target, status: number): CinderblockError {
  if (status === 404) return new UnknownMethodError(to);
  return new CinderblockError(
    "unavailable",
    `${to.service} at ${to.address} did not answer ${to.method}: status ${status}`,
    { detail: { status } },
  );
}

/**
 * Error of a refused token. A process that refuses this one counts as unavailable: callers continue without
 * it and report that.
 */
function refusedBy({ service, address }: Target, err: unknown): CinderblockError {
  return new CinderblockError(
    "unavailable",
    `${service} at ${address} refuses this process's internal token: all processes of a cluster need the same token (-auth.internal-token, -auth.internal-token-file, or the same -redis.address and -redis.key-prefix)`,
    { cause: err },
  );
}
