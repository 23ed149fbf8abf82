import { createHash, timingSafeEqual } from "node:crypto";
import { CinderblockError } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Gate } from "./authorize.ts";
import { sendInternalError } from "./internal-service.ts";

/** Minimum length of a token, in characters. */
export const MIN_TOKEN_LENGTH = 16;

/** Token that identifies the processes of a cluster to each other, from any source. */
export interface InternalCredentials {
  /** the token that this process sends; undefined while it has none */
  current(): string | undefined;
  /** whether a caller with this token belongs to the cluster */
  accepts(token: string): boolean;
  /** Reads the token from its source again, at a limited rate. */
  refresh(): Promise<void>;
}

/** Valid tokens: the process sends the first one and accepts all. */
export class TokenSet {
  private readonly tokens: readonly string[];
  private readonly digests: readonly Buffer[];
  constructor(tokens: readonly string[]) {
    this.tokens = tokens;
    this.digests = tokens.map(digest);
  }

  get current(): string | undefined {
    return this.tokens[0];
  }
  get all(): readonly string[] {
    return this.tokens;
  }
  /** Compares with every token in constant time, so that the response time reveals nothing about a guess. */
  accepts(token: string): boolean {
    const shown = digest(token);
    let found = false;
    for (const d of this.digests) if (timingSafeEqual(d, shown)) found = true;
    return found;
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Minimum interval between log lines about refused calls. */
const LOG_MS = 10_000;

/**
 * Admits only the cluster's own processes to internal methods, before a request's body is read
 * (docs/correctness.md, "Internal calls are closed by default").
 */
export class InternalGate implements Gate {
  readonly enabled = true;
  private readonly credentials: InternalCredentials;
  private readonly base: Base;
  private readonly refusals: { inc(labels: { reason: string }): void };
  private loggedMs = -Infinity;

  constructor(credentials: InternalCredentials, base: Base) {
    this.credentials = credentials;
    this.base = base;
    this.refusals = base.metrics.counter(
      "cinderblock_internal_refused_calls_total",
      "Internal calls refused for a missing or wrong cluster token, by reason.",
      ["reason"],
    );
  }

  async hook(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    try {
      await this.check(request.headers.authorization);
    } catch (err) {
      const { reason } = (err as CinderblockError).detail as { reason: string };
      this.refusals.inc({ reason });
      const now = this.base.now();
      if (now - this.loggedMs >= LOG_MS) {
        this.loggedMs = now;
        this.base.log.warn({ reason, from: request.ip, path: request.url }, "internal call refused");
      }
      await sendInternalError(request, reply, err);
    }
  }

  private async check(authorization: string | undefined): Promise<void> {
    const [, token] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
    if (token === undefined)
      throw refusal("unauthenticated", "missing", "internal methods require the cluster token");
    const { credentials } = this;
    if (credentials.accepts(token)) return;
    // The token may have changed since the last read.
    await credentials.refresh();
    if (credentials.accepts(token)) return;
    if (credentials.current() === undefined)
      throw refusal("unavailable", "not_ready", "this process has not read the cluster token yet");
    throw refusal("unauthenticated", "unknown", "the token does not match the cluster token");
  }
}

function refusal(kind: "unauthenticated" | "unavailable", reason: string, message: string): CinderblockError {
  return new CinderblockError(kind, message, { detail: { reason } });
}
