import { join } from "node:path";
import { readFileSync } from "node:fs";
import { type BlockFiles, BlockReader } from "@cinderblock/block";
import { type BlockMeta, decodeMeta, newUlid } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import { AnnotationSets, type Annotations } from "@cinderblock/model";
import { encodeProfileTable } from "@cinderblock/profile-table";
import { SymbolPartition, SymdbWriter } from "@cinderblock/symdb";
import { temporaryFolder } from "@cinderblock/testkit";
import { encodeIndex } from "@cinderblock/tsdb-index";
import { compactBlocks } from "./index.ts";

const T0 = 1_795_409_400_000_000_000n,
  MINUTE = 60_000_000_000n;
const note = (n: number) => ({ key: "pyroscope.ingest.throttled", value: `{"body":${n}}` });

/** A block of `writer`, with one series that has a profile per minute, in one symbol partition. */
function block(
  firstMinute: number,
  lists: Annotations[],
  writer: string,
): { meta: BlockMeta; files: BlockFiles } {
  const n = lists.length,
    sets = new AnnotationSets(),
    ulid = newUlid(Date.now());
  const partition = new SymbolPartition(),
    name = new TextEncoder().encode("main");
  partition.functions.intern(Uint32Array.of(partition.strings.intern(name, 0, name.length), 0, 0, 0), 4);
  partition.mappings.intern(new Uint32Array(9), 9);
  const words = Uint32Array.of(0, 0, 0, 0, 0, 1),
    leaf = partition.stackChild(0, partition.locations.intern(words, words.length));
  const symbols = new SymdbWriter();
  symbols.add({ partition: 7n, tables: partition.tables(), stacktraces: 1 });
  const timeNanos = BigInt64Array.from(lists, (_, i) => T0 + BigInt(firstMinute + i) * MINUTE),
    id = new Uint8Array(n * 16);
  timeNanos.forEach((t, i) => {
    new DataView(id.buffer).setBigInt64(i * 16, t);
  });
  const table = encodeProfileTable(
    {
      length: n,
      id,
      seriesIndex: new Int32Array(n),
      partition: new BigInt64Array(n).fill(7n),
      totalValue: new BigInt64Array(n).fill(1n),
      timeNanos,
      durationNanos: new BigInt64Array(n),
      sampleOffset: Uint32Array.from({ length: n + 1 }, (_, i) => i),
      stacktraceId: new Uint32Array(n).fill(leaf),
      value: new BigInt64Array(n).fill(1n),
      annotations: { set: Uint32Array.from(lists, (l) => sets.intern(l)), sets },
    },
    writer,
  );
  const index = encodeIndex([
    {
      labels: [{ name: "__name__", value: "process_cpu" }],
      fingerprint: 1n,
      minTime: timeNanos[0]!,
      maxTime: timeNanos[n - 1]!,
      seriesIndex: 0,
    },
  ]);
  const contents: Record<string, Uint8Array> = {
    "index.tsdb": index,
    "profiles.parquet": table.bytes,
    "symbols.symdb": symbols.finish(),
  };
  const meta: BlockMeta = {
    ulid,
    minTimeMs: Number(timeNanos[0]! / 1_000_000n),
    maxTimeMs: Number(timeNanos[n - 1]! / 1_000_000n),
    stats: { numSamples: n, numSeries: 1, numProfiles: n },
    files: Object.entries(contents).map(([relPath, bytes]) => ({ relPath, sizeBytes: bytes.length })),
    compaction: { level: 2, sources: [ulid], parents: [] },
    version: 3,
    labels: {},
    source: "compactor",
    downsampleResolution: 0,
  };
  return {
    meta,
    files: {
      read: (f, o, size) =>
        Promise.resolve(contents[f]!.subarray(o, size === undefined ? undefined : o + size)),
      size: (f) => Promise.resolve(contents[f]!.length),
    },
  };
}

describe("annotations of profiles", () => {
  it.each([
    ["much memory", 64 << 20],
    ["little memory", 4096],
  ])(
    "survive a compaction with %s of any writer's blocks; a downsampled row has those of its profiles, each once",
    async (_, memoryBytes) => {
      const lists: Annotations[] = Array.from({ length: 90 }, (_x, i) =>
        i % 3 === 0 ? [] : i % 3 === 1 ? [note(i % 2)] : [note(0), note(9)],
      );
      const sources = [
        block(0, lists.slice(0, 40), "others"),
        block(40, lists.slice(40, 60), "cinderblock"),
        block(
          60,
          lists.slice(60).map(() => []),
          "cinderblock",
        ),
      ];
      const expected = [...lists.slice(0, 60), ...lists.slice(60).map(() => [])];
      const {
        outputs: [out],
      } = await compactBlocks(sources, {
        shards: 0,
        splitBy: "fingerprint",
        downsample: true,
        memoryBytes,
        workDir: temporaryFolder(),
      });
      const files = (f: string): Uint8Array => new Uint8Array(readFileSync(join(out!.dir, f)));
      const reader = new BlockReader(
        decodeMeta(files("meta.json")),
        {
          read: (f, o, size) =>
            Promise.resolve(files(f).subarray(o, size === undefined ? undefined : o + size)),
          size: (f) => Promise.resolve(files(f).length),
        },
        await loadHasher(),
      );
      await reader.open();
      const t = await reader.load(["totals", "annotations"]);
      expect(
        [...reader.rowsOf(0, 0n, 1n << 62n)].map((row) => t.annotations.annotationsAt(t.annotation[row]!)),
      ).toEqual(expected);

      const hours = reader.coarse.find((c) => c.nanos === 3_600_000_000_000n)!.rows,
        h = await hours.load(["totals", "annotations"]);
      const first = (T0 / 3_600_000_000_000n + 1n) * 3_600_000_000_000n - T0,
        inFirst = Number(first / MINUTE);
      expect(
        [...hours.rowsOf(0, 0n, 1n << 62n)].map((row) => [
          Number(h.totalValue[row]),
          h.annotations.annotationsAt(h.annotation[row]!).map((a) => a.value),
        ]),
      ).toEqual(
        [expected.slice(0, inFirst), expected.slice(inFirst, inFirst + 60), expected.slice(inFirst + 60)]
          .filter((part) => part.length > 0)
          .map((part) => [part.length, [...new Set(part.flatMap((l) => l.map((a) => a.value)))].sort()]),
      );
    },
  );
});
