import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import Fastify, { type FastifyInstance, type FastifyServerFactory } from "fastify";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import { type ConnectRouter, createContextValues, type Interceptor } from "@connectrpc/connect";
import { CinderblockError } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import type { Service } from "@cinderblock/service";
import { correctParseErrors, RAW_REQUEST, REACHED } from "./parse-errors.ts";
import { httpError, toConnectError } from "./error-codes.ts";
import { Authorizer, type Gate } from "./authorize.ts";
import { bindHost } from "./bind-host.ts";
import { COMPRESS_FROM_BYTES, compressResponse, fastGzip } from "./compression.ts";
import type { BodyBudget } from "./body-budget.ts";
import { connectGuard } from "./connect-guard.ts";
import { isFromBrowser, refuseCrossSite } from "./cross-site.ts";
import { meteredMessages } from "./metered-messages.ts";
import { answerDirectly, type DirectUnary } from "./direct-unary.ts";
import { closeAfterBody } from "./lingering-close.ts";
import { MountedPaths } from "./mounted-path.ts";
import { createPortServer } from "./port.ts";
import { unsupportedType } from "./raw-unary.ts";
import { recordFailure } from "./request-failure.ts";
import { OTHER } from "./request-log.ts";
import { type ObservedRequest, RequestObserver } from "./request-observer.ts";
import { createTlsServer, type ServerTls } from "./tls.ts";

/** Address, timeouts, limits and TLS of a server. */
export interface ServerConfig {
  address: string;
  port: number;
  readTimeoutMs: number;
  idleTimeoutMs: number;
  writeTimeoutMs: number;
  maxConnections: number;
  protocol: "http" | "internal";
  /** whether `X-Scope-OrgID` names the tenant of a request */
  multitenancy: boolean;
  shutdownTimeoutMs: number;
  maxConcurrentStreams: number;
  /** maximum bytes of a request's line and headers */
  maxHeaderBytes: number;
  /** memory in bytes for headers above 64 KiB, of all connections together */
  largeHeadersBytes: number;
  /** memory budget for request bodies of the public API */
  bodies: BodyBudget;
  /** memory budget for request bodies of other processes' calls */
  internalBodies: InternalBodies;
  /** absent: the port speaks HTTP without TLS */
  tls?: ServerTls | undefined;
}

/** Memory for the arguments of all internal calls, and the limit of one call. */
interface InternalBodies {
  budget: BodyBudget;
  limitBytes: number;
}

/** Routes of a component: plain ones, raw ones, or Connect services. */
export interface Routes {
  http?: (app: FastifyInstance) => void;
  connect?: (router: ConnectRouter) => void;
  /** maps a document's path below a proxy's prefix to its route; called only for paths of no route */
  mounted?: (path: string) => string | undefined;
  /** a unary method whose plain case bypasses the router; the router serves it as well */
  direct?: DirectUnary;
}

/** Maximum length of a parameter in a route's path. */
const MAX_PARAMETER_LENGTH = 4096;
/** Body limit of routes without a limit of their own. */
const PLAIN_BODY_BYTES = 64 << 10;
/**
 * Limit of an inflated request to Connect services. Services whose messages carry files have their own limit.
 */
const MESSAGE_BYTES = 4 << 20;

declare module "fastify" {
  interface FastifyInstance {
    /** path -> methods of all routes */ knownRoutes: ReadonlyMap<string, ReadonlySet<string>>;
    internalBodies: InternalBodies;
  }
}

/** Interceptor that records domain errors and converts them to Connect errors. */
const translate: Interceptor = (next) => async (request) => {
  request.contextValues.set(REACHED, true);
  try {
    return await next(request);
  } catch (err) {
    const raw = request.contextValues.get(RAW_REQUEST);
    if (raw) recordFailure(raw, err);
    throw toConnectError(err);
  }
};

