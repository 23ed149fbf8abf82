import { AnnotationSets, mergeAnnotations } from "./index.ts";

const a = { key: "a", value: "1" },
  b = { key: "b", value: "2" },
  other = { key: "a", value: "2" };

describe("annotations", () => {
  it("are merged by key and value, each once", () => {
    expect(mergeAnnotations([b, a], [a, other])).toEqual([a, other, b]);
    expect(mergeAnnotations([b, a], [])).toEqual([b, a]);
  });
  it("are kept once however many profiles have them", () => {
    const sets = new AnnotationSets();
    expect([
      sets.intern([]),
      sets.intern([a, b]),
      sets.intern([b]),
      sets.intern([{ ...a }, { ...b }]),
      sets.length,
    ]).toEqual([0, 1, 2, 1, 3]);
    expect([sets.annotationsAt(0), sets.annotationsAt(1), sets.annotationsAt(2)]).toEqual([[], [a, b], [b]]);
    expect(sets.union(1, 2)).toBe(1);
    expect(sets.union(0, 2)).toBe(2);
    expect(sets.annotationsAt(sets.union(2, sets.intern([other])))).toEqual([other, b]);
    expect(sets.intern([{ key: "a", value: '1","b' }])).not.toBe(sets.intern([{ key: 'a","1', value: "b" }]));
    expect(sets.byteLength).toBeGreaterThan(0);
  });
});
