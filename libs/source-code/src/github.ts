import { CinderblockError, invalidError } from "@cinderblock/errors";
import type { Session } from "./session.ts";
import type { GithubSettings } from "./settings.ts";

/** Owner and name of a GitHub repository. */
export interface Repository {
  owner: string;
  name: string;
}
/** A commit, as the API returns it to the UI. */
export interface Commit {
  message: string;
  login: string;
  avatarUrl: string;
  date: string;
  sha: string;
  url: string;
}

const TIMEOUT_MS = 15_000,
  MAX_ANSWER_BYTES = 16 << 20;
const PART = /^[A-Za-z0-9_.-]+$/;

/**
 * Client of GitHub's REST API (2022-11-28) and of the sign-in of GitHub Apps, with the calls that sources
 * need.
 */
export class Github {
  private readonly settings: GithubSettings;
  private readonly now: () => number;
  constructor(settings: GithubSettings, now: () => number) {
    this.settings = settings;
    this.now = now;
  }

  /**
   * Parses `https://github.com/owner/name`, also with `.git`, without scheme, or as git's
   * `git@github.com:owner/name`.
   * @throws `invalid` for another host
   */
  repository(url: string): Repository {
    const host = new URL(this.settings.url).host,
      m = /^(?:https?:\/\/|git@|ssh:\/\/git@)?([^/:]+(?::\d+)?)[/:]([^/]+)\/([^/]+?)(?:\.git)?\/?$/.exec(url);
    if (!m || m[1] !== host || !PART.test(m[2]!) || !PART.test(m[3]!))
      throw invalidError(
        `repository ${JSON.stringify(url)} is not on ${host}: expected https://${host}/owner/name`,
      );
    return { owner: m[2]!, name: m[3]! };
  }

  /** Exchanges the code that GitHub gave to a browser for a session. */
  signIn(code: string): Promise<Session> {
    return this.token({ code });
  }
  renewSession(session: Session): Promise<Session> {
    if (session.refreshToken === "")
      throw new CinderblockError("unauthenticated", "the GitHub session could not be renewed: sign in again");
    return this.token({ grant_type: "refresh_token", refresh_token: session.refreshToken });
  }

  private async token(more: Record<string, string>): Promise<Session> {
    const { url, clientId, clientSecret } = this.settings,
      at = this.now();
    const { status, bytes } = await this.fetch(`${url}/login/oauth/access_token`, {
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ client_id: clientId, client_secret: clientSecret, ...more }).toString(),
    });
    const t = json<{
      access_token?: string;
      expires_in?: number;
      refresh_token?: string;
      refresh_token_expires_in?: number;
      error?: string;
      error_description?: string;
    }>(bytes);
    // GitHub answers a wrong code with status 200.
    if (status !== 200 || !t?.access_token)
      throw new CinderblockError(
        status >= 500 ? "unavailable" : "unauthenticated",
        `GitHub refused the sign-in: ${t?.error_description ?? t?.error ?? `status ${status}`}`,
      );
    const until = (seconds: number | undefined): number => (seconds === undefined ? 0 : at + seconds * 1000);
    return {
      accessToken: t.access_token,
      expiresMs: until(t.expires_in),
      refreshToken: t.refresh_token ?? "",
      refreshExpiresMs: until(t.refresh_token_expires_in),
    };
  }

  /** Bytes and page of a file; undefined if it does not exist. */
  async fetchFile(
    session: Session,
    { owner, name }: Repository,
    ref: string,
    path: string,
  ): Promise<{ bytes: Uint8Array; url: string } | undefined> {
    const at = `${path.split("/").map(encodeURIComponent).join("/")}`,
      { status, bytes } = await this.api(
        session,
        `/repos/${owner}/${name}/contents/${at}${ref === "" ? "" : `?ref=${encodeURIComponent(ref)}`}`,
        "application/vnd.github.raw+json",
      );
    if (status === 404) return undefined;
    this.check(status, bytes, `${owner}/${name}/${path}`);
    return {
      bytes,
      url: `${this.settings.url}/${owner}/${name}/blob/${encodeURIComponent(ref === "" ? "HEAD" : ref)}/${at}`,
    };
  }

  /** A commit by its hash, a branch or a tag. */
  async fetchCommit(session: Session, { owner, name }: Repository, ref: string): Promise<Commit> {
    const { status, bytes } = await this.api(
      session,
      `/repos/${owner}/${name}/commits/${encodeURIComponent(ref)}`,
      "application/vnd.github+json",
    );
    if (status === 404 || status === 422)
      throw new CinderblockError(
        "not-found",
        `${owner}/${name} has no commit ${ref}, or the session has no access to it`,
      );
    this.check(status, bytes, `${owner}/${name} at ${ref}`);
    const c = json<{
      sha: string;
      html_url: string;
      commit: { message: string; author?: { name?: string; date?: string } };
      author?: { login: string; avatar_url: string } | null;
    }>(bytes);
    if (!c) throw new CinderblockError("unavailable", "GitHub's response is not a commit");
    return {
      message: c.commit.message,
      login: c.author?.login ?? c.commit.author?.name ?? "",
      avatarUrl: c.author?.avatar_url ?? "",
      date: c.commit.author?.date ?? "",
      sha: c.sha,
      url: c.html_url,
    };
  }

  private api(
    session: Session,
    path: string,
    accept: string,
  ): Promise<{ status: number; bytes: Uint8Array }> {
    return this.fetch(this.settings.apiUrl + path, {
      headers: {
        accept,
        authorization: `Bearer ${session.accessToken}`,
        "x-github-api-version": "2022-11-28",
      },
    });
  }

  private async fetch(url: string, init: RequestInit): Promise<{ status: number; bytes: Uint8Array }> {
    try {
      const r = await fetch(url, {
          ...init,
          headers: { "user-agent": "cinderblock", ...init.headers },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        }),
        parts: Uint8Array[] = [];
      let size = 0;
      for await (const part of r.body ?? []) {
        size += (part as Uint8Array).length;
        if (size > MAX_ANSWER_BYTES)
          throw new CinderblockError(
            "too-large",
            `GitHub's response is larger than ${MAX_ANSWER_BYTES} bytes`,
          );
        parts.push(part as Uint8Array);
      }
      // GitHub answers exceeded rate limits with 403, too.
      return {
        status: r.status === 403 && r.headers.get("x-ratelimit-remaining") === "0" ? 429 : r.status,
        bytes: Buffer.concat(parts),
      };
    } catch (err) {
      if (err instanceof CinderblockError) throw err;
      throw new CinderblockError("unavailable", `GitHub did not respond: ${(err as Error).message}`, {
        cause: err,
      });
    }
  }

  private check(status: number, bytes: Uint8Array, what: string): void {
    if (status === 200) return;
    const why = json<{ message?: string }>(bytes)?.message ?? `status ${status}`;
    throw new CinderblockError(
      status === 401
        ? "unauthenticated"
        : status === 403
          ? "forbidden"
          : status === 429
            ? "limit"
            : "unavailable",
      `GitHub refused ${what}: ${why}`,
    );
  }
}

function json<T>(bytes: Uint8Array): T | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as T;
  } catch {
    return undefined;
  }
}