/** A port: Fastify for plain routes, Connect for services; HTTP/1.1 and HTTP/2, in cleartext or over TLS. */
export class ApiServer implements Service {
  readonly name: string;
  private app: FastifyInstance | undefined;
  private readonly config: ServerConfig;
  private readonly routes: readonly Routes[];
  private readonly base: Base;
  private readonly gate: Gate;
  private readonly observer: RequestObserver;

  constructor(
    config: ServerConfig,
    routes: readonly Routes[],
    base: Base,
    gate: Gate = new Authorizer(undefined, false),
    name = "server",
  ) {
    this.name = name;
    this.gate = gate;
    this.config = config;
    this.routes = routes;
    this.base = base;
    this.observer = new RequestObserver(base, config);
  }

  async start(): Promise<void> {
    const { config, base, gate } = this;
    const direct = new Map(this.routes.flatMap((r) => (r.direct ? [[r.direct.path, r.direct]] : [])));
    const { tls } = config;
    const port = {
      ...config,
      metrics: base.metrics,
      secured:
        tls &&
        ((onSocket: (socket: Socket) => void) =>
          createTlsServer(tls, config.readTimeoutMs, base.log, onSocket)),
    };
    const serverFactory = ((handler: (req: IncomingMessage, res: ServerResponse) => void) =>
      createPortServer((anyRequest, anyResponse) => {
        const req = anyRequest as IncomingMessage,
          res = anyResponse as ServerResponse;
        closeAfterBody(req, res);
        const d = direct.get(req.url ?? "");
        if (
          !d ||
          gate.enabled ||
          isFromBrowser(req.headers) ||
          !answerDirectly(d, req, res, () => this.observer.begin(req, "POST", d.path))
        )
          handler(req, res);
      }, port) as unknown as Server) as FastifyServerFactory;
    const known = new Map<string, Set<string>>();
    const paths = new MountedPaths(known),
      mounted = this.routes.map((r) => r.mounted).filter((m) => m !== undefined);
    const rewriteUrl = ({
      url = "/",
      method,
      headers,
    }: {
      url?: string | undefined;
      method?: string | undefined;
      headers?: IncomingMessage["headers"];
    }): string => {
      const end = url.indexOf("?"),
        path = end < 0 ? url : url.slice(0, end);
      if (known.has(path)) return url;
      const page = method === "GET" && (headers?.accept ?? "").includes("text/html");
      let own = paths.routeOf(path);
      if (page) for (const m of mounted) own ??= m(path);
      return own === undefined ? url : `${own}${end < 0 ? "" : url.slice(end)}`;
    };
    const app = Fastify({
      serverFactory,
      ...(config.protocol === "http" ? { rewriteUrl } : {}),
      // Names of tenants and build IDs may be longer than the router's default; requests have a limit of their own.
      routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
      // Enough for forms and small documents; routes for larger bodies collect them within a budget.
      bodyLimit: PLAIN_BODY_BYTES,
      exposeHeadRoutes: false,
      forceCloseConnections: "idle",
      logger: false,
    }) as unknown as FastifyInstance;
    this.app = app;
    this.observe(app);
    // The router closes the connection with the answer to a refused body, which resets a client that is still
    // sending it.
    app.addHook("onSend", (_request, reply, payload, done) => {
      if (reply.hasHeader("connection")) reply.removeHeader("connection");
      done(null, payload);
    });
    app.decorate("knownRoutes", known);
    app.decorate("internalBodies", config.internalBodies);
    app.addHook("onRoute", (r) => {
      const set = known.get(r.url) ?? new Set();
      for (const m of [r.method].flat()) set.add(m);
      known.set(r.url, set);
    });
    app.setNotFoundHandler((request, reply) => {
      // A known path with another method: 405 without a body, as in v1.
      const path = request.url.split("?")[0]!;
      if (known.has(path))
        return reply
          .code(405)
          .header("allow", [...known.get(path)!].join(", "))
          .send();
      // In v1, a separate gateway serves paths below /api.
      if (path.startsWith("/api/"))
        return reply.code(404).type("application/json").send('{"code":5,"message":"Not Found","details":[]}');
      return reply
        .code(404)
        .type("text/plain; charset=utf-8")
        .header("x-content-type-options", "nosniff")
        .send("404 page not found\n");
    });
    app.setErrorHandler((err, request, reply) => {
      const { statusCode = 500 } = err as { statusCode?: number };
      recordFailure(request.raw, statusCode === 415 ? unsupportedType(request.headers["content-type"]) : err);
      if (err instanceof CinderblockError && err.kind !== "internal") {
        const { status, body } = httpError(request.raw, err);
        return reply.code(status).type("application/json").send(body);
      }
      // A malformed content type; v1 answers without a body.
      if (statusCode === 415) return reply.code(415).send();
      return reply
        .code(statusCode)
        .send({ code: statusCode >= 500 ? "internal" : "invalid_argument", message: (err as Error).message });
    });
    app.addHook("onRequest", refuseCrossSite);
    if (gate.enabled) app.addHook("onRequest", (request, reply) => gate.hook(request, reply));
    app.addHook("onRequest", connectGuard);
    app.addHook("onSend", compressResponse);
    for (const r of this.routes) {
      if (r.http) {
        const { http } = r;
        await app.register((scope, _o, done) => {
          http(scope);
          done();
        });
      }
    }
    const connects = this.routes.map((r) => r.connect).filter((c) => c !== undefined);
    await app.register(async (scope) => {
      scope.addHook("preHandler", meteredMessages(config.bodies));
      await scope.register(fastifyConnectPlugin, {
        routes: (router) => {
          for (const c of connects) c(router);
          correctParseErrors(router);
        },
        contextValues: (request) => createContextValues().set(RAW_REQUEST, request.raw),
        interceptors: [translate],
        readMaxBytes: MESSAGE_BYTES,
        writeMaxBytes: 0xffffffff,
        acceptCompression: [fastGzip],
        compressMinBytes: COMPRESS_FROM_BYTES,
      });
    });
    await app.listen({ host: await bindHost(config.address), port: config.port });
    base.log.info(
      { address: config.address, port: this.port, tls: tls !== undefined },
      `${this.name} listening`,
    );
  }

