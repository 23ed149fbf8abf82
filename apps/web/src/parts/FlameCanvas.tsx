import {
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import {
  boxAt,
  boxOf,
  type ChangePalette,
  type ColorMode,
  drawFlame,
  drawOverview,
  type Flame,
  CUT_OFF_NAME,
  cutOffText,
  formatShare,
  formatValue,
  type SearchResult,
  graphHeight,
  levelAt,
  levelOf,
  createPainter,
  pathOf,
  rowTop,
  sidesOf,
  type Style,
  type Viewport,
  type ValueUnit,
} from "@cinderblock/flame";
import { changeTexts, type ComparisonFigures, sharesOfFocus } from "../state/compare.ts";
import { useTheme } from "./theme.ts";

const ROW = 20,
  MAP = 36,
  FONT = "12px ui-monospace, 'DejaVu Sans Mono', monospace";

/** Operations of a graph for its parent. */
export interface FlameHandle {
  next: (by: 1 | -1) => void;
  png: () => Promise<Blob | null>;
  current: () => string;
}

interface Props {
  flame: Flame;
  unit: ValueUnit;
  /** figures of the whole sides of a comparison; without them, its shares are of the graph's own roots */
  comparing?: ComparisonFigures | undefined;
  /** total of the whole selection, for "of all"; larger than the graph's total if the graph shows a part */
  all: number;
  focus: readonly string[];
  onFocus: (path: string[]) => void;
  onSelect: (name: string) => void;
  found: SearchResult | undefined;
  colour: ColorMode;
  palette: ChangePalette;
  upwards: boolean;
  label: string;
  overview?: boolean;
  /** called with whether a visible cut part is wide enough to request more nodes */
  onTruncated?: (truncated: boolean) => void;
  handle?: RefObject<FlameHandle | null>;
}

interface Tip {
  box: number;
  x: number;
  y: number;
}

/** A flame graph: a canvas of the visible area, a second canvas for pointer and focus ring, one tab stop. */
export function FlameCanvas(props: Props): ReactNode {
  const {
    flame,
    unit,
    comparing,
    all,
    focus,
    onFocus,
    onSelect,
    found,
    colour,
    palette,
    upwards,
    label,
    overview = true,
    onTruncated,
    handle,
  } = props;
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null),
    scroller = useRef<HTMLDivElement>(null),
    canvas = useRef<HTMLCanvasElement>(null),
    over = useRef<HTMLCanvasElement>(null),
    map = useRef<HTMLCanvasElement>(null);
  const view = useRef<{ from: number; to: number }>({ from: 0, to: flame.width[0]! });
  const [size, setSize] = useState({ width: 800, height: 400 });
  const [at, setAt] = useState(0);
  const [tip, setTip] = useState<Tip>();
  const [spoken, setSpoken] = useState("");
  const frame = useRef(0),
    hover = useRef(-1),
    matchAt = useRef(-1);
  const compared: ComparisonFigures = comparing ?? {
    sides: sidesOf(flame),
    basis: "share",
    unit,
    baseUnit: unit,
  };
  const paint = useMemo(
    () => createPainter(flame, colour, palette, theme, comparing?.sides, comparing?.basis),
    [flame, colour, palette, theme, comparing],
  );

  const viewport = useCallback(
    (): Viewport => ({
      ...view.current,
      top: scroller.current?.scrollTop ?? 0,
      width: size.width,
      height: size.height,
      rowHeight: ROW,
      upwards,
    }),
    [size, upwards],
  );

  const render = useCallback(() => {
    frame.current = 0;
    const c = canvas.current,
      o = over.current;
    if (!c || !o) return;
    const ratio = devicePixelRatio || 1,
      v = viewport();
    for (const x of [c, o])
      if (x.width !== Math.round(v.width * ratio) || x.height !== Math.round(v.height * ratio)) {
        x.width = Math.round(v.width * ratio);
        x.height = Math.round(v.height * ratio);
      }
    const ctx = c.getContext("2d", { alpha: false })!;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.font = FONT;
    const dark = theme === "dark";
    const style: Style = {
      paint,
      marked: found?.marked,
      background: dark ? "#1b1b21" : "#ffffff",
      faint: dark ? "#4a4a55" : "#c4c4cd",
      faintText: dark ? "#e8e8ee" : "#26262c",
      glyph: ctx.measureText("M").width,
      font: FONT,
    };
    c.dataset.drawn = String(drawFlame(ctx, flame, v, style));
    c.dataset.from = String(v.from / flame.width[0]!);
    c.dataset.to = String(v.to / flame.width[0]!);
    const top = o.getContext("2d")!;
    top.setTransform(ratio, 0, 0, ratio, 0, 0);
    top.clearRect(0, 0, v.width, v.height);
    const outline = (b: number, stroke: string, width: number): void => {
      if (b < 0 || b >= flame.x.length) return;
      const scale = v.width / (v.to - v.from),
        x = Math.max(0, (flame.x[b]! - v.from) * scale),
        right = Math.min(v.width, (flame.x[b]! + flame.width[b]! - v.from) * scale);
      if (right < 0 || x > v.width) return;
      top.strokeStyle = stroke;
      top.lineWidth = width;
      top.strokeRect(
        x + width / 2,
        rowTop(flame, levelOf(flame, b), v) + width / 2,
        Math.max(1, right - x - width),
        ROW - width,
      );
    };
    outline(hover.current, dark ? "#ffffff" : "#000000", 1);
    if (document.activeElement === box.current) outline(at, dark ? "#9cc2ff" : "#1450c8", 2);
  }, [flame, viewport, paint, found, theme, at]);
  const schedule = useCallback(() => {
    if (frame.current === 0) frame.current = requestAnimationFrame(render);
  }, [render]);
  useLayoutEffect(() => {
    render();
    return () => {
      if (frame.current !== 0) cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [render]);

  useEffect(() => {
    const observer = new ResizeObserver(() => {
      const el = scroller.current!;
      setSize({ width: Math.max(50, el.clientWidth), height: Math.max(60, el.clientHeight) });
    });
    observer.observe(scroller.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const c = overview ? map.current : null;
    if (!c) return;
    c.width = size.width;
    c.height = MAP;
    drawOverview(c.getContext("2d")!, flame, size.width, MAP, paint);
  }, [flame, size, paint, overview]);

  /** Zooms to a box and scrolls its row into view. */
  const show = useCallback(
    (b: number) => {
      view.current = { from: flame.x[b]!, to: flame.x[b]! + flame.width[b]! };
      const el = scroller.current!,
        level = levelOf(flame, b),
        height = graphHeight(flame, ROW);
      const y = upwards ? Math.max(height, el.clientHeight) - (level + 1) * ROW : level * ROW;
      if (y < el.scrollTop || y + 3 * ROW > el.scrollTop + el.clientHeight)
        el.scrollTop = upwards ? y + 2 * ROW - el.clientHeight : Math.max(0, y - 2 * ROW);
      schedule();
    },
    [flame, upwards, schedule],
  );

  // After a change of focus or data, zooms to the box of the path.
  const focusKey = focus.join("\u0000");
  useLayoutEffect(() => {
    const b = boxOf(flame, focus);
    setAt(b);
    show(b);
    if (upwards && focus.length === 0) scroller.current!.scrollTop = scroller.current!.scrollHeight;
  }, [flame, focusKey, upwards]);

  /** Reports whether a wide enough part in the visible area is cut off. */
  useEffect(() => {
    if (!onTruncated) return;
    const v = view.current,
      scale = size.width / (v.to - v.from || 1);
    let truncated = false;
    for (let i = 0; i < flame.name.length && !truncated; i++) {
      if (flame.name[i] !== CUT_OFF_NAME || flame.x[i]! >= v.to || flame.x[i]! + flame.width[i]! <= v.from)
        continue;
      truncated = flame.width[i]! * scale > 24;
    }
    onTruncated(truncated);
  }, [flame, focusKey, size.width, onTruncated]);

  const zoom = (factor: number, pivot: number): void => {
    const { from, to } = view.current,
      whole = flame.width[0]!,
      width = Math.min(whole, Math.max(whole * 1e-9, (to - from) * factor));
    const centre = from + (to - from) * pivot,
      a = Math.max(0, Math.min(whole - width, centre - width * pivot));
    view.current = { from: a, to: a + width };
    schedule();
  };
  const pan = (share: number): void => {
    const { from, to } = view.current,
      by = Math.max(-from, Math.min(flame.width[0]! - to, (to - from) * share));
    view.current = { from: from + by, to: to + by };
    schedule();
  };

  const describe = (b: number): string => {
    if (flame.name[b] === CUT_OFF_NAME) return cutOffText(flame, b);
    const parent = flame.parent[b]!,
      siblings = b === 0 ? 1 : flame.children[parent]!,
      k = b === 0 ? 1 : b - flame.firstChild[parent]! + 1;
    const c = flame.baseTotal && changeTexts(flame.total[b]!, flame.baseTotal[b]!, compared),
      compare = c
        ? `, baseline ${formatValue(flame.baseTotal![b]!, compared.baseUnit)}, Δ ${c.delta}, ${c.factor}`
        : "";
    return `${b === 0 ? "all" : flame.names[flame.name[b]!]!}: total ${formatValue(flame.total[b]!, unit)}, ${formatShare(all > 0 ? flame.total[b]! / all : 0)}, self ${formatValue(flame.self[b]!, unit)}${compare}, level ${levelOf(flame, b)}, ${k} of ${siblings}`;
  };
  const move = (b: number): void => {
    if (b < 0 || b >= flame.x.length) return;
    setAt(b);
    setSpoken(describe(b));
    if (b > 0 && flame.name[b] !== CUT_OFF_NAME) onSelect(flame.names[flame.name[b]!]!);
    const v = view.current;
    // Zooms to a box that is outside the view or narrower than a pixel.
    if (
      flame.x[b]! + flame.width[b]! <= v.from ||
      flame.x[b]! >= v.to ||
      (flame.width[b]! / (v.to - v.from)) * size.width < 1
    )
      show(b);
    const el = scroller.current!,
      y = rowTop(flame, levelOf(flame, b), viewport());
    if (y < 0) el.scrollTop += y;
    else if (y + ROW > el.clientHeight) el.scrollTop += y + ROW - el.clientHeight;
    schedule();
  };
  /** Zooms at once; updates the rest of the page after the frame with the new picture. */
  const enter = (b: number): void => {
    const target = flame.name[b] === CUT_OFF_NAME ? flame.parent[b]! : b;
    show(target);
    requestAnimationFrame(() =>
      setTimeout(() => {
        onFocus(pathOf(flame, target));
        if (b > 0 && flame.name[b] !== CUT_OFF_NAME) onSelect(flame.names[flame.name[b]!]!);
      }),
    );
  };

  const key = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const parent = flame.parent[at]!,
      first = at === 0 ? 0 : flame.firstChild[parent]!,
      last = at === 0 ? 0 : first + flame.children[parent]! - 1;
    const deeper = upwards ? "ArrowUp" : "ArrowDown",
      higher = upwards ? "ArrowDown" : "ArrowUp";
    const act: Record<string, () => void> = e.shiftKey
      ? { ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2) }
      : {
          [deeper]: () => {
            if (flame.children[at]! > 0) {
              let widest = flame.firstChild[at]!;
              for (let c = widest; c < flame.firstChild[at]! + flame.children[at]!; c++)
                if (flame.width[c]! > flame.width[widest]!) widest = c;
              move(widest);
            }
          },
          [higher]: () => move(parent),
          ArrowLeft: () => {
            if (at > first) move(at - 1);
          },
          ArrowRight: () => {
            if (at < last) move(at + 1);
          },
          Enter: () => enter(at),
          Home: () => {
            onFocus([]);
            move(0);
          },
          Escape: () => {
            if (focus.length > 0) onFocus(focus.slice(0, -1));
          },
          "0": () => show(boxOf(flame, focus)),
          "-": () => zoom(1.5, 0.5),
        };
    const action = act[e.key] ?? (e.key === "+" || e.key === "=" ? () => zoom(1 / 1.5, 0.5) : undefined);
    if (!action) return;
    e.preventDefault();
    action();
  };

  useImperativeHandle(handle, () => ({
    next: (by) => {
      const n = found?.boxes.length ?? 0;
      if (n === 0) return;
      matchAt.current = (matchAt.current + by + n) % n;
      move(found!.boxes[matchAt.current]!);
    },
    png: () => new Promise((done) => canvas.current!.toBlob(done)),
    current: () => (at > 0 && flame.name[at] !== CUT_OFF_NAME ? flame.names[flame.name[at]!]! : ""),
  }));
  useEffect(() => {
    matchAt.current = -1;
  }, [found]);

  const drag = useRef<
    { x: number; y: number; from: number; to: number; top: number; moved: boolean } | undefined
  >(undefined);
  const place = (clientX: number, clientY: number): number => {
    const r = over.current!.getBoundingClientRect(),
      v = viewport();
    return boxAt(
      flame,
      levelAt(flame, clientY - r.top, v),
      v.from + ((clientX - r.left) / r.width) * (v.to - v.from),
    );
  };
  // React's wheel listeners are passive; this listener can prevent the page from zooming.
  useEffect(() => {
    const el = scroller.current!;
    const wheel = (e: WheelEvent): void => {
      if (!e.ctrlKey && !e.metaKey && Math.abs(e.deltaX) <= Math.abs(e.deltaY)) return;
      e.preventDefault();
      if (e.ctrlKey || e.metaKey) {
        const r = el.getBoundingClientRect();
        zoom(Math.exp(e.deltaY * 0.002), (e.clientX - r.left) / r.width);
      } else pan(e.deltaX / el.clientWidth);
    };
    el.addEventListener("wheel", wheel, { passive: false });
    return () => el.removeEventListener("wheel", wheel);
  });

  const b = tip?.box ?? -1,
    change =
      b >= 0 && b < flame.x.length && flame.baseTotal
        ? changeTexts(flame.total[b]!, flame.baseTotal[b]!, compared)
        : undefined,
    ofFocus = change && sharesOfFocus(flame, b, boxOf(flame, focus));
  return (
    <div className="flame">
      <div
        ref={box}
        className="flame-stop"
        tabIndex={0}
        role="group"
        aria-roledescription="flame graph"
        aria-label={`${label}. Arrow keys move between calls, Enter focuses, Escape goes up.`}
        onKeyDown={key}
        onFocus={() => {
          setSpoken(describe(at));
          schedule();
        }}
        onBlur={schedule}
      >
        {overview ? (
          <canvas
            ref={map}
            className="flame-map"
            height={MAP}
            aria-hidden="true"
            onPointerDown={(e) => {
              const r = e.currentTarget.getBoundingClientRect(),
                w = view.current.to - view.current.from,
                c = ((e.clientX - r.left) / r.width) * flame.width[0]!,
                from = Math.max(0, Math.min(flame.width[0]! - w, c - w / 2));
              view.current = { from, to: from + w };
              schedule();
            }}
          />
        ) : null}
        <div ref={scroller} className="flame-scroll" onScroll={schedule} tabIndex={-1}>
          <div className="flame-layer">
            <canvas ref={canvas} aria-hidden="true" style={{ width: size.width, height: size.height }} />
            <canvas
              ref={over}
              aria-hidden="true"
              data-testid="flame-over"
              style={{ width: size.width, height: size.height }}
              onPointerMove={(e) => {
                const d = drag.current;
                if (
                  d &&
                  (e.buttons & 1) === 1 &&
                  (d.moved || Math.hypot(e.clientX - d.x, e.clientY - d.y) > 4)
                ) {
                  d.moved = true;
                  const w = d.to - d.from,
                    from = Math.max(
                      0,
                      Math.min(flame.width[0]! - w, d.from - ((e.clientX - d.x) / size.width) * w),
                    );
                  view.current = { from, to: from + w };
                  scroller.current!.scrollTop = d.top - (e.clientY - d.y);
                  setTip(undefined);
                  schedule();
                  return;
                }
                const hit = place(e.clientX, e.clientY),
                  r = box.current!.getBoundingClientRect();
                if (hit !== hover.current) {
                  hover.current = hit;
                  schedule();
                }
                setTip(hit < 0 ? undefined : { box: hit, x: e.clientX - r.left, y: e.clientY - r.top });
              }}
              onPointerDown={(e) => {
                drag.current = {
                  x: e.clientX,
                  y: e.clientY,
                  ...view.current,
                  top: scroller.current!.scrollTop,
                  moved: false,
                };
              }}
              onPointerUp={(e) => {
                const moved = drag.current?.moved;
                drag.current = undefined;
                if (moved) return;
                const hit = place(e.clientX, e.clientY);
                if (hit >= 0) enter(hit);
              }}
              onPointerLeave={() => {
                hover.current = -1;
                drag.current = undefined;
                setTip(undefined);
                schedule();
              }}
            />
          </div>
          <div style={{ height: graphHeight(flame, ROW) }} />
        </div>
      </div>
      <p className="sr" aria-live="polite">
        {spoken}
      </p>
      {tip && b >= 0 && b < flame.x.length ? (
        <div className="tip" style={{ left: Math.min(tip.x + 14, size.width - 340), top: tip.y + 18 }}>
          <strong>
            {flame.name[b] === CUT_OFF_NAME
              ? cutOffText(flame, b)
              : b === 0
                ? "all"
                : flame.names[flame.name[b]!]}
          </strong>
          <dl>
            <dt>total</dt>
            <dd>
              {formatValue(flame.total[b]!, unit)}{" "}
              <span className="quiet">{formatShare(all > 0 ? flame.total[b]! / all : 0)} of total</span>
            </dd>
            {flame.name[b] === CUT_OFF_NAME ? null : (
              <>
                <dt>self</dt>
                <dd>{formatValue(flame.self[b]!, unit)}</dd>
              </>
            )}
            <dt>% of view</dt>
            <dd>{formatShare(Math.min(1, flame.width[b]! / (view.current.to - view.current.from)))}</dd>
            {change ? (
              <>
                <dt>baseline</dt>
                <dd>
                  {formatValue(flame.baseTotal![b]!, compared.baseUnit)}{" "}
                  <span className="quiet">{change.baseShare} of total</span>
                </dd>
                <dt>Δ</dt>
                <dd>
                  {change.delta}, {change.factor}{" "}
                  {change.delta === change.points ? null : <span className="quiet">{change.points}</span>}
                </dd>
              </>
            ) : null}
            {ofFocus ? (
              <>
                <dt>% of focus</dt>
                <dd className="quiet">
                  {ofFocus.share}, baseline {ofFocus.baseShare}
                </dd>
              </>
            ) : null}
          </dl>
        </div>
      ) : null}
    </div>
  );
}
