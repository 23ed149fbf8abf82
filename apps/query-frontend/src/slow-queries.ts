import type { QueryJob, SourceQuery } from "@cinderblock/query";
import { html, type Routes, relativeRoot, sendPage, table, wantsJson } from "@cinderblock/rpc";
import type { Base } from "@cinderblock/telemetry";
import type { QueryFrontend } from "./frontend.ts";

/** A query that has ended, with an answer or an error. */
export interface QueryRecord {
  id: number;
  atMs: number;
  tenant: string;
  kind: string;
  profileTypeId: string;
  selector: string;
  /** start of the queried range; 0: the look-back */
  startMs: number;
  endMs: number;
  tookMs: number;
  /** number of sub-queries, and how many of them the cache answered */
  parts: number;
  kept: number;
  warnings: string[];
  /** error of the query; "": none */
  error: string;
}

/** Maximum number of records, and how long they are kept. */
const MAX_RECORDS = 100,
  KEEP_MS = 3600_000;
/** Maximum characters of a recorded text: a query may be megabytes long. */
const MAX_TEXT = 1000;
const short = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);

/** The slowest queries of the last hour; queries above a limit are logged. */
export class SlowQueries {
  private records: QueryRecord[] = [];
  private next = 1;
  private readonly logAboveMs: number;
  private readonly base: Base;
  /** @param logAboveMs 0 disables the log */
  constructor(logAboveMs: number, base: Base) {
    this.logAboveMs = logAboveMs;
    this.base = base;
  }

  /** Runs a query and records its duration and result. */
  async measure<T>(
    tenants: readonly string[],
    query: SourceQuery | QueryJob,
    count: { parts: number; kept: number },
    warnings: readonly string[],
    work: () => Promise<T>,
  ): Promise<T> {
    const atMs = this.base.now(),
      from = performance.now();
    let error = "";
    try {
      return await work();
    } catch (err) {
      error = (err as Error).message;
      throw err;
    } finally {
      this.note({
        id: this.next++,
        atMs,
        tenant: tenants.join("|"),
        ...asked(query),
        tookMs: performance.now() - from,
        ...count,
        warnings: warnings.slice(0, 10).map(short),
        error: short(error),
      });
    }
  }

  private note(r: QueryRecord): void {
    if (this.logAboveMs > 0 && r.tookMs > this.logAboveMs)
      this.base.log.info(
        {
          tenant: r.tenant,
          kind: r.kind,
          profileType: r.profileTypeId,
          selector: r.selector,
          start: r.startMs,
          end: r.endMs,
          ms: Math.round(r.tookMs),
          parts: r.parts,
          kept: r.kept,
          error: r.error === "" ? undefined : r.error,
        },
        "slow query",
      );
    const recent = this.records.filter((x) => x.atMs > r.atMs - KEEP_MS);
    this.records =
      recent.length >= MAX_RECORDS && r.tookMs <= recent.at(-1)!.tookMs
        ? recent
        : [...recent, r].sort((a, b) => b.tookMs - a.tookMs).slice(0, MAX_RECORDS);
  }

  list(): QueryRecord[] {
    const now = this.base.now();
    return this.records.filter((r) => r.atMs > now - KEEP_MS);
  }
}

/** The query's fields for the record. */
function asked(
  q: SourceQuery | QueryJob,
): Pick<QueryRecord, "kind" | "profileTypeId" | "selector" | "startMs" | "endMs"> {
  if ("select" in q)
    return {
      kind: q.kind,
      profileTypeId: short(q.select.profileTypeId),
      selector: short(q.select.labelSelector),
      startMs: q.select.startMs,
      endMs: q.select.endMs,
    };
  if (q.kind === "labels")
    return {
      kind: `labels: ${q.ask.kind}`,
      profileTypeId: "",
      selector: short(q.ask.query.matchers.slice(0, MAX_TEXT).join(" ")),
      startMs: q.ask.query.startMs,
      endMs: q.ask.query.endMs,
    };
  return {
    kind: q.kind,
    profileTypeId: "",
    selector: "",
    startMs: "startMs" in q ? q.startMs : 0,
    endMs: "endMs" in q ? q.endMs : 0,
  };
}

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
          const { blocks } = await frontend.plannedBlocks(
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
          html`<p class="quiet">The slowest queries of the last hour on this query-frontend, at most ${MAX_RECORDS}.</p>${table(
            ["Duration", "Time", "Tenant", "Query", "From", "To", "Sub-queries", "Cached", "", ""],
            all.map((r) => [
              `${Math.round(r.tookMs)} ms`,
              time(r.atMs),
              r.tenant,
              html`${r.kind} <code>${r.profileTypeId}${r.selector}</code>`,
              time(r.startMs),
              time(r.endMs),
              r.parts,
              r.kept,
              r.error !== "" ? r.error : r.warnings.length > 0 ? "partial" : "",
              html`<a href="${relativeRoot(request)}query-frontend/slow-queries?plan=${r.id}">plan</a>`,
            ]),
          )}`,
        );
      });
    },
  };
}
