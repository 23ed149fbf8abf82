import { type ReactNode, useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatCount, formatShare, formatValue, shortFunction, sidesOf } from "@cinderblock/flame";
import { keepAnswersOfType } from "../api/keeping-type.ts";
import { callTreeRequest } from "../api/wire.ts";
import { WorkerCalls } from "../api/worker-calls.ts";
import { NODE_HEIGHT as HEIGHT, NODE_WIDTH as WIDTH } from "../graph-size.ts";
import type { GraphAnswer, GraphJob, PlacedGraph } from "../graph-worker.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { Icon } from "./Icon.tsx";
import { useFit } from "./use-fit.ts";
import { useApp } from "../state/app.tsx";
import { changeOfWhole, changeTexts, type ComparisonFigures } from "../state/compare.ts";
import { plural } from "../state/words.ts";
import { NoData } from "./NoData.tsx";
import { Failure, Loading, PartialNotice } from "./Failure.tsx";
import type { PaneProps } from "./tree.ts";

/** Number of functions in a graph, and number of requested call tree nodes. */
const MOST = 80,
  TREE_NODES = 200_000;
/** Number of characters of a name that fit. */
const GLYPHS = 32;

const calls = new WorkerCalls<GraphJob, GraphAnswer>(
  () => new Worker(new URL("../graph-worker.ts", import.meta.url), { type: "module" }),
);
function placed(bytes: ArrayBuffer): Promise<PlacedGraph> {
  return new Promise((resolve, reject) => {
    calls.ask({ bytes, most: MOST }, (d) => {
      if ("error" in d) reject(new Error(d.error));
      else resolve(d.placed);
    });
  });
}

/** Place of the function with the largest total. */
function heaviest(g: PlacedGraph | undefined): { x: number; y: number } | undefined {
  if (!g || g.graph.names.length === 0) return undefined;
  let at = 0;
  for (let i = 1; i < g.graph.names.length; i++) if (g.graph.total[i]! > g.graph.total[at]!) at = i;
  return { x: g.x[at]!, y: g.y[at]! };
}

/** A name that fits into a box. */
function graphLabel(name: string): string {
  const short = shortFunction(name);
  return short.length <= GLYPHS ? short : `${short.slice(0, GLYPHS - 1)}…`;
}

