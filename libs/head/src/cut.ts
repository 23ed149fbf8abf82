import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { yieldToLoop } from "@cinderblock/async";
import { sortedIndex } from "@cinderblock/columnar";
import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import { CorruptError } from "@cinderblock/errors";
import {
  crashPoint,
  makeDirectorySyncedAsync,
  moveDirectory,
  writeDirectorySynced,
} from "@cinderblock/files";
import { compareLabels } from "@cinderblock/model";
import { CREATED_BY, encodeProfileTable, type ProfileRows } from "@cinderblock/profile-table";
import { SymdbWriter } from "@cinderblock/symdb";
import { pathBelow, tenantFolder } from "@cinderblock/tenant";
import { encodeIndex } from "@cinderblock/tsdb-index";
import type { Head } from "./head.ts";

/**
 * Cuts a frozen head into `<data>/<tenant>/local/<ULID>`: sync the files, rename the directory, sync the
 * parents. A crash at any point leaves either a complete block or a folder under `cut/`, which the next start
 * removes: the log has its data. `head/` belongs to v1, whose only copy may be there. Yields between stages, so that this thread continues to handle pushes and queries.
 * @returns undefined for an empty head
 */
export async function cutHead(head: Head, dataPath: string): Promise<BlockMeta | undefined> {
  if (head.rowCount === 0) return undefined;
  const tenantDir = tenantFolder(dataPath, head.tenant);
  const work = pathBelow(tenantDir, WORK, head.ulid);
  rmSync(work, { recursive: true, force: true });
  await makeDirectorySyncedAsync(tenantDir);
  // needs no sync before the rename: until then the log has the head's data
  mkdirSync(work, { recursive: true });

  const used = head.series.map((s, i) => ({ s, i })).filter((x) => x.s.rows.length > 0);
  const order = sortedIndex(used.length, (a, b) => compareLabels(used[a]!.s.labels, used[b]!.s.labels));
  const ordinal = new Int32Array(head.series.length).fill(-1);
  order.forEach((k, at) => {
    ordinal[used[k]!.i] = at;
  });

  const index = encodeIndex(
    [...order].map((k, at) => {
      const { s } = used[k]!;
      return {
        labels: s.labels,
        fingerprint: s.fingerprint,
        minTime: s.minTimeNanos,
        maxTime: s.maxTimeNanos,
        seriesIndex: at,
      };
    }),
  );
  await yieldToLoop();

  const rows = await sortedRows(head, ordinal);
  await yieldToLoop();
  const table = encodeProfileTable(rows, CREATED_BY);
  await yieldToLoop();
  const symbols = await encodeSymbols(head);

  const files: { name: string; bytes: Uint8Array; meta: object }[] = [
    { name: "index.tsdb", bytes: index, meta: { tsdb: { numSeries: used.length } } },
    {
      name: "profiles.parquet",
      bytes: table.bytes,
      meta: { parquet: { numRowGroups: table.rowGroups, numRows: rows.length } },
    },
    { name: "symbols.symdb", bytes: symbols, meta: {} },
  ];
  let min = rows.timeNanos[0]!,
    max = min;
  for (const s of used) {
    if (s.s.minTimeNanos < min) min = s.s.minTimeNanos;
    if (s.s.maxTimeNanos > max) max = s.s.maxTimeNanos;
  }
  const meta: BlockMeta = {
    ulid: head.ulid,
    minTimeMs: Number(min / 1_000_000n),
    maxTimeMs: Number(max / 1_000_000n),
    stats: { numSamples: rows.stacktraceId.length, numSeries: used.length, numProfiles: rows.length },
    files: files.map((f) => ({ relPath: f.name, sizeBytes: f.bytes.length, ...f.meta })),
    compaction: { level: 1, sources: [head.ulid], parents: [] },
    version: 3,
    labels: {},
    source: "ingester",
    downsampleResolution: 0,
  };
  const written = [...files, { name: "meta.json", bytes: Buffer.from(encodeMeta(meta)) }];
  try {
    await writeDirectorySynced(work, written);
  } catch (err) {
    // The partial files occupy space that the next attempt may need.
    rmSync(work, { recursive: true, force: true });
    throw err;
  }
  crashPoint("cut/files-written");
  // Read the files back before the log is deleted, because the block becomes the only copy.
  for (const f of written)
    if (!(await readFile(join(work, f.name))).equals(f.bytes))
      throw new CorruptError(
        `${head.ulid}/${f.name}`,
        0,
        `expected the ${f.bytes.length} bytes just written`,
      );
  await moveDirectory(work, pathBelow(tenantDir, "local", head.ulid));
  crashPoint("cut/moved");
  return meta;
}

