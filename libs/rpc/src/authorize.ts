import type { IncomingHttpHeaders } from "node:http";
import { type Access, DEFAULT_TENANT, checkAccess, type Role, type Tokens } from "@cinderblock/tenant";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ERROR_CODES } from "./error-codes.ts";
import { connectError } from "./raw-unary.ts";
import { recordFailure } from "./request-failure.ts";
import { kindOf, messageOf } from "@cinderblock/errors";

/** Routes without tenant data: liveness, and the files of the web UI, which itself asks for a token. */
const OPEN =
  /^\/(ready|started|grpc\.health\.v1\.Health\/(Check|Watch)|explore|compare|files|status|comparison|comparison-diff|icon\.svg|assets\/[^/]+|)$/;
const WRITES =
  /^\/(push\.v1\.PusherService\/|ingest$|pyroscope\/ingest$|opentelemetry\.|v1development\/profiles$|pyroscope\/debug-files(\/:id)?$)/;
const READS =
  /^\/(querier\.v1\.QuerierService\/|cinderblock\.explore\.v1\.ExploreService\/|settings\.v1\.SettingsService\/|adhocprofiles\.v1\.AdHocProfileService\/|vcs\.v1\.VCSService\/|pyroscope\/(render|render-diff|label-values|export)$|capabilities\.v1\.|version\.)/;

/**
 * Role that a route requires; undefined for open routes. Routes that are neither known writes nor known reads
 * require an administrator.
 */
export function roleOf(route: string): Role | undefined {
  if (OPEN.test(route)) return undefined;
  return WRITES.test(route) ? "write" : READS.test(route) ? "read" : "admin";
}

/** Admits or refuses every request of a server before the server reads its body. */
export interface Gate {
  /** false: all requests pass without a call of `hook` */
  readonly enabled: boolean;
  hook(request: FastifyRequest, reply: FastifyReply): Promise<void>;
}

/** Decides by the tokens file which callers may use a route; without a file, all calls pass. */
export class Authorizer implements Gate {
  private readonly tokens: Tokens | undefined;
  private readonly multitenancy: boolean;
  constructor(tokens: Tokens | undefined, multitenancy: boolean) {
    this.tokens = tokens;
    this.multitenancy = multitenancy;
  }

  get enabled(): boolean {
    return this.tokens !== undefined;
  }

  /**
   * Access of the caller whose token is in the header; undefined without a tokens file.
   * @throws `unauthenticated`
   */
  accessOf(authorization: string | undefined): Access | undefined {
    return this.tokens?.find(authorization);
  }

  /** Checks a caller's access to a route. @throws `unauthenticated` or `forbidden` */
  check(route: string, headers: IncomingHttpHeaders): Access | undefined {
    const role = roleOf(route);
    if (!this.tokens || role === undefined) return undefined;
    const access = this.tokens.find(headers.authorization);
    const named = headers["x-scope-orgid"],
      tenants = !this.multitenancy ? [DEFAULT_TENANT] : typeof named === "string" ? named.split("|") : [];
    checkAccess(access, role, role === "write" || role === "read" ? tenants : []);
    return access;
  }

  /** Runs before the server reads a request's body. */
  async hook(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    // An unknown route requires an administrator too, so that probing reveals no routes.
    try {
      this.check(request.routeOptions.url ?? "unknown", request.headers);
    } catch (err) {
      await sendRefusal(request, reply, err);
    }
  }
}

/** Answers a request with an error in the request's protocol. */
export async function sendRefusal(request: FastifyRequest, reply: FastifyReply, err: unknown): Promise<void> {
  recordFailure(request.raw, err);
  const { code, http } = ERROR_CODES[kindOf(err)];
  if ((request.headers["content-type"] ?? "").startsWith("application/grpc")) {
    await reply
      .code(200)
      .headers({
        "content-type": request.headers["content-type"]!,
        "grpc-status": String(code),
        "grpc-message": encodeURIComponent(messageOf(err)),
      })
      .send();
    return;
  }
  const { headers, body } = connectError(request.raw, err);
  if (http === 401) void reply.header("www-authenticate", 'Basic realm="Cinderblock", Bearer');
  await reply.code(http).headers(headers).header("content-type", "application/json").send(body);
}
