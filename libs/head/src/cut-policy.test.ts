import fc from "fast-check";
import { type CutCandidate, selectCuts, isCutDue } from "./cut-policy.ts";

const NOW = 1_000_000;
const head = (bytes: number, idleMs = 0, frozen = false): CutCandidate => ({
  bytes,
  lastWriteMs: NOW - idleMs,
  windowEndMs: NOW + 1,
  frozen,
});

describe("the policy of cuts", () => {
  it("cuts what takes no more profiles, and what is idle behind its window", () => {
    const over = { ...head(1, 1000), windowEndMs: NOW - 1 };
    expect(isCutDue(head(1, 0, true), NOW, 500)).toBe(true);
    expect(isCutDue(over, NOW, 500)).toBe(true);
    expect(isCutDue(over, NOW, 2000)).toBe(false);
    expect(isCutDue(head(1, 1000), NOW, 500)).toBe(false);
  });

  it("frees what is asked for with no head more than it takes", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ bytes: fc.integer({ min: 1, max: 1e6 }), idle: fc.integer({ min: 0, max: 1e5 }) }),
          { maxLength: 50 },
        ),
        fc.nat(2e7),
        (list, wanted) => {
          const heads = list.map((h) => head(h.bytes, h.idle)),
            cuts = selectCuts(heads, wanted, NOW),
            freed = cuts.reduce((n, h) => n + h.bytes, 0);
          if (freed < wanted) expect(cuts.length).toBe(heads.length);
          else expect(freed - (cuts.at(-1)?.bytes ?? 0)).toBeLessThan(Math.max(1, wanted));
        },
      ),
    );
  });

  it("takes the largest of heads that are written to, and small idle ones before a large busy one", () => {
    const large = head(1000),
      middle = head(500),
      small = Array.from({ length: 20 }, () => head(50));
    expect(selectCuts([middle, large, ...small], 900, NOW)).toEqual([large]);
    const idle = Array.from({ length: 20 }, () => head(50, 600_000));
    expect(selectCuts([middle, large, ...idle], 900, NOW)).toEqual(idle.slice(0, 18));
  });

  it("cuts nothing when nothing has to become free", () => {
    expect(selectCuts([head(5)], 0, NOW)).toEqual([]);
    expect(selectCuts([head(5)], -1, NOW)).toEqual([]);
  });
});
