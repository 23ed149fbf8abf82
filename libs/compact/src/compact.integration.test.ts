import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type BlockFiles, BlockReader } from "@cinderblock/block";
import { type BlockMeta, decodeMeta } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";
import { executeOn, type Exclusions, type PartialTree, type SourceQuery } from "@cinderblock/query";
import { describeWith, Random, sharedTestdata, temporaryFolder } from "@cinderblock/testkit";
import { compactBlocks, type CompactOptions } from "./index.ts";
import { jest } from "@jest/globals";

// Whole blocks are compared row by row, which takes seconds, or more when other tests share the cores.
jest.setTimeout(60_000);

function folderFiles(dir: string): BlockFiles {
  const held = new Map<string, Uint8Array>();
  const read = (f: string): Uint8Array => {
    let bytes = held.get(f);
    if (!bytes) held.set(f, (bytes = new Uint8Array(readFileSync(join(dir, f)))));
    return bytes;
  };
  return {
    read: (f, o, n) => Promise.resolve(read(f).subarray(o, n === undefined ? undefined : o + n)),
    size: (f) => Promise.resolve(read(f).length),
  };
}
interface Input {
  meta: BlockMeta;
  files: BlockFiles;
}
const openFolder = (dir: string): Input => ({
  meta: decodeMeta(new Uint8Array(readFileSync(join(dir, "meta.json")))),
  files: folderFiles(dir),
});

/** Text of a stack, leaf first; each node of a partition is computed once. */
function frames(tables: SymbolTables, id: number): string {
  let known = FRAMES.get(tables);
  if (!known) FRAMES.set(tables, (known = new Map()));
  let text = known.get(id);
  if (text === undefined)
    known.set(
      id,
      (text =
        frameText(tables, id) +
        (tables.stackParent[id]! > 0 ? `;${frames(tables, tables.stackParent[id]!)}` : "")),
    );
  return text;
}
const FRAMES = new WeakMap<SymbolTables, Map<number, string>>();

function frameText(tables: SymbolTables, node: number): string {
  if (node <= 0 || tables.stackParent[node]! < 0) return "";
  const text = (i: number): string =>
    Buffer.from(tables.stringBytes.subarray(tables.stringOffset[i]!, tables.stringOffset[i + 1]!)).toString(
      "latin1",
    );
  const l = tables.stackLocation[node]!;
  const at = tables.locationOffset[l]!,
    end = tables.locationOffset[l + 1]!;
  const out = [
    `${text(tables.mappingWords[tables.locationWords[at]! * 9 + 6] ?? 0)}@${tables.locationWords[at + 1]}`,
  ];
  for (let w = at + 4; w < end; w += 2) {
    const f = tables.locationWords[w]! * 4;
    out.push(
      `${text(tables.functionWords[f]!)}:${text(tables.functionWords[f + 2]!)}:${tables.locationWords[w + 1]}`,
    );
  }
  return out.join(";");
}

/** A row's stacks by content: `value frames` of each sample, summed. */
function stacksText(tables: SymbolTables, ids: Uint32Array, values: BigInt64Array, spans: string[]): string {
  const out = new Map<string, bigint>();
  ids.forEach((id, k) => {
    const key = `${spans[k] ?? ""} ${frames(tables, id)}`;
    out.set(key, (out.get(key) ?? 0n) + values[k]!);
  });
  return [...out]
    .map(([k, v]) => `${v} ${k}`)
    .sort()
    .join("\n");
}

