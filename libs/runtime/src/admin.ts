import { type ConfigOf, type Schema, toYaml } from "@cinderblock/config";
import { Health, HealthCheckResponse_ServingStatus } from "@cinderblock/api";
import type { Metrics } from "@cinderblock/telemetry";
import type { Routes } from "@cinderblock/rpc";

export interface AdminDeps<S extends Schema> {
  schema: S;
  config: ConfigOf<S>;
  metrics: Metrics;
  version: string;
  revision: string;
  /** "" when ready, else what is missing */
  notReady: () => string;
  /** whether a component of this process has a front page of its own */
  hasFront: boolean;
}

const escape = (s: string): string => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Readiness, metrics, the status API, health, and the page that answers a person. */
export function adminRoutes<S extends Schema>(d: AdminDeps<S>): Routes {
  const started = new Date().toISOString();
  return {
    http: (app) => {
      app.get("/ready", async (_request, reply) => {
        const reason = d.notReady();
        await reply.code(reason === "" ? 200 : 503).type("text/plain; charset=utf-8").send(reason === "" ? "ready\n" : `${reason}\n`);
      });
      app.get("/metrics", async (_request, reply) => { await reply.type(d.metrics.registry.contentType).send(await d.metrics.registry.metrics()); });
      app.get("/api/v1/status/buildinfo", async (_request, reply) => {
        await reply.type("application/json").send(JSON.stringify({ status: "success", data: { version: d.version, revision: d.revision, branch: "main", buildUser: "", buildDate: "", goVersion: `node ${process.version}` } }));
      });
      const yaml = (path: string, text: () => string): void => { app.get(path, async (_request, reply) => { await reply.type("text/plain; charset=utf-8").send(text()); }); };
      const defaults = Object.fromEntries(Object.entries(d.schema).map(([k, o]) => [k, o.initial])) as ConfigOf<S>;
      yaml("/api/v1/status/config", () => toYaml(d.schema, d.config, "all"));
      yaml("/api/v1/status/config/diff", () => toYaml(d.schema, d.config, "changed"));
      yaml("/api/v1/status/config/default", () => toYaml(d.schema, defaults, "all"));
      if (!d.hasFront) app.get("/", async (_request, reply) => { await reply.type("text/html; charset=utf-8").header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'").send(page(d.version, started)); });
    },
    connect: (router) => { router.service(Health, { check: () => ({ status: d.notReady() === "" ? HealthCheckResponse_ServingStatus.SERVING : HealthCheckResponse_ServingStatus.NOT_SERVING }) }); },
  };
}

/** The front page of a component without a UI. */
function page(version: string, started: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Cinderblock</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#222}</style>
<h1>Cinderblock</h1>
<p>A component of a database for continuous profiles. Version ${escape(version)}, running since ${started}. The web UI is the query-frontend's.</p>
<p><a href="/ready">ready</a> · <a href="/metrics">metrics</a> · <a href="/api/v1/status/buildinfo">build</a> · <a href="/api/v1/status/config">configuration</a> · <a href="/api/v1/status/config/diff">what differs from the defaults</a></p></html>`;
}
