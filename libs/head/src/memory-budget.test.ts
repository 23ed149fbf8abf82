import fc from "fast-check";
import type { CinderblockError } from "@cinderblock/errors";
import { type MeasuredHead, MemoryBudget } from "./memory-budget.ts";

class Thing implements MeasuredHead {
  readonly tenant: string;
  byteLength: number;
  indexBytes = 0;
  constructor(tenant: string, byteLength: number) {
    this.tenant = tenant;
    this.byteLength = byteLength;
  }
}
const refused = (b: MemoryBudget, tenant: string): CinderblockError | undefined => {
  try {
    b.require(tenant);
    return undefined;
  } catch (err) {
    return err as CinderblockError;
  }
};

describe("the memory budget of heads", () => {
  it("tracks the memory of heads through growth, shrinking and removal", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.integer({ min: 0, max: 7 }), fc.constantFrom("grow", "leave", "drop"), fc.nat(1000)),
          {
            maxLength: 100,
          },
        ),
        (steps) => {
          let told = 0;
          const b = new MemoryBudget(1e9, (bytes) => {
            told = bytes;
          });
          const things = Array.from({ length: 8 }, (_, i) => new Thing(`t${i % 3}`, 0)),
            live = new Set<Thing>();
          for (const [i, what, bytes] of steps) {
            const t = things[i]!;
            if (what === "drop") {
              b.drop(t);
              live.delete(t);
              t.byteLength = 0;
            } else if (what === "leave") b.releaseHead(t);
            else {
              t.byteLength += bytes;
              b.measure(t);
              live.add(t);
            }
            const used = [...live].reduce((n, x) => n + x.byteLength, 0);
            expect([b.usedBytes, told]).toEqual([used, used]);
            if (live.size === 0) for (const x of things) expect(refused(b, x.tenant)).toBeUndefined();
          }
        },
      ),
    );
  });

  it("measures a head whose index a query has extended, until it is dropped", () => {
    const b = new MemoryBudget(1e9),
      head = new Thing("t", 1e6);
    b.measureIndexed(head);
    expect(b.usedBytes).toBe(0);
    b.measure(head);
    head.byteLength = 2e6;
    b.measureIndexed(head);
    expect(b.usedBytes).toBe(1e6);
    head.indexBytes = 5e5;
    b.measureIndexed(head);
    expect(b.usedBytes).toBe(2e6);
    b.drop(head);
    head.indexBytes = 6e5;
    b.measureIndexed(head);
    expect(b.usedBytes).toBe(0);
  });

  it("measures a small head after each profile and a large one after some", () => {
    const b = new MemoryBudget(1e9),
      head = new Thing("t", 1000);
    b.recordGrowth(head, 10);
    head.byteLength = 2000;
    b.recordGrowth(head, 10);
    expect(b.usedBytes).toBe(2000);
    head.byteLength = 1e6;
    b.recordGrowth(head, 10);
    head.byteLength = 2e6;
    for (let i = 0; i < 15; i++) b.recordGrowth(head, 10);
    expect(b.usedBytes).toBe(1e6);
    b.recordGrowth(head, 10);
    expect(b.usedBytes).toBe(2e6);
    // A head grows by the log bytes of a profile.
    head.byteLength = 3e6;
    b.recordGrowth(head, 1e6);
    expect(b.usedBytes).toBe(3e6);
  });

  it("refuses when it is full, with numbers and the flag", () => {
    const b = new MemoryBudget(1000);
    b.measure(new Thing("a", 1000));
    expect(refused(b, "b")).toMatchObject({
      kind: "no-room",
      message:
        "heads of this ingest thread use 1000 bytes; the limit is 1000 (its share of -memory.head-bytes)",
      detail: { resource: "heads", usedBytes: 1000, limit: 1000 },
    });
  });

  it("grants a single tenant most of it, and most of the memory freed by a cut", () => {
    const b = new MemoryBudget(1000);
    const fill = (): Thing => {
      const head = new Thing("a", 0);
      while (!refused(b, "a")) {
        head.byteLength++;
        b.measure(head);
      }
      return head;
    };
    const first = fill();
    expect(first.byteLength).toBe(801);
    expect(refused(b, "a")).toMatchObject({
      kind: "no-room",
      detail: { usedBytes: 801, limit: 796 },
    });
    expect(refused(b, "b")).toBeUndefined();
    b.releaseHead(first);
    expect(fill().byteLength).toBe(160);
    expect(refused(b, "b")).toBeUndefined();
    b.drop(first);
    expect(refused(b, "a")).toBeUndefined();
  });

  it("reserves memory for small tenants, for any number of large ones", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.nat(19), fc.integer({ min: 1, max: 5000 })), { minLength: 200, maxLength: 400 }),
        (tenants, pushes) => {
          const LIMIT = 1_000_000,
            b = new MemoryBudget(LIMIT);
          const heads = Array.from({ length: tenants }, (_, i) => new Thing(`large-${i}`, 0));
          for (const [at, bytes] of pushes) {
            const head = heads[at % tenants]!;
            if (refused(b, head.tenant)) continue;
            head.byteLength += bytes;
            b.measure(head);
          }
          expect(refused(b, "small")).toBeUndefined();
          // A tenant that uses at most its share of the free memory may continue.
          const small = new Thing("small", Math.floor((LIMIT - b.usedBytes) / 2));
          b.measure(small);
          expect(refused(b, "small")).toBeUndefined();
        },
      ),
    );
  });
});
