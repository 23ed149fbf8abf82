import { type Limits, combineReadLimits } from "./index.ts";

describe("limits of a query over several tenants", () => {
  const limits = (more: Partial<Limits>): Limits =>
    ({
      maxQueryLookbackMs: 0,
      maxQueryLengthMs: 0,
      maxQueryParallelism: 0,
      maxQueriersPerTenant: 0,
      maxFlamegraphNodesDefault: 8192,
      maxFlamegraphNodesMax: 0,
      splitQueriesByShards: 0,
      splitQueriesByIntervalMs: 0,
      maxFlamegraphNodesOnSelectMergeProfile: false,
      queryAnalysisEnabled: true,
      queryAnalysisSeriesEnabled: true,
      ...more,
    }) as Limits;

  it("are the smallest positive ones, for any order of the tenants", () => {
    const a = limits({ maxQueryLengthMs: 100, maxFlamegraphNodesMax: 0, splitQueriesByIntervalMs: 5 }),
      b = limits({
        maxQueryLengthMs: 0,
        maxQueryLookbackMs: 7,
        maxFlamegraphNodesMax: 10,
        splitQueriesByIntervalMs: 9,
        queryAnalysisEnabled: false,
      }),
      c = limits({ maxQueryLengthMs: 50, maxQueryLookbackMs: 9 });
    for (const all of [
      [a, b, c],
      [c, b, a],
      [b, a, c],
    ])
      expect(combineReadLimits(all)).toMatchObject({
        maxQueryLengthMs: 50,
        maxQueryLookbackMs: 7,
        maxFlamegraphNodesMax: 10,
        maxFlamegraphNodesDefault: 8192,
        splitQueriesByIntervalMs: 9,
        queryAnalysisEnabled: false,
      });
  });
});