/** Call graph of the functions with the largest totals, callers above callees. */
export function GraphPane({ selection, baseline, comparing }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const own = useValueUnit(selection);
  const q = useQuery({
    queryKey: ["graph", client.tenant, selection, baseline],
    enabled: can?.explore === true,
    ...keepAnswersOfType(selection.type),
    queryFn: async ({ signal }) => {
      const { value, partial } = await client.binary(
        "cinderblock.explore.v1.ExploreService/CallTree",
        callTreeRequest(
          selection,
          baseline,
          Math.min(TREE_NODES, can!.maxNodes > 0 ? can!.maxNodes : TREE_NODES),
        ),
        signal,
      );
      return { graph: await placed(value), partial };
    },
  });
  const [hovered, setHovered] = useState(-1);
  useEffect(() => setHovered(-1), [q.data]);
  const { host, scale, fit, pan } = useFit(q.data?.graph, heaviest(q.data?.graph));
  if (can && !can.explore) return <p className="partial">A plain Pyroscope v1 has no exact call graph.</p>;
  if (q.error) return <Failure error={q.error} retry={() => void q.refetch()} />;
  const p = q.data?.graph,
    unit = comparing?.unit ?? own,
    compared: ComparisonFigures | undefined = p?.graph.baseTotal
      ? (comparing ?? { sides: sidesOf(p.graph), basis: "share", unit, baseUnit: unit })
      : undefined,
    all = comparing?.sides.now.total ?? p?.graph.sum ?? 0;
  const share = (v: number, of: number): number => (of > 0 ? v / of : 0);
  const touched = new Set<number>();
  if (p && hovered >= 0)
    p.graph.from.forEach((from, e) => {
      if (from === hovered || p.graph.to[e] === hovered) touched.add(e);
    });
  return (
    <section className={q.isFetching ? "pane busy" : "pane"} aria-label="Call graph" aria-busy={q.isFetching}>
      <Loading active={q.isFetching} />
      <div className="pane-bar">
        <strong>Call graph</strong>
        {p ? (
          <span className="quiet ellipsis">
            {plural(p.graph.names.length, "function")}
            {p.graph.left > 0 ? `; ${formatCount(p.graph.left)} with smaller totals not shown` : ""}
          </span>
        ) : null}
        <span className="grow" />
        <PartialNotice reason={q.data?.partial ?? ""} />
        <button type="button" className="plain reset" onClick={fit}>
          <Icon name="zoomOut" />
          Fit
        </button>
      </div>
      {p && p.graph.names.length === 0 ? <NoData /> : null}
      {p && p.graph.names.length > 0 ? (
        <div
          className="graph-scroll"
          tabIndex={0}
          role="group"
          aria-label="Call graph, callers above"
          ref={host}
          {...pan}
        >
          <svg
            width={p.width * scale}
            height={p.height * scale}
            viewBox={`0 0 ${p.width} ${p.height}`}
            role="presentation"
            data-testid="call-graph"
          >
            {p.points.map((points, e) => {
              const s = share(p.graph.value[e]!, all);
              return (
                <path
                  key={e}
                  className={`call${touched.has(e) ? " touched" : ""}${p.graph.value[e] === 0 ? " gone" : ""}`}
                  d={points
                    .map(([x, y], i) => `${i === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`)
                    .join("")}
                  strokeWidth={1 + 7 * s}
                  data-call={`${p.graph.names[p.graph.from[e]!]!} > ${p.graph.names[p.graph.to[e]!]!}`}
                >
                  <title>{`${p.graph.names[p.graph.from[e]!]!} calls ${p.graph.names[p.graph.to[e]!]!}: ${formatValue(p.graph.value[e]!, unit)}, ${formatShare(s)}${p.graph.baseValue && compared ? `, baseline ${formatValue(p.graph.baseValue[e]!, compared.baseUnit)}` : ""}`}</title>
                </path>
              );
            })}
            {p.graph.names.map((name, i) => {
              const total = p.graph.total[i]!,
                self = p.graph.self[i]!,
                of = share(total, all),
                base = p.graph.baseTotal?.[i] ?? 0,
                texts = compared && changeTexts(total, base, compared),
                change = compared ? changeOfWhole(total, base, compared) : 0;
              const words = `${name}: total ${formatValue(total, unit)}, ${formatShare(of)}, self ${formatValue(self, unit)}${compared && texts ? `, baseline ${formatValue(base, compared.baseUnit)}, ${texts.delta}, ${texts.factor}` : ""}`;
              const kind = p.graph.baseTotal
                ? change > 0.005
                  ? " more"
                  : change < -0.005
                    ? " less"
                    : ""
                : "";
              return (
                <g
                  key={name}
                  className={`fn${kind}${state.fn === name ? " selected" : ""}`}
                  transform={`translate(${(p.x[i]! - WIDTH / 2).toFixed(1)} ${(p.y[i]! - HEIGHT / 2).toFixed(1)})`}
                  role="button"
                  tabIndex={0}
                  data-fn={name}
                  onClick={() => go({ fn: name }, true)}
                  onMouseEnter={() => setHovered(i)}
                  onMouseLeave={() => setHovered(-1)}
                  onKeyDown={(e) => {
                    if (e.key === "Enter" || e.key === " ") {
                      e.preventDefault();
                      go({ fn: name }, true);
                    }
                  }}
                >
                  <title>{words}</title>
                  <rect width={WIDTH} height={HEIGHT} rx={4} />
                  <rect
                    className="share"
                    width={Math.max(1, WIDTH * share(self, all))}
                    y={HEIGHT - 4}
                    height={4}
                  />
                  <text x={8} y={17}>
                    {graphLabel(name)}
                  </text>
                  <text
                    x={8}
                    y={34}
                    className="quiet"
                  >{`${formatShare(of)} · self ${formatShare(share(self, all))}${texts ? ` · ${texts.delta}` : ""}`}</text>
                </g>
              );
            })}
          </svg>
        </div>
      ) : null}
    </section>
  );
}
