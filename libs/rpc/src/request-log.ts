import type { IncomingHttpHeaders } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import { CinderblockError, type ErrorKind, kindOf, messageOf } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import { DEFAULT_TENANT } from "@cinderblock/tenant";
import { roleOf } from "./authorize.ts";
import { ERROR_CODES } from "./error-codes.ts";
import { failureOf } from "./request-failure.ts";

type Level = "info" | "warn" | "error";

/**
 * Log level of each error kind: `warn` for requests that a caller or an operator has to change, `error` for
 * failures of this system, `info` for the rest. An `unknown` error is a profile that cannot be read.
 */
const LEVELS = {
  invalid: "warn",
  unauthenticated: "warn",
  "not-found": "info",
  limit: "warn",
  "no-room": "warn",
  unavailable: "error",
  deadline: "error",
  canceled: "info",
  corrupt: "error",
  forbidden: "warn",
  conflict: "warn",
  "too-large": "warn",
  unimplemented: "warn",
  internal: "error",
  unknown: "warn",
} satisfies Record<ErrorKind, Level>;

/** Time after a line in which failures of the same kind are only counted. */
const QUIET_MS = 10_000;
/** Maximum number of kinds that are counted separately; further kinds share one count. */
const MAX_KINDS = 256;
/** Maximum characters of a logged text of the caller, and of an error. */
const MAX_TEXT = 200,
  MAX_ERROR = 1000;

/** The part of a request that its log line shows. */
export interface LoggedRequest {
  headers: IncomingHttpHeaders;
  socket: { remoteAddress?: string | undefined };
}

/** End of a request: route without parameters, status of the answer, duration, trace if it has one. */
export interface RequestEnd {
  method: string;
  url: string;
  status: number;
  seconds: number;
  traceId?: string | undefined;
}

type Fields = Record<string, unknown>;

/** Failures of one kind since its last line. */
interface Quiet {
  repeated: number;
  last: Fields;
  end: () => void;
}

/** Runs `work` once after `ms`; the returned function cancels it. */
type After = (ms: number, work: () => void) => () => void;
const afterTimeout: After = (ms, work) => {
  const timer = setTimeout(work, ms);
  timer.unref();
  return () => clearTimeout(timer);
};

/**
 * Log lines and the counter of failed requests of a server. Every route ends here, whatever its protocol. The
 * first failure of a kind (route, tenant, reason) is logged at once; further ones within ten seconds become one
 * line with their number and the last of them. At level `debug`, every request has a line.
 */
export class RequestLog {
  private readonly kinds = new Map<string, Quiet>();
  private readonly failed: { inc(labels: { route: string; kind: string }): void };
  private readonly base: Base;
  private readonly options: { protocol: "http" | "internal"; multitenancy: boolean };
  private readonly after: After;

  constructor(
    base: Base,
    options: { protocol: "http" | "internal"; multitenancy: boolean },
    after: After = afterTimeout,
  ) {
    this.base = base;
    this.options = options;
    this.after = after;
    this.failed = base.metrics.counter(
      "cinderblock_server_failed_requests_total",
      "Requests that ended with an error, by route and kind of the error, in every protocol.",
      ["route", "kind"],
    );
  }

  /**
   * @param route label of the route in metrics
   * @returns kind of the error that the request ended with; undefined: none
   */
  ended(request: LoggedRequest, end: RequestEnd, route: string): ErrorKind | undefined {
    const failure = failureOf(request);
    if (failure === undefined && end.status < 400) {
      if (this.base.log.isLevelEnabled("debug"))
        this.base.log.debug(this.fields(request, end), "request served");
      return undefined;
    }
    const kind = failure === undefined ? kindOfStatus(end.status) : errorKind(failure);
    // A probe's answer is no failure of a request, and neither is a path that no route has.
    const counted = failure !== undefined || (end.url !== OTHER && roleOf(end.url) !== undefined);
    if (counted) this.failed.inc({ route, kind });
    this.write(request, end, failure, kind, counted);
    return kind;
  }

