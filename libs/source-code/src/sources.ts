import { CinderblockError } from "@cinderblock/errors";
import { type Commit, Github, type Repository } from "./github.ts";
import { parseMappings, candidateLocations } from "./source-locations.ts";
import { cookieText, encryptSession, type Session, decryptSession } from "./session.ts";
import type { GithubSettings } from "./settings.ts";

/** Session data that a browser keeps. */
export interface SignInResult {
  cookie: string;
  token: string;
  expiresMs: number;
  refreshExpiresMs: number;
}

/** Sources and commits of profiled programs, for people who signed in at GitHub. */
export class SourceCode {
  readonly settings: GithubSettings;
  private readonly github: Github;
  constructor(settings: GithubSettings, now: () => number) {
    this.settings = settings;
    this.github = new Github(settings, now);
  }

  async signIn(tenant: string, code: string): Promise<SignInResult> {
    return this.keep(tenant, await this.github.signIn(code));
  }
  async renew(tenant: string, sealed: string | undefined): Promise<SignInResult> {
    return this.keep(tenant, await this.github.renewSession(this.open(tenant, sealed)));
  }

  private keep(tenant: string, s: Session): SignInResult {
    const token = encryptSession(s, this.settings.sessionSecret, tenant);
    return {
      token,
      cookie: cookieText(token, s.refreshExpiresMs || s.expiresMs),
      expiresMs: s.expiresMs,
      refreshExpiresMs: s.refreshExpiresMs,
    };
  }

  private open(tenant: string, sealed: string | undefined): Session {
    if (sealed === undefined || sealed === "")
      throw new CinderblockError(
        "unauthenticated",
        "not signed in at GitHub: the cookie pyroscope_git_session is missing",
      );
    return decryptSession(sealed, this.settings.sessionSecret, tenant);
  }

  /**
   * File of a frame: its bytes and its page at GitHub.
   * @param root folder of the program in its repository
   */
  async file(
    tenant: string,
    sealed: string | undefined,
    r: { repositoryUrl: string; ref: string; path: string; root: string; functionName: string },
  ): Promise<{ bytes: Uint8Array; url: string }> {
    const session = this.open(tenant, sealed),
      repository = this.github.repository(r.repositoryUrl),
      folder = r.root.replace(/^\/+|\/+$/g, "");
    const mappings = await this.github.fetchFile(
      session,
      repository,
      r.ref,
      folder === "" ? ".pyroscope.yaml" : `${folder}/.pyroscope.yaml`,
    );
    const places = candidateLocations(
      { path: r.path, functionName: r.functionName },
      mappings ? parseMappings(Buffer.from(mappings.bytes).toString("utf8")) : [],
      repository,
      r.ref,
      folder,
    );
    for (const p of places) {
      const found =
        p.path === "" ? undefined : await this.github.fetchFile(session, p.repository, p.ref, p.path);
      if (found) return found;
    }
    throw new CinderblockError(
      "not-found",
      `source of ${r.path || r.functionName} not found: tried ${places.map((p) => `${p.repository.owner}/${p.repository.name}/${p.path}`).join(", ")}`,
    );
  }

  async commit(
    tenant: string,
    sealed: string | undefined,
    repositoryUrl: string,
    ref: string,
  ): Promise<Commit> {
    return this.github.fetchCommit(this.open(tenant, sealed), this.github.repository(repositoryUrl), ref);
  }

  /** Existing commits, in the order of `refs`. @throws the first error if there is no such commit */
  async commits(
    tenant: string,
    sealed: string | undefined,
    repositoryUrl: string,
    refs: readonly string[],
  ): Promise<Commit[]> {
    const session = this.open(tenant, sealed),
      repository: Repository = this.github.repository(repositoryUrl);
    const all = await Promise.allSettled(
        refs.map((ref) => this.github.fetchCommit(session, repository, ref)),
      ),
      found = all.flatMap((c) => (c.status === "fulfilled" ? [c.value] : []));
    const failed = all.find((c) => c.status === "rejected");
    if (found.length === 0 && failed) throw failed.reason;
    return found;
  }
}
