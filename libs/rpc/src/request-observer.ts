import { timeBuckets, type Base, type RequestSpan } from "@cinderblock/telemetry";
import { roleOf } from "./authorize.ts";
import { type LoggedRequest, OTHER, RequestLog } from "./request-log.ts";

/** Status of requests whose client left before the answer. */
const CLIENT_LEFT = 499;
/** Reads of metrics begin no trace: a scrape would be a trace every few seconds. */
const METRICS = "/metrics";

/** A request from its headers to the end of its answer. */
export interface ObservedRequest {
  /** absent: the request has no trace */
  readonly span: RequestSpan | undefined;
  /** Ends the request, once. @param status undefined: the client left before the answer */
  end(status: number | undefined): void;
}

/** Metrics of a route, looked up once for each status. */
interface RouteMetrics {
  label: string;
  waiting: { inc(): void; dec(): void };
  served: Map<number, { observe(seconds: number): void }>;
}

/** Metrics, log lines and spans of the requests of a server, in every protocol. */
export class RequestObserver {
  private readonly log: RequestLog;
  private readonly base: Base;
  private readonly internal: boolean;
  private readonly duration;
  private readonly inflight;
  private readonly routes = new Map<string, RouteMetrics>();

  constructor(base: Base, options: { protocol: "http" | "internal"; multitenancy: boolean }) {
    this.base = base;
    this.internal = options.protocol === "internal";
    this.log = new RequestLog(base, options);
    this.duration = base.metrics.histogram(
      "pyroscope_request_duration_seconds",
      "Duration of HTTP requests.",
      ["method", "route", "status_code", "ws"],
      timeBuckets,
    );
    this.inflight = base.metrics.gauge("pyroscope_inflight_requests", "HTTP requests in flight.", [
      "method",
      "route",
    ]);
  }

  /** @param url the route, without its parameters */
  begin(request: LoggedRequest, method: string, url: string): ObservedRequest {
    const route = this.routeOf(method, url),
      from = performance.now(),
      span = this.base.tracer.enabled ? this.spanOf(request, method, url) : undefined;
    route.waiting.inc();
    let over = false;
    return {
      span,
      end: (answered) => {
        if (over) return;
        over = true;
        const seconds = (performance.now() - from) / 1000,
          status = answered ?? CLIENT_LEFT;
        route.waiting.dec();
        this.observe(route, method, status, seconds);
        const error = this.log.ended(
          request,
          { method, url, status, seconds, traceId: span?.traceId },
          route.label,
        );
        span?.end(status, error);
      },
    };
  }

  private routeOf(method: string, url: string): RouteMetrics {
    const key = `${method} ${url}`;
    let known = this.routes.get(key);
    if (!known) {
      const label =
        url
          .replace(/[^A-Za-z0-9]+/g, "_")
          .replace(/^_|_$/g, "")
          .toLowerCase() || "root";
      known = { label, waiting: this.inflight.labels({ method, route: label }), served: new Map() };
      this.routes.set(key, known);
    }
    return known;
  }

  private observe({ label, served }: RouteMetrics, method: string, status: number, seconds: number): void {
    let child = served.get(status);
    if (!child) {
      child = this.duration.labels({ method, route: label, status_code: String(status), ws: "false" });
      served.set(status, child);
    }
    child.observe(seconds);
  }

  /** Probes, scrapes and other processes' polls begin no trace; within a caller's trace they have a span. */
  private spanOf(request: LoggedRequest, method: string, url: string): RequestSpan | undefined {
    const begins = !this.internal && url !== OTHER && url !== METRICS && roleOf(url) !== undefined;
    const tenant = request.headers["x-scope-orgid"];
    return this.base.tracer.request(
      `${method} ${url}`,
      request.headers,
      {
        "http.request.method": method,
        "http.route": url,
        ...(typeof tenant === "string" && tenant !== "" ? { tenant } : {}),
      },
      begins,
    );
  }

  /** Writes the log lines that are due. */
  stop(): void {
    this.log.stop();
  }
}