/** Folder of a tenant's blocks that are being written. */
const WORK = "cut";

/** Removes the remains of interrupted cuts. */
export function removeUnfinished(tenantDir: string): string[] {
  const dir = join(tenantDir, WORK);
  if (!existsSync(dir)) return [];
  const names = readdirSync(dir);
  for (const n of names) rmSync(join(dir, n), { recursive: true, force: true });
  return names;
}

/** Rows by (series ordinal, time, id), with samples gathered in that order. */
async function sortedRows(head: Head, ordinal: Int32Array): Promise<ProfileRows> {
  const n = head.rowCount;
  const series = head.rowSeries.data,
    time = head.rowTime.data,
    id = head.rowId.data;
  const order = sortedIndex(n, (a, b) => {
    const d = ordinal[series[a]!]! - ordinal[series[b]!]!;
    if (d !== 0) return d;
    if (time[a] !== time[b]) return time[a]! < time[b]! ? -1 : 1;
    for (let k = 0; k < 4; k++) {
      const x = swap32(id[a * 4 + k]!),
        y = swap32(id[b * 4 + k]!);
      if (x !== y) return x - y;
    }
    return 0;
  });
  await yieldToLoop();
  let samples = 0,
    spans = false,
    traces = false;
  for (let i = 0; i < n; i++) {
    samples += head.rowSampleEnd.data[i]! - head.rowSampleStart.data[i]!;
    if (head.rowSpanStart.data[i]! >= 0) spans = true;
    if (head.rowTraceStart.data[i]! >= 0) traces = true;
  }
  const out: ProfileRows = {
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
    ...(head.annotations.length > 1
      ? { annotations: { set: new Uint32Array(n), sets: head.annotations } }
      : {}),
    ...(spans ? { spanId: new BigInt64Array(samples), hasSpan: new Uint8Array(samples) } : {}),
    ...(traces ? { traceId: new Uint8Array(samples * 16) } : {}),
  };
  const idBytes = new Uint8Array(id.buffer, 0, n * 16);
  const spanWords = out.spanId ? new Uint32Array(out.spanId.buffer) : undefined;
  let at = 0;
  for (let i = 0; i < n; i++) {
    const r = order[i]!;
    const start = head.rowSampleStart.data[r]!,
      end = head.rowSampleEnd.data[r]!;
    out.id.set(idBytes.subarray(r * 16, r * 16 + 16), i * 16);
    out.seriesIndex[i] = ordinal[series[r]!]!;
    out.partition[i] = BigInt.asIntN(64, head.partitions[head.rowPartition.data[r]!]!.id);
    out.totalValue[i] = head.rowTotal.data[r]!;
    out.timeNanos[i] = time[r]!;
    out.durationNanos[i] = head.rowDuration.data[r]!;
    if (out.annotations) out.annotations.set[i] = head.rowAnnotations.data[r]!;
    out.stacktraceId.set(head.stacktraceId.data.subarray(start, end), at);
    out.value.set(head.value.data.subarray(start, end), at);
    const span = head.rowSpanStart.data[r]!;
    if (spanWords && span >= 0) {
      spanWords.set(head.spans.data.subarray(span * 2, (span + end - start) * 2), at * 2);
      out.hasSpan!.fill(1, at, at + end - start);
    }
    const trace = head.rowTraceStart.data[r]!;
    if (out.traceId && trace >= 0)
      out.traceId.set(new Uint8Array(head.traces.data.buffer, trace * 16, (end - start) * 16), at * 16);
    at += end - start;
    out.sampleOffset[i + 1] = at;
    if ((i & 8191) === 8191) await yieldToLoop();
  }
  return out;
}

function swap32(v: number): number {
  return (((v & 255) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;
}

async function encodeSymbols(head: Head): Promise<Uint8Array> {
  const writer = new SymdbWriter();
  const byId = [...head.partitions].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  for (const p of byId) {
    // v1's readers require a mapping if there are locations.
    if (p.symbols.mappings.length === 0) p.symbols.mappings.intern(new Uint32Array(9), 9);
    const tables = p.symbols.tables();
    const leaf = new Uint8Array(tables.stackParent.length);
    for (let i = 0; i < head.rowCount; i++) {
      if (head.partitions[head.rowPartition.data[i]!] !== p) continue;
      for (let k = head.rowSampleStart.data[i]!; k < head.rowSampleEnd.data[i]!; k++)
        leaf[head.stacktraceId.data[k]!] = 1;
    }
    let stacktraces = 0;
    for (const x of leaf) stacktraces += x;
    writer.add({ partition: p.id, tables, stacktraces });
    await yieldToLoop();
  }
  return writer.finish();
}
