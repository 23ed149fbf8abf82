import type { JobResult, QueryJob, SourceQuery } from "@cinderblock/query";
import { InMemoryCache } from "@cinderblock/redis";
import { type Base, createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import type { Limits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { ResultsCache } from "./results-cache.ts";
import { type PartitionEnds, SubQueries } from "./sub-queries.ts";

const NOW = 1_700_000_000_000,
  HOUR = 3600_000,
  MIN_AGE = 600_000;
const LIMITS = {
  ...TEST_LIMITS,
  maxQueryParallelism: 0,
  splitQueriesByIntervalMs: 0,
  splitQueriesByShards: 0,
} as Limits;

function query(labelSelector = '{a="1",b="2"}', endMs = NOW - HOUR, stepMs = 1000): SourceQuery {
  const startMs = NOW - 2 * HOUR;
  return {
    kind: "series",
    select: { profileTypeId: "p:cpu:ns:cpu:ns", labelSelector, startMs, endMs },
    range: { startMs, endMs, stepMs, groupBy: [] },
  };
}

/** A frontend's cached sub-queries, and a querier that counts the queries that reach it. */
function world() {
  const base: Base = {
    log: createLogger({ level: "silent", format: "logfmt" }),
    metrics: new Metrics(),
    tracer: noTracer,
    now: () => NOW,
  };
  const querier = {
    /** what the querier knows of the data before and during a query */
    before: "data-1",
    during: "data-1",
    warnings: [] as string[],
    selects: 0,
  };
  const enqueue = (_tenant: string, job: QueryJob): Promise<JobResult> => {
    const { before, during, warnings } = querier;
    if (job.kind === "digests")
      return Promise.resolve({ kind: "digests", digests: job.ranges.map(() => before), warnings: [] });
    querier.selects++;
    return Promise.resolve({
      kind: "select",
      parts: [{ kind: "series", series: [] }],
      warnings,
      digest: during,
    });
  };
  const cache = new ResultsCache(
    { minAgeMs: MIN_AGE, ttlMs: HOUR, maxItemBytes: 1 << 20 },
    new InMemoryCache(1 << 20, () => NOW),
    base,
  );
  const subQueries = new SubQueries({ enqueue }, cache, base);
  /** Whether the querier had to answer. */
  const asks = async (q: SourceQuery = query(), tenant = "t", ends?: PartitionEnds): Promise<boolean> => {
    const had = querier.selects;
    const parts = await subQueries.run(tenant, q, LIMITS, {
      deadlineMs: NOW + HOUR,
      signal: undefined,
      ends,
      warn: () => undefined,
      count: { parts: 0, kept: 0 },
    });
    expect(parts).toEqual([{ kind: "series", series: [] }]);
    return querier.selects > had;
  };
  return { querier, asks };
}

describe("a cached result", () => {
  it("answers the same query while its data stays the same", async () => {
    const { querier, asks } = world();
    expect(await asks()).toBe(true);
    expect(await asks()).toBe(false);
    expect(await asks(query('{b="2", a="1"}'))).toBe(false);
    querier.before = querier.during = "data-2";
    expect(await asks()).toBe(true);
    expect(await asks()).toBe(false);
  });

  it("answers no other tenant and no other query", async () => {
    const { asks } = world();
    expect(await asks()).toBe(true);
    expect(await asks(query(), "other")).toBe(true);
    expect(await asks(query('{a="1",b="3"}'))).toBe(true);
    expect(await asks(query('{a="1",b!="2"}'))).toBe(true);
    expect(await asks(query(undefined, NOW - HOUR - 1))).toBe(true);
    expect(await asks(query(undefined, undefined, 2000))).toBe(true);
    expect(await asks()).toBe(false);
  });

  it.each([
    ["with warnings", { warnings: ["an ingester did not answer"] }],
    ["of data that only an ingester has", { before: "", during: "" }],
    ["of data that reached an ingester during the query", { during: "" }],
  ])("is not stored for an answer %s", async (_, state) => {
    const { querier, asks } = world();
    Object.assign(querier, state);
    expect(await asks()).toBe(true);
    Object.assign(querier, { warnings: [], before: "data-1", during: "data-1" });
    expect(await asks()).toBe(true);
  });

  it("is stored under the data that the answer read, not under the data before it", async () => {
    const { querier, asks } = world();
    querier.during = "data-2";
    expect(await asks()).toBe(true);
    querier.during = "data-1";
    expect(await asks()).toBe(true);
    querier.before = "data-2";
    expect(await asks()).toBe(false);
  });

  it("is neither stored by a strong read nor its answer", async () => {
    const { asks } = world();
    const ends = { topicId: "topic", ends: [1] };
    expect(await asks(query(), "t", ends)).toBe(true);
    expect(await asks()).toBe(true);
    expect(await asks(query(), "t", ends)).toBe(true);
  });

  it("is neither stored nor served for a range that ended less than the minimum age ago", async () => {
    const { asks } = world();
    const recent = query(undefined, NOW - MIN_AGE);
    expect(await asks(recent)).toBe(true);
    expect(await asks(recent)).toBe(true);
    const ended = query(undefined, NOW - MIN_AGE - 1);
    expect(await asks(ended)).toBe(true);
    expect(await asks(ended)).toBe(false);
  });
});
