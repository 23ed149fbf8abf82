import { type ReactNode, useRef, useState } from "react";

const WIDTH = "cinderblock.table-width",
  MIN = 240,
  STEP = 16;

/** The saved width of the left part in pixels; 0 before it was changed. */
function savedWidth(): number {
  return Number(localStorage.getItem(WIDTH) ?? 0) || 0;
}

/** Two parts side by side with a divider that the pointer and the arrow keys move. */
export function Split({ left, right }: { left: ReactNode; right: ReactNode }): ReactNode {
  const [width, setWidth] = useState(savedWidth),
    host = useRef<HTMLDivElement>(null),
    first = useRef<HTMLDivElement>(null);
  const most = (): number => (host.current?.clientWidth ?? 1200) - 2 * MIN;
  const take = (w: number): void => {
    const next = Math.round(Math.max(MIN, Math.min(most(), w)));
    setWidth(next);
    localStorage.setItem(WIDTH, String(next));
  };
  const current = (): number => first.current?.offsetWidth ?? MIN;
  return (
    <div className="panes split-panes" ref={host}>
      <div ref={first} className="pane-left" style={width > 0 ? { width } : undefined}>
        {left}
      </div>
      <div
        className="divider"
        role="separator"
        tabIndex={0}
        aria-orientation="vertical"
        aria-label="Width of the table"
        aria-valuenow={width > 0 ? width : 400}
        aria-valuemin={MIN}
        aria-valuemax={1600}
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId);
          e.preventDefault();
        }}
        onPointerMove={(e) => {
          if (e.currentTarget.hasPointerCapture(e.pointerId))
            take(e.clientX - host.current!.getBoundingClientRect().left - 8);
        }}
        onDoubleClick={() => {
          setWidth(0);
          localStorage.removeItem(WIDTH);
        }}
        onKeyDown={(e) => {
          const by = e.key === "ArrowRight" ? STEP : e.key === "ArrowLeft" ? -STEP : 0;
          if (by === 0) return;
          e.preventDefault();
          take(current() + by);
        }}
      />
      <div className="pane-right">{right}</div>
    </div>
  );
}
