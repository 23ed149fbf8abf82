import { fromBinary } from "@bufbuild/protobuf";
import { HeatmapResponseSchema } from "@cinderblock/api";
import fc from "fast-check";
import {
  encodeHeatmap,
  largestProfiles,
  mergePoints,
  mergeProfileLists,
  pointsOf,
  uuidText,
  selectByIds,
} from "./points.ts";

type Row = { timeMs: number; value: number };
const rowsOf = fc.array(
  fc.record({
    timeMs: fc.integer({ min: 1000, max: 1999 }),
    value: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 2 ** 50 })),
  }),
  { maxLength: 60 },
);
const table = (rows: readonly Row[]): never =>
  ({
    timeNanos: BigInt64Array.from(rows, (r) => BigInt(r.timeMs) * 1_000_000n),
    totalValue: BigInt64Array.from(rows, (r) => BigInt(r.value)),
    id: Uint8Array.from(rows.flatMap((_, i) => [i, ...new Array<number>(15).fill(9)])),
  }) as never;
const all = (rows: readonly Row[]): { index: number; rows: Uint32Array }[] => [
  { index: 0, rows: Uint32Array.from(rows, (_, i) => i) },
];
const source = {
  series: [
    {
      labels: [
        { name: "__name__", value: "x" },
        { name: "pod", value: "p" },
      ],
    },
  ],
} as never;

describe("single profiles", () => {
  it("are counted by time and value: each once, in the cell of its bounds", () => {
    fc.assert(
      fc.property(
        rowsOf,
        rowsOf,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 9 }),
        (a, b, columns, rows) => {
          const points = mergePoints([pointsOf(table(a), all(a)), pointsOf(table(b), all(b))]);
          const h = fromBinary(HeatmapResponseSchema, encodeHeatmap(points, 1000, 1999, columns, rows)),
            list = [...a, ...b],
            max = Number(h.maxValue);
          expect([Number(h.profiles), Number(h.total), max]).toEqual([
            list.length,
            list.reduce((n, r) => n + r.value, 0),
            Math.max(0, ...list.map((r) => r.value)),
          ]);
          for (let c = 0; c < columns; c++) {
            for (let r = 0; r < rows; r++) {
              const low = Math.floor((r * max) / rows),
                high = r === rows - 1 ? max : Math.floor(((r + 1) * max) / rows);
              const inside = list.filter(
                (x) =>
                  Math.min(columns - 1, Math.floor((x.timeMs - 1000) / (1000 / columns))) === c &&
                  ((r === 0 && x.value === 0) ||
                    (x.value > low && x.value <= high) ||
                    (max === 0 && r === 0)),
              );
              expect(h.counts[c * rows + r]).toBe(inside.length);
            }
          }
        },
      ),
    );
  });

  it("have their exact millisecond, also beyond the precision of a number", () => {
    const rows = [
      { timeMs: 1795691485418, value: 1 },
      { timeMs: 1795691485417, value: 1 },
    ];
    expect([...pointsOf(table(rows), all(rows)).timeMs]).toEqual(rows.map((r) => r.timeMs));
    expect(largestProfiles(source, table(rows), all(rows), 0, 0, 9).profiles.map((p) => p.timeMs)).toEqual([
      1795691485417, 1795691485418,
    ]);
  });

  it("are listed largest first, for any parts", () => {
    fc.assert(
      fc.property(
        rowsOf,
        rowsOf,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 0, max: 60 }),
        (a, b, limit, min, max) => {
          const part = (rows: readonly Row[]) =>
            largestProfiles(source, table(rows), all(rows), min, max, limit);
          const got = mergeProfileLists([part(a), part(b)], limit),
            wanted = [...a, ...b].filter(
              (r) => (r.value > min || (min === 0 && r.value === 0)) && (max === 0 || r.value <= max),
            );
          expect([got.count, got.total]).toEqual([wanted.length, wanted.reduce((n, r) => n + r.value, 0)]);
          expect(got.profiles.map((p) => [p.value, p.timeMs])).toEqual(
            wanted
              .map((r) => [r.value, r.timeMs])
              .sort((x, y) => y[0]! - x[0]! || x[1]! - y[1]!)
              .slice(0, limit),
          );
          for (const p of got.profiles) expect(p.labels).toEqual(["pod=p"]);
        },
      ),
    );
  });

  it("are found by their IDs", () => {
    const rows = [
        { timeMs: 1000, value: 1 },
        { timeMs: 1001, value: 2 },
      ],
      t = table(rows),
      id = uuidText((t as { id: Uint8Array }).id, 1);
    expect(id).toBe("01090909-0909-0909-0909-090909090909");
    expect(selectByIds(t, all(rows), [id.toUpperCase()]).map((s) => [...s.rows])).toEqual([[1]]);
    expect(selectByIds(t, all(rows), ["ffffffff-0909-0909-0909-090909090909"])).toEqual([]);
    expect(() => selectByIds(t, all(rows), ["x"])).toThrow('profile ID "x" is not a UUID');
  });
});
