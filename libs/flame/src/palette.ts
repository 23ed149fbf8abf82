import { changeStrength, type Basis, divisorsOf, type Sides, sidesOf } from "./comparison.ts";
import { CUT_OFF_NAME, type Flame } from "./layout.ts";

/** Criterion that colors the boxes of a flame graph. */
export type ColorMode = "package" | "value" | "change";
/** Colors of increases and decreases in a comparison. */
export type ChangePalette = "blue-orange" | "purple-green" | "red-green";
/** Light or dark background. */
export type Theme = "light" | "dark";

/** Colors of one box. */
export interface Paint {
  fill: string;
  text: string;
}

/** Package of a function: the part before its last dot or slash, or its file. */
export function packageOf(name: string): string {
  const plain = name.replace(/\(.*$/s, "").replace(/<.*$/s, "");
  const file = /^(.*?\.[a-z]{1,4})(:\d+)? - /.exec(name);
  if (file) return file[1]!;
  const slash = Math.max(plain.lastIndexOf("/"), plain.lastIndexOf("::"));
  const dot = plain.indexOf(".", slash + 1);
  if (dot > 0) return plain.slice(0, dot);
  const last = Math.max(plain.lastIndexOf("."), plain.lastIndexOf("::"), plain.lastIndexOf("/"));
  return last > 0 ? plain.slice(0, last) : plain;
}

function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

/**
 * Number of package hues: dark text on light fills, and light text on dark fills, has a contrast of at least
 * 4.5 for all of them.
 */
const HUES = 24;
const packagePaint = (hue: number, theme: Theme): Paint =>
  theme === "dark"
    ? { fill: `hsl(${hue} 38% 30%)`, text: "#f4f4f6" }
    : { fill: `hsl(${hue} 62% 80%)`, text: "#16161a" };

/** name -> paint; computed once per flame graph and theme. */
function packagePaints(names: readonly string[], theme: Theme): Paint[] {
  const paints = Array.from({ length: HUES }, (_, i) => packagePaint(Math.round((i * 360) / HUES), theme));
  return names.map((n) => paints[hash(packageOf(n)) % HUES]!);
}

const ENDS: Record<ChangePalette, [less: number, more: number]> = {
  "blue-orange": [215, 28],
  "purple-green": [140, 285],
  "red-green": [140, 4],
};

/** Paint of a change: `change` is -1 (gone) to 1 (new), 0 is unchanged. */
function changePaint(change: number, palette: ChangePalette, theme: Theme): Paint {
  // The square root makes small changes visible: a change by half would otherwise get only a fifth of the
  // color.
  const strength = Math.sqrt(Math.min(1, Math.abs(change)));
  const hue = ENDS[palette][change < 0 ? 0 : 1];
  if (theme === "dark")
    return {
      fill: `hsl(${hue} ${Math.round(8 + 50 * strength)}% ${Math.round(26 + 6 * strength)}%)`,
      text: "#f4f4f6",
    };
  return {
    fill: `hsl(${hue} ${Math.round(6 + 74 * strength)}% ${Math.round(90 - 18 * strength)}%)`,
    text: "#16161a",
  };
}

/** box -> change of its value against the baseline, as a part of the larger complete side: -1 to 1. */
export function changesOf(
  f: Flame,
  sides: Sides = sidesOf(f),
  basis: Basis = "share",
): (box: number) => number {
  const { total, baseTotal } = f,
    { now, before } = divisorsOf(sides, basis);
  return baseTotal ? (box) => changeStrength(total[box]! / now, baseTotal[box]! / before) : () => 0;
}

/**
 * box -> paint. The caller paints cut-off boxes, because they are not functions.
 * @param sides figures of both complete sides of a comparison; default is the graph's own root
 */
export function createPainter(
  f: Flame,
  mode: ColorMode,
  palette: ChangePalette,
  theme: Theme,
  sides: Sides = sidesOf(f),
  basis: Basis = "share",
): (box: number) => Paint {
  if (mode === "change") {
    const steps = Array.from({ length: 41 }, (_, i) => changePaint((i - 20) / 20, palette, theme));
    const change = changesOf(f, sides, basis);
    return (box) => steps[Math.round(change(box) * 20) + 20]!;
  }
  if (mode === "value") {
    const steps = Array.from({ length: 21 }, (_, i) =>
      theme === "dark"
        ? { fill: `hsl(14 ${20 + 3 * i}% ${22 + Math.round(0.5 * i)}%)`, text: "#f4f4f6" }
        : { fill: `hsl(20 ${40 + 2 * i}% ${92 - i}%)`, text: "#16161a" },
    );
    const most = f.width[0]! || 1;
    return (box) =>
      steps[
        Math.round(20 * Math.sqrt(Math.min(1, (f.total[box]! > 0 || f.baseTotal ? f.width[box]! : 0) / most)))
      ]!;
  }
  const paints = packagePaints(f.names, theme);
  const root: Paint =
    theme === "dark" ? { fill: "#3a3a42", text: "#f4f4f6" } : { fill: "#dcdce2", text: "#16161a" };
  return (box) => (box === 0 || f.name[box] === CUT_OFF_NAME ? root : paints[f.name[box]!]!);
}
