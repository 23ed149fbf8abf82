import { type Figures, isGauge, type Sides } from "@cinderblock/flame";
import type { FlameSource } from "../flame-worker.ts";
import type { ApiAnswer, Client } from "./client.ts";
import type { Selection } from "./types.ts";
import { callTreeRequest } from "./wire.ts";

/** Number of nodes of each side that a plain Pyroscope v1 compares. */
export const V1_COMPARISON_NODES = 16_384;

/** The selection without its focus: a focus is a zoom, which changes no figure of other views. */
export function withoutFocus(s: Selection): Selection {
  return s.stacks.callSite.length === 0 ? s : { ...s, stacks: { ...s.stacks, callSite: [] } };
}

/** The selection of labels and times alone: the whole that shares refer to. */
export function withoutStackFilters(s: Selection): Selection {
  return { ...s, stacks: { callSite: [], only: [], without: [], hide: [] } };
}

/** A call tree of a selection, or of a selection and its baseline, to lay out in the worker. */
export async function treeSource(
  client: Pick<Client, "binary" | "diff" | "flamegraph">,
  explore: boolean,
  selection: Selection,
  baseline: Selection | undefined,
  nodes: number,
  signal?: AbortSignal,
): Promise<{ source: FlameSource; partial: string }> {
  if (explore) {
    const { value, partial } = await client.binary(
      "cinderblock.explore.v1.ExploreService/CallTree",
      callTreeRequest(selection, baseline, nodes),
      signal,
    );
    return { source: { kind: "tree", bytes: value }, partial };
  }
  if (baseline) {
    const { value, partial } = await client.diff(selection, baseline, nodes, signal);
    return { source: { kind: "levels", names: value.names, levels: value.levels, double: true }, partial };
  }
  const { value, partial } = await client.flamegraph(selection, nodes, signal);
  return { source: { kind: "levels", ...value }, partial };
}

/**
 * Figures of both whole sides of a comparison. Totals are exact: on a Pyroscope v1 those of its comparison.
 * They do not depend on filters of functions or on a focus.
 */
export async function fetchSides(
  client: Pick<Client, "diff" | "functions" | "timeline">,
  explore: boolean,
  selection: Selection,
  baseline: Selection,
  signal?: AbortSignal,
): Promise<ApiAnswer<Sides>> {
  const a = withoutStackFilters(selection),
    b = withoutStackFilters(baseline);
  const cover = async (s: Selection): Promise<Omit<Figures, "total">> => {
    const { coveredMs, intervalMs } = (await client.timeline(s, 0, [], 0, explore, signal)).value;
    return { coveredMs, intervalMs };
  };
  const [totals, now, before] = await Promise.all([
    explore
      ? client.functions(a, b, "", "self", false, 1, signal)
      : client.diff(a, b, V1_COMPARISON_NODES, signal),
    cover(a),
    cover(b),
  ]);
  return {
    value: {
      now: { total: totals.value.total, ...now },
      before: { total: totals.value.baseTotal, ...before },
      gauge: isGauge(selection.type),
    },
    partial: totals.partial,
  };
}
