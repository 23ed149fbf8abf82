import { writeFileSync } from "node:fs";
import { loadHasher } from "@cinderblock/bytes";
import { blockFilesIn, BlockReader, type ProfileSource } from "@cinderblock/block";
import { replacementBlocksOf } from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import { labelsText, parseProfileType, type ProfileType } from "@cinderblock/model";
import {
  type Exclusions,
  executeOn,
  finalTree,
  findDuplicates,
  labelNames,
  rowKeys,
  renderPprof,
  seriesLabels,
  type SelectRequest,
} from "@cinderblock/query";
import {
  selectedBlocks,
  type CommandContext,
  parseTimeFlag,
  openConfiguredBucket,
  printRows,
  progressBar,
} from "./context.ts";

/** Blocks of the bucket that answer a query: compacted blocks instead of their sources. */
export async function openSources(
  c: CommandContext,
): Promise<{ sources: ProfileSource[]; select: SelectRequest }> {
  const bucket = await openConfiguredBucket(c),
    hasher = await loadHasher();
  const all = await selectedBlocks({ ...c, args: [] }, bucket);
  const tenants = new Set(all.map((b) => b.tenant));
  if (tenants.size > 1)
    throw new CinderblockError(
      "invalid",
      `the bucket has several tenants; set -tenant to one of ${[...tenants].join(", ")}`,
    );
  const metas = all.map((b) => b.meta),
    now = Date.now();
  const startMs =
      c.config.from === ""
        ? Math.min(...metas.map((m) => m.minTimeMs))
        : parseTimeFlag("from", c.config.from, now),
    endMs =
      c.config.to === "" ? Math.max(...metas.map((m) => m.maxTimeMs)) : parseTimeFlag("to", c.config.to, now);
  const used = all.filter(
    ({ meta: m }) =>
      m.downsampleResolution === 0 &&
      m.minTimeMs <= endMs &&
      m.maxTimeMs >= startMs &&
      replacementBlocksOf(m.ulid, metas).length === 0,
  );
  const bar = progressBar(c, "blocks opened"),
    out: ProfileSource[] = [];
  for (const [i, { tenant, meta }] of used.entries()) {
    const r = new BlockReader(meta, blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`), hasher);
    await r.open();
    out.push(r);
    bar(i + 1, used.length);
  }
  return {
    sources: out,
    select: { profileTypeId: c.config.profileType, labelSelector: c.config.query, startMs, endMs },
  };
}

export async function findExclusions(
  list: readonly ProfileSource[],
  select: SelectRequest,
): Promise<Exclusions> {
  return list.length < 2 ? {} : findDuplicates(await Promise.all(list.map((s) => rowKeys(s, select))));
}

/** Prints functions by self value. */
export async function printTop(c: CommandContext): Promise<number> {
  const { sources: list, select } = await openSources(c);
  const r = await executeOn(
    list,
    { kind: "tree", select, spans: [], maxNodes: 0 },
    await findExclusions(list, select),
  );
  if (r.kind !== "tree")
    throw new CinderblockError("internal", "a query for call trees returned another kind of result");
  const t = finalTree(r.tree, 0),
    self = new Map<string, bigint>(),
    total = new Map<string, bigint>();
  const name = (node: number): string =>
    Buffer.from(
      t.names.bytes.subarray(t.names.offset[t.name[node]!]!, t.names.offset[t.name[node]! + 1]!),
    ).toString();
  // A recursive function counts once on a path.
  const walk: { node: number; path: ReadonlySet<string> }[] = [{ node: 0, path: new Set() }];
  while (walk.length > 0) {
    const { node, path } = walk.pop()!;
    let next = path;
    if (node !== 0) {
      const f = name(node);
      self.set(f, (self.get(f) ?? 0n) + t.self[node]!);
      if (!path.has(f)) {
        total.set(f, (total.get(f) ?? 0n) + t.total[node]!);
        next = new Set([...path, f]);
      }
    }
    for (let k = t.childStart[node]!; k < t.childEnd[node]!; k++)
      walk.push({ node: t.children[k]!, path: next });
  }
  const all = t.total[0]!,
    percent = (v: bigint): string =>
      all === 0n ? "0" : `${(Number((v * 10_000n) / all) / 100).toFixed(2)} %`;
  const rows = [...self]
    .sort((a, b) => (a[1] < b[1] ? 1 : a[1] > b[1] ? -1 : a[0] < b[0] ? -1 : 1))
    .slice(0, c.config.limit === 0 ? undefined : c.config.limit)
    .map(([f, v]) => ({
      self: Number(v),
      "self %": percent(v),
      total: Number(total.get(f) ?? 0n),
      "total %": percent(total.get(f) ?? 0n),
      function: f,
    }));
  printRows(c, rows);
  return 0;
}

/** Merges the profiles of sources into one pprof. */
export async function mergeSourcesToPprof(
  c: CommandContext,
  list: readonly ProfileSource[],
  select: SelectRequest,
  type: ProfileType,
): Promise<Uint8Array> {
  const r = await executeOn(list, { kind: "profile", select, spans: [] }, await findExclusions(list, select));
  if (r.kind !== "profile")
    throw new CinderblockError("internal", "a query for profiles returned another kind of result");
  return renderPprof(
    r.profile,
    {
      sampleTypes: [{ type: type.sampleType, unit: type.sampleUnit }],
      periodType: { type: type.periodType, unit: type.periodUnit },
      period: 1n,
      timeNanos: BigInt(Math.trunc(select.endMs)) * 1_000_000n,
      durationNanos: BigInt(Math.trunc(select.endMs - select.startMs)) * 1_000_000n,
    },
    c.config.nodes,
    undefined,
  );
}

/** Writes a merged pprof to a file. */
export async function writePprof(c: CommandContext): Promise<number> {
  if (c.config.out === "") throw new CinderblockError("invalid", "name the file: query pprof -out=merged.pb");
  const { sources: list, select } = await openSources(c),
    type = parseProfileType(c.config.profileType);
  writeFileSync(c.config.out, await mergeSourcesToPprof(c, list, select, type));
  c.err.write(`written to ${c.config.out}: go tool pprof -http=: ${c.config.out}\n`);
  return 0;
}

/** Prints the label sets of series. */
export async function printSeries(c: CommandContext): Promise<number> {
  const { sources: list, select } = await openSources(c);
  const query = { matchers: [c.config.query], startMs: select.startMs, endMs: select.endMs };
  printRows(
    c,
    (await seriesLabels(list, [], query))
      .map((l) => ({ series: labelsText(l) }))
      .sort((a, b) => (a.series < b.series ? -1 : 1)),
  );
  return 0;
}

/** Prints label names. */
export async function printLabelNames(c: CommandContext): Promise<number> {
  const { sources: list, select } = await openSources(c);
  printRows(
    c,
    (await labelNames(list, { matchers: [c.config.query], startMs: select.startMs, endMs: select.endMs }))
      .sort()
      .map((label) => ({ label })),
  );
  return 0;
}
