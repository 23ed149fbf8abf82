import { UNPACED } from "@cinderblock/async";
import { decodeMeta } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import { type Labels, parseSelector } from "@cinderblock/model";
import { encodeIndex } from "@cinderblock/tsdb-index";
import fc from "fast-check";
import { LabelIndex } from "./label-index.ts";
import { labelSet, selectors, unique, walk } from "./labels.testing.ts";
import { BlockReader } from "./reader.ts";
import type { IndexedSeries } from "./source.ts";
import { type StoredIndex, StoredLabels } from "./stored-labels.ts";

const ULID = "01M8EKZW7M023ZEFRNNKY74X0A";
const fileOf = (list: readonly Labels[]): Uint8Array =>
  encodeIndex(
    list.map((labels, i) => ({
      labels,
      fingerprint: BigInt(i),
      minTime: 1_795_000_000_000_000_000n + BigInt(i),
      maxTime: 1_795_000_000_000_000_000n + BigInt(i) + 1_000_000n,
      seriesIndex: i,
    })),
  );

/** Index in memory; counts how often it was loaded completely. */
class Stored implements StoredIndex {
  readonly ulid = ULID;
  readonly minTimeMs = 1_795_000_000_000;
  readonly maxTimeMs = 1_795_000_000_100;
  readonly sizeBytes: number;
  loads = 0;
  private readonly all: IndexedSeries;
  private readonly bytes: Uint8Array;

  constructor(list: readonly Labels[]) {
    this.bytes = fileOf(list);
    this.sizeBytes = this.bytes.length;
    const series = list.map((labels) => ({ labels, fingerprint: 0n, minTimeNanos: 0n, maxTimeNanos: 0n }));
    this.all = { series, labelIndex: new LabelIndex(series) };
  }
  read(offset: number, size: number): Promise<Uint8Array> {
    return Promise.resolve(this.bytes.slice(offset, offset + size));
  }
  loaded(): undefined {
    return undefined;
  }
  load(): Promise<IndexedSeries> {
    this.loads++;
    return Promise.resolve(this.all);
  }
}

const hasher = await loadHasher();
const byParts = (stored: StoredIndex): StoredLabels => new StoredLabels(stored, hasher, () => 100);

describe("labels of a stored index", () => {
  it("are those of a walk over all series", async () => {
    let partial = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(labelSet, { minLength: 1, maxLength: 40 }),
        fc.array(selectors, { minLength: 1, maxLength: 3 }),
        async (some, asked) => {
          // Many more series, so that the others are few.
          const list = [...some, ...Array.from({ length: 300 }, (_, i) => [{ name: "n", value: `${i}` }])],
            all = list.map((labels) => ({ labels })),
            positions = all.map((_, i) => i),
            stored = new Stored(list),
            labels = byParts(stored);
          expect([...(await labels.list())!].sort()).toEqual(
            unique(walk.of(all, positions).map((l) => l.name)),
          );
          for (const name of ["a", "b", "absent"])
            expect([...(await labels.list(name))!].sort()).toEqual(
              unique(walk.of(all, positions).flatMap((l) => (l.name === name ? [l.value] : []))),
            );
          const { series, labelIndex } = await labels.seriesFor(
            asked.map((s) => parseSelector(s)),
            UNPACED,
          );
          if (stored.loads === 0) partial++;
          for (const selector of asked)
            expect(labelIndex.select(parseSelector(selector)).map((i) => series[i]!.labels)).toEqual(
              walk.select(all, selector).map((i) => list[i]!),
            );
        },
      ),
    );
    expect(partial).toBeGreaterThan(10);
  });

  it("run no regular expression on values if an equality bounds the series", async () => {
    const list = Array.from({ length: 100 }, (_, i) => [
        { name: "n", value: `${i % 50}` },
        { name: "pod", value: `p${i}` },
      ]),
      selector = parseSelector('{pod=~"p[0-9]",n="7"}');
    const { series } = await byParts(new Stored(list)).seriesFor([selector], UNPACED);
    expect(series.map((s) => s.labels[1]!.value)).toEqual(["p7", "p57"]);
    expect(selector[0]!.isCostly("p8")).toBe(true);
  });

  it("stop when their pace ends", async () => {
    const list = Array.from({ length: 100 }, (_, i) => [{ name: "pod", value: `p${i}` }]);
    await expect(
      byParts(new Stored(list)).seriesFor([parseSelector('{pod=~"p[0-9]"}')], {
        due: () => true,
        next: () => Promise.reject(new Error("context canceled")),
      }),
    ).rejects.toThrow("context canceled");
  });

  it("are loaded for most series, and once they have read as much as the file has", async () => {
    const list = Array.from({ length: 100 }, (_, i) => [{ name: "pod", value: `p${i}` }]),
      stored = new Stored(list),
      labels = byParts(stored),
      ask = (selector: string): Promise<IndexedSeries> =>
        labels.seriesFor([parseSelector(selector)], UNPACED);
    expect((await ask('{pod="p7"}')).series).toHaveLength(1);
    expect(labels.heldBytes).toBeGreaterThan(0);
    expect(stored.loads).toBe(0);
    expect((await ask('{pod!="p7"}')).series).toHaveLength(100);
    expect(labels.heldBytes).toBe(0);
    expect(stored.loads).toBe(1);
    for (let i = 0; i < 40 && stored.loads === 1; i++) await ask(`{pod="p${i}"}`);
    expect(stored.loads).toBe(2);
  });

  it("are read once for questions about one selector that follow each other", async () => {
    const labels = byParts(
        new Stored(Array.from({ length: 100 }, (_, i) => [{ name: "pod", value: `p${i}` }])),
      ),
      ask = (selector: string): Promise<IndexedSeries> =>
        labels.seriesFor([parseSelector(selector)], UNPACED);
    const first = await ask('{pod="p7"}'),
      held = labels.heldBytes;
    expect(await ask('{pod="p7",n=""}')).toBe(first);
    expect(await ask('{pod="p8"}')).not.toBe(first);
    expect(labels.heldBytes).toBe(held);
  });
});

