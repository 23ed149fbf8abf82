import { CinderblockError } from "@cinderblock/errors";
import { PatternBudget } from "@cinderblock/model";
import type { JobResult, QueryJob } from "@cinderblock/query";
import type { ExportCall, RenderCall } from "@cinderblock/query-worker";
import { type Base, createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { type Limits, TenantLimits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { QueryFrontend } from "./frontend.ts";
import { QueryParams } from "./query-params.ts";
import type { ExploreSelection, MergeRequest, RequestContext } from "./request.ts";
import { SlowQueries } from "./slow-queries.ts";

const NOW = 1_700_000_000_000,
  HOUR = 3600_000;
const LIMITS = {
  ...TEST_LIMITS,
  maxQueryLookbackMs: 24 * HOUR,
  maxQueryLengthMs: 0,
  maxQueryParallelism: 0,
  splitQueriesByIntervalMs: 0,
  splitQueriesByShards: 0,
  maxRegexInstructions: 1000,
  maxSelectorLength: 1000,
  maxMatchers: 10,
  maxTenantsPerQuery: 2,
  maxFlamegraphNodesDefault: 8192,
  maxFlamegraphNodesMax: 10_000,
  maxFlamegraphNodesOnSelectMergeProfile: false,
} as Limits;
const REQUEST: MergeRequest = {
  profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  labelSelector: '{service_name="shop"}',
  startMs: NOW - HOUR,
  endMs: NOW,
  maxNodes: 0,
  spans: [],
  stacks: undefined,
};
const TOO_OLD = { ...REQUEST, startMs: NOW - 50 * HOUR, endMs: NOW - 49 * HOUR };
const SELECTION: MergeRequest & ExploreSelection = {
  ...REQUEST,
  profileIds: [],
  filter: { callSite: [], only: [], without: [], hide: [] },
};

/** A frontend, the jobs in its queue, and its calls of worker threads. */
function world(
  answer: (job: QueryJob, n: number) => Partial<JobResult> = () => ({}),
  ends?: () => Promise<{ topicId: string; ends: number[] }>,
) {
  const jobs: { tenant: string; job: QueryJob }[] = [],
    rendered: RenderCall[] = [],
    exported: ExportCall[] = [],
    warnings: string[] = [];
  const base: Base = {
    log: createLogger({ level: "silent", format: "logfmt" }),
    metrics: new Metrics(),
    tracer: noTracer,
    now: () => NOW,
  };
  const slow = new SlowQueries(0, base);
  const frontend = new QueryFrontend(
    {
      queue: {
        enqueue: (tenant, job) => {
          const n = jobs.push({ tenant, job }),
            empty = { kind: "select", parts: [], warnings: [], digest: "" };
          return Promise.resolve().then(() => ({ ...empty, ...answer(job, n) }) as JobResult);
        },
      },
      renderer: {
        render: (call) => {
          rendered.push(call);
          return Promise.resolve({ bytes: Uint8Array.of(1) });
        },
        export: (call) => {
          exported.push(call);
          return Promise.resolve({ bytes: Uint8Array.of(exported.length), rows: 1 });
        },
      },
      limits: new TenantLimits(LIMITS),
      cache: undefined,
      ends,
      slow,
    },
    base,
  );
  const caller: RequestContext = {
    tenants: ["a"],
    deadlineMs: NOW + 1000,
    signal: undefined,
    warn: (w) => {
      warnings.push(w);
    },
  };
  const selected = (): unknown[] =>
    jobs.map(({ job }) => (job.kind === "select" ? job.query : { kind: job.kind }));
  return { frontend, caller, jobs, selected, rendered, exported, warnings, slow, base };
}

describe("a query of several tenants", () => {
  it("runs once for each, and returns and records the warnings of all", async () => {
    const w = world((_, n) => ({ warnings: [`ingester-${n} did not respond`] }));
    await w.frontend.flameGraphs.flame({ ...w.caller, tenants: ["a", "b"] }, REQUEST, "proto");
    expect(w.jobs.map((j) => j.tenant)).toEqual(["a", "b"]);
    expect(w.warnings).toEqual(["ingester-1 did not respond", "ingester-2 did not respond"]);
    expect(w.slow.list()).toMatchObject([
      { tenant: "a|b", kind: "tree", parts: 2, error: "", warnings: w.warnings },
    ]);
  });

  it("cuts no tree before the merge", async () => {
    const w = world();
    await w.frontend.flameGraphs.tree(w.caller, REQUEST);
    await w.frontend.flameGraphs.tree({ ...w.caller, tenants: ["a", "b"] }, REQUEST);
    expect(w.selected()).toMatchObject([{ maxNodes: 8192 }, { maxNodes: 0 }, { maxNodes: 0 }]);
    expect(w.rendered).toMatchObject([
      { kind: "tree", maxNodes: 8192 },
      { kind: "tree", maxNodes: 8192 },
    ]);
  });

  it("fails before its first job with more tenants than the limit", async () => {
    const w = world();
    await expect(w.frontend.blocks.stats({ ...w.caller, tenants: ["a", "b", "c"] })).rejects.toThrow(
      "the query names 3 tenants; the limit is 2",
    );
    expect(w.jobs).toEqual([]);
  });
});

describe("a range before the look-back", () => {
  it("queries nothing and renders an empty answer", async () => {
    const w = world(),
      { frontend, caller } = w,
      old = { ...SELECTION, startMs: TOO_OLD.startMs, endMs: TOO_OLD.endMs };
    await frontend.flameGraphs.flame(caller, TOO_OLD, "proto");
    await frontend.explore.heatmap(caller, old, 2, 2);
    await frontend.explore.functionLines(caller, old, "main");
    await frontend.explore.callTree(caller, old, old, 0);
    const { profileTypeId, labelSelector, startMs, endMs } = old;
    const points = { profileTypeId, labelSelector, startMs, endMs, stepMs: 15_000, groupBy: [], limit: 0 };
    await frontend.timeSeries.heatmap(caller, { ...points, each: "profile", exemplars: false });
    expect(await frontend.timeSeries.series(caller, { ...points, average: false, callSite: [] })).toEqual([]);
    expect(await frontend.explore.profiles(caller, old, 0, 1, 1)).toMatchObject({ profiles: [] });
    expect(await frontend.profiles.pprof(caller, TOO_OLD)).toBeUndefined();
    expect(await frontend.labels.names(caller, { ...TOO_OLD, matchers: [] }, true)).toEqual([]);
    expect(w.jobs).toEqual([]);
    expect(w.rendered.map((r) => r.kind)).toEqual([
      "flame",
      "heatmap",
      "function-lines",
      "call-tree",
      "select-heatmap",
    ]);
  });

  it("does not excuse an invalid selector", async () => {
    const { frontend, caller } = world(),
      bad = { ...SELECTION, startMs: TOO_OLD.startMs, endMs: TOO_OLD.endMs, labelSelector: "{" };
    await expect(frontend.flameGraphs.flame(caller, bad, "proto")).rejects.toThrow("parse error");
    await expect(frontend.explore.heatmap(caller, bad, 2, 2)).rejects.toThrow("parse error");
    await expect(frontend.explore.functionLines(caller, bad, "main")).rejects.toThrow("parse error");
  });
});

describe("a selection", () => {
  it("keeps its profile IDs in trees, profiles and lines, and loses them in heatmaps and lists", async () => {
    const w = world(),
      { frontend, caller } = w,
      one = { ...SELECTION, profileIds: ["p1"] };
    await frontend.flameGraphs.flame(caller, one, "proto");
    await frontend.profiles.pprof(caller, one);
    await frontend.explore.functionLines(caller, one, "main");
    await frontend.explore.heatmap(caller, one, 2, 2);
    await frontend.explore.profiles(caller, one, 0, 1, 1);
    const select = {
      profileTypeId: REQUEST.profileTypeId,
      labelSelector: REQUEST.labelSelector,
      startMs: REQUEST.startMs,
      endMs: REQUEST.endMs,
    };
    expect(w.selected()).toEqual([
      { kind: "tree", select: { ...select, profileIds: ["p1"] }, spans: [], maxNodes: 8192 },
      { kind: "profile", select: { ...select, profileIds: ["p1"] }, spans: [] },
      { kind: "profile", select: { ...select, profileIds: ["p1"] }, spans: [] },
      { kind: "points", select },
      { kind: "profiles", select, minValue: 0, maxValue: 1, limit: 1 },
    ]);
  });

  it("of spans only has no samples without spans", async () => {
    const w = world();
    await w.frontend.flameGraphs.flame(w.caller, { ...REQUEST, spansOnly: true }, "proto");
    expect(w.jobs).toEqual([]);
    await w.frontend.flameGraphs.flame(w.caller, { ...REQUEST, spansOnly: true, spans: ["s"] }, "proto");
    expect(w.selected()).toMatchObject([{ kind: "tree", spans: ["s"] }]);
  });

  it("is not compared with another profile type", async () => {
    const w = world();
    await expect(
      w.frontend.explore.callTree(
        w.caller,
        SELECTION,
        { ...SELECTION, profileTypeId: "memory:alloc_space:bytes:space:bytes" },
        0,
      ),
    ).rejects.toThrow("profile types must match");
    expect(w.jobs).toEqual([]);
  });
});

it("leaves out profile types with colons in their parts", async () => {
  const names = ["team:app:cpu:nanoseconds:cpu:nanoseconds:x", "process_cpu:cpu:nanoseconds:cpu:nanoseconds"],
    w = world((job) => (job.kind === "labels" ? { kind: "labels", answer: { names, sets: [] } } : {}));
  const types = await w.frontend.labels.profileTypes(w.caller, REQUEST.startMs, REQUEST.endMs);
  expect(types.map((t) => t.id)).toEqual(names.slice(1));
});

it("refuses steps that are not numbers of milliseconds, and negative numbers of nodes", async () => {
  const w = world(),
    series = (stepMs: number) =>
      w.frontend.timeSeries.series(w.caller, {
        profileTypeId: REQUEST.profileTypeId,
        labelSelector: REQUEST.labelSelector,
        startMs: REQUEST.startMs,
        endMs: REQUEST.endMs,
        stepMs,
        groupBy: [],
        limit: 0,
        average: false,
        callSite: [],
      });
  await expect(series(Infinity)).rejects.toMatchObject({ kind: "invalid", message: "step must be finite" });
  await expect(series(NaN)).rejects.toMatchObject({ kind: "invalid" });
  const nodes = (text: string): number =>
    new QueryParams(new URLSearchParams({ "max-nodes": text }), 0, new PatternBudget()).maxNodes();
  expect(["7", "+7", "abc", ""].map(nodes)).toEqual([7, 7, 0, 0]);
  await expect(
    w.frontend.flameGraphs.flame(w.caller, { ...REQUEST, maxNodes: nodes("-3") }, "proto"),
  ).rejects.toMatchObject({
    kind: "invalid",
    message: expect.stringContaining("-3 must not be negative"),
  });
});

describe("a strong read", () => {
  it("waits for the ends of the partitions, in trees and in labels", async () => {
    const w = world(
      (job) =>
        job.kind === "labels" ? { kind: "labels", answer: { names: ["b", "a", "b"], sets: [] } } : {},
      () => Promise.resolve({ topicId: "T", ends: [7, 9] }),
    );
    const strong = { ...w.caller, strong: true };
    await w.frontend.flameGraphs.flame(strong, REQUEST, "proto");
    expect(await w.frontend.labels.names(strong, { ...REQUEST, matchers: [] }, true)).toEqual(["a", "b"]);
    await w.frontend.flameGraphs.flame(w.caller, REQUEST, "proto");
    expect(w.jobs.map(({ job }) => job.ends)).toEqual([[7, 9], [7, 9], undefined]);
  });

  it("fails without them, and is then no longer in progress", async () => {
    const w = world(undefined, () => Promise.reject(new CinderblockError("unavailable", "no brokers")));
    await expect(
      w.frontend.flameGraphs.flame({ ...w.caller, strong: true }, REQUEST, "proto"),
    ).rejects.toThrow("no brokers");
    expect(w.jobs).toEqual([]);
    expect(await w.base.metrics.registry.metrics()).toContain(
      "pyroscope_query_frontend_queries_in_progress 0",
    );
  });
});

describe("an export of samples", () => {
  it("repeats a step with too many samples in smaller ones", async () => {
    const w = world((job, n) => {
      if (job.kind === "labels")
        return { kind: "labels", answer: { names: [], sets: [[{ name: "pod", value: "1" }]] } };
      if (n === 2) throw new CinderblockError("limit", "too many samples");
      return {};
    });
    const pieces = [];
    const range = { startMs: NOW - 60_000, endMs: NOW - 1 };
    for await (const p of w.frontend.exports.samples(w.caller, { ...REQUEST, ...range }, "samples"))
      pieces.push(...p);
    const steps = w.jobs.flatMap(({ job }) =>
      job.kind === "select" ? [job.query.select.endMs - job.query.select.startMs + 1] : [],
    );
    expect(steps).toEqual([60_000, 7500, 30_000, 22_500]);
    expect(pieces).toEqual([1, 2, 3]);
    expect(w.exported).toMatchObject([
      { kind: "samples", first: true, last: false, table: { labels: ["pod"] } },
      { first: false, last: false },
      { first: false, last: true },
    ]);
  });
});
