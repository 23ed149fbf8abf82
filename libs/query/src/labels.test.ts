import { type IndexedSeries, LabelIndex, type LabelSource, type SourceSeries } from "@cinderblock/block";
import { type Label, labelsKey, parseSelector, selectorMatches } from "@cinderblock/model";
import fc from "fast-check";
import type { LabelRequest } from "./contracts.ts";
import { type LabelQuery, labelAnswer, withoutColumns } from "./labels.ts";

const source = (series: readonly SourceSeries[]): IndexedSeries => ({
  series,
  labelIndex: new LabelIndex(series),
});

/** A source on disk, which reads the series of the selectors and every third of the others. */
function onDisk({ series }: IndexedSeries): LabelSource {
  const times = series.map((s) => s.minTimeNanos).sort((a, b) => (a < b ? -1 : 1)),
    ends = series.map((s) => s.maxTimeNanos).sort((a, b) => (a < b ? -1 : 1));
  return {
    minTimeNanos: times[0] ?? 0n,
    maxTimeNanos: ends.at(-1) ?? 0n,
    list: (name) => {
      const labels = series.flatMap((s) => [...s.labels]);
      return Promise.resolve([
        ...new Set(
          name === undefined
            ? labels.map((l) => l.name)
            : labels.filter((l) => l.name === name).map((l) => l.value),
        ),
      ]);
    },
    seriesFor: (selectors) =>
      Promise.resolve(
        source(
          selectors.length === 0
            ? series
            : series.filter((s, i) => i % 3 === 0 || selectors.some((x) => selectorMatches(x, s.labels))),
        ),
      ),
  };
}

/** Label sets that a query matches, in the order of a walk over all series: several selectors are alternatives. */
function walk(sources: readonly IndexedSeries[], q: LabelQuery): Label[][] {
  const from = BigInt(q.startMs) * 1_000_000n,
    to = BigInt(q.endMs + 1) * 1_000_000n - 1n,
    ranged = q.startMs > 0 && q.endMs > 0;
  return sources.flatMap(({ series }) => {
    const picked = new Set<SourceSeries>();
    for (const m of q.matchers.length > 0 ? q.matchers : ["{}"])
      for (const s of series) if (selectorMatches(parseSelector(m), s.labels)) picked.add(s);
    return [...picked]
      .filter((s) => !ranged || (s.minTimeNanos <= to && s.maxTimeNanos >= from))
      .map((s) => [...s.labels]);
  });
}

/** The answer to a question by that walk. */
function plain(sources: readonly IndexedSeries[], ask: LabelRequest): { names: string[]; sets: Label[][] } {
  const all = walk(sources, ask.query);
  if (ask.kind === "names") return { names: [...new Set(all.flat().map((l) => l.name))].sort(), sets: [] };
  if (ask.kind === "values") {
    const values = all.flat().flatMap((l) => (l.name === ask.name ? [l.value] : []));
    return { names: [...new Set(values)].sort(), sets: [] };
  }
  const out = new Map<string, Label[]>();
  for (const labels of all) {
    const shown = ask.names.length === 0 ? labels : labels.filter((l) => ask.names.includes(l.name));
    if (shown.length > 0) out.set(labelsKey(shown), shown);
  }
  return { names: [], sets: [...out.values()] };
}

const NAMES = ["a", "b", "c", "absent"];
const times = fc.integer({ min: 1, max: 30 });
const oneSeries = fc
  .record({
    labels: fc.array(
      fc.record({ name: fc.constantFrom("a", "b", "c"), value: fc.constantFrom("", "1", "2", "3", "11") }),
      { maxLength: 4 },
    ),
    from: times,
    length: fc.integer({ min: 0, max: 10 }),
  })
  .map(
    ({ labels, from, length }): SourceSeries => ({
      labels,
      fingerprint: 0n,
      minTimeNanos: BigInt(from) * 1_000_000n,
      maxTimeNanos: BigInt(from + length) * 1_000_000n + 7n,
    }),
  );
const matcher = fc
  .tuple(
    fc.constantFrom(...NAMES),
    fc.constantFrom("=", "!=", "=~", "!~"),
    fc.constantFrom("", "1", "2", "1+", "1|2", ".*", ".+", "9"),
  )
  .map(([name, op, value]) => `${name}${op}"${value}"`);
const selector = fc.array(matcher, { maxLength: 3 }).map((list) => `{${list.join(",")}}`);
const query = fc.record<LabelQuery>({
  matchers: fc.array(selector, { maxLength: 3 }),
  startMs: fc.oneof(fc.constant(0), times),
  endMs: fc.oneof(fc.constant(0), times),
});

describe("label questions", () => {
  it("are answered from the index as by a walk over all series", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(oneSeries, { maxLength: 30 }), { maxLength: 3 }),
        fc.array(query, { minLength: 1, maxLength: 3 }),
        fc.subarray(NAMES),
        async (lists, queries, names) => {
          const sources = lists.map(source);
          for (const query of queries)
            for (const ask of [
              { kind: "names", query },
              ...NAMES.map((name) => ({ kind: "values", name, query }) as const),
              { kind: "series", names: [], query },
              { kind: "series", names, query },
              { kind: "series", names, query, columns: true },
            ] satisfies LabelRequest[]) {
              for (const from of [sources, sources.map((s, i) => (i === 1 ? s : onDisk(s)))]) {
                const answer = withoutColumns(await labelAnswer(from, ask));
                answer.names.sort();
                expect(answer).toEqual(plain(sources, ask));
              }
            }
        },
      ),
    );
  });
});
