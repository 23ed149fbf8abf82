import { type ReactNode, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { timelineStep } from "@cinderblock/flame";
import type { Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { baselineOf, toCompareScreen } from "../state/compare.ts";
import { pinBaseline, pinnedBaseline } from "../state/pinned.ts";
import { selectorOf, selectorText } from "../state/selector.ts";
import type { Side, State } from "../state/state.ts";
import { formatLength } from "../state/time.ts";
import { VERSION_LABELS, versionPair } from "../state/versions.ts";
import { labelNamesQuery } from "./TimelinePane.tsx";

/**
 * Choices of a comparison's baseline: distance into the past in milliseconds; undefined: the range's own
 * length.
 */
const BEFORE: readonly [label: string, ms: number | undefined][] = [
  ["Previous period", undefined],
  ["1 h earlier", 36e5],
  ["1 d earlier", 864e5],
  ["1 w earlier", 6048e5],
];

/** Comparison with the previous value of a version label, and the message if no such value exists. */
function useVersions(a: Selection | undefined): {
  compare: (label: string) => Promise<void>;
  problem: string;
} {
  const { state, go, can, client } = useApp();
  const [problem, setProblem] = useState("");
  const compare = async (label: string): Promise<void> => {
    if (!a) return;
    const rest = state.side.selector.filter((m) => m.name !== label),
      current = state.side.selector.find((m) => m.name === label && m.op === "=")?.value;
    // Search for the previous version first in a near range with fine steps. Then search the longest range of
    // one query, because a release may last for weeks.
    const length = a.endMs - a.startMs,
      most = (can?.maxQueryLengthMs ?? 0) > 0 ? can!.maxQueryLengthMs : Infinity;
    try {
      for (const back of [length * 4, 4 * 6048e5]) {
        const fromMs = Math.min(a.startMs, a.endMs - Math.min(back, most) + 1000),
          stepS = timelineStep(a.endMs - fromMs, 0, 400);
        const { value } = await client.series(a.type, selectorOf(rest), fromMs, a.endMs, stepS, [label], 0);
        const pair = versionPair(value, label, current, a.startMs, a.endMs, stepS * 1000);
        if (!pair) {
          setProblem(`No previous ${label} in the last ${formatLength(a.endMs - fromMs)}.`);
          continue;
        }
        const of = (v: string): Side["selector"] => [...rest, { name: label, op: "=", value: v }];
        setProblem("");
        go({
          ...toCompareScreen(state),
          side: { ...state.side, selector: of(pair.now) },
          baseline: {
            selector: of(pair.before),
            from: String(Math.round(pair.fromMs)),
            until: String(Math.round(pair.untilMs)),
          },
        });
        return;
      }
    } catch (err) {
      setProblem((err as Error).message);
    }
  };
  return { compare, problem };
}

/** Menu of baselines: earlier times, the previous version, the pinned selection. */
export function CompareWith({
  selection: a,
  icon,
}: {
  selection: Selection | undefined;
  icon: ReactNode;
}): ReactNode {
  const { state, go, nowMs, client } = useApp();
  const [pinned, setPinned] = useState(pinnedBaseline);
  const names = useQuery({
    ...labelNamesQuery(client, a ?? { selector: "{}", startMs: 0, endMs: 0 }),
    enabled: a !== undefined,
  });
  const versions = useVersions(a);
  const choose = (value: string): void => {
    const before = BEFORE[Number(value)],
      compareTo = (baseline: State["baseline"]): void => go({ ...toCompareScreen(state), baseline });
    if (value === "pin" && a) {
      pinBaseline({ selector: state.side.selector, from: String(a.startMs), until: String(a.endMs) });
      setPinned(pinnedBaseline());
    } else if (value.startsWith("version:")) void versions.compare(value.slice(8));
    else if (value === "pinned" && pinned) compareTo(pinned);
    else if (value !== "" && before)
      compareTo(before[1] === undefined ? undefined : baselineOf(state, nowMs, before[1]));
  };
  return (
    <span className="icon-select compare-with" title="Compare with">
      {icon}
      <select aria-label="Compare with" value="" onChange={(e) => choose(e.target.value)}>
        <option value="">Compare with…</option>
        {BEFORE.map(([label], i) => (
          <option key={label} value={i}>
            {label}
          </option>
        ))}
        {VERSION_LABELS.filter((l) => names.data?.includes(l)).map((l) => (
          <option key={l} value={`version:${l}`}>
            Previous {l}
          </option>
        ))}
        {pinned ? (
          <option value="pinned">Pinned baseline: {selectorText(pinned.selector) || "all"}</option>
        ) : null}
        <option value="pin">Pin as baseline</option>
      </select>
      {versions.problem !== "" ? (
        <span className="floating problem" role="status">
          {versions.problem}
        </span>
      ) : null}
    </span>
  );
}
