import { type ConfigOf, type Schema, toYaml } from "@cinderblock/config";
import { Health, HealthCheckResponse_ServingStatus } from "@cinderblock/api";
import type { Logger, Metrics } from "@cinderblock/telemetry";
import { html, type Routes, sendPage, wantsJson } from "@cinderblock/rpc";

/** Dependencies of the admin pages. */
export interface AdminDeps<S extends Schema> {
  schema: S;
  config: ConfigOf<S>;
  metrics: Metrics;
  log: Logger;
  version: string;
  revision: string;
  /** "" when ready, otherwise the reason */
  notReady: () => string;
  /** "" once every service has started, whatever the network does; otherwise the services that have not */
  starting: () => string;
  /** whether a component of this process serves its own front page */
  hasFront: boolean;
  /** listener of internal methods; undefined if the process serves none */
  internal: () => InternalListener | undefined;
}

/** Address and paths of the internal methods that a process serves. */
export interface InternalListener {
  address: string;
  paths: readonly string[];
}

/** Status pages; `/admin` lists the pages that this process serves. */
const PAGES: readonly (readonly [path: string, name: string, what: string])[] = [
  ["/ring", "Ingesters", "state, zone and ownership of each member; Forget"],
  ["/distributor/ring", "Distributors", "state, zone and ownership of each member"],
  ["/store-gateway/ring", "Store-gateways", "state, zone and ownership of each member"],
  ["/query-scheduler/ring", "Query-schedulers", "state, zone and ownership of each member"],
  ["/compactor/ring", "Compactors", "state, zone and ownership of each member"],
  ["/partitions", "Partitions", "owners, offsets and lag of the Kafka topic"],
  ["/store-gateway/tenants", "Tenants and blocks", "tenants and blocks in the bucket"],
  [
    "/query-frontend/slow-queries",
    "Slow queries",
    "slowest queries of the last hour, with the blocks they read",
  ],
  ["/tenant-limits", "Tenants and limits", "overrides of the default limits"],
  ["/runtime_config", "Runtime configuration", "limits of all tenants as YAML"],
  ["/ready", "Ready", "readiness, with the services that are not ready"],
  ["/started", "Started", "end of the start and of the replay, for startup probes"],
  ["/metrics", "Metrics", "for Prometheus"],
  ["/log_level", "Log level", "current log level; POST log_level=debug changes it"],
  ["/debug/pprof/", "Profiles of this process", "CPU and heap profiles of this process"],
  ["/api/v1/status/buildinfo", "Build", "version and revision"],
  ["/api/v1/status/config", "Configuration", "full configuration without secrets"],
  ["/api/v1/status/config/diff", "configuration that differs from the defaults", ""],
];
const LOG_LEVELS = ["debug", "info", "warn", "error"];

/** OpenAPI 2 description of the status API, for programs. */
function statusApi(version: string): object {
  const get = (summary: string, type: string): object => ({
    get: { summary, produces: [type], responses: { 200: { description: "A successful response." } } },
  });
  return {
    swagger: "2.0",
    info: { title: "Cinderblock", version },
    paths: {
      "/api/v1/status/buildinfo": get("Version and revision", "application/json"),
      "/api/v1/status/config": get("Full configuration without secrets", "text/plain"),
      "/api/v1/status/config/diff": get("Configuration that differs from the defaults", "text/plain"),
      "/api/v1/status/config/default": get("The defaults", "text/plain"),
    },
  };
}

/** Routes for readiness, metrics, the status API, health, and the index page for people. */
export function adminRoutes<S extends Schema>(d: AdminDeps<S>): Routes {
  const started = new Date().toISOString();
  return {
    http: (app) => {
      const condition = (path: string, met: string, obstacle: () => string): void => {
        app.get(path, async (_request, reply) => {
          const reason = obstacle();
          await reply
            .code(reason === "" ? 200 : 503)
            .type("text/plain; charset=utf-8")
            .send(`${reason === "" ? met : reason}\n`);
        });
      };
      condition("/ready", "ready", d.notReady);
      condition("/started", "started", d.starting);
      app.get("/metrics", async (_request, reply) => {
        await reply.type(d.metrics.registry.contentType).send(await d.metrics.registry.metrics());
      });
      app.get("/api/v1/status/buildinfo", async (_request, reply) => {
        await reply.type("application/json").send(
          JSON.stringify({
            status: "success",
            data: {
              version: d.version,
              revision: d.revision,
              branch: "main",
              buildUser: "",
              buildDate: "",
              goVersion: `node ${process.version}`,
            },
          }),
        );
      });
      app.get("/api/swagger.json", async (_request, reply) => {
        await reply.type("application/json").send(JSON.stringify(statusApi(d.version)));
      });
      const yaml = (path: string, text: () => string): void => {
        app.get(path, async (_request, reply) => {
          await reply.type("text/plain; charset=utf-8").send(text());
        });
      };
      const defaults = Object.fromEntries(
        Object.entries(d.schema).map(([k, o]) => [k, o.initial]),
      ) as ConfigOf<S>;
      yaml("/api/v1/status/config", () => toYaml(d.schema, d.config, "all"));
      yaml("/api/v1/status/config/diff", () => toYaml(d.schema, d.config, "changed"));
      yaml("/api/v1/status/config/default", () => toYaml(d.schema, defaults, "all"));
      app.get("/admin", async (request, reply) => {
        const there = PAGES.filter(([path]) => app.hasRoute({ method: "GET", url: path }));
        if (wantsJson(request)) {
          await reply.type("application/json").send(
            JSON.stringify({
              pages: there.map(([path, name]) => ({ path, name })),
              routes: [...app.knownRoutes].map(([path, methods]) => ({ path, methods: [...methods] })),
              internal: d.internal(),
            }),
          );
          return;
        }
        await sendPage(
          request,
          reply,
          "Pages of this process",
          html`<p class="quiet">Cinderblock ${d.version} (${d.revision}), running since ${started}.${d.hasFront ? html` The <a href="./">web UI</a> shows profiles.` : ""}</p><ul>${there.map(([path, name, what]) => html`<li><a href="${path.slice(1)}">${name}</a> <span class="quiet">${what}</span>`)}</ul>`,
        );
      });
      // As in projects related to v1: GET reports the level; POST with log_level=debug changes it until the
      // next start.
      app.get("/log_level", () => ({ log_level: d.log.level }));
      app.addContentTypeParser(
        "application/x-www-form-urlencoded",
        { parseAs: "string" },
        (_request, body, done) => {
          done(null, Object.fromEntries(new URLSearchParams(body as string)));
        },
      );
      app.post<{ Querystring: { log_level?: string }; Body: { log_level?: string } | null }>(
        "/log_level",
        async (request, reply) => {
          const level = request.query.log_level ?? request.body?.log_level ?? "";
          if (!LOG_LEVELS.includes(level))
            return reply
              .code(400)
              .send({ message: `log_level=${level}: expected one of ${LOG_LEVELS.join(", ")}` });
          d.log.info({ from: d.log.level, to: level }, "log level changes");
          d.log.level = level;
          return { log_level: level };
        },
      );
      // As in v1: a component without a UI redirects to its status pages.
      if (!d.hasFront)
        app.get("/", async (_request, reply) => {
          await reply.code(302).header("location", "./admin").send();
        });
    },
    connect: (router) => {
      router.service(Health, {
        check: () => ({
          status:
            d.notReady() === ""
              ? HealthCheckResponse_ServingStatus.SERVING
              : HealthCheckResponse_ServingStatus.NOT_SERVING,
        }),
      });
    },
  };
}
