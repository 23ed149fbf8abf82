import type { Pace } from "@cinderblock/async";
import { ByteWriter } from "@cinderblock/bytes";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { readProfileFile } from "@cinderblock/profile-files";
import {
  callSiteFilter,
  diffLevels,
  emptyTree,
  encodeCallTree,
  encodeFunctionLines,
  encodeFunctionTable,
  encodeHeatmap,
  encodeSelectHeatmap,
  encodeTimeline,
  encodeTreeBytes,
  finalTree,
  type FinalTree,
  type FlameLevels,
  flamebearerProfile,
  flameLevels,
  functionLines,
  mergePartials,
  callersAndCallees,
  type PartialResult,
  type PartialTree,
  type Points,
  renderPprof,
  type FlamebearerMetadata,
  timelineOf,
  type ComparisonTree,
  mergeComparison,
} from "@cinderblock/query";
import type {
  FilesAnswer,
  FilesCall,
  RenderedLevels,
  RenderAnswer,
  RenderCall,
  ComparisonInput,
} from "./protocol.ts";

function mergedTree(parts: PartialResult[]): PartialTree {
  const merged = parts.length === 0 ? undefined : mergePartials(parts);
  return merged?.kind === "tree" ? merged.tree : emptyTree();
}

/** Merged tree of the parts, reduced to stacks that begin with the call site. */
async function treeBelow(parts: PartialResult[], callSite: readonly string[]): Promise<PartialTree> {
  const tree = mergedTree(parts);
  if (callSite.length === 0) return tree;
  const filter = callSiteFilter(callSite);
  return mergeComparison(tree, undefined, filter, filter);
}

function mergedPoints(parts: PartialResult[]): Points {
  const merged = parts.length === 0 ? undefined : mergePartials(parts);
  return merged?.kind === "points"
    ? merged.points
    : { timeMs: new Float64Array(0), value: new Float64Array(0) };
}

/** Merges both sides of a comparison into one tree, with their filters. */
export function mergeInput(
  { parts, base, filter, baseFilter }: ComparisonInput,
  pace: Pace,
): Promise<ComparisonTree> {
  return mergeComparison(mergedTree(parts), base && mergedTree(base), filter, baseFilter, pace);
}

/** Merges partial results, cuts to `maxNodes` (after the merge) and encodes. */
export async function render(call: RenderCall, pace: Pace): Promise<RenderAnswer> {
  switch (call.kind) {
    case "flame": {
      const l = flameLevels(finalTree(await treeBelow(call.parts, call.callSite), call.maxNodes));
      const full = { ...l, leftTotal: 0n, rightTotal: 0n };
      return output(full, call.as, 4);
    }
    case "tree":
      return { bytes: encodeTreeBytes(finalTree(await treeBelow(call.parts, call.callSite), call.maxNodes)) };
    case "diff": {
      const left = await treeBelow(call.left, call.callSite[0]),
        right = await treeBelow(call.right, call.callSite[1]);
      const sides: [FinalTree, FinalTree] = [finalTree(left, call.maxNodes), finalTree(right, call.maxNodes)];
      return output(diffLevels(...sides), call.as, 7);
    }
    case "call-tree":
      return { bytes: encodeCallTree(await mergeInput(call, pace), call.maxNodes) };
    case "functions":
      return { bytes: await encodeFunctionTable(await mergeInput(call, pace), call.page, pace) };
    case "heatmap":
      return {
        bytes: encodeHeatmap(mergedPoints(call.parts), call.startMs, call.endMs, call.columns, call.rows),
      };
    case "timeline":
      if (call.parts.some((p) => p.kind !== "points"))
        throw new CinderblockError(
          "unavailable",
          "a source of the previous release does not support time lines with covered time",
        );
      return { bytes: encodeTimeline(timelineOf(mergedPoints(call.parts), call)) };
    case "select-heatmap":
      return { bytes: encodeSelectHeatmap(mergedPoints(call.parts), call) };
    case "neighbours": {
      const { callers, callees } = callersAndCallees(await mergeInput(call, pace), call.name);
      const out = new ByteWriter(1 << 14);
      [callers, callees].forEach((t, i) => {
        const b = encodeCallTree(t, call.maxNodes);
        out.u8((i + 1) * 8 + 2);
        out.uvarint(b.length);
        out.bytes(b);
      });
      return { bytes: out.transferBytes() };
    }
    case "function-lines": {
      const merged = call.parts.length === 0 ? undefined : mergePartials(call.parts);
      return {
        bytes: encodeFunctionLines(
          merged?.kind === "profile" ? await functionLines(merged.profile, call.name, call.filter, pace) : [],
        ),
      };
    }
    case "pprof": {
      const merged = call.parts.length === 0 ? undefined : mergePartials(call.parts);
      if (merged?.kind !== "profile" || merged.profile.value.every((v) => v === 0n)) return { empty: true };
      return {
        bytes: renderPprof(
          merged.profile,
          {
            sampleTypes: [call.sampleType],
            periodType: call.periodType,
            period: call.period,
            timeNanos: call.timeNanos,
            durationNanos: call.durationNanos,
          },
          call.maxNodes,
          call.goPgo,
        ),
      };
    }
  }
}

