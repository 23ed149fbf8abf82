import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import {
  describeWith,
  promtool,
  type SpanCollector,
  startKafka,
  startPrometheus,
  startRedis,
  startS3Server,
  startSpanCollector,
} from "@cinderblock/testkit";
import { Cluster } from "./cluster.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";
import {
  askOne,
  byTrace,
  names as spanNames,
  orphans,
  PUSH,
  pushOne,
  QUERY,
  services,
  slowestTrace,
} from "./tracing.ts";

const CHART = "charts/cinderblock";
interface Dashboard {
  title: string;
  templating: { list: { name: string }[] };
  panels: { title: string; targets: { expr: string }[] }[];
}
const dashboards = readdirSync(`${CHART}/dashboards`).map(
  (f) => JSON.parse(readFileSync(join(CHART, "dashboards", f), "utf8")) as Dashboard,
);
const alerts = (
  parse(readFileSync(`${CHART}/rules/alerts.yaml`, "utf8")) as {
    groups: { rules: { alert: string; expr: string }[] }[];
  }
).groups.flatMap((g) => g.rules);
const names = (expr: string): string[] =>
  expr.replaceAll(/"[^"]*"/g, "").match(/\b(pyroscope|cinderblock|objstore)_[a-z_]+/g) ?? [];

describe("dashboards and alerts", () => {
  it("use only existing metrics", () => {
    // Searches in JavaScript, because a machine with only Node has no grep.
    const sources = ["apps", "libs"].flatMap((root) =>
      readdirSync(root, { recursive: true, encoding: "utf8" })
        .filter((f) => f.endsWith(".ts") && !f.includes("node_modules"))
        .map((f) => readFileSync(join(root, f), "utf8")),
    );
    const known = new Set(
      sources.flatMap((text) =>
        [...text.matchAll(/"((?:pyroscope|cinderblock|objstore)_[a-z_]+)"/g)].map((m) => m[1]!),
      ),
    );
    const used = [
      ...dashboards.flatMap((d) => d.panels.flatMap((p) => p.targets.map((t) => t.expr))),
      ...alerts.map((a) => a.expr),
    ].flatMap(names);
    expect(used.length).toBeGreaterThan(60);
    expect(
      [...new Set(used)].filter((n) => !known.has(n) && !known.has(n.replace(/_(bucket|sum|count)$/, ""))),
    ).toEqual([]);
  });

  /** Selectors of the metrics of an expression. */
  const selectors = (expr: string): string[] =>
    [...expr.matchAll(/\b(?:pyroscope|cinderblock|objstore)_[a-z_]+(\{[^}]*\})?/g)].map((m) => m[1] ?? m[0]);

  it("read the chosen clusters, namespaces and jobs alone", () => {
    for (const d of dashboards) {
      expect(d.templating.list.map((v) => v.name)).toEqual(
        expect.arrayContaining(["cluster", "namespace", "job"]),
      );
      for (const p of d.panels)
        for (const { expr } of p.targets)
          for (const s of selectors(expr))
            expect([d.title, p.title, s]).toEqual([
              d.title,
              p.title,
              expect.stringContaining('cluster=~"$cluster",namespace=~"$namespace",job=~"$job"'),
            ]);
    }
    for (const { alert, expr } of alerts) {
      for (const s of selectors(expr))
        expect([alert, s]).toEqual([alert, expect.stringContaining('job=~".*cinderblock.*"')]);
      for (const [, by] of expr.matchAll(/\b(?:sum|min|max|count)(?:\s+by\s*)?\s*\(([^()]*)/g))
        expect([alert, by]).toEqual([alert, expect.stringMatching(/^cluster, namespace\b/)]);
    }
  });

  it("have one runbook section each", () => {
    const sections = [...readFileSync("docs/operations/runbook.md", "utf8").matchAll(/^## (\w+)$/gm)].map(
      (m) => m[1]!,
    );
    expect(sections).toEqual(alerts.map((a) => a.alert));
  });
});

describe("traces of the single binary", () => {
  let collector: SpanCollector;
  beforeEach(async () => {
    collector = await startSpanCollector();
  });
  afterEach(() => collector.stop());

  it("go to the endpoint that is set: one for a push and one for a query, under the caller's, and in the log", async () => {
    const server = new Server(),
      trace = "0af7651916cd43dd8448eb211c80319c",
      span = "b7ad6b7169203331",
      at = Date.now();
    await server.start(`-tracing.otlp-endpoint=${collector.endpoint}`, "-log.level=debug");
    expect(await pushOne(server, at)).toBe(200);
    expect(await askOne(server, at, { traceparent: `00-${trace}-${span}-01` })).toBe(10);
    const slowest = await slowestTrace(server);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);
    await server.stop();
    const [written, read, ...more] = [...byTrace(collector.spans).values()];
    expect(more.map(spanNames)).toEqual([]);
    expect(services(collector.spans)).toEqual(["cinderblock-all"]);
    expect([orphans(written!), orphans(read!, [span])]).toEqual([[], []]);
    expect(spanNames(written!).sort()).toEqual([`POST ${PUSH}`, "distributor.push"]);
    expect(spanNames(read!).sort()).toEqual([
      `POST ${QUERY}`,
      "querier.select",
      "query.render",
      "query.select",
      "scheduler.wait",
    ]);
    expect([read![0]!.traceId, slowest]).toEqual([trace, trace]);
    expect(server.log()).toMatch(new RegExp(`msg="request served" traceId=${trace} .*route=${QUERY} `));
  });

  it("are recorded by the ratio, and by the caller's flag in any case", async () => {
    const server = new Server(),
      trace = "0af7651916cd43dd8448eb211c80319c";
    await server.start(`-tracing.otlp-endpoint=${collector.endpoint}`, "-tracing.sample-ratio=0");
    expect(await pushOne(server, Date.now())).toBe(200);
    expect(await pushOne(server, Date.now(), { traceparent: `00-${trace}-b7ad6b7169203331-01` })).toBe(200);
    await server.stop();
    expect([...byTrace(collector.spans).keys()]).toEqual([trace]);
    const refused = new Server();
    await expect(refused.start("-tracing.sample-ratio=2")).rejects.toThrow("expected a number from 0 to 1");
  });
});

