import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatChange, formatShare, formatValue } from "@cinderblock/flame";
import type { Selection } from "../api/types.ts";
import { useApp } from "../state/app.tsx";
import { measureOf } from "./panes.tsx";

/** The chosen function: exact values, and what can be done with it. */
export function Drawer({ selection, baseline }: { selection: Selection; baseline: Selection | undefined }): ReactNode {
  const { state, go, client, can } = useApp();
  const { fn, stacks } = state;
  const q = useQuery({
    queryKey: ["function", client.tenant, selection, baseline, fn], enabled: fn !== "" && can?.explore === true,
    queryFn: async ({ signal }) => { const { value } = await client.functions(selection, baseline, "", "total", false, 1, signal, [fn]); return { row: value.rows[0], total: value.total, baseTotal: value.baseTotal }; },
  });
  if (fn === "") return null;
  const unit = measureOf(state, selection), baseUnit = baseline ? measureOf(state, baseline) : unit, row = q.data?.row, total = q.data?.total ?? 0, baseTotal = q.data?.baseTotal ?? 0;
  const share = (v: number, of: number): number => (of > 0 ? v / of : 0);
  const add = (key: "only" | "without" | "hide"): void => { if (!stacks[key].includes(fn)) go({ stacks: { ...stacks, [key]: [...stacks[key], fn] } }); };
  return (
    <aside className="drawer" aria-label="Function">
      <header><h2 title={fn}>{fn}</h2><button type="button" className="plain" aria-label="Close the function" onClick={() => go({ fn: "" }, true)}>✕</button></header>
      {row ? (
        <dl data-testid="function-values">
          <dt>self</dt><dd>{formatValue(row.self, unit)} <span className="quiet">{formatShare(share(row.self, total))}</span></dd>
          <dt>total</dt><dd>{formatValue(row.total, unit)} <span className="quiet">{formatShare(share(row.total, total))}</span></dd>
          {baseline ? <><dt>self before</dt><dd>{formatValue(row.baseSelf, baseUnit)} <span className="quiet">{formatChange(share(row.baseSelf, baseTotal), share(row.self, total))}</span></dd><dt>total before</dt><dd>{formatValue(row.baseTotal, baseUnit)} <span className="quiet">{formatChange(share(row.baseTotal, baseTotal), share(row.total, total))}</span></dd></> : null}
        </dl>
      ) : <p className="quiet">{q.isFetching ? "…" : can?.explore === false ? "Exact values need Cinderblock's server." : "No samples in this selection."}</p>}
      <div className="actions">
        <button type="button" onClick={() => go({ pane: "sandwich" })}>Callers and callees <kbd>s</kbd></button>
        <button type="button" onClick={() => add("only")}>Only stacks with it <kbd>o</kbd></button>
        <button type="button" onClick={() => add("without")}>Without these stacks <kbd>x</kbd></button>
        <button type="button" onClick={() => add("hide")}>Merge into callers <kbd>h</kbd></button>
        <button type="button" onClick={() => void navigator.clipboard.writeText(fn)}>Copy the name</button>
      </div>
    </aside>
  );
}
