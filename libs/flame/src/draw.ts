import { CUT_OFF_NAME, type Flame, lastAtOrBefore } from "./layout.ts";
import { formatCount, formatShare } from "./units.ts";
import { type Paint, shortFunction } from "./palette.ts";

/** Subset of a 2D canvas context that drawing uses; tests log its calls. */
export interface Surface {
  fillStyle: unknown;
  globalAlpha: number;
  font: string;
  textBaseline: unknown;
  fillRect(x: number, y: number, w: number, h: number): void;
  clearRect(x: number, y: number, w: number, h: number): void;
  fillText(text: string, x: number, y: number): void;
}

/** Visible part of a flame graph, and its size. */
export interface Viewport {
  /** left and right edge, in units of width */
  from: number;
  to: number;
  /** vertical scroll position, and size of the canvas, in pixels */
  top: number;
  width: number;
  height: number;
  rowHeight: number;
  /** draw the root at the bottom */
  upwards: boolean;
}

/** Colors and font of a drawing. */
export interface Style {
  paint: (box: number) => Paint;
  /** box -> 1 if the search found its function; undefined without a search */
  marked: Uint8Array | undefined;
  background: string;
  /** color of cut-off calls, and of boxes too narrow to be drawn individually */
  faint: string;
  faintText: string;
  /** box -> figures that follow the name where they fit; undefined: names alone */
  value?: (box: number) => string;
  /** width of a glyph of the monospace font */
  glyph: number;
  font: string;
}

/** Space in pixels around the text of a box, opacity of its figures, and their least number of glyphs. */
const PADDING = 4,
  VALUE_ALPHA = 0.8,
  SHORTEST_VALUE = 5;

/** Height of a complete graph in pixels. */
export function graphHeight(f: Flame, rowHeight: number): number {
  return (f.rowStart.length - 1) * rowHeight;
}

/** Top of a level's row in canvas pixels. */
export function rowTop(f: Flame, level: number, v: Viewport): number {
  const all = graphHeight(f, v.rowHeight);
  return (v.upwards ? Math.max(all, v.height) - (level + 1) * v.rowHeight : level * v.rowHeight) - v.top;
}

/** Level at a pixel; -1 outside of the graph. */
export function levelAt(f: Flame, y: number, v: Viewport): number {
  const at = y + v.top;
  const level = v.upwards
    ? Math.floor((Math.max(graphHeight(f, v.rowHeight), v.height) - at) / v.rowHeight)
    : Math.floor(at / v.rowHeight);
  return level >= 0 && level < f.rowStart.length - 1 ? level : -1;
}

/** Label of a cut-off box. */
export function cutOffText(f: Flame, box: number): string {
  const n = f.count[box]!;
  return `${n > 1 ? `${formatCount(n)} small frames` : n === 1 ? "1 small frame" : "small frames"} · ${formatShare(f.width[0]! > 0 ? f.width[box]! / f.width[0]! : 0)}`;
}

/**
 * Draws the visible part. Each row takes a binary search for the left edge, then boxes up to the right edge.
 * Boxes below one pixel merge into a faint bar, so that nothing vanishes and the number of pixels bounds the
 * work.
 * @returns number of boxes drawn individually
 */
