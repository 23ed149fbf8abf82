import type { Pace } from "@cinderblock/async";
import { exportOtlp, exportSamples, exportTree, toParquet } from "@cinderblock/exports";
import { mergeSamples } from "@cinderblock/query";
import type { ExportCall } from "./protocol.ts";
import { mergeInput } from "./render.ts";

/** Merges partial results and encodes them in another program's format. */
export async function exportResults(
  call: ExportCall,
  pace: Pace,
): Promise<{ bytes: Uint8Array; rows: number }> {
  switch (call.kind) {
    case "tree":
      return {
        bytes: exportTree(await mergeInput(call, pace), call.format, call.title, call.unit, call.atMs),
        rows: 0,
      };
    case "otlp":
      return { bytes: exportOtlp(call.pprof, call.service), rows: 0 };
    case "parquet":
      return { bytes: toParquet(call.stream), rows: 0 };
    case "samples": {
      const samples = mergeSamples(call.parts.flatMap((p) => (p.kind === "samples" ? [p.samples] : [])));
      return {
        bytes: exportSamples(samples, call.table, call.first, call.last).slice(),
        rows: samples.row.length,
      };
    }
  }
}
