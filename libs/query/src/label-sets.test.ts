import { fromBinary, toBinary, create } from "@bufbuild/protobuf";
import { SeriesResponseSchema } from "@cinderblock/api";
import { type Label, labelsKey } from "@cinderblock/model";
import fc from "fast-check";
import { countValues, encodeSeriesResponse, LabelSetMerger, labelsOfSets } from "./label-sets.ts";
import { distinctSets, withoutColumns } from "./labels.ts";

const text = fc.oneof(
  fc.constantFrom("", "a", "b", "pod", "é", "日本"),
  fc.string({ unit: "grapheme", maxLength: 200 }),
);
const labelSets = fc.array(
  fc.array(fc.record({ name: text, value: text }), { minLength: 1, maxLength: 40 }),
  { maxLength: 12 },
);
const distinct = (sets: readonly Label[][]): Label[][] => [
  ...new Map(sets.map((s) => [labelsKey(s), s])).values(),
];
const columnsOf = (sets: readonly Label[][]): ReturnType<LabelSetMerger["finish"]> => {
  const merger = new LabelSetMerger();
  for (const s of sets) merger.addLabels(s);
  return merger.finish();
};

describe("label sets as columns", () => {
  it("hold each distinct set once, whatever tables and sets they come from", () => {
    fc.assert(
      fc.property(labelSets, labelSets, labelSets, (a, b, c) => {
        const answer = { names: [], sets: a, tables: [columnsOf(b), columnsOf(c)] };
        expect(labelsOfSets(distinctSets(answer))).toEqual(distinct([...a, ...b, ...c]));
        expect(distinct(withoutColumns(answer).sets)).toEqual(distinct([...a, ...b, ...c]));
        const short = [...a, ...b, ...c]
          .map((s) => s.filter((l) => l.name.length < 2))
          .filter((s) => s.length > 0);
        expect(labelsOfSets(distinctSets(answer, (name) => name.length < 2))).toEqual(distinct(short));
      }),
    );
  });

  it("have the bytes that the generated encoder writes", () => {
    fc.assert(
      fc.property(labelSets, (sets) => {
        const unique = distinct(sets),
          message = create(SeriesResponseSchema, { labelsSet: unique.map((labels) => ({ labels })) }),
          bytes = encodeSeriesResponse(columnsOf(sets));
        expect(Buffer.from(bytes)).toEqual(Buffer.from(toBinary(SeriesResponseSchema, message)));
        expect(fromBinary(SeriesResponseSchema, bytes)).toEqual(message);
      }),
    );
  });

  it("count the sets of each value of a name", () => {
    const l = (name: string, value: string): Label => ({ name, value });
    const sets = columnsOf([
      [l("a", "1"), l("b", "x")],
      [l("a", "1"), l("b", "y")],
      [l("b", "x")],
      [l("a", "2")],
    ]);
    expect([...countValues(sets, "a")]).toEqual([
      ["1", 2],
      ["2", 1],
    ]);
    expect(countValues(sets, "c").size).toBe(0);
  });
});
