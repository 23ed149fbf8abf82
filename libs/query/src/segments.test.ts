import fc from "fast-check";
import { batchesOf, tablesCoveringRange } from "./segments.ts";

const MINUTE = 60_000_000_000n;

describe("a time range", () => {
  it("is covered once, by the widest spans that fit", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 20n * 60n * MINUTE), fc.bigInt(0n, 20n * 60n * MINUTE), (a, b) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        const widths = [60n * MINUTE, 5n * MINUTE];
        const parts = tablesCoveringRange(from, to, widths);
        let next = from;
        for (const p of parts) {
          expect(p.from).toBe(next);
          expect(p.to).toBeGreaterThanOrEqual(p.from);
          if (p.table !== undefined) {
            expect(p.from % widths[p.table]!).toBe(0n);
            expect((p.to + 1n) % widths[p.table]!).toBe(0n);
          }
          next = p.to + 1n;
        }
        expect(next).toBe(to + 1n);
        // Single rows are read only for less than one span at each end.
        for (const p of parts)
          if (p.table === undefined && parts.length > 1) expect(p.to - p.from).toBeLessThan(5n * MINUTE);
      }),
    );
  });
  it("uses rows without downsampled tables", () => {
    expect(tablesCoveringRange(3n, 9n, [])).toEqual([{ table: undefined, from: 3n, to: 9n }]);
  });
  it("uses rows before 1970, where spans have other boundaries", () => {
    expect(tablesCoveringRange(-MINUTE * 10n, -1n, [MINUTE])).toEqual([
      { table: undefined, from: -MINUTE * 10n, to: -1n },
    ]);
  });
});

describe("batches of rows", () => {
  it("contain every row once, in order, within the limit", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 12 }), fc.integer({ min: 1, max: 20 }), (sizes, most) => {
        let row = 0;
        const selected = sizes.map((n, index) => ({
          index,
          rows: Uint32Array.from({ length: n }, () => row++),
        }));
        const batches = [...batchesOf(selected, most)];
        expect(batches.flatMap((b) => b.flatMap((s) => [...s.rows]))).toEqual(
          Array.from({ length: row }, (_, i) => i),
        );
        for (const b of batches) expect(b.reduce((n, s) => n + s.rows.length, 0)).toBeLessThanOrEqual(most);
        for (const b of batches)
          for (const s of b) for (const r of s.rows) expect([...selected[s.index]!.rows]).toContain(r);
      }),
    );
  });
});
