// Makes large source blocks from a small block and compacts them, in this process:
// node tools/bench/large-blocks.ts <template block folder> <work folder> <blocks> <MiB of each> <memory MiB>.
// Repeats the rows of each series with later times and other values; symbols stay unchanged. Prints figures
// as JSON, and the memory use during the run.
import {
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
  closeSync,
  fsyncSync,
} from "node:fs";
import { join } from "node:path";
import { BlockReader } from "@cinderblock/block";
import { type BlockMeta, decodeMeta, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import { compactBlocks, verifyBlock } from "@cinderblock/compact";
import { ProfileTableWriter } from "@cinderblock/profile-table";
import { encodeIndex } from "@cinderblock/tsdb-index";
import { filesIn } from "./block-files.ts";

const [template, work, blocks, mebibytes, memoryMib] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const HOUR_NANOS = 3_600_000_000_000n;

async function make(number: number, repeats: number): Promise<BlockMeta> {
  const meta = decodeMeta(readFileSync(join(template, "meta.json")));
  const reader = new BlockReader(meta, filesIn(template), await loadHasher());
  await reader.open();
  const t = await reader.load(["samples", "totals", "ids"]);
  const start = BigInt(meta.minTimeMs) * 1_000_000n + BigInt(number) * HOUR_NANOS,
    step = HOUR_NANOS / BigInt(repeats);
  const ulid = newUlid(Number(start / 1_000_000n)),
    dir = join(work, ulid);
  mkdirSync(dir, { recursive: true });
  const fd = openSync(join(dir, "profiles.parquet"), "w");
  let size = 0,
    rows = 0,
    samples = 0,
    groups = 0;
  const writer = new ProfileTableWriter("bench", (b) => {
    writeSync(fd, b);
    size += b.length;
  });
  const GROUP_SAMPLES = 2_000_000;
  const group = {
    id: [] as Uint8Array[],
    series: [] as number[],
    partition: [] as bigint[],
    total: [] as bigint[],
    time: [] as bigint[],
    offset: [0],
    stack: new Uint32Array(GROUP_SAMPLES * 2),
    value: new BigInt64Array(GROUP_SAMPLES * 2),
    n: 0,
  };
  const flush = (): void => {
    if (group.series.length === 0) return;
    writer.write({
      length: group.series.length,
      id: new Uint8Array(Buffer.concat(group.id)),
      seriesIndex: Int32Array.from(group.series),
      partition: BigInt64Array.from(group.partition),
      totalValue: BigInt64Array.from(group.total),
      timeNanos: BigInt64Array.from(group.time),
      durationNanos: new BigInt64Array(group.series.length),
      sampleOffset: Uint32Array.from(group.offset),
      stacktraceId: group.stack.subarray(0, group.n),
      value: group.value.subarray(0, group.n),
    });
    groups++;
    Object.assign(group, { id: [], series: [], partition: [], total: [], time: [], offset: [0], n: 0 });
  };
  const index = reader.series.map((s, i) => ({
    labels: s.labels,
    fingerprint: s.fingerprint,
    minTime: 0n,
    maxTime: 0n,
    seriesIndex: i,
  }));
  let seed = number + 1;
  for (const [i] of reader.series.entries()) {
    // Small profiles show little about memory use: this makes rows of many samples, with incompressible
    // values.
    const own = reader
      .rowsOf(i, 0n, 1n << 62n)
      .filter((row) => t.sampleEnd[row]! - t.sampleStart[row]! >= 100);
    if (own.length === 0) continue;
    const first = t.timeNanos[own[0]!]!;
    for (let r = 0; r < repeats; r++) {
      for (const row of own) {
        const time = start + BigInt(r) * step + ((t.timeNanos[row]! - first) * step) / HOUR_NANOS;
        const id = new Uint8Array(16);
        new DataView(id.buffer).setBigUint64(0, BigInt(rows) * 7919n + BigInt(number));
        let total = 0n;
        for (let k = t.sampleStart[row]!; k < t.sampleEnd[row]!; k++) {
          seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
          const v = t.value[k]! + BigInt(seed >>> 8);
          group.stack[group.n] = t.stacktraceId[k]!;
          group.value[group.n++] = v;
          total += v;
        }
        group.id.push(id);
        group.series.push(i);
        group.partition.push(reader.partitions[t.partition[row]!]!);
        group.total.push(total);
        group.time.push(time);
        group.offset.push(group.n);
        if (index[i]!.minTime === 0n) index[i]!.minTime = time;
        index[i]!.maxTime = time;
        rows++;
        if (group.n >= GROUP_SAMPLES) {
          samples += group.n;
          flush();
        }
      }
    }
  }
  samples += group.n;
  flush();
  writer.finish();
  fsyncSync(fd);
  closeSync(fd);
  const used = index.filter((s) => s.maxTime > 0n);
  const bytes = encodeIndex(used);
  writeFileSync(join(dir, "index.tsdb"), bytes);
  copyFileSync(join(template, "symbols.symdb"), join(dir, "symbols.symdb"));
  const out: BlockMeta = {
    ...meta,
    ulid,
    minTimeMs: Number(start / 1_000_000n),
    maxTimeMs: Number((start + HOUR_NANOS) / 1_000_000n),
    stats: { numSamples: samples, numSeries: used.length, numProfiles: rows },
    compaction: { level: 1, sources: [ulid], parents: [] },
    files: [
      { relPath: "index.tsdb", sizeBytes: bytes.length },
      { relPath: "profiles.parquet", sizeBytes: size, parquet: { numRowGroups: groups, numRows: rows } },
      { relPath: "symbols.symdb", sizeBytes: statSync(join(dir, "symbols.symdb")).size },
    ],
  };
  writeFileSync(join(dir, "meta.json"), encodeMeta(out));
  return out;
}

const sizeOf = (m: BlockMeta): number => m.files.reduce((n, f) => n + f.sizeBytes, 0);
if (process.env.MAKE === "1") {
  const probe = await make(0, 4);
  rmSync(join(work, probe.ulid), { recursive: true });
  const repeats = Math.max(1, Math.round((Number(mebibytes) * 1048576 * 4) / sizeOf(probe)));
  const metas = [];
  for (let i = 0; i < Number(blocks); i++) {
    metas.push(await make(i, repeats));
    process.stderr.write(`\rmade ${i + 1} of ${blocks}`);
  }
  writeFileSync(join(work, "list"), metas.map((m) => m.ulid).join("\n"));
  process.stderr.write(
    `\n${(metas.reduce((n, m) => n + sizeOf(m), 0) / 2 ** 30).toFixed(2)} GiB, ${metas.reduce((n, m) => n + m.stats.numProfiles, 0)} rows\n`,
  );
} else {
  const metas = readFileSync(join(work, "list"), "utf8")
    .split("\n")
    .map((u) => decodeMeta(readFileSync(join(work, u, "meta.json"))));
  const curve: [share: number, mib: number][] = [],
    started = process.cpuUsage();
  const rss = (): number => Math.round(process.memoryUsage.rss() / 1048576);
  const seconds = (since: NodeJS.CpuUsage): number => {
    const c = process.cpuUsage(since);
    return (c.user + c.system) / 1e6;
  };
  const startMib = rss();
  const { outputs, rows } = await compactBlocks(
    metas.map((meta) => ({ meta, files: filesIn(join(work, meta.ulid)) })),
    {
      shards: 0,
      splitBy: "fingerprint",
      downsample: false,
      memoryBytes: Number(memoryMib) << 20,
      workDir: join(work, "out"),
      onProgress: (done, total) => {
        if (curve.length === 0 || done / total - curve.at(-1)![0] > 0.1 || done === total)
          curve.push([Math.round((100 * done) / total) / 100, rss()]);
      },
    },
  );
  const compactSeconds = seconds(started);
  for (const o of outputs) await verifyBlock(o.meta, filesIn(o.dir));
  process.stdout.write(
    `${JSON.stringify({ blocks: metas.length, rows, inBytes: metas.reduce((n, m) => n + sizeOf(m), 0), outBytes: outputs.reduce((n, o) => n + sizeOf(o.meta), 0), compactSeconds, secondsWithVerify: seconds(started), startMib, curve, peakMib: Math.round(process.resourceUsage().maxRSS / 1024) })}\n`,
  );
  rmSync(join(work, "out"), { recursive: true, force: true });
}
