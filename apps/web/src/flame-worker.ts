import {
  type CallTree,
  callTreeOfLevels,
  collapseRecursion,
  decodeCallTree,
  decodeNeighbors,
  type Flame,
  invertTree,
  layoutFlame,
} from "@cinderblock/flame";

/** Decodes and lays out off the main thread; returns columns as transferables. */
export type FlameSource =
  | { kind: "tree"; bytes: ArrayBuffer }
  | { kind: "neighbours"; bytes: ArrayBuffer }
  | { kind: "levels"; names: string[]; levels: number[][]; double?: boolean };
export interface FlameJob {
  id: number;
  source: FlameSource;
  collapsed: boolean;
  inverted: boolean;
  /** totals of both complete sides of a comparison, for a source that is only a part of them */
  whole?: { sum: number; baseSum: number } | undefined;
}
export type FlameAnswer = { id: number; flames: Flame[] } | { id: number; error: string };

/** Inverted branches narrower than this are cut off: half a pixel of a wide screen. */
const MIN_SHARE = 1 / 8192;

function treesOf(source: FlameSource): CallTree[] {
  if (source.kind === "levels") return [callTreeOfLevels(source.names, source.levels, source.double)];
  const bytes = new Uint8Array(source.bytes);
  if (source.kind === "tree") return [decodeCallTree(bytes)];
  const { callers, callees } = decodeNeighbors(bytes);
  return [callers, callees];
}

self.onmessage = (event: MessageEvent<FlameJob>): void => {
  const { id, source, collapsed, inverted, whole } = event.data;
  const post = (done: FlameAnswer, transfer: Transferable[]): void => {
    (self as unknown as Worker).postMessage(done, transfer);
  };
  try {
    const trees = treesOf(source);
    const flames = trees.map((t) => {
      const c = collapsed ? collapseRecursion(t) : t;
      return layoutFlame(inverted ? invertTree(c, MIN_SHARE) : c, whole);
    });
    const columns = flames.flatMap((f) => [
      f.x,
      f.width,
      f.total,
      f.self,
      f.name,
      f.parent,
      f.firstChild,
      f.children,
      f.count,
      f.rowStart,
      ...(f.baseTotal ? [f.baseTotal, f.baseSelf!] : []),
    ]);
    post({ id, flames }, [...new Set(columns.map((c) => c.buffer as ArrayBuffer))]);
  } catch (err) {
    post({ id, error: (err as Error).message }, []);
  }
};
