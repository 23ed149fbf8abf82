import { VCSService } from "@cinderblock/api";
import { CinderblockError } from "@cinderblock/errors";
import type { ConnectRouter, HandlerContext } from "@cinderblock/rpc";
import { type Commit, sessionCookie, type SignInResult, type SourceCode } from "@cinderblock/source-code";
import { tenantForWrite } from "@cinderblock/tenant";

/**
 * Routes of the Connect service vcs.v1.VCSService; every method fails without `sources`. A session belongs to
 * one tenant.
 */
export function vcsRpc(router: ConnectRouter, sources: SourceCode | undefined, multitenancy: boolean): void {
  const configured = (): SourceCode => {
    if (!sources)
      throw new CinderblockError(
        "unimplemented",
        "source code is not available: the GitHub integration is not configured (GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET, GITHUB_SESSION_SECRET)",
      );
    return sources;
  };
  const tenant = (c: HandlerContext): string =>
    tenantForWrite(c.requestHeader.get("x-scope-orgid") ?? undefined, multitenancy);
  const session = (c: HandlerContext): string | undefined =>
    sessionCookie(c.requestHeader.get("cookie") ?? undefined);
  const signedIn = (s: SignInResult): object => ({
    cookie: s.cookie,
    token: s.token,
    tokenExpiresAt: BigInt(s.expiresMs),
    refreshTokenExpiresAt: BigInt(s.refreshExpiresMs),
  });
  const commit = (c: Commit): object => ({
    message: c.message,
    author: { login: c.login, avatarURL: c.avatarUrl },
    date: c.date,
    sha: c.sha,
    URL: c.url,
  });
  router.service(VCSService, {
    githubApp: () => {
      const { settings } = configured();
      return { clientID: settings.clientId, callbackURL: settings.callbackUrl };
    },
    async githubLogin(r, c) {
      return signedIn(await configured().signIn(tenant(c), r.authorizationCode));
    },
    async githubRefresh(_r, c) {
      return signedIn(await configured().renew(tenant(c), session(c)));
    },
    // Contents are sent as base64: a source file need not be text.
    async getFile(r, c) {
      const f = await configured().file(tenant(c), session(c), {
        repositoryUrl: r.repositoryURL,
        ref: r.ref,
        path: r.localPath,
        root: r.rootPath,
        functionName: r.functionName,
      });
      return { content: Buffer.from(f.bytes).toString("base64"), URL: f.url };
    },
    async getCommit(r, c) {
      return commit(await configured().commit(tenant(c), session(c), r.repositoryURL, r.ref));
    },
    async getCommits(r, c) {
      return {
        commits: (await configured().commits(tenant(c), session(c), r.repositoryUrl, r.refs)).map(commit),
      };
    },
  });
}
