import type { Pace } from "@cinderblock/async";
import { type Label, type Labels, parseSelector } from "@cinderblock/model";
import fc from "fast-check";
import { LabelIndex, type LabelSets } from "./label-index.ts";
import { labelSet, selectors, unique, walk } from "./labels.testing.ts";

const series = (values: readonly string[]): { labels: Labels }[] =>
  values.map((value) => ({ labels: [{ name: "path", value }] }));

/** A pace whose slices end at once; it aborts the work at pause number `last`. */
class Impatient implements Pace {
  pauses = 0;
  private readonly last: number;
  constructor(last = Infinity) {
    this.last = last;
  }
  due(): boolean {
    return true;
  }
  next(): Promise<void> {
    return ++this.pauses > this.last ? Promise.reject(new Error("context canceled")) : Promise.resolve();
  }
}

describe("preparing a selection", () => {
  const list = series(["a1", "a1", "b", "a2", "b"]);

  it("pauses before each new value of a regular expression", async () => {
    const index = new LabelIndex(list),
      selector = parseSelector('{path=~"a.{0,9}", other!~"x+"}'),
      pace = new Impatient();
    await index.prepare(selector, pace);
    // One check of the clock per thousand series; "" and three values of `path`, and "" of `other`.
    expect(pace.pauses).toBe(1 + 4 + 1);
    await index.prepare(selector, pace);
    // One check per thousand values.
    expect(pace.pauses).toBe(8);
    expect(index.select(selector)).toEqual([0, 1, 3]);
  });

  it("runs a regular expression only on values of series that the equalities leave", async () => {
    const index = new LabelIndex(list.map(({ labels }, i) => ({ labels: [...labels, label("n", i)] }))),
      selector = parseSelector('{path=~"a.{0,9}", n="3"}');
    await index.prepare(selector, new Impatient());
    expect(["", "a2", "a1", "b"].map((v) => selector[0]!.isCostly(v))).toEqual([false, false, true, true]);
    expect(index.select(selector)).toEqual([3]);
  });

  it("pauses only to index new series without a regular expression", async () => {
    const many = series(Array.from({ length: 3000 }, (_, i) => `v${i}`)),
      index = new LabelIndex(many),
      pace = new Impatient(),
      selector = parseSelector('{path="v7", other!="x"}');
    await index.prepare(selector, pace);
    expect(pace.pauses).toBe(3);
    await index.prepare(selector, pace);
    expect(pace.pauses).toBe(3);
    expect(index.select(selector)).toEqual([7]);
  });

  it("stops when its pace ends", async () => {
    const selector = parseSelector('{path=~"a.*|b+"}');
    await expect(new LabelIndex(list).prepare(selector, new Impatient(3))).rejects.toThrow(
      "context canceled",
    );
    expect(["", "a1", "b", "a2"].map((v) => selector[0]!.isCostly(v))).toEqual([false, false, true, true]);
  });
});

const label = (name: string, value: string | number): Label => ({ name, value: String(value) });

const setsOf = (s: LabelSets): Label[][] =>
  Array.from(s.ends, (end, i) =>
    Array.from(s.pairs.subarray(i === 0 ? 0 : s.ends[i - 1], end), (p) => ({
      name: s.names[s.nameOf[p]!]!,
      value: s.values[p]!,
    })),
  );

describe("a label index", () => {
  it("answers as a walk over all series does", () => {
    fc.assert(
      fc.property(
        fc.array(labelSet, { maxLength: 40 }),
        fc.array(labelSet, { maxLength: 40 }),
        fc.array(selectors, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 4 }),
        (first, later, asked, step) => {
          const list: { labels: Labels }[] = first.map((labels) => ({ labels })),
            index = new LabelIndex(list),
            accepts = (i: number): boolean => i % step === 0;
          for (const more of [[], later]) {
            for (const labels of more) list.push({ labels });
            const all = list.map((_, i) => i);
            expect(setsOf(index.sets())).toEqual(list.map((s) => s.labels));
            for (const selector of asked) {
              const picked = index.select(parseSelector(selector));
              expect(picked).toEqual(walk.select(list, selector));
              for (const from of [undefined, picked])
                for (const test of [undefined, accepts]) {
                  const labels = walk.of(list, (from ?? all).filter(test ?? (() => true)));
                  expect(index.names(from, test).sort()).toEqual(unique(labels.map((l) => l.name)));
                  for (const name of ["a", "b", "absent"])
                    expect(index.values(name, from, test).sort()).toEqual(
                      unique(labels.filter((l) => l.name === name).map((l) => l.value)),
                    );
                }
            }
          }
        },
      ),
    );
  });

  it("reads a number of series that does not grow with the index", () => {
    const list = Array.from({ length: 5000 }, (_, i) => ({
        labels: [label("service_name", i % 10), label("pod", i), label("zone", "x")],
      })),
      index = new LabelIndex(list);
    let reads = 0;
    const accepts = (): boolean => {
      reads++;
      return true;
    };
    expect(index.names(undefined, accepts)).toEqual(["service_name", "pod", "zone"]);
    expect(index.values("service_name", undefined, accepts)).toHaveLength(10);
    expect(reads).toBeLessThanOrEqual(13);
    reads = 0;
    expect(index.names(index.select(parseSelector('{pod="7"}')), accepts)).toHaveLength(3);
    expect(reads).toBe(1);
  });

  it("counts the memory of its series", () => {
    const list: { labels: Labels }[] = [],
      index = new LabelIndex(list),
      sizes = [0, 1000, 2000].map((n) => {
        while (list.length < n) list.push({ labels: [label("a", list.length), label("b", "x")] });
        index.select([]);
        return index.byteLength;
      });
    expect(sizes[0]).toBeLessThan(200);
    expect(sizes[2]! - sizes[1]!).toBeGreaterThan(1000 * 80);
  });
});
