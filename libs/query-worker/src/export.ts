import { exportOtlp, exportSamples, exportTree, toParquet } from "@cinderblock/exports";
import { mergePartials, type PartialSamples } from "@cinderblock/query";
import type { ExportCall } from "./protocol.ts";
import { bothTrees } from "./render.ts";

const NOTHING: PartialSamples = {
  series: [], rowSeries: new Uint32Array(0), rowTime: new BigInt64Array(0), rowId: new Uint8Array(0), row: new Uint32Array(0), stack: new Uint32Array(0), value: new BigInt64Array(0), span: new Uint32Array(0),
  tree: { nameBytes: new Uint8Array(0), nameOffset: new Uint32Array(2), parent: Int32Array.of(-1), name: Uint32Array.of(0), self: BigInt64Array.of(0n) },
};

/** Merges and writes in another program's format. */
export function exported(call: ExportCall): { bytes: Uint8Array; rows: number } {
  switch (call.kind) {
    case "tree": return { bytes: exportTree(bothTrees(call), call.format, call.title, call.unit, call.atMs), rows: 0 };
    case "otlp": return { bytes: exportOtlp(call.pprof, call.service), rows: 0 };
    case "parquet": return { bytes: toParquet(call.stream), rows: 0 };
    case "samples": {
      const merged = call.parts.length === 0 ? undefined : mergePartials(call.parts), samples = merged?.kind === "samples" ? merged.samples : NOTHING;
      return { bytes: exportSamples(samples, call.table, call.first, call.last).slice(), rows: samples.row.length };
    }
  }
}