/** Every row of the blocks as text; duplicates of (series, time, ID) once. */
async function content(blocks: readonly Input[]): Promise<Map<string, string>> {
  const hash = (text: string): string => createHash("sha1").update(text).digest("base64");
  const out = new Map<string, string>();
  for (const { meta, files } of blocks) {
    const reader = new BlockReader(meta, files, await loadHasher());
    await reader.open();
    const t = await reader.load(["samples", "spans", "ids", "totals"]);
    for (let s = 0; s < reader.series.length; s++) {
      for (const row of reader.rowsOf(s, 0n, 1n << 62n)) {
        const { tables } = await reader.symbols(t.partition[row]!);
        const from = t.sampleStart[row]!,
          to = t.sampleEnd[row]!;
        const spans =
          t.spanStart[row]! < 0
            ? []
            : Array.from(
                { length: to - from },
                (_, k) =>
                  `${t.spans[2 * (t.spanStart[row]! + k)]}.${t.spans[2 * (t.spanStart[row]! + k) + 1]}`,
              );
        const plainSpans = spans.map((x) => (x === "0.0" ? "" : x));
        const key = `${labelsText(reader.series[s]!.labels)} ${t.timeNanos[row]} ${Buffer.from(t.id.subarray(row * 16, row * 16 + 16)).toString("hex")}`;
        const text = hash(
          `${t.totalValue[row]}\n${stacksText(tables, t.stacktraceId.subarray(from, to), t.value.subarray(from, to), plainSpans)}`,
        );
        if (out.has(key)) {
          if (out.get(key) !== text) throw new Error(`${key} differs between blocks`);
        } else out.set(key, text);
      }
    }
  }
  return out;
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): void {
  expect(b.size).toBe(a.size);
  for (const [key, text] of a)
    if (b.get(key) !== text) throw new Error(`${key}:\n${b.get(key)}\n  expected\n${text}`.slice(0, 2000));
}

async function compact(blocks: readonly Input[], options: Partial<CompactOptions> = {}): Promise<Input[]> {
  const { outputs } = await compactBlocks(blocks, {
    shards: 0,
    splitBy: "fingerprint",
    downsample: false,
    memoryBytes: 64 << 20,
    workDir: temporaryFolder(),
    ...options,
  });
  return outputs.map((o) => openFolder(o.dir));
}

const data = sharedTestdata();
function v1Blocks(bucket: string): Input[] {
  const dir = join(data!, "buckets", bucket, "anonymous", "phlaredb");
  return readdirSync(dir)
    .filter((n) => existsSync(join(dir, n, "meta.json")))
    .map((n) => openFolder(join(dir, n)));
}

