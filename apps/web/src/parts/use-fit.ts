import { type PointerEvent, type RefObject, useEffect, useRef, useState } from "react";

const LEAST = 0.1,
  READABLE = 0.5,
  MOST = 3,
  MARGIN = 16;

/**
 * Scale of a picture in a scrolling box: it begins so that the whole picture fits, or as small as its texts
 * are readable with `centre` in the middle. The wheel zooms around the pointer, and a drag pans.
 */
export function useFit(
  size: { width: number; height: number } | undefined,
  centre: { x: number; y: number } | undefined,
): {
  host: RefObject<HTMLDivElement | null>;
  scale: number;
  fit: () => void;
  pan: { onPointerDown: (e: PointerEvent) => void; onPointerMove: (e: PointerEvent) => void };
} {
  const host = useRef<HTMLDivElement>(null),
    [scale, setScale] = useState(1),
    grabbed = useRef({ x: 0, y: 0 }),
    width = size?.width ?? 0,
    height = size?.height ?? 0;
  const fit = (): void => {
    const el = host.current;
    if (!el || width === 0) return;
    const next = Math.max(
      READABLE,
      Math.min(1, (el.clientWidth - MARGIN) / width, (el.clientHeight - MARGIN) / height),
    );
    setScale(next);
    requestAnimationFrame(() =>
      el.scrollTo(
        (centre?.x ?? 0) * next - el.clientWidth / 2,
        (centre?.y ?? 0) * next - el.clientHeight / 3,
      ),
    );
  };
  useEffect(fit, [width, height]);
  useEffect(() => {
    const el = host.current;
    if (!el) return;
    const wheel = (e: WheelEvent): void => {
      e.preventDefault();
      const next = Math.max(LEAST, Math.min(MOST, scale * Math.exp(-e.deltaY * 0.0015))),
        r = el.getBoundingClientRect(),
        by = next / scale,
        x = e.clientX - r.left,
        y = e.clientY - r.top,
        left = (el.scrollLeft + x) * by - x,
        top = (el.scrollTop + y) * by - y;
      setScale(next);
      requestAnimationFrame(() => el.scrollTo(left, top));
    };
    el.addEventListener("wheel", wheel, { passive: false });
    return () => el.removeEventListener("wheel", wheel);
  }, [scale, width]);
  return {
    host,
    scale,
    fit,
    pan: {
      onPointerDown: (e) => {
        grabbed.current = { x: e.clientX, y: e.clientY };
      },
      onPointerMove: (e) => {
        if ((e.buttons & 1) === 0 || !host.current) return;
        host.current.scrollBy(grabbed.current.x - e.clientX, grabbed.current.y - e.clientY);
        grabbed.current = { x: e.clientX, y: e.clientY };
      },
    },
  };
}
