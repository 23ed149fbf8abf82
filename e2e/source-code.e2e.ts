import { createServer, type IncomingMessage, type Server as HttpServer } from "node:http";
import { freePort } from "@cinderblock/testkit";
import { Server } from "./server.ts";

// vcs.v1 against a server that implements the documentation of GitHub's REST API and App sign-in. Tests
// cannot use GitHub itself.
const SHA = "0123456789abcdef0123456789abcdef01234567",
  SOURCE = "package main\n\nfunc work() {}\n// größe\n";
const FILES: Record<string, string> = {
  "acme/shop/cart/pay/pay.go": SOURCE,
  "golang/go/src/runtime/proc.go": "package runtime\n",
  "acme/mapped/.pyroscope.yaml":
    "source_code:\n  mappings:\n    - path: [{prefix: /opt/app/}]\n      source: {local: {path: lib}}\n",
  "acme/mapped/lib/x.py": "print(1)\n",
};
const seen: string[] = [];
let github: HttpServer,
  tokens = 0,
  limited = false;
const server = new Server();

async function text(request: IncomingMessage): Promise<string> {
  let out = "";
  for await (const part of request) out += String(part);
  return out;
}
beforeAll(async () => {
  const port = await freePort();
  github = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url!, "http://x"),
        send = (status: number, body: unknown, headers: Record<string, string> = {}): void => {
          response.writeHead(status, { "content-type": "application/json", ...headers });
          response.end(typeof body === "string" ? body : JSON.stringify(body));
        };
      seen.push(`${request.method} ${request.url}`);
      if (url.pathname === "/login/oauth/access_token") {
        const form = new URLSearchParams(await text(request)),
          ok =
            form.get("client_id") === "id" &&
            form.get("client_secret") === "top-secret" &&
            (form.get("code") === "good" ||
              (form.get("grant_type") === "refresh_token" && form.get("refresh_token") === `ghr_${tokens}`));
        if (!ok) {
          send(200, {
            error: "bad_verification_code",
            error_description: "The code passed is incorrect or expired.",
          });
          return;
        }
        tokens++;
        send(200, {
          access_token: `ghu_${tokens}`,
          expires_in: 28_800,
          refresh_token: `ghr_${tokens}`,
          refresh_token_expires_in: 15_811_200,
          token_type: "bearer",
          scope: "",
        });
        return;
      }
      if (request.headers.authorization !== `Bearer ghu_${tokens}`) {
        send(401, { message: "Bad credentials" });
        return;
      }
      if (limited) {
        send(403, { message: "API rate limit exceeded" }, { "x-ratelimit-remaining": "0" });
        return;
      }
      const contents = /^\/repos\/([^/]+\/[^/]+)\/contents\/(.+)$/.exec(url.pathname),
        commit = /^\/repos\/[^/]+\/[^/]+\/commits\/(.+)$/.exec(url.pathname);
      const file = contents && FILES[`${contents[1]!}/${decodeURIComponent(contents[2]!)}`];
      if (file !== null && file !== undefined) send(200, file);
      else if (commit && decodeURIComponent(commit[1]!) === SHA)
        send(200, {
          sha: SHA,
          html_url: `https://github.com/acme/shop/commit/${SHA}`,
          commit: { message: "Pay once", author: { name: "A", date: "2026-01-02T03:04:05Z" } },
          author: { login: "octo", avatar_url: "https://x/y.png" },
        });
      else send(404, { message: "Not Found" });
    })();
  });
  await new Promise<void>((done) => {
    github.listen(port, "127.0.0.1", done);
  });
  server.env = {
    GITHUB_CLIENT_ID: "id",
    GITHUB_CLIENT_SECRET: "top-secret",
    GITHUB_SESSION_SECRET: "sealed",
    GITHUB_CALLBACK_URL: "http://ui/callback",
    GITHUB_URL: `http://127.0.0.1:${port}`,
    GITHUB_API_URL: `http://127.0.0.1:${port}/`,
  };
  await server.start("-auth.multitenancy-enabled=true");
});
afterAll(async () => {
  await server.stop();
  github.close();
});
const ask = (
  method: string,
  body: object,
  cookie = "",
  tenant = "a",
): Promise<{ status: number; body: Record<string, unknown> }> =>
  server.json(`/vcs.v1.VCSService/${method}`, body, {
    "x-scope-orgid": tenant,
    ...(cookie === "" ? {} : { cookie: `other=1; ${cookie}` }),
  });
const repositoryURL = (name = "acme/shop"): string => `${server.env.GITHUB_URL!}/${name}`;

