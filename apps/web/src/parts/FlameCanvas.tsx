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
  type Flame,
  CUT_OFF_NAME,
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
import type { ComparisonFigures } from "../state/compare.ts";
import { FlameTip, type TipPlace } from "./FlameTip.tsx";
import { boxesOf, describeBox, figuresOfBox } from "./flame-text.ts";
import { Minimap } from "./Minimap.tsx";
import { usePinch, useZoomWheel } from "./pinch.ts";
import { useTheme } from "./theme.ts";

const ROW = 20,
  FONT = "11.5px 'JetBrains Mono', ui-monospace, 'DejaVu Sans Mono', monospace";

/** Operations of a graph for its parent. */
export interface FlameHandle {
  next: (by: 1 | -1) => void;
  /** shows the whole graph, or the focus */
  reset: () => void;
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
  /** selected function, outlined wherever it is called */
  selected?: string;
  /** a first tap selects and a second one focuses, as on a phone */
  tapSelects?: boolean;
  /** opens the menu of a box at a point of the window */
  onMenu?: (at: MenuPlace) => void;
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

/** A box with a point of the window next to it. */
export interface MenuPlace {
  name: string;
  path: string[];
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
    selected = "",
    tapSelects = false,
    onMenu,
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
    mapWindow = useRef<HTMLDivElement>(null);
  const view = useRef<{ from: number; to: number }>({ from: 0, to: flame.width[0]! });
  const [size, setSize] = useState({ width: 800, height: 400 });
  const [at, setAt] = useState(0);
  const [tip, setTip] = useState<TipPlace>();
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

  const outlined = useMemo(() => boxesOf(flame, selected), [flame, selected]);
  const value = useCallback(
    (b: number): string => figuresOfBox(flame, b, { unit, all, compared }),
    [flame, unit, all, comparing],
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
      value,
      background: dark ? "#15181d" : "#ffffff",
      faint: dark ? "#363c47" : "#d5d8de",
      faintText: dark ? "#e8eaee" : "#16181d",
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
    const accent = dark ? "#a99eff" : "#5145cd";
    for (const b of outlined) outline(b, accent, 2);
    outline(hover.current, dark ? "#ffffff" : "#000000", 1);
    if (document.activeElement === box.current) outline(at, accent, 2);
    o.dataset.outlined = String(outlined.length);
    const shown = (v.to - v.from) / flame.width[0]!,
      frameOf = mapWindow.current;
    if (frameOf) {
      frameOf.hidden = !(shown < 0.9999);
      frameOf.style.left = `${(100 * v.from) / flame.width[0]!}%`;
      frameOf.style.width = `${100 * shown}%`;
    }
  }, [flame, viewport, paint, found, theme, at, value, outlined]);
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
    const el = scroller.current!;
    const observer = new ResizeObserver(() => {
      setSize({ width: Math.max(50, el.clientWidth), height: Math.max(60, el.clientHeight) });
    });
    observer.observe(el);
    return () => observer.disconnect();
  }, []);
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

  const describe = (b: number): string => describeBox(flame, b, { unit, all, compared });
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

  const openMenu = (b: number, x: number, y: number): void => {
    if (b <= 0 || flame.name[b] === CUT_OFF_NAME) return;
    setTip(undefined);
    setAt(b);
    onMenu?.({ name: flame.names[flame.name[b]!]!, path: pathOf(flame, b), x, y });
  };
  const key = (e: KeyboardEvent): void => {
    if (e.key === "." || (e.key === "F10" && e.shiftKey)) {
      const r = over.current!.getBoundingClientRect(),
        v = viewport();
      e.preventDefault();
      openMenu(
        at,
        r.left + Math.max(0, ((flame.x[at]! - v.from) / (v.to - v.from)) * r.width) + 8,
        r.top + rowTop(flame, levelOf(flame, at), v) + ROW,
      );
      return;
    }
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
    reset: () => show(boxOf(flame, focus)),
    png: () => new Promise((done) => canvas.current!.toBlob(done)),
    current: () => (at > 0 && flame.name[at] !== CUT_OFF_NAME ? flame.names[flame.name[at]!]! : ""),
  }));
  useEffect(() => {
    matchAt.current = -1;
  }, [found]);

  const drag = useRef<
    { x: number; y: number; from: number; to: number; top: number; moved: boolean } | undefined
  >(undefined);
  const touches = usePinch((factor, clientX) => {
    const r = over.current!.getBoundingClientRect();
    zoom(factor, (clientX - r.left) / r.width);
  });
  const place = (clientX: number, clientY: number): number => {
    const r = over.current!.getBoundingClientRect(),
      v = viewport();
    return boxAt(
      flame,
      levelAt(flame, clientY - r.top, v),
      v.from + ((clientX - r.left) / r.width) * (v.to - v.from),
    );
  };
  useZoomWheel(scroller, zoom, pan);

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
          <Minimap
            flame={flame}
            width={size.width}
            paint={paint}
            frame={mapWindow}
            onCentre={(centre) => {
              const w = view.current.to - view.current.from,
                from = Math.max(0, Math.min(flame.width[0]! - w, centre - w / 2));
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
                if (touches.move(e)) return;
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
                const hit = place(e.clientX, e.clientY);
                if (hit !== hover.current) {
                  hover.current = hit;
                  schedule();
                }
                setTip(
                  hit < 0 || e.pointerType === "touch" ? undefined : { box: hit, x: e.clientX, y: e.clientY },
                );
              }}
              onPointerDown={(e) => {
                touches.down(e);
                drag.current = {
                  x: e.clientX,
                  y: e.clientY,
                  ...view.current,
                  top: scroller.current!.scrollTop,
                  moved: false,
                };
              }}
              onPointerUp={(e) => {
                const moved = drag.current?.moved === true || touches.up(e);
                drag.current = undefined;
                if (moved || e.button !== 0) return;
                const hit = place(e.clientX, e.clientY);
                if (hit < 0) return;
                if (tapSelects && hit !== at) move(hit);
                else enter(hit);
              }}
              onPointerCancel={(e) => {
                touches.up(e);
                drag.current = undefined;
              }}
              onContextMenu={(e) => {
                e.preventDefault();
                drag.current = undefined;
                openMenu(place(e.clientX, e.clientY), e.clientX, e.clientY);
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
      {tip && tip.box >= 0 && tip.box < flame.x.length ? (
        <FlameTip
          place={tip}
          flame={flame}
          unit={unit}
          all={all}
          compared={compared}
          focus={boxOf(flame, focus)}
          ofView={Math.min(1, flame.width[tip.box]! / (view.current.to - view.current.from))}
        />
      ) : null}
    </div>
  );
}
