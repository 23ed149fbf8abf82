import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { BodyBudget } from "./body-budget.ts";
import { isCrossSite } from "./cross-site.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

const base = {
  log: createLogger({ level: "silent", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};

describe("a request from a browser", () => {
  const host = "profiles.example.org";
  it.each<[string, Record<string, string>, boolean]>([
    // Programs: agents, curl, Grafana's backend.
    ["POST", { host }, false],
    ["POST", { host, "x-scope-orgid": "a" }, false],
    // The server's own pages.
    ["POST", { host, "sec-fetch-site": "same-origin", origin: `https://${host}` }, false],
    ["POST", { host, "sec-fetch-site": "none" }, false],
    ["POST", { host: "10.0.0.1:4040", "sec-fetch-site": "same-origin", origin: `https://${host}` }, false],
    ["DELETE", { host, origin: `http://${host}` }, false],
    ["POST", { host: `${host}:4040`, origin: `http://${host}:4040` }, false],
    ["POST", { host: "PROFILES.example.org", origin: `http://${host}` }, false],
    ["POST", { ":authority": host, origin: `http://${host}` }, false],
    ["POST", { host: "10.0.0.1:4040", "x-forwarded-host": host, origin: `http://${host}` }, false],
    // A browser sends these to another site only after a preflight, which this server refuses. Here, a
    // gateway that changes Host is in front of the server's own pages.
    ["POST", { host: "10.0.0.1:4040", origin: `http://${host}`, "content-type": "application/json" }, false],
    ["DELETE", { host: "10.0.0.1:4040", origin: `http://${host}` }, false],
    // Pages of other sites, of other ports and of other subdomains.
    ["POST", { host, "sec-fetch-site": "cross-site", origin: "https://evil.example" }, true],
    ["POST", { host, "sec-fetch-site": "same-site", origin: "https://wiki.example.org" }, true],
    ["POST", { host, "sec-fetch-site": "anything" }, true],
    ["PUT", { host, "sec-fetch-site": "cross-site" }, true],
    ["POST", { host, origin: "http://evil.example", "content-type": "text/plain; charset=utf-8" }, true],
    [
      "POST",
      { host, origin: "http://evil.example", "content-type": "Multipart/Form-Data; boundary=x" },
      true,
    ],
    ["POST", { host, origin: "null" }, true],
    ["POST", { host, origin: "" }, true],
    ["POST", { host, origin: `http://${host}.evil.example` }, true],
    ["POST", { host: `${host}:4040`, origin: `http://${host}:8080` }, true],
    ["POST", { host, "x-forwarded-host": "gateway.example", origin: "http://evil.example" }, true],
    // Reads change nothing.
    ["GET", { host, "sec-fetch-site": "cross-site", origin: "https://evil.example" }, false],
    ["HEAD", { host, origin: "https://evil.example" }, false],
  ])("%s with %j is cross-site: %s", (method, headers, expected) => {
    expect(isCrossSite(method, headers)).toBe(expected);
  });

  it("is refused on every route with side effects, before its body is read and its handler runs", async () => {
    let changes = 0;
    const change = (): Promise<Uint8Array> => {
      changes++;
      return Promise.resolve(new Uint8Array());
    };
    const direct = "/push.v1.PusherService/Push";
    const s = new ApiServer(
      testServer(),
      [
        {
          http: (app) => {
            app.post("/form", change);
            app.delete("/form", change);
            app.get("/form", () => "read");
            app.addContentTypeParser("*", { parseAs: "buffer" }, (_r, body, done) => done(null, body));
            app.post(direct, change);
          },
          direct: {
            path: direct,
            limitBytes: 1000,
            budget: new BodyBudget(10_000),
            handler: change,
          },
        },
      ],
      base,
    );
    await s.start();
    const ask = async (method: string, path: string, headers: Record<string, string>): Promise<number> =>
      (
        await fetch(`http://127.0.0.1:${s.port}${path}`, {
          method,
          headers,
          ...(method === "POST" ? { body: "forget=ingester-0" } : {}),
        })
      ).status;
    try {
      const script = { "sec-fetch-site": "cross-site" };
      for (const [method, path, type] of [
        ["DELETE", "/form", "text/plain"],
        ["POST", "/form", "application/json"],
        ["POST", direct, "application/proto"],
      ] as const)
        expect([path, await ask(method, path, { "content-type": type, ...script })]).toEqual([path, 403]);
      const evil = { origin: "https://evil.example" };
      for (const [method, path, type] of [
        ["POST", "/form", "application/x-www-form-urlencoded"],
        ["POST", "/form", "text/plain"],
        ["POST", direct, "text/plain"],
        ["POST", "/nothing", "text/plain"],
      ] as const)
        expect([path, await ask(method, path, { "content-type": type, ...evil })]).toEqual([path, 403]);
      expect(changes).toBe(0);
      const refused = await fetch(`http://127.0.0.1:${s.port}/form`, {
        method: "POST",
        headers: evil,
        body: "x",
      });
      expect(await refused.json()).toMatchObject({ code: "permission_denied" });
      expect(await ask("GET", "/form", evil)).toBe(200);
      expect(await ask("POST", "/form", { "content-type": "text/plain" })).toBe(200);
      expect(await ask("POST", "/form", { origin: `http://127.0.0.1:${s.port}` })).toBe(200);
      expect(await ask("POST", direct, { "content-type": "application/proto" })).toBe(200);
      expect(changes).toBe(3);
    } finally {
      await s.stop();
    }
  });
});