describeWith(["shared-testdata"], "compacting blocks that Pyroscope v1 wrote", () => {
  it("merges eight level-1 blocks into one with the same rows, stacks and sums", async () => {
    const sources = v1Blocks("ingester");
    const before = await content(sources);
    const [out, ...more] = await compact(sources);
    expect(more).toEqual([]);
    expect(out!.meta.compaction.level).toBe(2);
    expect(out!.meta.compaction.sources).toEqual(sources.map((s) => s.meta.ulid).sort());
    expect([out!.meta.minTimeMs, out!.meta.maxTimeMs]).toEqual([
      Math.min(...sources.map((s) => s.meta.minTimeMs)),
      Math.max(...sources.map((s) => s.meta.maxTimeMs)),
    ]);
    same(before, await content([out!]));
    expect(out!.meta.stats.numProfiles).toBe(before.size);
  });
  it("splits into shards by series, each with its own symbols, and merges shards again", async () => {
    const sources = v1Blocks("ingester");
    const before = await content(sources);
    const first = await compact(sources.slice(0, 4), { shards: 3 }),
      second = await compact(sources.slice(4), { shards: 3 });
    expect(first.map((b) => b.meta.labels.__compactor_shard_id__)).toEqual(["1_of_3", "2_of_3", "3_of_3"]);
    same(before, await content([...first, ...second]));
    const merged: Input[] = [];
    for (let i = 0; i < 3; i++) merged.push(...(await compact([first[i]!, second[i]!])));
    expect(merged.map((b) => b.meta.labels.__compactor_shard_id__)).toEqual(["1_of_3", "2_of_3", "3_of_3"]);
    expect(merged.every((b) => b.meta.compaction.level === 3)).toBe(true);
    same(before, await content(merged));
  });
  it("returns the same with very little memory: short runs, small row groups, ID maps in a file", async () => {
    const sources = v1Blocks("ingester");
    same(await content(sources), await content(await compact(sources, { memoryBytes: 4096 })));
  });
  it("counts profiles of several sources once", async () => {
    const sources = v1Blocks("ingester");
    const workDir = temporaryFolder();
    const { duplicates, outputs } = await compactBlocks([...sources, ...sources], {
      shards: 2,
      splitBy: "stacktracePartition",
      downsample: false,
      memoryBytes: 64 << 20,
      workDir,
    });
    const before = await content(sources);
    expect(duplicates).toBe(before.size);
    same(before, await content(outputs.map((o) => openFolder(o.dir))));
  });
  it("compacts v1's compacted and split blocks further", async () => {
    for (const bucket of ["compacted", "split"]) {
      const sources = v1Blocks(bucket);
      const top = Math.max(...sources.map((s) => s.meta.compaction.level));
      const some = sources.filter((s) => s.meta.compaction.level === top);
      if (some.length < 2) some.push(...sources.filter((s) => s.meta.compaction.level === top - 1));
      same(await content(some), await content(await compact(some, { downsample: true })));
    }
  });
  it("needs at most six tenths of the bytes of v1's result for the same blocks, downsampled tables included", async () => {
    const theirs = v1Blocks("compacted").find((b) => b.meta.compaction.level === 3)!;
    const [a, b, c, d] = v1Blocks("ingester").filter((s) =>
      theirs.meta.compaction.sources.includes(s.meta.ulid),
    );
    const [ours] = await compact([...(await compact([a!, b!])), ...(await compact([c!, d!]))], {
      downsample: true,
    });
    const bytes = (m: BlockMeta): number => m.files.reduce((n, f) => n + f.sizeBytes, 0);
    expect(ours!.meta.stats.numProfiles).toBe(theirs.meta.stats.numProfiles);
    expect(ours!.meta.files.map((f) => f.relPath)).toEqual(
      expect.arrayContaining(["profiles_5m_sum.parquet", "profiles_1h_sum.parquet"]),
    );
    expect(bytes(ours!.meta) / bytes(theirs.meta)).toBeLessThanOrEqual(0.6);
  });
  it("downsamples without changing call trees, for any time range", async () => {
    const sources = v1Blocks("ingester");
    const level2 = [...(await compact(sources.slice(0, 4))), ...(await compact(sources.slice(4)))];
    const [out] = await compact(level2, { downsample: true });
    const reader = new BlockReader(out!.meta, out!.files, await loadHasher());
    await reader.open();
    expect(reader.coarse.map((c) => c.nanos)).toEqual([3_600_000_000_000n, 300_000_000_000n]);
    const types = new Map(
      reader.series.map((s) => [s.labels.find((l) => l.name === "__profile_type__")!.value, s]),
    );
    const random = new Random(5),
      first = out!.meta.minTimeMs - 60_000,
      span = out!.meta.maxTimeMs - first + 60_000;
    let coarse = 0;
    for (const profileTypeId of types.keys()) {
      for (let i = 0; i < 6; i++) {
        const startMs = i === 0 ? 0 : first + random.below(span),
          endMs = i === 0 ? 2 * out!.meta.maxTimeMs : startMs + random.below(span);
        const query: SourceQuery = {
          kind: "tree",
          select: { profileTypeId, labelSelector: "{}", startMs, endMs },
          spans: [],
          maxNodes: 0,
        };
        const text = async (exclude: Exclusions): Promise<string> => {
          const r = await executeOn([reader], query, exclude);
          return r.kind === "tree" ? treeText(r.tree) : "";
        };
        const rows = await text({
          [reader.ulid]: { form: "block", upTo: -1, rows: Uint32Array.of(0xffffffff) },
        }); // the row counts exclude dropped rows
        expect(await text({})).toBe(rows);
        if (rows !== "") coarse++;
      }
    }
    expect(coarse).toBeGreaterThan(10);
    const { timeNanos } = await reader.coarse[1]!.rows.load(["keys"]);
    expect(timeNanos.length).toBeGreaterThan(0);
  });
});

/** A tree as text, by its paths. */
function treeText(t: PartialTree): string {
  const name = (i: number): string =>
    Buffer.from(t.nameBytes.subarray(t.nameOffset[t.name[i]!]!, t.nameOffset[t.name[i]! + 1]!)).toString();
  const path: string[] = [""];
  const out: string[] = [];
  for (let i = 1; i < t.parent.length; i++) {
    path[i] = `${path[t.parent[i]!]};${name(i)}`;
    if (t.self[i] !== 0n) out.push(`${path[i]} ${t.self[i]}`);
  }
  return out.sort().join("\n");
}
