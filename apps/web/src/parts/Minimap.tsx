import { type PointerEvent, type ReactNode, type RefObject, useEffect, useRef } from "react";
import { drawOverview, type Flame, type Paint } from "@cinderblock/flame";

const HEIGHT = 20;

/** The whole flame graph in a small strip, with a frame around the visible part; a drag moves that part. */
export function Minimap({
  flame,
  width,
  paint,
  frame,
  onCentre,
}: {
  flame: Flame;
  /** in pixels */
  width: number;
  paint: (box: number) => Paint;
  /** the frame, whose place the owner sets */
  frame: RefObject<HTMLDivElement | null>;
  /** called with the wanted middle of the visible part, in units of width */
  onCentre: (centre: number) => void;
}): ReactNode {
  const map = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const c = map.current!;
    c.width = width;
    c.height = HEIGHT;
    drawOverview(c.getContext("2d")!, flame, width, HEIGHT, paint);
  }, [flame, width, paint]);
  const centre = (e: PointerEvent<HTMLElement>): void => {
    const r = e.currentTarget.getBoundingClientRect();
    onCentre(((e.clientX - r.left) / r.width) * flame.width[0]!);
  };
  return (
    <div className="flame-map-host">
      <canvas
        ref={map}
        className="flame-map"
        height={HEIGHT}
        aria-hidden="true"
        onPointerDown={(e) => {
          e.currentTarget.setPointerCapture(e.pointerId);
          centre(e);
        }}
        onPointerMove={(e) => {
          if (e.currentTarget.hasPointerCapture(e.pointerId)) centre(e);
        }}
      />
      <div ref={frame} className="flame-map-window" hidden />
    </div>
  );
}