describe("sources from GitHub", () => {
  it("need a sign-in: login, files, commits, renewal", async () => {
    expect(await ask("GithubApp", {})).toEqual({
      status: 200,
      body: { clientID: "id", callbackURL: "http://ui/callback" },
    });
    const login = (await ask("GithubLogin", { authorizationCode: "good" })).body as {
      cookie: string;
      token: string;
      tokenExpiresAt: string;
      refreshTokenExpiresAt: string;
    };
    expect(login.cookie).toMatch(
      /^pyroscope_git_session=[\w-]+; Path=\/; Expires=[^;]+; Secure; SameSite=Lax$/,
    );
    expect(Number(login.tokenExpiresAt) - Date.now()).toBeGreaterThan(28_000_000);
    expect(Number(login.refreshTokenExpiresAt) - Date.now()).toBeGreaterThan(15_000_000_000);
    const session = login.cookie.split(";")[0]!;
    const file = (
      await ask(
        "GetFile",
        {
          repositoryURL: repositoryURL(),
          ref: SHA,
          localPath: "/build/shop/pay/pay.go",
          rootPath: "cart",
          functionName: "main.work",
        },
        session,
      )
    ).body as { content: string; URL: string };
    expect([Buffer.from(file.content, "base64").toString(), file.URL]).toEqual([
      SOURCE,
      `${repositoryURL()}/blob/${SHA}/cart/pay/pay.go`,
    ]);
    const own = (
      await ask(
        "GetFile",
        { repositoryURL: repositoryURL(), ref: SHA, localPath: "/usr/local/go1.26.8/src/runtime/proc.go" },
        session,
      )
    ).body as { content: string };
    expect(Buffer.from(own.content, "base64").toString()).toBe("package runtime\n");
    expect(seen.at(-1)).toBe("GET /repos/golang/go/contents/src/runtime/proc.go?ref=go1.26.8");
    const mapped = (
      await ask(
        "GetFile",
        { repositoryURL: repositoryURL("acme/mapped"), ref: "main", localPath: "/opt/app/x.py" },
        session,
      )
    ).body as { content: string };
    expect(Buffer.from(mapped.content, "base64").toString()).toBe("print(1)\n");
    const info = {
      message: "Pay once",
      author: { login: "octo", avatarURL: "https://x/y.png" },
      date: "2026-01-02T03:04:05Z",
      sha: SHA,
      URL: `https://github.com/acme/shop/commit/${SHA}`,
    };
    expect(await ask("GetCommit", { repositoryURL: repositoryURL(), ref: SHA }, session)).toEqual({
      status: 200,
      body: info,
    });
    expect(
      await ask("GetCommits", { repositoryUrl: repositoryURL(), refs: ["nothing", SHA] }, session),
    ).toEqual({ status: 200, body: { commits: [info] } });
    const renewed = (await ask("GithubRefresh", {}, session)).body as { cookie: string };
    expect((await ask("GetCommit", { repositoryURL: repositoryURL(), ref: SHA }, session)).status).toBe(401);
    expect(
      (await ask("GetCommit", { repositoryURL: repositoryURL(), ref: SHA }, renewed.cookie.split(";")[0]!))
        .status,
    ).toBe(200);
  });
  it("are refused with a reason: a code, a session, a tenant, another host, a missing file, too many requests", async () => {
    const session = (
        (await ask("GithubLogin", { authorizationCode: "good" })).body as { cookie: string }
      ).cookie.split(";")[0]!,
      of = { repositoryURL: repositoryURL(), ref: SHA };
    const why = async (method: string, body: object, cookie = session, tenant = "a"): Promise<string> => {
      const r = await ask(method, body, cookie, tenant);
      return `${r.status} ${String(r.body.message)}`;
    };
    expect([
      await why("GithubLogin", { authorizationCode: "bad" }),
      await why("GetCommit", of, ""),
      await why("GetCommit", of, "pyroscope_git_session=abc"),
      await why("GetCommit", of, session, "b"),
      await why("GetCommit", { ...of, repositoryURL: "https://evil.example/acme/shop" }),
      await why("GetCommit", { ...of, ref: "nothing" }),
      await why("GetCommits", { repositoryUrl: repositoryURL(), refs: ["nothing"] }),
      await why("GetFile", { ...of, localPath: "../x.py" }),
    ]).toEqual([
      "401 GitHub refused the sign-in: The code passed is incorrect or expired.",
      "401 not signed in at GitHub: the cookie pyroscope_git_session is missing",
      expect.stringMatching(/^401 .*sign in again/),
      expect.stringMatching(/^401 .*another tenant: sign in again/),
      expect.stringMatching(/^400 repository "https:\/\/evil.example\/acme\/shop" is not on /),
      expect.stringMatching(/^404 acme\/shop has no commit nothing/),
      expect.stringMatching(/^404 /),
      "404 source of ../x.py not found: tried acme/shop/x.py",
    ]);
    limited = true;
    expect(await why("GetCommit", of)).toMatch(/^429 .*rate limit/);
    limited = false;
    github.closeAllConnections();
    github.close();
    expect(await why("GetCommit", of)).toMatch(/^503 GitHub did not respond/);
    expect(server.log()).not.toMatch(/top-secret|ghu_\d/);
  });
});
