import { Random } from "@cinderblock/testkit";
import {
  Codec,
  type ColumnSource,
  decodeChunk,
  decodeColumnIndex,
  decodeFooter,
  decodeOffsetIndex,
  Encoding,
  footerLength,
  ParquetWriter,
  PhysicalType,
} from "./index.ts";

const { INT64 } = PhysicalType;
const SCHEMA = [
  { name: "Row", children: 3 },
  { name: "Signed", type: INT64, repetition: 0 },
  { name: "TotalValue", type: INT64, repetition: 0 },
  { name: "list", repetition: 2, children: 4 },
  { name: "All", type: INT64, repetition: 0 },
  { name: "Gone", type: INT64, repetition: 1 },
  { name: "Some", type: INT64, repetition: 1 },
  { name: "Again", type: INT64, repetition: 0 },
];

describe("columns of a row group", () => {
  const random = new Random(29);
  const numbers = (n: number): BigInt64Array =>
    BigInt64Array.from(
      { length: n },
      () =>
        [1n, -1n, 1n << 32n, -(1n << 32n), (1n << 63n) - 1n, -(1n << 63n), BigInt(random.below(1e9))][
          random.below(7)
        ]!,
    );
  const int64 = (bytes: Uint8Array): bigint => Buffer.from(bytes).readBigInt64LE();

  it("have their lists' levels, and value bounds per page", () => {
    for (let round = 0; round < 40; round++) {
      const n = 1 + random.below(50),
        offset = new Uint32Array(n + 1);
      for (let i = 0; i < n; i++)
        offset[i + 1] = offset[i]! + (random.below(4) === 0 ? 0 : random.below(round % 4 === 0 ? 300 : 9));
      const entries = offset[n]!,
        present = Uint8Array.from({ length: entries }, () => random.below(2)),
        some = present.reduce((a, b) => a + b, 0);
      const flat = (path: string): ColumnSource => ({
        path,
        type: INT64,
        encoding: Encoding.PLAIN,
        maxDef: 0,
        maxRep: 0,
        values: numbers(n),
        count: n,
      });
      const list = (path: string, count: number, more: Partial<ColumnSource>): ColumnSource => ({
        path: `list.${path}`,
        type: INT64,
        encoding: Encoding.PLAIN,
        maxDef: 2,
        maxRep: 1,
        values: numbers(count),
        count,
        offset,
        ...more,
      });
      const columns = [
        flat("Signed"),
        flat("TotalValue"),
        list("All", entries, { maxDef: 1 }),
        list("Gone", 0, { allNullAt: 1 }),
        list("Some", some, { present, encoding: Encoding.RLE_DICTIONARY }),
        list("Again", entries, { maxDef: 1 }),
      ];
      const writer = new ParquetWriter(SCHEMA, {
        createdBy: "t",
        codec: Codec.ZSTD,
        level: 1,
        rowsPerPage: 1 + random.below(20),
        entriesPerPage: 1 + random.below(500),
      });
      const lists: Uint32Array[] = [];
      for (let group = 0; group < 2; group++) {
        // The second group has other lists in the same memory.
        if (group === 1)
          for (let i = 0; i < n; i++)
            offset[i + 1] =
              offset[i]! +
              (i === n - 1
                ? entries - offset[i]!
                : random.below(2) === 0
                  ? 0
                  : Math.min(2, entries - offset[i]!));
        writer.writeRowGroup(n, columns);
        lists.push(offset.slice());
      }
      const file = writer.finish(),
        meta = decodeFooter(
          file.subarray(file.length - 8 - footerLength(file.subarray(file.length - 8)), file.length - 8),
        );
      lists.forEach((of, group) => {
        for (const c of columns) {
          const chunk = meta.rowGroups[group]!.columns.get(c.path)!,
            got = decodeChunk(file.subarray(chunk.start, chunk.start + chunk.sizeBytes), chunk);
          const rep: number[] = [],
            def: number[] = [];
          if (c.offset)
            for (let i = 0; i < n; i++) {
              if (of[i] === of[i + 1]) {
                rep.push(0);
                def.push(0);
              }
              for (let k = of[i]!; k < of[i + 1]!; k++) {
                rep.push(k === of[i] ? 0 : 1);
                def.push(c.allNullAt ?? (c.present && !c.present[k] ? c.maxDef - 1 : c.maxDef));
              }
            }
          expect((got.rep ?? []).join()).toBe(rep.join());
          expect((got.def ?? []).join()).toBe(def.join());
          expect(got.values).toEqual(c.values);
          const { columnIndex, offsetIndex } = chunk,
            bounds = decodeColumnIndex(
              file.subarray(columnIndex!.offset, columnIndex!.offset + columnIndex!.length),
            );
          const pages = decodeOffsetIndex(
            file.subarray(offsetIndex!.offset, offsetIndex!.offset + offsetIndex!.length),
          );
          let at = 0;
          pages.forEach(({ firstRow }, p) => {
            const to = pages[p + 1]?.firstRow ?? n;
            let count = to - firstRow;
            if (c.offset) {
              count = 0;
              for (let k = of[firstRow]!; k < of[to]!; k++)
                if (c.allNullAt === undefined && (c.present?.[k] ?? 1) !== 0) count++;
            }
            const values = [...(c.values as BigInt64Array).subarray(at, (at += count))].sort((a, b) => {
              const x = c.path === "TotalValue" ? BigInt.asUintN(64, a) : a,
                y = c.path === "TotalValue" ? BigInt.asUintN(64, b) : b;
              return x < y ? -1 : x > y ? 1 : 0;
            });
            expect(bounds.nullPages[p]).toBe(count === 0);
            if (count > 0)
              expect([int64(bounds.min[p]!), int64(bounds.max[p]!)]).toEqual([values[0], values.at(-1)]);
          });
        }
      });
    }
  });
});