describe("labels of a block with many series", () => {
  const list = Array.from(
    { length: 20_000 },
    (_, i): Labels => [
      { name: "pod", value: `p${i}` },
      { name: "service_name", value: `s${Math.floor(i / 100)}` },
    ],
  );
  const bytes = fileOf(list);
  async function block(): Promise<{ reader: BlockReader; read: () => number }> {
    let read = 0;
    const meta = decodeMeta(
      Buffer.from(
        JSON.stringify({
          ulid: ULID,
          minTime: 1_795_000_000_000,
          maxTime: 1_795_000_000_100,
          version: 3,
          stats: {},
          compaction: { level: 1, sources: [ULID] },
          files: [{ relPath: "index.tsdb", sizeBytes: bytes.length }],
        }),
      ),
      "meta.json",
    );
    const reader = new BlockReader(
      meta,
      {
        read: (_, offset, size) => {
          const part = bytes.slice(offset, size === undefined ? undefined : offset + size);
          read += part.length;
          return Promise.resolve(part);
        },
        size: () => Promise.resolve(bytes.length),
      },
      hasher,
    );
    return { reader, read: () => read };
  }

  it("are read without the series, and counted in the block's memory", async () => {
    const { reader, read } = await block();
    expect(await reader.labels.list("service_name")).toHaveLength(200);
    expect(await reader.labels.list()).toEqual(["pod", "service_name"]);
    const { series } = await reader.labels.seriesFor([parseSelector('{service_name="s7"}')], UNPACED);
    expect(series).toHaveLength(100);
    expect(series[0]!.minTimeNanos).toBe(1_795_000_000_000_000_700n);
    expect(read()).toBeLessThan(bytes.length * 0.6);
    expect(reader.heldBytes).toBeGreaterThan(1e6);
    expect(reader.series).toHaveLength(0);
  });

  it("are those in memory once the block is open", async () => {
    const { reader, read } = await block();
    await reader.open();
    const before = read();
    expect(await reader.labels.list("service_name")).toBeUndefined();
    expect(await reader.labels.seriesFor([parseSelector('{service_name="s7"}')], UNPACED)).toBe(reader);
    expect(read()).toBe(before);
  });

  it("name the damaged block", async () => {
    const { reader } = await block();
    bytes[bytes.length - 1]! ^= 1;
    await expect(reader.labels.list()).rejects.toMatchObject({
      kind: "corrupt",
      detail: { block: ULID, file: `${ULID}/index.tsdb` },
    });
    bytes[bytes.length - 1]! ^= 1;
    expect(await reader.labels.list()).toHaveLength(2);
  });
});
