import { CorruptError } from "@cinderblock/errors";
import { mutations, Random } from "@cinderblock/testkit";
import fc from "fast-check";
import { encodeIndex, IndexFile, type IndexSeries, seriesOf } from "./index.ts";
import { repaired } from "./repaired.testing.ts";

const readerOf =
  (bytes: Uint8Array) =>
  (offset: number, size: number): Promise<Uint8Array> =>
    Promise.resolve(bytes.slice(offset, offset + size));
const open = (bytes: Uint8Array, tailBytes = 100): Promise<IndexFile> =>
  IndexFile.open("b/index.tsdb", bytes.length, tailBytes, readerOf(bytes));

const oneSeries = (labels: Record<string, string>, i: number): IndexSeries => ({
  labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
  fingerprint: BigInt(i),
  minTime: BigInt(i),
  maxTime: BigInt(i) + 5n,
  seriesIndex: i,
  kb: 0,
  checksum: 0,
});
const many = (count: number, long = ""): IndexSeries[] =>
  Array.from({ length: count }, (_, i) =>
    oneSeries({ pod: `p${i}${long}`, service_name: `s${i % 7}`, zone: "x" }, i),
  );

async function seriesIn(file: IndexFile, refs: Uint32Array): Promise<IndexSeries[]> {
  const decoder = await file.decoder();
  await file.readSeries(refs, decoder);
  return seriesOf(decoder.finish());
}

/** All postings lists and series of a file. */
async function everything(bytes: Uint8Array): Promise<IndexSeries[]> {
  const file = await open(bytes),
    lists = [...file.entries.values()].flat();
  for (const e of lists) await file.postings([e]);
  return seriesIn(file, await file.postings(lists));
}

describe("an index file that is read by ranges", () => {
  it("has the names, values, postings and series that were written", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.dictionary(fc.constantFrom("a", "b", "größe"), fc.constantFrom("", "1", "2", "\u{1f600}"), {
            minKeys: 1,
            noNullPrototype: true,
          }),
          { maxLength: 30 },
        ),
        fc.integer({ min: 76, max: 3000 }),
        async (list, tailBytes) => {
          const series = list.map(oneSeries),
            file = await open(encodeIndex(series), tailBytes);
          expect(file.seriesCount).toBe(series.length);
          const found: string[] = [];
          for (const [name, entries] of file.entries)
            for (const e of entries) {
              const own = series.filter((s) => s.labels.some((l) => l.name === name && l.value === e.value));
              expect(e.count).toBe(own.length);
              expect(await seriesIn(file, await file.postings([e]))).toEqual(own);
              found.push(`${name}=${e.value}`);
            }
          expect(new Set(found)).toEqual(
            new Set(series.flatMap((s) => s.labels.map((l) => `${l.name}=${l.value}`))),
          );
          expect(await seriesIn(file, await file.postings([...file.entries.values()].flat()))).toEqual(
            series,
          );
        },
      ),
    );
  });

  it("reads series that are longer than expected", async () => {
    const series = many(3, "x".repeat(9000)),
      labels = Array.from({ length: 900 }, (_, k) => [`name_${k}`, `${k}`] as const);
    series.push(oneSeries(Object.fromEntries([...labels, ["zone", "y"]]), 3));
    expect(await everything(encodeIndex(series))).toEqual(series);
  });

  it("reads a small part of the file for one value", async () => {
    const bytes = encodeIndex(many(20_000)),
      sizes: number[] = [];
    const file = await IndexFile.open("f", bytes.length, 64 << 10, (offset, size) => {
      sizes.push(size);
      return readerOf(bytes)(offset, size);
    });
    expect(sizes).toHaveLength(2);
    expect(file.byteLength).toBeGreaterThan(20_000 * 72);
    const one = file.entries.get("pod")!.find((e) => e.value === "p17")!;
    expect(await seriesIn(file, await file.postings([one]))).toEqual([many(18)[17]]);
    expect(sizes).toHaveLength(5);
    expect(sizes.reduce((a, b) => a + b)).toBeLessThan(bytes.length / 2);
    const before = file.bytesRead;
    await seriesIn(file, await file.postings([one]));
    expect(file.bytesRead - before).toBeLessThan(4096);
  });

  it("names the file and the position of each flipped byte", async () => {
    const bytes = encodeIndex(many(10));
    const toc = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 76),
      labelIndices = Number(toc.getBigUint64(16)),
      postings = Number(toc.getBigUint64(32)),
      labelTable = Number(toc.getBigUint64(24)),
      fingerprints = Number(toc.getBigUint64(48));
    // Label indices, their table, the list of all series, fingerprints and padding are not read.
    const unread = (at: number): boolean =>
      (at >= labelIndices && at < postings + 12 + 40) ||
      (at >= labelTable && at < Number(toc.getBigUint64(40))) ||
      (at >= fingerprints && at < bytes.length - 76);
    for (let at = 0; at < bytes.length; at++) {
      if (unread(at)) continue;
      const bad = Uint8Array.from(bytes);
      bad[at]! ^= 0x10;
      const result = await everything(bad).catch((err: unknown) => err as Error);
      if (Array.isArray(result)) expect(result).toEqual(many(10));
      else expect(result.message).toMatch(/^b\/index\.tsdb: at byte \d+/);
    }
  });

  it("refuses a file that is shorter than expected", async () => {
    const bytes = encodeIndex(many(10));
    await expect(
      IndexFile.open("f", bytes.length, 4096, readerOf(bytes.subarray(0, bytes.length - 1))),
    ).rejects.toThrow(CorruptError);
    await expect(IndexFile.open("f", 3, 4096, readerOf(new Uint8Array(3)))).rejects.toThrow(CorruptError);
  });

  it("survives mutated files with repaired checksums: an error with its position, or series", async () => {
    const file = encodeIndex(many(20)),
      random = new Random(22);
    let refused = 0,
      read = 0;
    for (let i = 0; i < mutations(800); i++) {
      const bad = repaired(random.mutate(file));
      try {
        expect((await everything(bad)).length).toBeLessThan(1000);
        read++;
      } catch (err) {
        expect(err).toBeInstanceOf(CorruptError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(80);
    expect(read).toBeGreaterThan(40);
  });
});
