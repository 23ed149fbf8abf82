import { Int32, Int64, Table, tableFromIPC, tableToIPC, Utf8, vectorFromArray } from "apache-arrow";
import {
  Compression,
  readParquet,
  Table as WasmTable,
  writeParquet,
  WriterPropertiesBuilder,
} from "parquet-wasm";
import { AnnotationSets } from "@cinderblock/model";
import {
  type BinaryValues,
  Codec,
  ColumnCursor,
  decodeChunk,
  decodeColumnIndex,
  decodeFooter,
  decodeOffsetIndex,
  Encoding,
  footerLength,
  ParquetWriter,
  PhysicalType,
  rowOffsets,
} from "@cinderblock/parquet";
import { mutations, Random } from "@cinderblock/testkit";
import { ColumnPath, CREATED_BY, encodeProfileTable, mayHaveAnnotations, type ProfileRows } from "./index.ts";

function rows(n: number, spans: boolean): ProfileRows {
  const random = new Random(n + 1);
  const perRow = Array.from({ length: n }, () => random.below(12));
  const samples = perRow.reduce((a, b) => a + b, 0);
  const r: ProfileRows = {
    length: n,
    id: new Uint8Array(n * 16),
    seriesIndex: new Int32Array(n),
    partition: new BigInt64Array(n),
    totalValue: new BigInt64Array(n),
    timeNanos: new BigInt64Array(n),
    durationNanos: new BigInt64Array(n),
    sampleOffset: new Uint32Array(n + 1),
    stacktraceId: new Uint32Array(samples),
    value: new BigInt64Array(samples),
    ...(spans ? { spanId: new BigInt64Array(samples), hasSpan: new Uint8Array(samples) } : {}),
  };
  let at = 0;
  for (let i = 0; i < n; i++) {
    r.id.fill(i & 255, i * 16, i * 16 + 16);
    r.seriesIndex[i] = Math.floor(i / 7);
    r.partition[i] = i % 2 === 0 ? -3n : 2n ** 62n;
    r.timeNanos[i] = 1_795_409_460_000_000_000n + BigInt(i);
    r.durationNanos[i] = i % 3 === 0 ? 0n : 15_000_000_000n;
    for (let k = 0; k < perRow[i]!; k++, at++) {
      r.stacktraceId[at] = 1 + random.below(0xfffffff0);
      r.value[at] = BigInt(random.below(2 ** 31)) * (i % 5 === 0 ? 2n ** 31n : 1n);
      r.totalValue[i]! += r.value[at]!;
      if (spans && i % 4 === 0) {
        r.spanId![at] = BigInt(random.below(100));
        r.hasSpan![at] = 1;
      }
    }
    r.sampleOffset[i + 1] = at;
  }
  return r;
}

const bytesOf = (v: BigInt64Array): Buffer => Buffer.from(v.buffer, v.byteOffset, v.byteLength);

function footer(bytes: Uint8Array) {
  const n = footerLength(bytes);
  return decodeFooter(bytes.subarray(bytes.length - 8 - n, bytes.length - 8));
}

