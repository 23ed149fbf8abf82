import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, type RedisServer, startRedis } from "@cinderblock/testkit";
import type { Component } from "./cluster.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

let redis: RedisServer;

const COMPONENTS: readonly Component[] = [
  "ingester",
  "store-gateway",
  "query-scheduler",
  "querier",
  "query-frontend",
  "distributor",
  "compactor",
];
/** Components with internal methods. */
const SERVING: readonly Component[] = ["ingester", "store-gateway", "query-scheduler"];

const ask = (...command: string[]): string =>
  execFileSync("redis-cli", ["-p", String(redis.port), ...command], { encoding: "utf8" }).trim();

/** One process of each component, with a bucket in a folder. */
class Each {
  readonly members = new Map<Component, Server>();
  readonly prefix: string;
  private readonly dir = folder();
  private readonly flags: readonly string[];
  constructor(name: string, ...flags: string[]) {
    this.prefix = `${name}/`;
    this.flags = flags;
  }

  async start(): Promise<this> {
    for (const component of COMPONENTS) {
      const dir = join(this.dir, component);
      mkdirSync(dir);
      const server = new Server(dir, component);
      this.members.set(component, server);
      await server.start(
        "-ring.store=redis",
        `-redis.address=127.0.0.1:${redis.port}`,
        `-redis.key-prefix=${this.prefix}`,
        "-ingester.heartbeat-period=500ms",
        `-ring.instance-id=${component}-0`,
        `-storage.filesystem.dir=${this.dir}/bucket`,
        ...this.flags,
      );
    }
    return this;
  }
  get(component: Component): Server {
    return this.members.get(component)!;
  }
  async stop(): Promise<void> {
    for (const s of this.members.values()) await s.stop("SIGKILL");
  }

  /** Internal methods that each process reports. */
  async internal(
    component: Component,
    headers: Record<string, string> = {},
  ): Promise<{ address: string; paths: string[] } | undefined> {
    const r = await fetch(`${this.get(component).url}/admin`, {
      headers: { accept: "application/json", ...headers },
    });
    return ((await r.json()) as { internal?: { address: string; paths: string[] } }).internal;
  }
}

const post = async (url: string, headers: Record<string, string> = {}): Promise<number> =>
  (
    await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/x-cinderblock-message", "x-scope-orgid": "a", ...headers },
      body: Buffer.from([1, 0]),
    })
  ).status;

/**
 * Calls every internal method of every component at every port, with credentials that an outsider may have.
 */
async function expectClosed(
  c: Each,
  outsiders: Record<string, string>[],
  admin: Record<string, string> = {},
): Promise<string[]> {
  const found: string[] = [];
  for (const component of COMPONENTS) {
    const internal = await c.internal(component, admin);
    expect([component, internal !== undefined]).toEqual([component, SERVING.includes(component)]);
    if (!internal) continue;
    for (const path of internal.paths) {
      found.push(path);
      for (const headers of outsiders) {
        const at = [path, JSON.stringify(headers)];
        expect([...at, await post(`http://${internal.address}${path}`, headers)]).toEqual([...at, 401]);
        for (const [name, server] of c.members)
          expect([
            ...at,
            name,
            [401, 403, 404].includes(await post(`${server.url}${path}`, headers)),
          ]).toEqual([...at, name, true]);
      }
    }
  }
  return found;
}

describeWith(["redis"], "routes that change something", () => {
  beforeAll(async () => {
    redis = await startRedis();
  }, 60_000);

  /** The table of docs/operations/running.md: route -> role. */
  const documented = new Map<string, string>();
  for (const row of readFileSync("docs/operations/running.md", "utf8")
    .split("### Routes that change something")[1]!
    .split("\n## ")[0]!
    .split("\n")
    .filter((l) => l.startsWith("| `/"))) {
    const [, routes, , role] = row.split("|").map((c) => c.trim());
    let service = "";
    for (const [, name] of routes!.matchAll(/`([^`]+)`/g)) {
      if (name!.startsWith("/")) service = name!.replace(/[^/]+$/, "");
      documented.set(name!.startsWith("/") ? name! : `${service}${name}`, role!.replaceAll("`", ""));
    }
  }
  documented.delete("/v1development/Export");
  documented.set(
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    documented.get("/v1development/profiles")!,
  );
  /** Calls that only read; Connect sends them with POST. */
  const READS =
    /^\/(querier\.v1\.QuerierService|cinderblock\.explore\.v1\.ExploreService|capabilities\.v1\.FeatureFlagsService|version\.Version|version\.v1\.Version|grpc\.health\.v1\.Health)\/|^\/settings\.v1\.SettingsService\/Get$|^\/adhocprofiles\.v1\.AdHocProfileService\/(Get|List|Diff)$|^\/vcs\.v1\.VCSService\/(GetFile|GetCommit|GetCommits|GithubApp)$/;

  it("are all in the operating guide's table, need its role, and refuse cross-site requests", async () => {
    const file = join(folder(), "tokens.yaml"),
      token = (role: string): string => `${role}-token-0123456789`,
      as = (role: string): Record<string, string> => ({ authorization: `Bearer ${token(role)}` }),
      roles = ["write", "read", "admin"];
    writeFileSync(
      file,
      `tokens:\n${roles.map((r) => `  - {name: ${r}, token: ${token(r)}, roles: [${r}]}\n`).join("")}`,
    );
    const flag = `-auth.tokens-file=${file}`,
      c = await new Each("routes", flag).start(),
      single = new Server();
    await single.start(flag);
    const changing = new Set<string>();
    for (const server of [single, ...c.members.values()]) {
      const { routes } = (await (
        await fetch(`${server.url}/admin`, { headers: { accept: "application/json", ...as("admin") } })
      ).json()) as { routes: { path: string; methods: string[] }[] };
      for (const { path, methods } of routes) {
        const unsafe = methods.filter((m) => ["POST", "DELETE", "PUT", "PATCH"].includes(m));
        if (unsafe.length === 0 || READS.test(path)) continue;
        const route = path.replace(/\/:\w+$/, ""),
          role = documented.get(route);
        expect([route, role ?? "not in the table"]).toEqual([route, role]);
        changing.add(route);
        for (const method of unsafe) {
          const ask = async (headers: Record<string, string>): Promise<number> =>
            (
              await fetch(`${server.url}${path.replace(/:\w+$/, "x")}`, {
                method,
                headers: { "x-scope-orgid": "a", ...headers },
              })
            ).status;
          const at = `${method} ${route}`;
          for (const other of roles)
            if (other !== role) expect([at, other, await ask(as(other))]).toEqual([at, other, 403]);
          expect([at, await ask({})]).toEqual([at, 401]);
          expect([at, [401, 403].includes(await ask(as(role!)))]).toEqual([at, false]);
          const page = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
          expect([at, await ask({ ...as(role!), ...page })]).toEqual([at, 403]);
        }
      }
    }
    // Every row of the table is a route.
    expect([...documented.keys()].filter((r) => !changing.has(r))).toEqual([]);
    await single.stop("SIGKILL");
    await c.stop();
  }, 120_000);
});

