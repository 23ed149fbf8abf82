import { useEffect, useRef, useState } from "react";
import type { Flame } from "@cinderblock/flame";
import type { FlameAnswer, FlameJob, FlameSource } from "../flame-worker.ts";
import { WorkerCalls } from "./worker-calls.ts";

/** Totals of both sides of a comparison, before filters of functions and a focus. */
interface Sums {
  sum: number;
  baseSum: number;
}

/** Layout that the worker computed, with its answer and options. */
export interface FlameLayout {
  flames: Flame[];
  source: FlameSource;
  collapsed: boolean;
  inverted: boolean;
  whole: Sums | undefined;
}

const calls = new WorkerCalls<FlameJob, FlameAnswer>(
  () => new Worker(new URL("../flame-worker.ts", import.meta.url), { type: "module" }),
);

/**
 * Lays out an answer in the worker. Only the newest request counts: results of older ones are dropped, and
 * the old picture stays until the new result arrives, and goes with its source. `behind`: the current layout is older than the last
 * request.
 * @param whole sums of both whole sides, for a source that is a part of them; keep the object for equal sums
 */
export function useFlame(
  source: FlameSource | undefined,
  collapsed: boolean,
  inverted: boolean,
  whole?: Sums,
): { laid: FlameLayout | undefined; error: string; behind: boolean } {
  const [laid, setLaid] = useState<FlameLayout>();
  const [error, setError] = useState("");
  const latest = useRef(0);
  useEffect(() => {
    if (!source) return;
    latest.current = calls.ask({ source, collapsed, inverted, whole }, (d) => {
      if (latest.current !== d.id) return;
      if ("error" in d) {
        setError(d.error);
        return;
      }
      setError("");
      setLaid({ flames: d.flames, source, collapsed, inverted, whole });
    });
  }, [source, collapsed, inverted, whole]);
  const behind =
    source !== undefined &&
    error === "" &&
    !(
      laid?.source === source &&
      laid.collapsed === collapsed &&
      laid.inverted === inverted &&
      laid.whole === whole
    );
  return { laid: source && laid, error, behind };
}
