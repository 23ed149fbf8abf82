import { readFile } from "node:fs/promises";
import { CinderblockError } from "@cinderblock/errors";

/**
 * Source of tokens: a file that another program refreshes, or an endpoint that issues tokens for client
 * credentials (RFC 6749 §4.4).
 */
export type OAuthConfig =
  | { tokenFile: string }
  | { tokenEndpoint: string; clientId: string; clientSecret: string; scope: string };

/** Request a new token this long before the current one expires. */
const EARLY_MS = 30_000;
const TIMEOUT_MS = 10_000;

/** Returns a function that resolves to the currently valid token. */
export function tokenProvider(
  config: OAuthConfig,
  now: () => number = Date.now,
): () => Promise<{ value: string }> {
  if ("tokenFile" in config)
    return async () => ({ value: (await readFile(config.tokenFile, "utf8")).trim() });
  let known: { value: string; until: number } | undefined;
  return async () => {
    if (known && now() < known.until) return known;
    const { tokenEndpoint, clientId, clientSecret, scope } = config;
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      ...(scope === "" ? {} : { scope }),
    });
    const failed = (why: string, cause?: unknown): CinderblockError =>
      new CinderblockError(
        "unavailable",
        `no Kafka token from ${tokenEndpoint}: ${why} (-kafka.sasl.oauth.token-endpoint, -kafka.sasl.oauth.client-id)`,
        { cause },
      );
    let answer: { access_token?: unknown; expires_in?: unknown };
    try {
      const r = await fetch(tokenEndpoint, {
        method: "POST",
        body,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          authorization: `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString("base64")}`,
        },
      });
      if (!r.ok) throw failed(`status ${r.status}`);
      answer = (await r.json()) as typeof answer;
    } catch (err) {
      throw err instanceof CinderblockError ? err : failed((err as Error).message, err);
    }
    if (typeof answer.access_token !== "string") throw failed("the response has no access_token");
    const seconds = typeof answer.expires_in === "number" ? answer.expires_in : 300;
    known = { value: answer.access_token, until: now() + Math.max(0, seconds * 1000 - EARLY_MS) };
    return known;
  };
}
