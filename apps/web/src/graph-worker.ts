import dagre from "@dagrejs/dagre";
import { type CallGraph, callGraph, decodeCallTree } from "@cinderblock/flame";
import { NODE_HEIGHT, NODE_WIDTH } from "./graph-size.ts";

/** Builds the call graph of an answer and lays it out, off the main thread. */
export interface GraphJob {
  id: number;
  bytes: ArrayBuffer;
  most: number;
}
/** Centers of functions and corner points of calls, in pixels. */
export interface PlacedGraph {
  graph: CallGraph;
  x: Float64Array;
  y: Float64Array;
  points: [x: number, y: number][][];
  width: number;
  height: number;
}
export type GraphAnswer = { id: number; placed: PlacedGraph } | { id: number; error: string };

function place(graph: CallGraph): PlacedGraph {
  const g = new dagre.graphlib.Graph({ multigraph: false, compound: false });
  g.setGraph({ rankdir: "TB", nodesep: 26, ranksep: 46, marginx: 8, marginy: 8 });
  g.setDefaultEdgeLabel(() => ({}));
  graph.names.forEach((_, i) => {
    g.setNode(String(i), { width: NODE_WIDTH, height: NODE_HEIGHT });
  });
  for (let e = 0; e < graph.from.length; e++)
    if (graph.from[e] !== graph.to[e])
      g.setEdge(String(graph.from[e]), String(graph.to[e]), {
        weight:
          1 +
          Math.round(
            9 *
              Math.max(
                graph.value[e]! / (graph.sum || 1),
                (graph.baseValue?.[e] ?? 0) / (graph.baseSum || 1),
              ),
          ),
      });
  dagre.layout(g);
  const at = (i: number): { x: number; y: number } => g.node(String(i)) as { x: number; y: number };
  const points = Array.from(graph.from, (from, e): [number, number][] => {
    if (from === graph.to[e]) {
      const { x, y } = at(from),
        r = x + NODE_WIDTH / 2;
      return [
        [r, y - 10],
        [r + 16, y - 10],
        [r + 16, y + 10],
        [r, y + 10],
      ];
    }
    return (g.edge(String(from), String(graph.to[e])) as { points: { x: number; y: number }[] }).points.map(
      (p) => [p.x, p.y],
    );
  });
  const size = g.graph() as { width?: number; height?: number };
  return {
    graph,
    x: Float64Array.from(graph.names, (_, i) => at(i).x),
    y: Float64Array.from(graph.names, (_, i) => at(i).y),
    points,
    width: (size.width ?? 0) + 20,
    height: size.height ?? 0,
  };
}

self.onmessage = (event: MessageEvent<GraphJob>): void => {
  const { id, bytes, most } = event.data;
  let done: GraphAnswer;
  try {
    done = { id, placed: place(callGraph(decodeCallTree(new Uint8Array(bytes)), most)) };
  } catch (err) {
    done = { id, error: (err as Error).message };
  }
  (self as unknown as Worker).postMessage(done);
};
