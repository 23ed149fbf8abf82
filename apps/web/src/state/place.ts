/** Distances in pixels of a panel from its point and from the edges of the window. */
const GAP = 14,
  EDGE = 8;

/** Position of a panel next to a point: flipped and moved so that it stays inside the window. */
export function insideWindow(
  point: { x: number; y: number },
  panel: { width: number; height: number },
  view: { width: number; height: number },
  gap = GAP,
): { left: number; top: number } {
  const fit = (at: number, length: number, room: number): number => {
    const after = at + gap,
      before = at - gap - length;
    const wanted = after + length + EDGE <= room ? after : before >= EDGE ? before : room - length - EDGE;
    return Math.max(EDGE, wanted);
  };
  return { left: fit(point.x, panel.width, view.width), top: fit(point.y, panel.height, view.height) };
}
