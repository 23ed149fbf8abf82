import { useEffect, useRef, useState } from "react";
import type { Flame } from "@cinderblock/flame";
import type { FlameDone, FlameJob, FlameSource } from "../flame-worker.ts";
import { WorkerCalls } from "./worker-calls.ts";

/** Layout that the worker computed, with its answer and options. */
export interface FlameLayout {
  flames: Flame[];
  source: FlameSource;
  collapsed: boolean;
  inverted: boolean;
}

const calls = new WorkerCalls<FlameJob, FlameDone>(
  () => new Worker(new URL("../flame-worker.ts", import.meta.url), { type: "module" }),
);

/**
 * Lays out an answer in the worker. Only the newest request counts: results of older ones are dropped, and
 * the old picture stays until the new result arrives. `behind`: the current layout is older than the last
 * request.
 */
export function useFlame(
  source: FlameSource | undefined,
  collapsed: boolean,
  inverted: boolean,
): { laid: FlameLayout | undefined; error: string; behind: boolean } {
  const [laid, setLaid] = useState<FlameLayout>();
  const [error, setError] = useState("");
  const latest = useRef(0);
  useEffect(() => {
    if (!source) return;
    latest.current = calls.ask({ source, collapsed, inverted }, (d) => {
      if (latest.current !== d.id) return;
      if ("error" in d) {
        setError(d.error);
        return;
      }
      setError("");
      setLaid({ flames: d.flames, source, collapsed, inverted });
    });
  }, [source, collapsed, inverted]);
  const behind =
    source !== undefined &&
    error === "" &&
    !(laid?.source === source && laid.collapsed === collapsed && laid.inverted === inverted);
  return { laid, error, behind };
}
