import { QueryBounds, type QueryLimits } from "./query-bounds.ts";

const LIMITS: QueryLimits = {
  maxRegexInstructions: 100,
  maxSelectorLength: 1000,
  maxMatchers: 4,
  maxTenantsPerQuery: 2,
};
const bounds = (...more: Partial<QueryLimits>[]): QueryBounds =>
  new QueryBounds((more.length === 0 ? [{}] : more).map((m) => ({ ...LIMITS, ...m })));
const select = { profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds", labelSelector: "{}" };
const range = { startMs: 0, endMs: 1 };
const NONE = { callSite: [], only: [], without: [], hide: [] };

describe("the bounds of a query", () => {
  it("are those of the strictest of its tenants", () => {
    const large = { ...select, labelSelector: '{a=~"x{0,40}y"}' };
    expect(() => bounds({}).checkSelection({ ...large })).not.toThrow();
    expect(() => bounds({}, { maxRegexInstructions: 50 }).checkSelection({ ...large })).toThrow(
      /the limit is 50 \(-querier.max-regex-instructions\)/,
    );
    expect(() => bounds({ maxTenantsPerQuery: 0 }, {}, {})).toThrow(
      "the query names 3 tenants; the limit is 2 (-querier.max-tenants-per-query)",
    );
  });

  it("hold for every text of a query", () => {
    const hostile = ".{0,1000}".repeat(10),
      message = /\(-querier.max-regex-instructions\)/;
    const ways: (() => void)[] = [
      () => bounds().checkSelection({ ...select, labelSelector: `{a=~"${hostile}"}` }),
      () =>
        bounds().checkLabelRequest({
          kind: "names",
          query: { ...range, matchers: ["{}", `{a!~"${hostile}"}`] },
        }),
      () => bounds().checkStackFilter({ ...NONE, only: [`/${hostile}/`] }),
      () => bounds().checkStackFilter({ ...NONE, without: [`/${hostile}/`] }),
      () => bounds().checkStackFilter({ ...NONE, hide: [`/${hostile}/`] }),
      () => bounds().checkTablePage({ filter: `/${hostile}/`, only: [] }),
      () =>
        bounds().checkQuery({
          kind: "series",
          select: { ...select, ...range },
          range: { ...range, stepMs: 1, groupBy: [] },
          stacks: { ...NONE, only: [`/${hostile}/`] },
        }),
    ];
    for (const way of ways) expect(way).toThrow(message);
  });

  it("hold for every list", () => {
    const many = Array.from({ length: 10_001 }, () => "x");
    expect(() =>
      bounds().checkQuery({ kind: "tree", select: { ...select, ...range }, spans: many, maxNodes: 0 }),
    ).toThrow("the query has 10001 span IDs; the limit is 10000");
    expect(() =>
      bounds().checkQuery({ kind: "points", select: { ...select, ...range, profileIds: many } }),
    ).toThrow("the query has 10001 profile IDs; the limit is 10000");
    expect(() => bounds().checkGroupBy(["a", "b", "c", "d", "e"])).toThrow(
      "the query groups by 5 labels; the limit is 4 (-querier.max-matchers)",
    );
    expect(() => bounds().checkStackFilter({ ...NONE, hide: ["a", "b", "c", "d", "e"] })).toThrow(
      "stacks.hide has 5 entries; the limit is 4 (-querier.max-matchers)",
    );
    expect(() =>
      bounds().checkLabelRequest({ kind: "series", names: many, query: { ...range, matchers: [] } }),
    ).toThrow(/10001 label names/);
  });

  it("count the matchers and texts of all selectors together", () => {
    expect(() =>
      bounds().checkLabelRequest({
        kind: "names",
        query: { ...range, matchers: ['{a="1",b="1",c="1"}', '{a="1",b="1"}'] },
      }),
    ).toThrow(/more than 4 matchers/);
    expect(() =>
      bounds().checkLabelRequest({
        kind: "names",
        query: { ...range, matchers: Array.from({ length: 600 }, () => "{}") },
      }),
    ).toThrow(/the limit is 1000 \(-querier.max-selector-length\)/);
  });
});