describeWith(["redis"], "internal methods", () => {
  beforeAll(async () => {
    redis = await startRedis();
  }, 60_000);

  it("are closed outside of the cluster, without a tokens file and without any flag", async () => {
    const c = await new Each("closed").start();
    const paths = await expectClosed(c, [
      {},
      { authorization: "Bearer a-token-that-nobody-knows" },
      { authorization: "Basic YTpi" },
    ]);
    for (const service of ["Ingester", "Source", "StoreGateway", "QueryScheduler"])
      expect(paths.some((p) => p.startsWith(`/cinderblock.internal.v1.${service}Service/`))).toBe(true);
    expect(paths.length).toBeGreaterThan(15);

    // The same routes exist for callers with the token of the cluster.
    const token = ask("GET", `${c.prefix}internal-token`);
    expect(token.length).toBeGreaterThan(40);
    for (const component of SERVING) {
      const { address, paths: own } = (await c.internal(component))!;
      for (const path of own) {
        const status = await post(`http://${address}${path}`, { authorization: `Bearer ${token}` });
        expect([path, [401, 403, 404].includes(status)]).toEqual([path, false]);
      }
    }

    // An emptied Redis neither opens the methods nor stops the cluster's own calls.
    const pusher = new Pusher(() => [c.get("distributor")], 1);
    await settle(500);
    ask("FLUSHALL");
    await until("the token is there again", () =>
      Promise.resolve(ask("GET", `${c.prefix}internal-token`) === token),
    );
    await settle(1000);
    await pusher.stop();
    expect([pusher.refused, pusher.acknowledged.size > 5]).toEqual([0, true]);
    expect((await total(c.get("query-frontend"), pusher)).sum).toBe(pusher.acknowledged.size);
    await expectClosed(c, [{}]);
    await c.stop();
  }, 120_000);

  it("are closed to agents, readers and administrators with tokens; the cluster token rotates without a refused call", async () => {
    const dir = folder(),
      tokens = join(dir, "tokens.yaml"),
      internal = join(dir, "internal-token"),
      [OLD, NEW] = ["old-internal-token-0123456789", "new-internal-token-0123456789"] as const;
    const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
    const [AGENT, READER, ADMIN] = ["agent", "reader", "admin"].map((n) => `${n}-token-0123456789`) as [
      string,
      string,
      string,
    ];
    writeFileSync(
      tokens,
      `tokens:\n  - {name: agents, token: ${AGENT}, roles: [write]}\n  - {name: grafana, token: ${READER}, roles: [read]}\n  - {name: ops, token: ${ADMIN}, roles: [admin]}\n`,
    );
    writeFileSync(internal, `${OLD}\n`);
    const c = await new Each(
      "rotated",
      `-auth.tokens-file=${tokens}`,
      `-auth.internal-token-file=${internal}`,
    ).start();
    await expectClosed(c, [{}, bearer(AGENT), bearer(READER), bearer(ADMIN)], bearer(ADMIN));
    expect(ask("EXISTS", `${c.prefix}internal-token`)).toBe("0");

    const { address, paths } = (await c.internal("ingester", bearer(ADMIN)))!;
    const pusher = new Pusher(() => [c.get("distributor")], 1, undefined, bearer(AGENT));
    for (const content of [`${OLD}\n${NEW}\n`, `${NEW}\n${OLD}\n`, `${NEW}\n`]) {
      writeFileSync(internal, content);
      await settle(11_000); // processes reload the files every ten seconds
    }
    await pusher.stop();
    expect([pusher.refused, pusher.acknowledged.size > 50]).toEqual([0, true]);
    expect((await total(c.get("query-frontend"), pusher, bearer(READER))).sum).toBe(pusher.acknowledged.size);
    expect(await post(`http://${address}${paths[0]!}`, bearer(OLD))).toBe(401);
    await expectClosed(c, [{}, bearer(OLD), bearer(AGENT)], bearer(ADMIN));
    await c.stop();
  }, 180_000);
});
