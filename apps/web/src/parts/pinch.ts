import { type PointerEvent, type RefObject, useEffect, useRef } from "react";

/**
 * Two fingers on an element: calls back with the factor between the previous distance and the new one, and the
 * middle between the fingers. `move` and `up` return whether a pinch is or was in progress.
 */
export function usePinch(onPinch: (factor: number, clientX: number) => void): {
  down: (e: PointerEvent) => void;
  move: (e: PointerEvent) => boolean;
  up: (e: PointerEvent) => boolean;
} {
  const fingers = useRef(new Map<number, number>()),
    pinched = useRef(false);
  return {
    down: (e) => {
      if (e.pointerType !== "touch") return;
      if (fingers.current.size === 0) pinched.current = false;
      fingers.current.set(e.pointerId, e.clientX);
    },
    move: (e) => {
      const at = fingers.current;
      if (!at.has(e.pointerId) || at.size < 2) return false;
      const spread = (): number => Math.max(8, Math.max(...at.values()) - Math.min(...at.values())),
        before = spread();
      at.set(e.pointerId, e.clientX);
      pinched.current = true;
      onPinch(before / spread(), [...at.values()].reduce((n, x) => n + x, 0) / at.size);
      return true;
    },
    up: (e) => {
      fingers.current.delete(e.pointerId);
      return pinched.current;
    },
  };
}

/**
 * The wheel on an element: with Ctrl it zooms around the pointer, sideways it pans by a share of the width.
 * React's wheel listeners are passive; this listener can prevent the page from zooming.
 */
export function useZoomWheel(
  host: RefObject<HTMLElement | null>,
  onZoom: (factor: number, pivot: number) => void,
  onPan: (share: number) => void,
): void {
  useEffect(() => {
    const el = host.current!;
    const wheel = (e: WheelEvent): void => {
      if (!e.ctrlKey && !e.metaKey && Math.abs(e.deltaX) <= Math.abs(e.deltaY)) return;
      e.preventDefault();
      if (e.ctrlKey || e.metaKey) {
        const r = el.getBoundingClientRect();
        onZoom(Math.exp(e.deltaY * 0.002), (e.clientX - r.left) / r.width);
      } else onPan(e.deltaX / el.clientWidth);
    };
    el.addEventListener("wheel", wheel, { passive: false });
    return () => el.removeEventListener("wheel", wheel);
  });
}
