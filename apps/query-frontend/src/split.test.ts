import { AnnotationSets } from "@cinderblock/model";
import fc from "fast-check";
import type { RowTable } from "@cinderblock/block";
import { renderSeries, SeriesMerger, type SourceQuery } from "@cinderblock/query";
import { toQueryRange, splitQuery } from "./split.ts";

const select = { profileTypeId: "p:cpu:ns:cpu:ns", labelSelector: "{}" };

describe("a split query", () => {
  it("covers its range once, at multiples of the interval, in a limited number of sub-queries", () => {
    fc.assert(
      fc.property(
        fc.nat(10_000_000),
        fc.nat(10_000_000),
        fc.integer({ min: 1, max: 100_000 }),
        fc.integer({ min: 0, max: 4 }),
        (startMs, length, interval, shards) => {
          const parts = splitQuery(
            { kind: "tree", select: { ...select, startMs, endMs: startMs + length }, spans: [], maxNodes: 7 },
            interval,
            shards,
          );
          const ranges = [...new Map(parts.map((p) => [p.startMs, p])).values()];
          expect(parts.length).toBeLessThanOrEqual(500 + Math.max(1, shards)); // partial first and last one
          expect([ranges[0]!.startMs, ranges.at(-1)!.endMs]).toEqual([startMs, startMs + length]);
          ranges.forEach((r, i) => {
            if (i > 0) {
              expect(r.startMs).toBe(ranges[i - 1]!.endMs + 1);
              expect(r.startMs % interval).toBe(0);
            }
          });
          // Only a single sub-query may truncate trees.
          for (const p of parts)
            expect(p.query.kind === "tree" && p.query.maxNodes).toBe(parts.length === 1 ? 7 : 0);
          expect(parts.length).toBe(ranges.length * Math.max(1, shards));
        },
      ),
      { numRuns: 100 },
    );
  });
  it("is one sub-query without an interval, or within one", () => {
    const query: SourceQuery = { kind: "points", select: { ...select, startMs: 61_000, endMs: 119_000 } };
    for (const interval of [0, 60_000])
      expect(splitQuery(query, interval, 0)).toEqual([{ query, startMs: 61_000, endMs: 119_000, shift: 0 }]);
  });
  it("returns the same points of a time line as the unsplit query, for any steps", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1000), fc.nat(100), fc.nat(2)), { minLength: 1, maxLength: 60 }),
        fc.nat(300),
        fc.integer({ min: 0, max: 700 }),
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 20, max: 400 }),
        fc.boolean(),
        (rows, start, length, stepMs, interval, average) => {
          const range = { startMs: start + 100, endMs: start + 100 + length, stepMs, groupBy: [] };
          const sets = new AnnotationSets();
          for (const key of ["a", "b"]) sets.intern([{ key, value: "v" }]);
          const table = {
            annotations: sets,
            annotation: Uint32Array.from(rows, ([, , set]) => set),
            timeNanos: BigInt64Array.from(rows, ([t]) => BigInt(t) * 1_000_000n),
            totalValue: BigInt64Array.from(rows, ([, v]) => BigInt(v)),
          } as RowTable;
          const query: SourceQuery = {
            kind: "series",
            select: { ...select, startMs: Math.max(0, range.startMs - stepMs + 1), endMs: range.endMs },
            range,
            callSite: [],
          };
          const run = (q: SourceQuery) => {
            const m = new SeriesMerger();
            if (q.kind === "series")
              m.addRows(
                table,
                [],
                Uint32Array.from(
                  rows
                    .map((_, i) => i)
                    .filter((i) => rows[i]![0] >= q.select.startMs && rows[i]![0] <= q.select.endMs),
                ),
                q.range,
                undefined,
              );
            return m.finish();
          };
          const whole = new SeriesMerger(),
            parts = splitQuery(query, interval, 0);
          for (const p of parts)
            for (const r of toQueryRange(p, [{ kind: "series", series: run(p.query) }]))
              if (r.kind === "series") for (const s of r.series) whole.add(s);
          expect(renderSeries(whole.finish(), range, average, 0)).toEqual(
            renderSeries(run(query), range, average, 0),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });
});