describe("profiles.parquet", () => {
  it.each([
    [1, false],
    [500, true],
    [20_000, true],
  ])("round-trips %i rows (spans: %s)", (n, spans) => {
    const r = rows(n, spans);
    const { bytes } = encodeProfileTable(r, "test");
    const meta = footer(bytes);
    expect(meta.numRows).toBe(n);
    const column = (path: string) => {
      const c = meta.rowGroups[0]!.columns.get(path)!;
      return decodeChunk(bytes.subarray(c.start, c.start + c.sizeBytes), c);
    };
    expect(bytesOf(column(ColumnPath.timeNanos).values as BigInt64Array).equals(bytesOf(r.timeNanos))).toBe(
      true,
    );
    expect([...(column(ColumnPath.partition).values as BigInt64Array)].slice(0, 4)).toEqual(
      [...r.partition].slice(0, 4),
    );
    const value = column(ColumnPath.value);
    expect(bytesOf(value.values as BigInt64Array).equals(bytesOf(r.value))).toBe(true);
    expect([...rowOffsets(value, n, 1)]).toEqual([...r.sampleOffset]);
    if (spans)
      expect([...(column(ColumnPath.spanId).values as BigInt64Array)]).toEqual(
        [...r.spanId!].filter((_, i) => r.hasSpan![i] === 1),
      );
  });

  it("keeps the annotations of rows, and shows in the footer whether any exist", async () => {
    const n = 20_000,
      sets = new AnnotationSets(),
      lists = [
        [],
        [{ key: "k", value: "é" }],
        [
          { key: "k", value: "" },
          { key: "longer", value: "{}" },
        ],
      ].map((l) => sets.intern(l));
    const set = Uint32Array.from({ length: n }, (_, i) => lists[i < 9000 ? 0 : i % 3]!);
    const { bytes } = encodeProfileTable({ ...rows(n, false), annotations: { set, sets } }, CREATED_BY),
      meta = footer(bytes);
    const texts = (path: string) => {
      const c = meta.rowGroups[0]!.columns.get(path)!,
        d = decodeChunk(bytes.subarray(c.start, c.start + c.sizeBytes), c),
        v = d.values as BinaryValues;
      return {
        offset: rowOffsets(d, n, 1),
        at: (k: number) => Buffer.from(v.bytes.subarray(v.offset[k]!, v.offset[k + 1]!)).toString(),
      };
    };
    const keys = texts(ColumnPath.annotationKey),
      values = texts(ColumnPath.annotationValue);
    expect([...keys.offset]).toEqual([...values.offset]);
    const table = tableFromIPC(readParquet(bytes).intoIPCStream()).getChild("Annotations")!;
    for (const i of [0, 8999, 9000, 9001, 9002, 16_384, n - 1]) {
      const list = Array.from({ length: keys.offset[i + 1]! - keys.offset[i]! }, (_, k) => ({
        key: keys.at(keys.offset[i]! + k),
        value: values.at(keys.offset[i]! + k),
      }));
      expect(list).toEqual(sets.annotationsAt(set[i]!));
      expect(
        [...(table.get(i) as Iterable<{ Key: string; Value: string }>)].map((x) => ({
          key: x.Key,
          value: x.Value,
        })),
      ).toEqual(sets.annotationsAt(set[i]!));
    }
    expect(mayHaveAnnotations(meta, meta.rowGroups[0]!)).toBe(true);
    // Also read sequentially, in runs that end within pages.
    const cursor = new ColumnCursor(meta, ColumnPath.annotationValue, "t", 1 << 20, (offset, size) =>
      Promise.resolve(bytes.subarray(offset, offset + size)),
    );
    let row = 0;
    for (const take of [1, 10_000, n - 10_001]) {
      const { offset, texts } = await cursor.readRun(take);
      for (let i = 0; i < take; i++, row++)
        expect(
          Array.from({ length: offset![i + 1]! - offset![i]! }, (_, k) =>
            Buffer.from(
              texts!.bytes.subarray(texts!.offset[offset![i]! + k]!, texts!.offset[offset![i]! + k + 1]!),
            ).toString(),
          ),
        ).toEqual(sets.annotationsAt(set[row]!).map((a) => a.value));
    }
    const none = footer(encodeProfileTable(rows(10, false), CREATED_BY).bytes),
      others = footer(encodeProfileTable(rows(10, false), "others").bytes);
    expect([
      mayHaveAnnotations(none, none.rowGroups[0]!),
      mayHaveAnnotations(others, others.rowGroups[0]!),
    ]).toEqual([false, true]);
  });

  it.each([
    ["DELTA_LENGTH_BYTE_ARRAY, as v1 writes them", Encoding.DELTA_LENGTH_BYTE_ARRAY],
    ["PLAIN", Encoding.PLAIN],
  ])("lists of strings are read in %s", async (_name, encoding) => {
    const n = 5000,
      lists = Array.from({ length: n }, (_, i) =>
        Array.from({ length: i % 4 }, (_x, k) => `value ${i} ${"é".repeat(k)}`),
      ),
      bytes = Buffer.from(lists.flat().join(""));
    const offset = new Uint32Array(lists.flat().length + 1),
      rowOffset = new Uint32Array(n + 1);
    lists.flat().forEach((t, i) => {
      offset[i + 1] = offset[i]! + Buffer.byteLength(t);
    });
    lists.forEach((l, i) => {
      rowOffset[i + 1] = rowOffset[i]! + l.length;
    });
    const writer = new ParquetWriter(
      [
        { name: "Row", children: 1 },
        { name: "list", repetition: 2, children: 1 },
        { name: "Text", type: PhysicalType.BYTE_ARRAY, repetition: 0 },
      ],
      { createdBy: "t", codec: Codec.ZSTD, level: 3, rowsPerPage: 700, entriesPerPage: 1000 },
    );
    writer.writeRowGroup(n, [
      {
        path: "list.Text",
        type: PhysicalType.BYTE_ARRAY,
        encoding,
        maxDef: 1,
        maxRep: 1,
        values: { bytes, offset },
        count: offset.length - 1,
        offset: rowOffset,
      },
    ]);
    const file = writer.finish(),
      cursor = new ColumnCursor(footer(file), "list.Text", "t", 1 << 12, (at, size) =>
        Promise.resolve(file.subarray(at, at + size)),
      );
    const run = await cursor.readRun(n);
    expect(
      Array.from({ length: n }, (_, i) =>
        Array.from({ length: run.offset![i + 1]! - run.offset![i]! }, (_x, k) =>
          Buffer.from(
            run.texts!.bytes.subarray(
              run.texts!.offset[run.offset![i]! + k]!,
              run.texts!.offset[run.offset![i]! + k + 1]!,
            ),
          ).toString(),
        ),
      ),
    ).toEqual(lists);
  });

  it("has a column index and an offset index for every column, which v1 needs", () => {
    const { bytes } = encodeProfileTable(rows(20_000, false), "test");
    for (const group of footer(bytes).rowGroups) {
      for (const [path, c] of group.columns) {
        const pages = decodeOffsetIndex(
          bytes.subarray(c.offsetIndex!.offset, c.offsetIndex!.offset + c.offsetIndex!.length),
        );
        const bounds = decodeColumnIndex(
          bytes.subarray(c.columnIndex!.offset, c.columnIndex!.offset + c.columnIndex!.length),
        );
        expect(pages.length).toBe(3);
        expect(bounds.min.length).toBe(3);
        expect(pages.map((p) => p.firstRow)).toEqual([0, 8192, 16384]);
        if (path === ColumnPath.seriesIndex)
          expect(bounds.max.map((m) => new DataView(m.buffer, m.byteOffset).getInt32(0, true))).toEqual([
            1170, 2340, 2857,
          ]);
      }
    }
  });

  it("is read the same by an independent reader (parquet-wasm and apache-arrow)", () => {
    const r = rows(3000, true);
    const { bytes } = encodeProfileTable(r, "test");
    const table = tableFromIPC(readParquet(bytes).intoIPCStream());
    expect(table.numRows).toBe(3000);
    expect(table.schema.fields.map((f) => f.name)).toEqual([
      "ID",
      "SeriesIndex",
      "StacktracePartition",
      "TotalValue",
      "Samples",
      "DropFrames",
      "KeepFrames",
      "TimeNanos",
      "DurationNanos",
      "Period",
      "Comments",
      "DefaultSampleType",
      "Annotations",
    ]);
    for (const i of [0, 1, 7, 1500, 2999]) {
      const row = table.get(i)!.toJSON() as unknown as {
        TotalValue: bigint;
        SeriesIndex: number;
        Samples: Iterable<{ StacktraceID: bigint; Value: bigint }>;
      };
      expect(BigInt.asIntN(64, BigInt(row.TotalValue))).toBe(r.totalValue[i]);
      expect(Number(row.SeriesIndex)).toBe(r.seriesIndex[i]);
      const samples = [...row.Samples];
      expect(samples.map((s) => s.Value)).toEqual([
        ...r.value.subarray(r.sampleOffset[i], r.sampleOffset[i + 1]),
      ]);
      expect(samples.map((s) => Number(s.StacktraceID))).toEqual([
        ...r.stacktraceId.subarray(r.sampleOffset[i], r.sampleOffset[i + 1]),
      ]);
    }
  });

  it("survives mutated chunks: an error that names the column, or values", () => {
    const { bytes } = encodeProfileTable(rows(300, true), "test");
    const meta = footer(bytes);
    const random = new Random(7);
    let refused = 0;
    for (let i = 0; i < mutations(800); i++) {
      const columns = [...meta.rowGroups[0]!.columns.values()];
      const c = columns[random.below(columns.length)]!;
      try {
        decodeChunk(random.mutate(bytes.subarray(c.start, c.start + c.sizeBytes)), c, "t");
      } catch (err) {
        expect((err as Error).name).toMatch(/CorruptError|CinderblockError/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(130);
  });
  it("survives mutated footers: an error that names the file, or a table", () => {
    const { bytes } = encodeProfileTable(rows(300, true), "test");
    const n = footerLength(bytes),
      good = bytes.subarray(bytes.length - 8 - n, bytes.length - 8);
    const random = new Random(8);
    let refused = 0;
    for (let i = 0; i < mutations(800); i++) {
      try {
        const meta = decodeFooter(random.mutate(good));
        // Readers must get existing bytes or an error.
        for (const g of meta.rowGroups)
          for (const c of g.columns.values())
            decodeChunk(
              bytes.subarray(
                Math.max(0, c.start),
                Math.max(0, Math.min(bytes.length, c.start + c.sizeBytes)),
              ),
              c,
              "t",
            );
      } catch (err) {
        expect((err as Error).name).toMatch(/CorruptError|CinderblockError/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(130);
  });
});

describe("tables of another writer (parquet-wasm and apache-arrow)", () => {
  it.each([
    ["uncompressed", Compression.UNCOMPRESSED],
    ["snappy", Compression.SNAPPY],
    ["zstd", Compression.ZSTD],
    ["gzip", Compression.GZIP],
    ["lz4", Compression.LZ4_RAW],
  ])("are read: %s", (_, codec) => {
    const n = 5000,
      random = new Random(9);
    const numbers = Array.from({ length: n }, () => random.below(2 ** 31)),
      names = Array.from({ length: n }, (_x, i) => `name ${i % 37}`);
    const table = new Table({
      time: vectorFromArray(
        numbers.map((v) => BigInt(v) * 1_000_003n),
        new Int64(),
      ),
      series: vectorFromArray(
        numbers.map((v) => v % 1000),
        new Int32(),
      ),
      name: vectorFromArray(names, new Utf8()),
      maybe: vectorFromArray(
        numbers.map((v) => (v % 3 === 0 ? null : BigInt(v))),
        new Int64(),
      ),
    });
    const bytes = writeParquet(
      WasmTable.fromIPCStream(tableToIPC(table, "stream")),
      new WriterPropertiesBuilder().setCompression(codec).setMaxRowGroupSize(2000).build(),
    );
    const meta = footer(bytes);
    expect(meta.rowGroups.length).toBe(3);
    const column = (name: string) =>
      meta.rowGroups.map((g) => {
        const c = g.columns.get(name)!;
        return decodeChunk(bytes.subarray(c.start, c.start + c.sizeBytes), c, name);
      });
    expect(column("time").flatMap((c) => [...(c.values as BigInt64Array)])).toEqual(
      numbers.map((v) => BigInt(v) * 1_000_003n),
    );
    expect(column("series").flatMap((c) => [...(c.values as Int32Array)])).toEqual(
      numbers.map((v) => v % 1000),
    );
    expect(column("maybe").flatMap((c) => [...(c.values as BigInt64Array)])).toEqual(
      numbers.filter((v) => v % 3 !== 0).map(BigInt),
    );
    const texts = column("name").flatMap((c) => {
      const v = c.values as { bytes: Uint8Array; offset: Uint32Array };
      return Array.from({ length: v.offset.length - 1 }, (_x, i) =>
        Buffer.from(v.bytes.subarray(v.offset[i]!, v.offset[i + 1]!)).toString(),
      );
    });
    expect(texts).toEqual(names);
  });
});
