import { useEffect, useRef, useState } from "react";
import type { Flame } from "@cinderblock/flame";
import type { FlameDone, FlameJob, FlameSource } from "../flame-worker.ts";
import { WorkerCalls } from "./worker-calls.ts";

/** What the worker made of an answer, and of which with which options. */
export interface Laid {
  flames: Flame[];
  source: FlameSource;
  collapsed: boolean;
  inverted: boolean;
}

const calls = new WorkerCalls<FlameJob, FlameDone>(
  () => new Worker(new URL("../flame-worker.ts", import.meta.url), { type: "module" }),
);

/**
 * Lays out an answer. The newest wins: what an older one gave is dropped, and its picture stays until then.
 * `behind`: what is laid out is not what was asked for last.
 */
export function useFlame(
  source: FlameSource | undefined,
  collapsed: boolean,
  inverted: boolean,
): { laid: Laid | undefined; error: string; behind: boolean } {
  const [laid, setLaid] = useState<Laid>();
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
