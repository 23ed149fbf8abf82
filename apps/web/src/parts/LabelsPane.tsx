import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatShare, formatValue } from "@cinderblock/flame";
import { useApp } from "../state/app.tsx";
import { selectorOf, withMatcher } from "../state/selector.ts";
import { filtersThatChangeValues } from "../state/state.ts";
import { Failure, Loading } from "./Failure.tsx";
import { measureOf } from "./measure.ts";
import type { PaneProps } from "./tree.ts";

/** Values of each label among the samples; one click filters by a value or compares it with all others. */
export function LabelsPane({ selection }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp(),
    stacks = can?.explore ? filtersThatChangeValues(selection.stacks) : undefined;
  const names = useQuery({
    queryKey: ["names", client.tenant, selection.selector, selection.startMs, selection.endMs, state.type],
    queryFn: ({ signal }) =>
      client.labelNames(
        [selectorOf([...state.side.selector, { name: "__profile_type__", op: "=", value: state.type }])],
        selection.startMs,
        selection.endMs,
        signal,
      ),
  });
  const label = state.group !== "" ? state.group : (names.data?.find((n) => n !== "service_name") ?? "");
  const stepS = Math.max(1, Math.ceil((selection.endMs - selection.startMs) / 1000));
  const q = useQuery({
    queryKey: [
      "by",
      client.tenant,
      selection.type,
      selection.selector,
      selection.startMs,
      selection.endMs,
      label,
      stacks,
    ],
    enabled: label !== "",
    queryFn: ({ signal }) =>
      client.series(
        selection.type,
        selection.selector,
        selection.startMs,
        selection.endMs,
        stepS,
        [label],
        0,
        signal,
        stacks,
      ),
  });
  if (names.error || q.error) return <Failure error={names.error ?? q.error} />;
  const unit = measureOf(state, selection);
  const rows = (q.data?.value ?? [])
    .map((s) => ({ value: s.labels[label] ?? "", sum: s.points.reduce((n, p) => n + p.value, 0) }))
    .filter((r) => !stacks || r.sum > 0)
    .sort((a, b) => b.sum - a.sum);
  const total = rows.reduce((n, r) => n + r.sum, 0);
  const chosen = (value: string, op: "=" | "!="): typeof state.side => ({
    ...state.side,
    selector: withMatcher(state.side.selector, { name: label, op, value }),
  });
  return (
    <section className="pane" aria-label="Labels" aria-busy={q.isFetching}>
      <Loading active={q.isFetching || names.isFetching} />
      <div className="label-names" role="group" aria-label="Label">
        {(names.data ?? []).map((n) => (
          <button key={n} type="button" aria-pressed={n === label} onClick={() => go({ group: n }, true)}>
            {n}
          </button>
        ))}
      </div>
      <table className="by-label">
        <thead>
          <tr>
            <th scope="col">{label || "value"}</th>
            <th scope="col">Value</th>
            <th scope="col">Share</th>
            <th scope="col">
              <span className="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.value}>
              <th scope="row">{r.value === "" ? <em>(none)</em> : r.value}</th>
              <td>{formatValue(r.sum, unit)}</td>
              <td>
                <span className="bar" style={{ width: `${total > 0 ? (100 * r.sum) / total : 0}%` }} />
                {formatShare(total > 0 ? r.sum / total : 0)}
              </td>
              <td>
                <button type="button" onClick={() => go({ side: chosen(r.value, "=") })}>
                  only
                </button>
                <button type="button" onClick={() => go({ side: chosen(r.value, "!=") })}>
                  without
                </button>
                <button
                  type="button"
                  onClick={() =>
                    go({
                      screen: "compare",
                      pane: "flame",
                      side: chosen(r.value, "="),
                      baseline: chosen(r.value, "!="),
                    })
                  }
                >
                  compare with all others
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {q.data && rows.length === 0 ? <p className="nothing">No samples with this label here.</p> : null}
    </section>
  );
}
