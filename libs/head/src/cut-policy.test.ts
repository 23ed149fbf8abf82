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
  it("cuts frozen heads, and idle heads after their window", () => {
    const over = { ...head(1, 1000), windowEndMs: NOW - 1 };
    expect(isCutDue(head(1, 0, true), NOW, 500)).toBe(true);
    expect(isCutDue(over, NOW, 500)).toBe(true);
    expect(isCutDue(over, NOW, 2000)).toBe(false);
    expect(isCutDue(head(1, 1000), NOW, 500)).toBe(false);
  });

  it("frees the requested bytes with as few heads as possible", () => {
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

  it("selects the largest of active heads, and small idle heads before a large active one", () => {
    const large = head(1000),
      middle = head(500),
      small = Array.from({ length: 20 }, () => head(50));
    expect(selectCuts([middle, large, ...small], 900, NOW)).toEqual([large]);
    const idle = Array.from({ length: 20 }, () => head(50, 600_000));
    expect(selectCuts([middle, large, ...idle], 900, NOW)).toEqual(idle.slice(0, 18));
  });

  it("cuts no head if no bytes are requested", () => {
    expect(selectCuts([head(5)], 0, NOW)).toEqual([]);
    expect(selectCuts([head(5)], -1, NOW)).toEqual([]);
  });
});
