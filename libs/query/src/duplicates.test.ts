import fc from "fast-check";
import { findDuplicates, type RowKeys } from "./index.ts";

interface Row {
  series: bigint;
  time: bigint;
  id: number;
  total: bigint;
}
const row = fc.record({
  series: fc.bigInt({ min: 0n, max: 3n }).map((s) => s << 40n),
  time: fc.bigInt({ min: 0n, max: 3n }).map((t) => t * 1_000_000_000_000n),
  id: fc.nat(3),
  total: fc.bigInt({ min: -1n, max: 3n }).map((t) => t << 33n),
});

function keysOf(ulid: string, rows: readonly Row[], form: "head" | "block" = "block"): RowKeys {
  const id = new Uint8Array(rows.length * 16);
  rows.forEach((r, i) => {
    id[i * 16 + 15] = r.id;
  });
  return {
    ulid,
    form,
    upTo: 100,
    fingerprint: BigUint64Array.from(rows, (r) => r.series),
    timeNanos: BigInt64Array.from(rows, (r) => r.time),
    id,
    total: BigInt64Array.from(rows, (r) => r.total),
    row: Uint32Array.from(rows, (_, i) => i * 2),
  };
}

describe("rows of several sources", () => {
  it("count once, with the smallest nonzero sum, else with the first source's", () => {
    fc.assert(
      fc.property(fc.array(fc.array(row, { maxLength: 30 }), { minLength: 1, maxLength: 4 }), (sources) => {
        const best = new Map<string, { source: number; i: number; total: bigint }>();
        sources.forEach((rows, source) =>
          rows.forEach((r, i) => {
            const key = `${r.series} ${r.time} ${r.id}`,
              known = best.get(key);
            if (!known || (r.total > 0n && (known.total <= 0n || r.total < known.total)))
              best.set(key, { source, i, total: r.total });
          }),
        );
        const out = findDuplicates(sources.map((rows, s) => keysOf(`U${s}`, rows)));
        sources.forEach((rows, s) => {
          const left = rows.map((_, i) => i).filter((i) => !out[`U${s}`]!.rows.includes(i * 2));
          expect(left).toEqual(
            [...best.values()]
              .filter((b) => b.source === s)
              .map((b) => b.i)
              .sort((a, b) => a - b),
          );
        });
      }),
      { numRuns: 2000 },
    );
  });
  it("that heads stored after their listing count only in place of a listed row with a larger sum", () => {
    // Each source lists its first rows; the others came later.
    const source = fc.record({ rows: fc.array(row, { maxLength: 30 }), listed: fc.nat(30) });
    const rank = (total: bigint): bigint => (total > 0n ? total : 1n << 62n);
    fc.assert(
      fc.property(fc.array(source, { minLength: 1, maxLength: 4 }), (sources) => {
        const all = sources.flatMap(({ rows, listed }, source) =>
          rows.map((r, i) => ({ source, i, r, late: i >= listed })),
        );
        const groups = Map.groupBy(all, ({ r }) => `${r.series} ${r.time} ${r.id}`);
        const expected = [...groups.values()]
          .filter((g) => g.some((x) => !x.late))
          .map(
            (g) =>
              [...g].sort(
                (a, b) => Number(rank(a.r.total) - rank(b.r.total) || 0n) || Number(a.late) - Number(b.late),
              )[0]!,
          );
        const out = findDuplicates(
          sources.map(({ rows }, s) => keysOf(`U${s}`, rows, "head")),
          new Map(sources.map(({ listed }, s) => [`U${s}`, 2 * listed])),
        );
        sources.forEach(({ rows }, s) => {
          const x = out[`U${s}`]!,
            counted = rows
              .map((_, i) => i)
              .filter((i) => (i * 2 < x.upTo || x.late?.includes(i * 2)) && !x.rows.includes(i * 2));
          expect(counted).toEqual(
            expected
              .filter((e) => e.source === s)
              .map((e) => e.i)
              .sort((a, b) => a - b),
          );
        });
      }),
      { numRuns: 2000 },
    );
  });
  it("of heads are listed with the row count: later rows are excluded", () => {
    const out = findDuplicates([
      keysOf("H", [{ series: 1n, time: 1n, id: 1, total: 1n }], "head"),
      keysOf("B", [{ series: 1n, time: 1n, id: 1, total: 1n }]),
    ]);
    expect(out).toEqual({
      H: { form: "head", upTo: 100, rows: Uint32Array.of() },
      B: { form: "block", upTo: -1, rows: Uint32Array.of(0) },
    });
  });
});
