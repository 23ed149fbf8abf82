import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { CinderblockError } from "@cinderblock/errors";
import type { MemberStore } from "@cinderblock/redis";
import { type InternalCredentials, MIN_TOKEN_LENGTH, TokenSet } from "@cinderblock/rpc";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";

/** Interval between reads of a token file, and minimum interval between reads caused by an unknown token. */
const RELOAD_MS = 10_000,
  REFRESH_MS = 1000;
/** Maximum valid tokens: the current one, and the next or the last one of a rotation. */
const MOST_TOKENS = 2;

/** Configured sources of the internal token. */
export interface InternalTokenConfig {
  /** the token itself; "": none */
  internalToken: string;
  /** a file with the token; "": none */
  internalTokenPath: string;
}

/** Tokens of a file, one per line: the process sends the first one and accepts all. @throws `invalid` */
export function parseInternalTokens(text: string, where: string): string[] {
  const tokens = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  if (tokens.length === 0 || tokens.length > MOST_TOKENS)
    throw new CinderblockError(
      "invalid",
      `${where}: expected 1 to ${MOST_TOKENS} tokens, one per line, found ${tokens.length}`,
    );
  for (const t of tokens) checkToken(t, where);
  return tokens;
}

function checkToken(token: string, where: string): void {
  if (token.length < MIN_TOKEN_LENGTH || !/^[\x21-\x7e]+$/.test(token))
    throw new CinderblockError(
      "invalid",
      `${where}: a token needs at least ${MIN_TOKEN_LENGTH} printable characters without spaces, found ${token.length}`,
    );
}

/** Refuses unusable flags. @throws `invalid` */
export function checkInternalTokens(c: InternalTokenConfig): void {
  if (c.internalToken !== "" && c.internalTokenPath !== "")
    throw new CinderblockError(
      "invalid",
      "-auth.internal-token and -auth.internal-token-file are mutually exclusive: set one of them",
    );
  if (c.internalToken !== "") checkToken(c.internalToken, "-auth.internal-token");
  if (c.internalTokenPath !== "") readTokens(c.internalTokenPath);
}

function readTokens(path: string): string[] {
  try {
    return parseInternalTokens(readFileSync(path, "utf8"), path);
  } catch (err) {
    throw new CinderblockError("invalid", `-auth.internal-token-file: ${(err as Error).message}`, {
      cause: err,
    });
  }
}

/** The token of `-auth.internal-token`. */
class FixedToken implements InternalCredentials {
  private readonly tokens: TokenSet;
  constructor(token: string) {
    this.tokens = new TokenSet([token]);
  }
  current(): string | undefined {
    return this.tokens.current;
  }
  accepts(token: string): boolean {
    return this.tokens.accepts(token);
  }
  refresh(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * The tokens of `-auth.internal-token-file`, reloaded at run time. An unusable file leaves the last tokens in
 * force.
 */
export class TokenFile implements InternalCredentials {
  private tokens: TokenSet;
  private readAt: number;
  private readonly path: string;
  private readonly base: Base;
  private readonly failures: { inc(): void };
  /** clock of monotonic milliseconds */
  private readonly clock: () => number;

  /** @throws `invalid` when the file is unusable */
  constructor(path: string, base: Base, clock: () => number = () => performance.now()) {
    this.path = path;
    this.base = base;
    this.clock = clock;
    this.tokens = new TokenSet(readTokens(path));
    this.readAt = clock();
    this.failures = base.metrics.counter(
      "cinderblock_internal_token_failures_total",
      "Failed reads of the internal token; the last known token stays valid.",
    );
  }

  private look(maxAgeMs: number): void {
    const now = this.clock();
    if (now - this.readAt < maxAgeMs) return;
    this.readAt = now;
    try {
      const read = readTokens(this.path);
      if (read.join("\n") === this.tokens.all.join("\n")) return;
      this.tokens = new TokenSet(read);
      this.base.log.info({ file: this.path, tokens: read.length }, "internal tokens reloaded");
    } catch (err) {
      this.failures.inc();
      this.base.log.error(
        { err, file: this.path },
        "reloading internal tokens failed, keeping the last ones",
      );
    }
  }

  current(): string | undefined {
    this.look(RELOAD_MS);
    return this.tokens.current;
  }
  accepts(token: string): boolean {
    this.look(RELOAD_MS);
    return this.tokens.accepts(token);
  }
  refresh(): Promise<void> {
    this.look(REFRESH_MS);
    return Promise.resolve();
  }
}

/**
 * A token that the processes of a cluster share through the store of their rings: the first process creates
 * it, and all others adopt it. Write access to that store already decides which processes belong to the
 * cluster. While the store is away, the last token stays in force; an emptied store receives it again
 * (docs/adr/0022-close-internal-methods.md).
 */
export class SharedToken implements InternalCredentials, Service {
  readonly name = "internal token";
  private tokens = new TokenSet([]);
  private readonly own = randomBytes(32).toString("base64url");
  private readonly loop;
  private reading: Promise<void> | undefined;
  private readAt = -Infinity;
  private failing = false;
  private readonly store: Pick<MemberStore, "putIfAbsent">;
  private readonly base: Base;
  private readonly failures: { inc(): void };
  private readonly clock: () => number;

  constructor(
    store: Pick<MemberStore, "putIfAbsent">,
    periodMs: number,
    base: Base,
    clock: () => number = () => performance.now(),
  ) {
    this.store = store;
    this.base = base;
    this.clock = clock;
    this.loop = periodic(
      { name: "internal-token", everyMs: periodMs, deadlineMs: 30_000 },
      () => this.read(),
      base,
    );
    this.failures = base.metrics.counter(
      "cinderblock_internal_token_failures_total",
      "Failed reads of the internal token; the last known token stays valid.",
    );
  }

  async start(): Promise<void> {
    await this.read();
    this.loop.start();
  }
  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  current(): string | undefined {
    return this.tokens.current;
  }
  accepts(token: string): boolean {
    return this.tokens.accepts(token);
  }
  refresh(): Promise<void> {
    if (!this.reading && this.clock() - this.readAt < REFRESH_MS) return Promise.resolve();
    return this.read();
  }

  private read(): Promise<void> {
    return (this.reading ??= this.agree().finally(() => {
      this.reading = undefined;
    }));
  }

  private async agree(): Promise<void> {
    try {
      const inForce = await this.store.putIfAbsent("internal-token", this.tokens.current ?? this.own);
      if (inForce !== this.tokens.current) {
        checkToken(inForce, "reading the internal token from Redis");
        // Calls in flight still carry the last token.
        this.tokens = new TokenSet([inForce, ...this.tokens.all].slice(0, MOST_TOKENS));
        this.base.log.info("internal token adopted from the ring store");
      }
      if (this.failing) this.base.log.info("internal token is readable again");
      this.failing = false;
    } catch (err) {
      this.failures.inc();
      if (!this.failing)
        this.base.log.warn({ err }, "reading the internal token failed, keeping the last known one");
      this.failing = true;
    } finally {
      this.readAt = this.clock();
    }
  }
}

/** Source of the internal token for this process, from its flags. */
export function internalCredentialsOf(
  c: InternalTokenConfig,
  store: Pick<MemberStore, "putIfAbsent">,
  periodMs: number,
  base: Base,
): InternalCredentials & Partial<Service> {
  if (c.internalToken !== "") return new FixedToken(c.internalToken);
  if (c.internalTokenPath !== "") return new TokenFile(c.internalTokenPath, base);
  return new SharedToken(store, periodMs, base);
}
