import { html, type Routes, relativeRoot, sendPage, table, wantsJson } from "@cinderblock/rpc";
import type { QueryFrontend } from "./frontend.ts";
import { MAX_SLOW_QUERIES } from "./slow-queries.ts";

const time = (ms: number): string =>
  ms <= 0 || ms > 8.64e15 ? "" : new Date(ms).toISOString().replace(/\.000Z$/, "Z");

/** `/query-frontend/slow-queries` as HTML or JSON; `?plan=<id>` shows the blocks of a query's plan. */
export function slowQueryRoutes(frontend: QueryFrontend, queryTimeoutMs: number): Routes {
  return {
    http: (app) => {
      app.get<{ Querystring: { plan?: string } }>("/query-frontend/slow-queries", async (request, reply) => {
        const all = frontend.slow.list(),
          json = wantsJson(request);
        if (request.query.plan !== undefined) {
          const r = all.find((x) => String(x.id) === request.query.plan);
          if (!r) {
            void reply.code(404);
            await (json
              ? reply.send({ message: "query not found among the slowest of the last hour" })
              : sendPage(
                  request,
                  reply,
                  "Not found",
                  html`<p>Query not found among the slowest of the last hour.</p>`,
                ));
            return;
          }
          const warnings: string[] = [];
          const { blocks } = await frontend.blocks.plannedBlocks(
            {
              tenants: r.tenant.split("|"),
              deadlineMs: Date.now() + queryTimeoutMs,
              signal: undefined,
              warn: (w) => warnings.push(w),
            },
            r.startMs,
            r.endMs > 0 ? r.endMs : Number.MAX_SAFE_INTEGER,
          );
          if (json) {
            await reply.type("application/json").send(JSON.stringify({ query: r, blocks, warnings }));
            return;
          }
          await sendPage(
            request,
            reply,
            "Query plan",
            html`${table(
              ["", ""],
              [
                ["Tenant", r.tenant],
                ["Query", html`${r.kind} <code>${r.profileTypeId}${r.selector}</code>`],
                ["Range", `${time(r.startMs)} to ${time(r.endMs)}`],
                ["Duration", `${Math.round(r.tookMs)} ms at ${time(r.atMs)}`],
                ["Sub-queries", `${r.parts}, ${r.kept} from the results cache`],
                ["Trace", html`<code>${r.traceId}</code>`],
                ["Warnings", [...r.warnings, ...warnings].join("; ")],
              ],
            )}
<h2>Current blocks of its time range</h2><p class="quiet">Heads and local blocks of ingesters, and blocks of the bucket; sources that a compacted block replaces are not read.</p>${table(
              ["Block", "Where", "Read", "Level", "Shard", "From", "To"],
              blocks.map((b) => [
                b.ulid,
                b.where,
                b.read ? "yes" : "no",
                b.level,
                b.shardId,
                time(b.minTimeMs),
                time(b.maxTimeMs),
              ]),
            )}`,
          );
          return;
        }
        if (json) {
          await reply.type("application/json").send(JSON.stringify({ queries: all }));
          return;
        }
        await sendPage(
          request,
          reply,
          "Slow queries",
          html`<p class="quiet">The slowest queries of the last hour on this query-frontend, at most ${MAX_SLOW_QUERIES}.</p>${table(
            ["Duration", "Time", "Tenant", "Query", "From", "To", "Sub-queries", "Cached", "Trace", "", ""],
            all.map((r) => [
              `${Math.round(r.tookMs)} ms`,
              time(r.atMs),
              r.tenant,
              html`${r.kind} <code>${r.profileTypeId}${r.selector}</code>`,
              time(r.startMs),
              time(r.endMs),
              r.parts,
              r.kept,
              html`<code>${r.traceId}</code>`,
              r.error !== "" ? r.error : r.warnings.length > 0 ? "partial" : "",
              html`<a href="${relativeRoot(request)}query-frontend/slow-queries?plan=${r.id}">plan</a>`,
            ]),
          )}`,
        );
      });
    },
  };
}
