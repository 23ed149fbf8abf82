import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { promtool, startPrometheus } from "@cinderblock/testkit";
import { Pusher, settle, total, until } from "./pusher.ts";
import { Server } from "./server.ts";

const CHART = "charts/cinderblock";
interface Dashboard { title: string; panels: { title: string; targets: { expr: string }[] }[] }
const dashboards = readdirSync(`${CHART}/dashboards`).map((f) => JSON.parse(readFileSync(join(CHART, "dashboards", f), "utf8")) as Dashboard);
const alerts = (parse(readFileSync(`${CHART}/rules/alerts.yaml`, "utf8")) as { groups: { rules: { alert: string; expr: string }[] }[] }).groups.flatMap((g) => g.rules);
const names = (expr: string): string[] => expr.replaceAll(/"[^"]*"/g, "").match(/\b(pyroscope|cinderblock|objstore)_[a-z_]+/g) ?? [];

describe("dashboards and alerts", () => {
  it("use metrics that the code has", () => {
    // Read by ourselves: a machine with only Node has no grep.
    const sources = ["apps", "libs"].flatMap((root) => readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts") && !f.includes("node_modules")).map((f) => readFileSync(join(root, f), "utf8")));
    const known = new Set(sources.flatMap((text) => [...text.matchAll(/"((?:pyroscope|cinderblock|objstore)_[a-z_]+)"/g)].map((m) => m[1]!)));
    const used = [...dashboards.flatMap((d) => d.panels.flatMap((p) => p.targets.map((t) => t.expr))), ...alerts.map((a) => a.expr)].flatMap(names);
    expect(used.length).toBeGreaterThan(60);
    expect([...new Set(used)].filter((n) => !known.has(n) && !known.has(n.replace(/_(bucket|sum|count)$/, "")))).toEqual([]);
  });

  it("have a section in the runbook each", () => {
    const sections = [...readFileSync("docs/operations/runbook.md", "utf8").matchAll(/^## (\w+)$/gm)].map((m) => m[1]!);
    expect(sections).toEqual(alerts.map((a) => a.alert));
  });

  it("fire when they should and are silent when all is well", async () => {
    const checked = await promtool("check", "rules", `${CHART}/rules/alerts.yaml`);
    if (checked === undefined) return; // said when it was looked for
    expect(checked).toContain(`${alerts.length} rules found`);
    expect(await promtool("test", "rules", `${CHART}/rules/alerts.test.yaml`)).toContain("SUCCESS");
    const tested = readFileSync(`${CHART}/rules/alerts.test.yaml`, "utf8");
    for (const a of alerts) expect(tested).toContain(`alertname="${a.alert}"`);
  });

  it("are answered by a real Prometheus that scrapes a server at work, and a broken file raises its alert", async () => {
    const server = new Server(), file = join(server.dir, "overrides.yaml");
    writeFileSync(file, "overrides: {}\n");
    await server.start(`-runtime-config.file=${file}`, "-runtime-config.reload-period=1s", "-compactor.compaction-interval=1s", "-compactor.first-level-compaction-wait-period=0s", "-compactor.cleanup-interval=1s", "-validation.max-label-names-per-series=5");
    const prometheus = await startPrometheus([`127.0.0.1:${server.port}`], [resolve(CHART, "rules/alerts.yaml")]);
    if (!prometheus) { await server.stop(); return; }
    const pusher = new Pusher(() => [server], 2);
    for (let i = 0; i < 12; i++) {
      await settle(700);
      await total(server, pusher);
      // One that is refused, so that its counter is there.
      await server.json("/push.v1.PusherService/Push", { series: [{ labels: Array.from({ length: 9 }, (_, k) => ({ name: `l${k}`, value: "x" })), samples: [{ rawProfile: "" }] }] });
      if (i % 4 === 3) await server.flush();
    }
    await pusher.stop();
    const ask = async (expr: string): Promise<{ status: string; error?: string; data?: { result: unknown[] } }> => (await fetch(`${prometheus.url}/api/v1/query?${new URLSearchParams({ query: expr.replaceAll("$__rate_interval", "30s").replaceAll("$tenant", ".*") })}`)).json() as never;
    const empty: string[] = [];
    for (const d of dashboards) for (const p of d.panels) for (const { expr } of p.targets) {
      const r = await ask(expr);
      expect([p.title, r.status, r.error]).toEqual([p.title, "success", undefined]);
      if (r.data!.result.length === 0) empty.push(`${d.title}: ${expr}`);
    }
    // What only a cluster has, or only something that went wrong.
    const elsewhere = /Kafka|ring_members|internal_received|operation_failures|connected_querier|queue_length|marked_for_deletion|blocks_count|limits_overrides/;
    expect(empty.filter((e) => !elsewhere.test(e))).toEqual([]);
    const { data } = (await (await fetch(`${prometheus.url}/api/v1/rules`)).json()) as { data: { groups: { rules: { name: string; health: string; state: string }[] }[] } };
    expect(data.groups[0]!.rules.map((r) => r.health)).toEqual(alerts.map(() => "ok"));
    expect(data.groups[0]!.rules.filter((r) => r.state !== "inactive").map((r) => r.name)).toEqual([]);
    writeFileSync(file, "overrides: [\n");
    await until("the alert is pending", async () => ((await (await fetch(`${prometheus.url}/api/v1/alerts`)).json()) as { data: { alerts: { labels: { alertname: string } }[] } }).data.alerts.some((a) => a.labels.alertname === "CinderblockRuntimeConfigBad"), 20_000);
    prometheus.stop();
    await server.stop();
  }, 120_000);
});