export function drawFlame(surface: Surface, f: Flame, v: Viewport, s: Style): number {
  surface.fillStyle = s.background;
  surface.fillRect(0, 0, v.width, v.height);
  surface.font = s.font;
  surface.textBaseline = "middle";
  const scale = v.width / (v.to - v.from || 1);
  const levels = f.rowStart.length - 1;
  let drawn = 0;
  for (let level = 0; level < levels; level++) {
    const y = rowTop(f, level, v);
    if (y + v.rowHeight <= 0 || y >= v.height) continue;
    const first = f.rowStart[level]!,
      last = f.rowStart[level + 1]!;
    let box = lastAtOrBefore(f, first, last, v.from);
    if (box < 0) box = first;
    let faintFrom = -1,
      faintTo = -1;
    const endFaint = (): void => {
      if (faintFrom < 0) return;
      surface.fillStyle = s.faint;
      surface.fillRect(faintFrom, y, Math.max(1, faintTo - faintFrom), v.rowHeight - 1);
      faintFrom = -1;
    };
    for (; box < last; box++) {
      const x = f.x[box]!;
      if (x >= v.to) break;
      const right = x + f.width[box]!;
      if (right <= v.from) continue;
      const a = Math.round((Math.max(x, v.from) - v.from) * scale),
        b = Math.round((Math.min(right, v.to) - v.from) * scale);
      if (b - a < 1) {
        // A gap ends a run: it is the callers' self value, and stays empty.
        if (faintFrom >= 0 && a > faintTo + 1) endFaint();
        if (faintFrom < 0) faintFrom = a;
        faintTo = b;
        continue;
      }
      endFaint();
      drawn++;
      paintBox(surface, f, box, a, y, b - a, v, s);
    }
    endFaint();
  }
  return drawn;
}

function paintBox(
  surface: Surface,
  f: Flame,
  box: number,
  x: number,
  y: number,
  width: number,
  v: Viewport,
  s: Style,
): void {
  const height = v.rowHeight - 1,
    wide = width > 2 ? width - 1 : width;
  if (f.name[box] === CUT_OFF_NAME) {
    // Hatched, because the box is not a function.
    surface.fillStyle = s.faint;
    for (let k = 0; k < wide; k += 4) surface.fillRect(x + k, y, Math.min(2, wide - k), height);
    label(surface, cutOffText(f, box), s.faintText, x, y, wide, v, s);
    return;
  }
  const { fill, text } = s.paint(box);
  const dim = s.marked && s.marked[box] === 0;
  if (dim) surface.globalAlpha = 0.35;
  surface.fillStyle = fill;
  surface.fillRect(x, y, wide, height);
  if (dim) surface.globalAlpha = 1;
  const name = box === 0 ? "total" : shortFunction(f.names[f.name[box]!]!),
    colour = dim ? s.faintText : text;
  label(surface, name, colour, x, y, wide, v, s);
  const free = Math.floor((wide - 2 * PADDING) / s.glyph) - name.length - 2;
  if (!s.value || free < SHORTEST_VALUE) return;
  const figures = s.value(box);
  if (figures.length > free) return;
  surface.fillStyle = colour;
  surface.globalAlpha = VALUE_ALPHA;
  surface.fillText(figures, x + PADDING + (name.length + 2) * s.glyph, y + v.rowHeight / 2);
  surface.globalAlpha = 1;
}

/** Draws a text cut to the glyphs that fit; draws nothing if fewer than three fit. */
function label(
  surface: Surface,
  text: string,
  colour: string,
  x: number,
  y: number,
  width: number,
  v: Viewport,
  s: Style,
): void {
  const fits = Math.floor((width - 2 * PADDING) / s.glyph);
  if (fits < 3) return;
  surface.fillStyle = colour;
  surface.fillText(
    text.length <= fits ? text : `${text.slice(0, fits - 1)}…`,
    x + PADDING,
    y + v.rowHeight / 2,
  );
}

/** Draws an overview of the complete graph with one pixel per level. */
export function drawOverview(
  surface: Surface,
  f: Flame,
  width: number,
  height: number,
  paint: (box: number) => Paint,
): void {
  surface.clearRect(0, 0, width, height);
  const levels = f.rowStart.length - 1,
    row = Math.max(1, Math.min(3, height / levels)),
    scale = width / (f.width[0]! || 1);
  for (let level = 0; level < levels && level * row < height; level++) {
    for (let box = f.rowStart[level]!; box < f.rowStart[level + 1]!; box++) {
      const w = f.width[box]! * scale;
      if (w < 1 || f.name[box] === CUT_OFF_NAME) continue;
      surface.fillStyle = paint(box).fill;
      surface.fillRect(f.x[box]! * scale, level * row, w, row);
    }
  }
}