  /** The port of the listener, once the server has started. */
  get port(): number {
    const bound = this.app?.server.address();
    return typeof bound === "object" && bound !== null ? bound.port : this.config.port;
  }
  /** Paths of all routes, once the server has started. */
  get paths(): string[] {
    return this.app ? [...this.app.knownRoutes.keys()].sort() : [];
  }

  private observe(app: FastifyInstance): void {
    const served = new WeakMap<object, ObservedRequest>();
    app.addHook("onRequest", (request, reply, done) => {
      const observed = this.observer.begin(request.raw, request.method, request.routeOptions.url ?? OTHER);
      served.set(request, observed);
      // Without an answer, Fastify reports no end. An answer that has begun keeps its status.
      reply.raw.once("close", () => observed.end(reply.raw.headersSent ? reply.statusCode : undefined));
      done();
    });
    app.addHook("onResponse", (request, reply, done) => {
      served.get(request)?.end(reply.statusCode);
      done();
    });
    // Fastify reads bodies by events, which lose the span: handlers enter it again.
    if (this.base.tracer.enabled)
      app.addHook("preHandler", (request, _reply, done) => {
        const span = served.get(request)?.span;
        if (span) span.run(done);
        else done();
      });
  }

  async stop(): Promise<void> {
    const { app } = this;
    if (!app) return;
    this.app = undefined;
    const server = app.server as unknown as { closeAllConnections(): void };
    const timer = setTimeout(() => server.closeAllConnections(), this.config.shutdownTimeoutMs);
    try {
      await app.close();
    } finally {
      clearTimeout(timer);
      this.observer.stop();
    }
  }
}
