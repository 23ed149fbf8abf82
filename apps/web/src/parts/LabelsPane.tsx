import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { columnScale, formatShare, formatValue, measureOf, type ValueUnit } from "@cinderblock/flame";
import { useTimeline } from "../api/use-timeline.ts";
import type { Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { basisOf } from "../state/compare.ts";
import { labelRows } from "../state/label-rows.ts";
import { selectorOf, withMatcher } from "../state/selector.ts";
import { filtersThatChangeValues } from "../state/state.ts";
import { Failure, Loading } from "./Failure.tsx";

/** Values of each label among the samples; one click filters by a value or compares it with all others. */
export function LabelsPane({ selection }: { selection: Selection }): ReactNode {
  const { state, go, client, can } = useApp(),
    filtered = can?.explore === true && filtersThatChangeValues(selection.stacks) !== undefined;
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
  const q = useTimeline(selection, label, { enabled: label !== "", stepMs: 0, limit: 0 });
  if (names.error || q.error) return <Failure error={names.error ?? q.error} />;
  const timeline = q.isPlaceholderData ? undefined : q.data?.value,
    { rows, total } = labelRows(timeline, label, filtered);
  const unit = (r: (typeof rows)[number]): ValueUnit => measureOf(state.type, basisOf(state) === "rate", r),
    scale = columnScale(rows.map((r) => [r.total, unit(r)]));
  const chosen = (value: string, op: "=" | "!="): typeof state.side => ({
    ...state.side,
    selector: withMatcher(state.side.selector, { name: label, op, value }),
  });
  return (
    <section className="pane" aria-label="Labels" aria-busy={q.isFetching} data-total={total}>
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
            <th scope="col" className="num">
              Value
            </th>
            <th scope="col" className="num">
              Share
            </th>
            <th scope="col">
              <span className="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr key={r.value} data-total={r.total}>
              <th scope="row">{r.value === "" ? <em>(none)</em> : r.value}</th>
              <td className="num">{formatValue(r.total, unit(r), scale)}</td>
              <td className="num">
                <svg className="track" aria-hidden="true">
                  <rect className="bar" width={`${100 * r.share}%`} height="100%" />
                </svg>
                {formatShare(r.share)}
              </td>
              <td>
                <button type="button" onClick={() => go({ side: chosen(r.value, "=") })}>
                  Include
                </button>
                <button type="button" onClick={() => go({ side: chosen(r.value, "!=") })}>
                  Exclude
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
                  Compare with the rest
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {timeline && rows.length === 0 ? <p className="nothing">No data for this label.</p> : null}
    </section>
  );
}
