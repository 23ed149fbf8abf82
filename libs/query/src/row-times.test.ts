import fc from "fast-check";
import { type RowTimes, sharedTimes } from "./index.ts";

describe("shared times", () => {
  it("name the sources with a common series and time, and the first and last common time", () => {
    const rows = fc.uniqueArray(fc.tuple(fc.nat(2), fc.nat(8)), { selector: String, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(rows, { maxLength: 4 }), (sources) => {
        const all = sources.map((list, i): RowTimes => {
          const sorted = [...list].sort((a, b) => a[0] - b[0] || a[1] - b[1]),
            series = [...new Set(sorted.map(([s]) => s))];
          return {
            ulid: `u${i}`,
            form: "block",
            upTo: sorted.length,
            fingerprint: BigUint64Array.from(series, (s) => BigInt(s) * 0x9e3779b97f4a7c15n),
            count: Uint32Array.from(series, (s) => sorted.filter(([x]) => x === s).length),
            timeNanos: BigInt64Array.from(sorted, ([, t]) => 1_700_000_000_000_000_000n + BigInt(t)),
          };
        });
        const holders = new Map<string, { at: number; by: number[] }>();
        sources.forEach((list, i) => {
          for (const [s, t] of list) {
            const known = holders.get(`${s}/${t}`);
            if (known) known.by.push(i);
            else holders.set(`${s}/${t}`, { at: t, by: [i] });
          }
        });
        const shared = [...holders.values()].filter((h) => h.by.length > 1),
          found = sharedTimes(all);
        expect([...(found?.ulids ?? [])].sort()).toEqual(
          [...new Set(shared.flatMap((h) => h.by))].sort().map((i) => `u${i}`),
        );
        if (!found) return;
        expect([found.minNanos, found.maxNanos].map((t) => Number(t - 1_700_000_000_000_000_000n))).toEqual([
          Math.min(...shared.map((h) => h.at)),
          Math.max(...shared.map((h) => h.at)),
        ]);
      }),
      { numRuns: 500 },
    );
  });
});
