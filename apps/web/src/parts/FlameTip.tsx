import { type ReactNode, useLayoutEffect, useRef } from "react";
import {
  CUT_OFF_NAME,
  cutOffText,
  type Flame,
  formatShare,
  formatValue,
  type ValueUnit,
} from "@cinderblock/flame";
import { changeTexts, type ComparisonFigures, sharesOfFocus } from "../state/compare.ts";
import { insideWindow } from "../state/place.ts";

/** A box and the point of the window that its tooltip belongs to. */
export interface TipPlace {
  box: number;
  x: number;
  y: number;
}

/** Moves an element of fixed position next to a point of the window, before it is painted. */
export function usePlace(point: { x: number; y: number }, gap?: number): (el: HTMLElement | null) => void {
  const el = useRef<HTMLElement | null>(null);
  useLayoutEffect(() => {
    if (!el.current) return;
    const { width, height } = el.current.getBoundingClientRect(),
      at = insideWindow(point, { width, height }, { width: innerWidth, height: innerHeight }, gap);
    el.current.style.left = `${at.left}px`;
    el.current.style.top = `${at.top}px`;
  });
  return (e) => {
    el.current = e;
  };
}

/** Figures of a box of the flame graph, next to the pointer. */
export function FlameTip({
  place,
  flame,
  unit,
  all,
  compared,
  focus,
  ofView,
}: {
  place: TipPlace;
  flame: Flame;
  unit: ValueUnit;
  all: number;
  compared: ComparisonFigures;
  /** box of the focus */
  focus: number;
  /** share of the visible width */
  ofView: number;
}): ReactNode {
  const ref = usePlace(place),
    b = place.box,
    cut = flame.name[b] === CUT_OFF_NAME,
    share = (v: number): string => `${formatShare(all > 0 ? v / all : 0)} of total`,
    change = flame.baseTotal ? changeTexts(flame.total[b]!, flame.baseTotal[b]!, compared) : undefined,
    ofFocus = change && sharesOfFocus(flame, b, focus);
  return (
    <div className="tip" ref={ref}>
      <strong>{cut ? cutOffText(flame, b) : b === 0 ? "total" : flame.names[flame.name[b]!]}</strong>
      <dl>
        <dt>Total</dt>
        <dd>{formatValue(flame.total[b]!, unit)}</dd>
        <dd className="quiet">{share(flame.total[b]!)}</dd>
        {cut ? null : (
          <>
            <dt>Self</dt>
            <dd>{formatValue(flame.self[b]!, unit)}</dd>
            <dd className="quiet">{share(flame.self[b]!)}</dd>
          </>
        )}
        {change ? (
          <>
            <dt>Baseline</dt>
            <dd>{formatValue(flame.baseTotal![b]!, compared.baseUnit)}</dd>
            <dd className="quiet">{change.baseShare} of total</dd>
            <dt>Δ</dt>
            <dd
              className={change.delta.startsWith("+") ? "more" : change.delta.startsWith("−") ? "less" : ""}
            >
              {change.delta}
            </dd>
            <dd className="quiet">
              {change.factor}
              {change.delta === change.points ? "" : ` · ${change.points}`}
            </dd>
          </>
        ) : null}
        <dt>View</dt>
        <dd className="quiet wide">{formatShare(ofView)} of view</dd>
        {ofFocus ? (
          <>
            <dt>Focus</dt>
            <dd className="quiet wide">
              {ofFocus.share} of focus, baseline {ofFocus.baseShare}
            </dd>
          </>
        ) : null}
      </dl>
      <footer>
        <kbd>Click</kbd> focus <kbd>Right-click</kbd> more actions
      </footer>
    </div>
  );
}
