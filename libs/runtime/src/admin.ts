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
  /** services seen, for the front page */
  services: () => Promise<string[]>;
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
      app.get("/", async (request, reply) => {
        const host = request.headers.host ?? "localhost:4040";
        const services = await d.services();
        await reply.type("text/html; charset=utf-8").header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'").send(page(host, services, d.version, started));
      });
    },
    connect: (router) => { router.service(Health, { check: () => ({ status: d.notReady() === "" ? HealthCheckResponse_ServingStatus.SERVING : HealthCheckResponse_ServingStatus.NOT_SERVING }) }); },
  };
}

function page(host: string, services: readonly string[], version: string, started: string): string {
  const seen = services.length === 0
    ? "<p>No service has sent a profile in the last seven days.</p>"
    : `<p>Services seen in the last seven days:</p><ul>${services.map((s) => `<li><code>${escape(s)}</code> — <a href="/pyroscope/render?query=${encodeURIComponent(`process_cpu:cpu:nanoseconds:cpu:nanoseconds{service_name="${s}"}`)}&amp;from=now-1h&amp;until=now">CPU, last hour (JSON)</a></li>`).join("")}</ul>`;
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Cinderblock</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#222}pre{background:#f4f4f4;padding:1rem;overflow:auto}code{background:#f4f4f4}</style>
<h1>Cinderblock</h1>
<p>A database for continuous profiles that speaks Pyroscope v1's API. Version ${escape(version)}, running since ${started}.</p>
${seen}
<h2>Send a first profile</h2>
<p>Point an SDK or agent of Pyroscope at <code>http://${escape(host)}</code>, or send folded stacks by hand:</p>
<pre>printf 'main;work;parse 30\\nmain;work;write 12\\n' |
  curl --data-binary @- 'http://${escape(host)}/ingest?name=first.cpu&amp;from=now-10s&amp;until=now'</pre>
<p>Then ask for its flame graph:</p>
<pre>curl 'http://${escape(host)}/pyroscope/render?from=now-1h&amp;until=now&amp;query=process_cpu:cpu:nanoseconds:cpu:nanoseconds%7Bservice_name=%22first%22%7D'</pre>
<p>In Grafana, add a Pyroscope data source with the URL <code>http://${escape(host)}</code>.</p>
<h2>Operate</h2>
<p><a href="/ready">ready</a> · <a href="/metrics">metrics</a> · <a href="/api/v1/status/buildinfo">build</a> · <a href="/api/v1/status/config">configuration</a> · <a href="/api/v1/status/config/diff">what differs from the defaults</a></p></html>`;
}
