import { invalidError } from "@cinderblock/errors";
import { LABEL_NAME, type ProfileType } from "@cinderblock/model";
import { flamebearerProfile, type SeriesResult } from "@cinderblock/query";
import { type FastifyReply, type FastifyRequest, httpError, type Routes } from "@cinderblock/rpc";
import { tenantsForRead } from "@cinderblock/tenant";
import { exportFile } from "./export-api.ts";
import type { QueryFrontend } from "./frontend.ts";
import { QueryParams } from "./query-params.ts";
import type { MergeRequest, RequestContext } from "./request.ts";

/** GET /pyroscope/render, /pyroscope/render-diff, /pyroscope/export and /pyroscope/label-values. */
export function renderRoutes(
  frontend: QueryFrontend,
  config: { multitenancy: boolean; queryTimeoutMs: number },
  now: () => number,
): Routes {
  const answer =
    (work: (q: QueryParams, caller: RequestContext, reply: FastifyReply) => Promise<void>) =>
    async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      try {
        const header = request.headers["x-scope-orgid"];
        const left = new AbortController();
        reply.raw.once("close", () => left.abort());
        const caller: RequestContext = {
          tenants: tenantsForRead(Array.isArray(header) ? header[0] : header, config.multitenancy),
          deadlineMs: Date.now() + config.queryTimeoutMs,
          signal: left.signal,
          strong: request.headers["x-read-consistency"] === "strong",
          warn: (reason) => {
            void reply.header("x-cinderblock-partial", reason);
          },
        };
        const params = new URL(request.url, "http://x").searchParams;
        await work(new QueryParams(params, now(), frontend.bounds(caller).patterns), caller, reply);
      } catch (err) {
        const { status, body } = httpError(request.raw, err);
        await reply
          .code(status)
          .type("application/json")
          .header("x-content-type-options", "nosniff")
          .send(body);
      }
    };
  return {
    http: (app) => {
      app.get(
        "/pyroscope/render",
        answer((q, caller, reply) => render(frontend, q, caller, reply)),
      );
      app.get(
        "/pyroscope/render-diff",
        answer((q, caller, reply) => renderDiff(frontend, q, caller, reply)),
      );
      app.get(
        "/pyroscope/export",
        answer((q, caller, reply) => exportFile(frontend, q, caller, reply)),
      );
      app.get(
        "/pyroscope/label-values",
        answer(async (q, caller, reply) => {
          const label = q.text("label");
          if (label === "") throw invalidError("label parameter is required");
          // Like v1, this route answers for the name of profiles only.
          if (label !== LABEL_NAME) throw invalidError("name is required");
          await reply
            .type("application/json")
            .send(JSON.stringify((await frontend.labels.profileTypes(caller, 0, 0)).map((t) => t.id)));
        }),
      );
    },
  };
}

const STEPS: readonly [untilS: number, stepS: number][] = [
  [17.5, 15],
  [25, 20],
  [45, 30],
  [90, 60],
  [210, 120],
  [450, 300],
  [750, 600],
  [1050, 900],
  [1500, 1200],
  [2700, 1800],
  [5400, 3600],
  [9000, 7200],
  [16200, 10800],
  [32400, 21600],
  [86400, 43200],
  [604800, 86400],
  [3 * 604800, 604800],
  [6 * 604800 - 1, 30 * 86400],
  [Infinity, 365 * 86400],
];

/** Step of a timeline in seconds: at most 1,500 points, rounded to a human-friendly step. */
function timelineStep(startMs: number, endMs: number): number {
  const raw = Math.max(15, (endMs - startMs) / 1000 / 1500);
  return STEPS.find(([until]) => raw <= until)![1];
}

/** A series as v1's timeline: both ends are rounded down to the step, gaps are 0. */
function timeline(s: SeriesResult | undefined, startMs: number, endMs: number, stepS: number): object {
  const step = stepS * 1000;
  const from = Math.floor(startMs / step) * step,
    until = Math.floor(endMs / step) * step;
  const samples: number[] = new Array(Math.max(0, (until - from) / step)).fill(0);
  for (const p of s?.points ?? []) {
    const at = Math.floor((p.timestampMs - from) / step);
    if (at >= 0 && at < samples.length) samples[at]! += Math.trunc(p.value);
  }
  return { startTime: from / 1000, samples, durationDelta: stepS, watermarks: null };
}

async function render(
  frontend: QueryFrontend,
  q: QueryParams,
  caller: RequestContext,
  reply: FastifyReply,
): Promise<void> {
  const { type, labelSelector } = q.selection("query");
  const startMs = q.time("from"),
    endMs = q.time("until");
  const request: MergeRequest = {
    profileTypeId: type.id,
    labelSelector,
    startMs,
    endMs,
    maxNodes: q.maxNodes(),
    spans: [],
    stacks: undefined,
  };
  if (q.text("format") === "dot") {
    await reply.type("text/plain; charset=utf-8").send(await frontend.profiles.dot(caller, request));
    return;
  }
  const stepS = timelineStep(startMs, endMs);
  const groupBy = q.all("groupBy");
  const [flame, series] = await Promise.all([
    frontend.flameGraphs.flame(caller, request, "flamebearer"),
    frontend.timeSeries.series(caller, {
      profileTypeId: type.id,
      labelSelector,
      startMs,
      endMs,
      stepMs: stepS * 1000,
      groupBy,
      average: q.text("aggregation") === "avg",
      limit: 0,
      callSite: [],
    }),
  ]);
  // Clients choose label values: `fromEntries` makes own properties even of names like `__proto__`.
  const groups =
    groupBy.length > 0
      ? Object.fromEntries(
          series.map((s) => [
            s.labels.find((l) => l.name === groupBy[0])?.value ?? "*",
            timeline(s, startMs, endMs, stepS),
          ]),
        )
      : null;
  await reply.type("application/json").send(
    flamebearerProfile(type.sampleType, type.sampleUnit, "single", flame, {
      timeline: timeline(series.length === 1 ? series[0] : undefined, startMs, endMs, stepS),
      groups,
    }),
  );
}

async function renderDiff(
  frontend: QueryFrontend,
  q: QueryParams,
  caller: RequestContext,
  reply: FastifyReply,
): Promise<void> {
  const side = (name: "left" | "right"): MergeRequest & { type: ProfileType } => {
    const { type, labelSelector } = q.selection(`${name}Query`);
    return {
      type,
      profileTypeId: type.id,
      labelSelector,
      startMs: q.time(`${name}From`),
      endMs: q.time(`${name}Until`),
      maxNodes: q.maxNodes(),
      spans: [],
      stacks: undefined,
    };
  };
  const left = side("left"),
    right = side("right");
  if (left.type.storedId !== right.type.storedId) throw invalidError("profile types must match");
  const flame = await frontend.flameGraphs.diff(caller, left, right, "flamebearer");
  await reply
    .type("application/json")
    .send(flamebearerProfile(left.type.sampleType, left.type.sampleUnit, "double", flame));
}