describeWith(["prometheus"], "alerts", () => {
  it("fire on their condition, and are silent otherwise", async () => {
    const checked = await promtool("check", "rules", `${CHART}/rules/alerts.yaml`);
    expect(checked).toContain(`${alerts.length} rules found`);
    expect(await promtool("test", "rules", `${CHART}/rules/alerts.test.yaml`)).toContain("SUCCESS");
    const tested = readFileSync(`${CHART}/rules/alerts.test.yaml`, "utf8");
    for (const a of alerts) expect(tested).toContain(`alertname="${a.alert}"`);
  });
});

describeWith(["prometheus", "redis", "s3", "kafka"], "dashboards and alerts of a cluster", () => {
  it("work in a real Prometheus with a cluster under load: every panel has data, and alerts fire on their accident", async () => {
    const [redis, s3, kafka] = [await startRedis(), await startS3Server(["monitored"]), await startKafka()];
    const overrides = join(folder(), "overrides.yaml"),
      rules = join(folder(), "alerts.yaml");
    writeFileSync(overrides, "overrides: {of-its-own: {ingestion_rate_mb: 5}}\n");
    // The unchanged alerts, except for the duration of the condition.
    writeFileSync(
      rules,
      readFileSync(`${CHART}/rules/alerts.yaml`, "utf8").replaceAll(/^( *for: ).*$/gm, "$10s"),
    );
    const c = new Cluster(
      redis,
      s3,
      "monitored",
      "-distributor.write-buffer=kafka",
      `-kafka.brokers=${kafka.brokers}`,
      "-kafka.topic=monitored",
      "-kafka.auto-create-topic-partitions=2",
      "-distributor.push.timeout=1s",
      "-validation.max-label-names-per-series=5",
      `-runtime-config.file=${overrides}`,
      "-runtime-config.reload-period=1s",
      "-pyroscopedb.ship-interval=300ms",
      "-blocks-storage.bucket-store.sync-interval=500ms",
      "-compactor.block-ranges=1h,2h",
      "-compactor.compaction-interval=1s",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.cleanup-interval=1s",
    );
    await Promise.all([0, 1].map((i) => c.startOne("ingester", i, `-ingester.availability-zone=${"ab"[i]}`)));
    await Promise.all([
      c.start("store-gateway", 1),
      c.start("query-scheduler", 1),
      c.start("querier", 1),
      c.start("query-frontend", 1),
      c.start("compactor", 1),
    ]);
    await c.start("distributor", 1);
    const exporter = new Server(folder(), "overrides-exporter");
    await exporter.start(
      `-redis.address=127.0.0.1:${redis.port}`,
      `-runtime-config.file=${overrides}`,
      `-storage.filesystem.dir=${exporter.dir}`,
    );
    const prometheus = await startPrometheus(
      [...c.members.values(), exporter].map((s) => `127.0.0.1:${s.port}`),
      [rules],
    );
    const distributor = c.get("distributor"),
      frontend = c.get("query-frontend"),
      pusher = new Pusher(() => [distributor], 2);
    for (let i = 0; i < 12; i++) {
      await settle(700);
      await total(frontend, pusher);
      // A refused push, so that its counter exists.
      await distributor.json("/push.v1.PusherService/Push", {
        series: [
          {
            labels: Array.from({ length: 9 }, (_, k) => ({ name: `l${k}`, value: "x" })),
            samples: [{ rawProfile: "" }],
          },
        ],
      });
      if (i % 4 === 3) await c.flush();
    }
    const ask = async (
      expr: string,
    ): Promise<{ status: string; error?: string; data?: { result: unknown[] } }> =>
      (
        await fetch(
          `${prometheus.url}/api/v1/query?${new URLSearchParams({ query: expr.replaceAll("$__rate_interval", "30s").replaceAll(/\$(tenant|cluster|namespace|job)/g, ".*") })}`,
        )
      ).json() as never;
    /** Panels without data. */
    const empty = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const d of dashboards)
        for (const p of d.panels)
          for (const { expr } of p.targets) {
            const r = await ask(expr);
            expect([p.title, r.status, r.error]).toEqual([p.title, "success", undefined]);
            if (r.data!.result.length === 0) found.push(`${d.title}: ${p.title}: ${expr}`);
          }
      return found;
    };
    // A first compaction and a first scrape of its result may still be ahead.
    let missing = await empty();
    for (const end = Date.now() + 60_000; missing.length > 0 && Date.now() < end; missing = await empty())
      await settle(1000);
    expect(missing).toEqual([]);
    const { data } = (await (await fetch(`${prometheus.url}/api/v1/rules`)).json()) as {
      data: { groups: { rules: { name: string; health: string; state: string }[] }[] };
    };
    expect(data.groups[0]!.rules.map((r) => r.health)).toEqual(alerts.map(() => "ok"));
    const firing = async (): Promise<string[]> =>
      (
        (await (await fetch(`${prometheus.url}/api/v1/alerts`)).json()) as {
          data: { alerts: { state: string; labels: { alertname: string } }[] };
        }
      ).data.alerts
        .filter((a) => a.state === "firing")
        .map((a) => a.labels.alertname);
    expect(await firing()).toEqual([]);
    const fires = (alert: string): Promise<void> =>
      until(`${alert} fires`, async () => (await firing()).includes(alert), 40_000);

    writeFileSync(overrides, "overrides: [\n");
    await fires("CinderblockRuntimeConfigBad");
    writeFileSync(
      overrides,
      "overrides: {anonymous: {ingestion_rate_mb: 0.0001, ingestion_burst_size_mb: 0.0001}}\n",
    );
    await fires("CinderblockWritesRefused");
    writeFileSync(overrides, "overrides: {}\n");
    // Queries a damaged block, and a deleted block.
    await pusher.stop();
    await c.flush();
    const folderOf = join(s3.directory, "monitored/anonymous/phlaredb"),
      blocks = (): string[] =>
        readdirSync(folderOf).filter(
          (f) => /^[0-9A-Z]{26}$/.test(f) && existsSync(join(folderOf, f, "profiles.parquet")),
        );
    await c.get("compactor").stop("SIGKILL");
    await until("there are blocks", () => Promise.resolve(blocks().length > 0));
    for (const b of blocks()) writeFileSync(join(folderOf, b, "profiles.parquet"), "not a table");
    await c.get("store-gateway").stop("SIGKILL");
    rmSync(join(c.get("store-gateway").dir, "sync"), { recursive: true, force: true });
    await c.startOne("store-gateway", 0);
    await until(
      "a query met it",
      async () =>
        (await total(frontend, pusher)).partial !== "" &&
        (await firing()).includes("CinderblockDamagedBlocks"),
      60_000,
    );
    s3.stop();
    const again = new Pusher(() => [distributor], 1, Date.now());
    await settle(500);
    await c.flush().catch(() => undefined);
    await fires("CinderblockUploadsFail");
    await c.get("ingester", 1).stop("SIGKILL");
    await fires("CinderblockIngesterUnhealthy");
    await kafka.kill();
    // A route without other requests: all of its requests fail.
    await until(
      "CinderblockRequestErrors fires",
      async () => {
        await fetch(`${distributor.url}/ingest?name=alone&from=now-1m&until=now`, {
          method: "POST",
          body: "main;a 1\n",
        });
        return (await firing()).includes("CinderblockRequestErrors");
      },
      60_000,
    );
    await Promise.all([c.stop(), exporter.stop("SIGKILL"), again.stop()]);
  }, 300_000);
});