/**
 * Renders one file, or the difference of two.
 * @throws `invalid` if the files have no common type, or lack the requested one
 */
export function renderFiles({ files, type, maxNodes, limitBytes }: FilesCall): FilesAnswer {
  const [left, right] = files.map((f) => readProfileFile(f.name, f.bytes, limitBytes));
  const types = left!.map((p) => p.type).filter((t) => !right || right.some((p) => p.type === t));
  if (types.length === 0)
    throw invalidError(
      right
        ? `no common profile types found: ${left!.map((p) => p.type).join(", ")} against ${right.map((p) => p.type).join(", ")}`
        : "the file has no profile",
    );
  const wanted = type === undefined || type === "" ? types[0]! : type;
  if (!types.includes(wanted))
    throw invalidError(`profile type "${wanted}" not found in available profile types ${types.join(", ")}`);
  const of = (
    list: typeof left,
  ): { unit: string; tree: FinalTree; shown: FlamebearerMetadata | undefined } => {
    const p = list!.find((x) => x.type === wanted)!;
    return { unit: p.unit, tree: finalTree(p.tree, maxNodes), shown: p.shown };
  };
  const a = of(left);
  const answer = right
    ? output(diffLevels(a.tree, of(right).tree), "flamebearer", 7)
    : output({ ...flameLevels(a.tree), leftTotal: 0n, rightTotal: 0n }, "flamebearer", 4);
  return {
    types,
    type: wanted,
    flamebearer: flamebearerProfile(
      wanted,
      a.unit,
      right ? "double" : "single",
      "bytes" in answer ? answer.bytes : new Uint8Array(0),
      undefined,
      right ? undefined : a.shown,
    ).toString(),
  };
}

type Full = FlameLevels & { leftTotal: bigint; rightTotal: bigint };

function output(l: Full, as: "proto" | "levels" | "flamebearer", width: 4 | 7): RenderAnswer {
  if (as === "proto") return { bytes: encodeFlameGraph(l, width) };
  if (as === "flamebearer") return { bytes: encodeFlamebearer(l) };
  return {
    levels: {
      names: l.names.map((n) => Buffer.from(n).toString("utf8")),
      levels: l.levels,
      total: l.total,
      maxSelf: l.maxSelf,
      leftTotal: l.leftTotal,
      rightTotal: l.rightTotal,
    } satisfies RenderedLevels,
  };
}

/** Writes all values of a row; a separate function, so that it is compiled early in a query. */
function putRow(out: ByteWriter, row: readonly (number | bigint)[]): void {
  out.reserve(row.length * 10);
  for (let i = 0; i < row.length; i++) {
    const v = row[i]!;
    if (typeof v === "number" && v >= 0) out.uvarint(v);
    else out.uvarint64(BigInt(v));
  }
}

/**
 * Encodes querier.v1.FlameGraph, or FlameGraphDiff for width 7, directly as bytes, without an object per
 * value.
 */
function encodeFlameGraph(l: Full, width: 4 | 7): Uint8Array {
  const out = new ByteWriter(1 << 16);
  for (const n of l.names) {
    out.u8(10);
    out.uvarint(n.length);
    out.bytes(n);
  }
  const values = new ByteWriter(1 << 12),
    level = new ByteWriter(1 << 12);
  for (const row of l.levels) {
    values.reset();
    putRow(values, row);
    level.reset();
    level.u8(10);
    level.uvarint(values.length);
    level.bytes(values.finish());
    out.u8(18);
    out.uvarint(level.length);
    out.bytes(level.finish());
  }
  const field = (n: number, v: bigint): void => {
    if (v !== 0n) {
      out.u8(n * 8);
      out.uvarint64(v);
    }
  };
  field(3, l.total);
  field(4, l.maxSelf);
  if (width === 7) {
    field(5, l.leftTotal);
    field(6, l.rightTotal);
  }
  return out.transferBytes();
}

/** Encodes the `flamebearer` object of /pyroscope/render as JSON text. */
function encodeFlamebearer(l: Full): Uint8Array {
  const out = new ByteWriter(1 << 16);
  out.utf8('{"names":[');
  l.names.forEach((n, i) => {
    if (i > 0) out.u8(44);
    out.utf8(JSON.stringify(Buffer.from(n).toString("utf8")));
  });
  out.utf8('],"levels":[');
  l.levels.forEach((row, i) => {
    if (i > 0) out.u8(44);
    out.u8(91);
    for (let k = 0; k < row.length; k++) {
      if (k > 0) out.u8(44);
      out.decimal(row[k]!);
    }
    out.u8(93);
  });
  out.utf8(`],"numTicks":${l.total},"maxSelf":${l.maxSelf}}`);
  return out.transferBytes();
}