  private write(
    request: LoggedRequest,
    end: RequestEnd,
    failure: unknown,
    kind: ErrorKind,
    counted: boolean,
  ): void {
    const { log } = this.base,
      internal = this.options.protocol === "internal";
    // The process that called an internal method reports its errors, except for defects.
    const level: Level | "debug" = !counted || (internal && kind !== "internal") ? "debug" : LEVELS[kind];
    const error = failure instanceof CinderblockError ? failure : undefined;
    const fields = {
      ...error?.detail,
      ...this.fields(request, end),
      kind,
      reason: error?.reason ?? kind,
      ...(kind === "internal" && failure !== undefined
        ? { err: failure }
        : { error: failure === undefined ? undefined : short(messageOf(failure), MAX_ERROR) }),
    };
    const message = internal
      ? "internal call failed"
      : level === "error"
        ? "request failed"
        : "request refused";
    if (level === "debug") log.debug(fields, message);
    else this.limited(`${end.url}\u0000${fields.tenant}\u0000${fields.reason}`, level, fields, message);
  }

  private limited(key: string, level: Level, fields: Fields, message: string): void {
    const { log } = this.base;
    const name = this.kinds.has(key) || this.kinds.size < MAX_KINDS ? key : `\u0000${level}`;
    const known = this.kinds.get(name);
    if (known) {
      known.repeated++;
      known.last = fields;
      return;
    }
    log[level](fields, message);
    const quiet: Quiet = { repeated: 0, last: fields, end: () => undefined };
    this.kinds.set(name, quiet);
    const wait = (): (() => void) =>
      this.after(QUIET_MS, () => {
        if (quiet.repeated === 0) {
          this.kinds.delete(name);
          return;
        }
        log[level]({ ...quiet.last, repeated: quiet.repeated }, message);
        quiet.repeated = 0;
        cancel = wait();
      });
    let cancel = wait();
    quiet.end = () => {
      cancel();
      if (quiet.repeated > 0) log[level]({ ...quiet.last, repeated: quiet.repeated }, message);
    };
  }

  private fields(request: LoggedRequest, end: RequestEnd): Fields & { tenant: string } {
    const named = request.headers["x-scope-orgid"];
    return {
      tenant: this.options.multitenancy ? short([named ?? ""].flat().join("|"), MAX_TEXT) : DEFAULT_TENANT,
      method: end.method,
      route: end.url,
      status: end.status,
      ms: Math.round(end.seconds * 1000),
      from: request.socket.remoteAddress,
      userAgent: short(request.headers["user-agent"] ?? "", MAX_TEXT) || undefined,
      // Of this request, also when a timer of another request writes the line.
      traceId: end.traceId,
    };
  }

  /** Writes the lines of failures that were only counted so far. */
  stop(): void {
    for (const quiet of this.kinds.values()) quiet.end();
    this.kinds.clear();
  }
}

/** Name of all paths without a route. */
export const OTHER = "other";

const short = (text: string, max: number): string => (text.length > max ? `${text.slice(0, max)}…` : text);

/** Kind of an answer without a known error, such as a wrong method. */
function kindOfStatus(status: number): ErrorKind {
  for (const [kind, { http }] of Object.entries(ERROR_CODES)) if (http === status) return kind as ErrorKind;
  return status >= 500 ? "internal" : "invalid";
}

function errorKind(err: unknown): ErrorKind {
  if (!(err instanceof ConnectError)) {
    const { statusCode = 500 } = err as { statusCode?: number };
    // The framework's own refusals have a status, and no kind.
    return err instanceof CinderblockError || statusCode >= 500 ? kindOf(err) : kindOfStatus(statusCode);
  }
  if (err.cause instanceof CinderblockError) return err.cause.kind;
  for (const [kind, { code }] of Object.entries(ERROR_CODES)) if (code === err.code) return kind as ErrorKind;
  return err.code === Code.Aborted ? "canceled" : "internal";
}
