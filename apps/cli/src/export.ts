import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import type { ProfileSource } from "@cinderblock/block";
import { CinderblockError } from "@cinderblock/errors";
import { exportOtlp, exportSamples, exportTree, toParquet } from "@cinderblock/exports";
import {
  EXPORT_FORMATS,
  type ExportFormat,
  type SampleRows,
  type SampleTable,
  serviceOfSelector,
  type TreeFormat,
} from "@cinderblock/exports/formats";
import { unitOf } from "@cinderblock/flame";
import { parseProfileType } from "@cinderblock/model";
import { executeOn, seriesLabels, type SelectRequest, mergeComparison } from "@cinderblock/query";
import { type CommandContext, progressBar } from "./context.ts";
import { findExclusions, mergeSourcesToPprof, openSources } from "./query.ts";

/** Time range that an export reads at once; its rows are in memory together. */
const STEP_MS = 600_000;
/** Maximum size of an exported Parquet file, which is built from a complete table in memory. */
const MAX_PARQUET_BYTES = 1 << 30;
const ALL = { callSite: [], only: [], without: [], hide: [] };

/** Exports profiles of a bucket in another program's file format. */
export async function exportProfiles(c: CommandContext): Promise<number> {
  const format = c.config.format as ExportFormat;
  if (c.config.out === "")
    throw new CinderblockError(
      "invalid",
      `name the file: query export -format=${format} -out=profiles.${EXPORT_FORMATS[format].extension}`,
    );
  const { sources: list, select } = await openSources(c),
    type = parseProfileType(c.config.profileType);
  if (format === "arrow" || format === "parquet") {
    await table(c, list, select, format);
    return 0;
  }
  if (format === "pprof") writeFileSync(c.config.out, await mergeSourcesToPprof(c, list, select, type));
  else if (format === "otlp")
    writeFileSync(
      c.config.out,
      exportOtlp(await mergeSourcesToPprof(c, list, select, type), serviceOfSelector(c.config.query)),
    );
  else writeFileSync(c.config.out, await tree(list, select));
  c.err.write(`written to ${c.config.out}\n`);
  return 0;

  async function tree(from: readonly ProfileSource[], what: SelectRequest): Promise<Uint8Array> {
    const r = await executeOn(
      from,
      { kind: "tree", select: what, spans: [], maxNodes: 0 },
      await findExclusions(from, what),
    );
    if (r.kind !== "tree")
      throw new CinderblockError("internal", "a query for call trees returned another kind of result");
    return exportTree(
      await mergeComparison(r.tree, undefined, ALL, ALL),
      format as TreeFormat,
      `${type.name} ${type.sampleType}`,
      unitOf(type.sampleUnit),
      what.startMs,
    );
  }
}

/** Exports samples or profiles, one step of time after the other. */
async function table(
  c: CommandContext,
  list: readonly ProfileSource[],
  select: SelectRequest,
  format: "arrow" | "parquet",
): Promise<void> {
  const labels = new Set(
    (
      await seriesLabels(list, [], {
        matchers: [c.config.query],
        startMs: select.startMs,
        endMs: select.endMs,
      })
    )
      .flat()
      .map((l) => l.name),
  );
  const type = parseProfileType(select.profileTypeId),
    head: SampleTable = {
      rows: c.config.rows as SampleRows,
      labels: [...labels].filter((n) => !n.startsWith("__")).sort(),
      profileType: type.id,
      unit: type.sampleUnit,
    };
  const bar = progressBar(c, "of the time range exported"),
    out = format === "arrow" ? openSync(c.config.out, "w") : undefined,
    pieces: Uint8Array[] = [];
  let bytes = 0,
    rows = 0;
  for (let at = select.startMs; at <= select.endMs; at += STEP_MS) {
    const step = { ...select, startMs: at, endMs: Math.min(select.endMs, at + STEP_MS - 1) },
      last = step.endMs === select.endMs;
    const r = await executeOn(
      list,
      { kind: "samples", select: step, spans: [] },
      await findExclusions(list, step),
    );
    if (r.kind !== "samples") throw new CinderblockError("internal", "expected samples");
    rows += head.rows === "samples" ? r.samples.row.length : r.samples.rowSeries.length;
    if (r.samples.row.length > 0 || at === select.startMs || last) {
      const piece = exportSamples(r.samples, head, at === select.startMs, last);
      bytes += piece.length;
      if (out !== undefined) writeSync(out, piece);
      else pieces.push(piece);
      if (out === undefined && bytes > MAX_PARQUET_BYTES)
        throw new CinderblockError(
          "limit",
          `the uncompressed table exceeds ${MAX_PARQUET_BYTES >> 20} MiB, the limit of a Parquet export: choose a shorter time range, a narrower selector, or -format=arrow, which has no limit`,
        );
    }
    bar(step.endMs - select.startMs + 1, select.endMs - select.startMs + 1);
  }
  if (out !== undefined) closeSync(out);
  else writeFileSync(c.config.out, toParquet(Buffer.concat(pieces)));
  c.err.write(`${rows} rows written to ${c.config.out}\n`);
}
