import { gunzipSync } from "node:zlib";
import { describeWith, type RedisServer, startRedis } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { CPU, Server } from "./server.ts";

describe("self-profiling", () => {
  it("pushes CPU and heap profiles of all of its threads into itself, with source names", async () => {
    const s = new Server();
    await s.start("-self-profiling.disable-push=false", "-self-profiling.interval=1s");
    const range = (): object => ({ start: String(Date.now() - 600_000), end: String(Date.now() + 60_000) });
    const graph = async (profileTypeID: string): Promise<string> =>
      JSON.stringify(
        (
          await s.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
            profileTypeID,
            labelSelector: '{service_name="cinderblock"}',
            ...range(),
          })
        ).body,
      );
    // The server's own work appears in its profiles: it receives its own pushes, and answers these queries.
    await until(
      "its own work is found",
      async () => /process|decode|push|handle/.test(await graph(CPU)),
      30_000,
    );
    await until(
      "its heap is found",
      async () => (await graph("memory:inuse_space:bytes:space:bytes")).includes("names"),
      30_000,
    );
    const values = async (name: string): Promise<string[]> =>
      (
        await s.json("/querier.v1.QuerierService/LabelValues", {
          name,
          matchers: ['{service_name="cinderblock"}'],
          ...range(),
        })
      ).body.names as string[];
    expect(await values("thread")).toEqual(expect.arrayContaining(["main", "ingest-0"]));
    expect(await values("component")).toEqual(["all"]);
    const dot = await (
      await fetch(
        `${s.url}/pyroscope/render?query=${encodeURIComponent(`${CPU}{service_name="cinderblock"}`)}&from=now-1h&until=now&format=dot`,
      )
    ).text();
    expect(dot).toContain("digraph");
    expect(await s.stop()).toBe(0);
  }, 90_000);

  it("serves profiles on request, without secrets", async () => {
    const s = new Server();
    await s.start("-auth.internal-token=a-token-nobody-may-see");
    const busy = (async () => {
      for (let i = 0; i < 300; i++) await fetch(`${s.url}/metrics`).then((r) => r.text());
    })();
    const r = await fetch(`${s.url}/debug/pprof/profile?seconds=1`);
    expect([r.status, r.headers.get("content-type")]).toEqual([200, "application/octet-stream"]);
    const text = gunzipSync(Buffer.from(await r.arrayBuffer())).toString("latin1");
    // Source maps give functions the names of the source files.
    expect(text).toMatch(/(libs|apps|node_modules)\/[\w./@-]+\.(ts|js)/);
    await busy;
    await fetch(`${s.url}/debug/pprof/heap`);
    await fetch(`${s.url}/metrics`).then((m) => m.text());
    expect(
      gunzipSync(Buffer.from(await (await fetch(`${s.url}/debug/pprof/heap`)).arrayBuffer())).toString(
        "latin1",
      ),
    ).toContain("inuse_space");
    for (const [path, status] of [
      ["profile?seconds=0", 400],
      ["profile?seconds=9999", 400],
      ["cmdline", 404],
      ["goroutine", 404],
      ["", 200],
    ] as const) {
      const a = await fetch(`${s.url}/debug/pprof/${path}`),
        body = await a.text();
      expect([path, a.status]).toEqual([path, status]);
      expect(body).not.toContain("a-token-nobody-may-see");
    }
    expect(await s.stop()).toBe(0);
  }, 60_000);

  it("changes its log level at run time", async () => {
    const s = new Server();
    await s.start("-log.level=warn");
    expect(await (await fetch(`${s.url}/log_level`)).json()).toEqual({ log_level: "warn" });
    expect(await (await fetch(`${s.url}/log_level?log_level=debug`, { method: "POST" })).json()).toEqual({
      log_level: "debug",
    });
    const bad = await fetch(`${s.url}/log_level`, {
      method: "POST",
      body: new URLSearchParams({ log_level: "loud" }),
    });
    expect([bad.status, await bad.text()]).toEqual([
      400,
      expect.stringContaining("expected one of debug, info, warn, error"),
    ]);
    await s.flush();
    expect(await (await fetch(`${s.url}/log_level`)).json()).toEqual({ log_level: "debug" });
    expect(await s.stop()).toBe(0);
    expect(s.log()).toContain("level=info msg=stopped");
  }, 60_000);
});

describeWith(["redis"], "a component", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  }, 60_000);
  it("pushes its profiles to the configured URL, and names the missing flag without one", async () => {
    const taker = new Server(),
      scheduler = new Server();
    await taker.start();
    const flags = [
      "-target=query-scheduler",
      "-ring.store=redis",
      `-redis.address=127.0.0.1:${redis.port}`,
      "-self-profiling.disable-push=false",
      "-self-profiling.interval=500ms",
    ];
    const untold = new Server();
    await untold.start(...flags, "-ring.instance-id=untold");
    expect(untold.log()).toMatch(/level=warn.*set -self-profiling.url to a distributor or a gateway/);
    await untold.stop();
    await scheduler.start(...flags, `-self-profiling.url=${taker.url}/`);
    await until(
      "the scheduler's heap is found",
      async () =>
        (
          (
            await taker.json("/querier.v1.QuerierService/LabelValues", {
              name: "component",
              matchers: ["{}"],
              start: String(Date.now() - 600_000),
              end: String(Date.now() + 60_000),
            })
          ).body.names as string[] | undefined
        )?.includes("query-scheduler") ?? false,
      30_000,
    );
    await Promise.all([scheduler.stop(), taker.stop()]);
  }, 90_000);
});
