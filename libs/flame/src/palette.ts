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

/**
 * A function's name without the directories of its package: `github.com/acme/shop/cart.(*Store).Load` is
 * `cart.(*Store).Load`.
 */
export function shortFunction(name: string): string {
  const end = name.search(/[(<\s]/),
    slash = (end < 0 ? name : name.slice(0, end)).lastIndexOf("/");
  return slash > 0 && slash < name.length - 1 ? name.slice(slash + 1) : name;
}

function hash(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}

/** Degrees of the hues of packages, in OKLCH. */
const HUES = [15, 40, 75, 100, 135, 165, 200, 235, 265, 300, 335, 355],
  STEPS = 2;
/** Frames of runtimes, standard libraries without a domain, and kernels: they are sand, not a color. */
const RUNTIME =
  /^(runtime[./]|internal\/|(java|javax|jdk|sun|com[./]sun)[./]|Unsafe_|JVM_|node:|v8::|<frozen |importlib|Py[A-Z_]|_Py|rb_|vm_|System[.!]|Microsoft[.!]|__|do_|sys_|entry_|libc[.:_]|\[)/;

/**
 * Paint of a package by its hash. The texts have a contrast of at least 4.5 on all fills.
 */
function packagePaint(at: number, theme: Theme): Paint {
  const hue = HUES[at % HUES.length]!,
    step = Math.floor(at / HUES.length) % STEPS,
    // Green to blue look stronger than other hues at the same chroma.
    chroma = hue >= 170 && hue <= 250 ? 0.068 : 0.085;
  return theme === "dark"
    ? { fill: `oklch(${[0.435, 0.475][step]!} ${chroma} ${hue})`, text: "#f1f3f6" }
    : { fill: `oklch(${[0.85, 0.805][step]!} ${chroma} ${hue})`, text: "#16181d" };
}

function sandPaint(at: number, theme: Theme): Paint {
  return theme === "dark"
    ? { fill: `oklch(${[0.36, 0.4][at % STEPS]!} 0.014 80)`, text: "#f1f3f6" }
    : { fill: `oklch(${[0.91, 0.88][at % STEPS]!} 0.018 85)`, text: "#16181d" };
}

/** Paint of a function by its package: the same package has the same color everywhere. */
function functionPaint(name: string, theme: Theme): Paint {
  const h = hash(packageOf(name));
  return RUNTIME.test(name) ? sandPaint(h, theme) : packagePaint(h % (HUES.length * STEPS), theme);
}

/** name -> paint; computed once per flame graph and theme. */
function packagePaints(names: readonly string[], theme: Theme): Paint[] {
  const known = new Map<string, Paint>();
  return names.map((n) => {
    const key = `${RUNTIME.test(n) ? "r" : "p"}${packageOf(n)}`;
    let paint = known.get(key);
    if (!paint) known.set(key, (paint = functionPaint(n, theme)));
    return paint;
  });
}

/** Fill of a function's package, as in the flame graph. */
export function packageFill(name: string, theme: Theme): string {
  return functionPaint(name, theme).fill;
}

/** Degrees of decreases and increases, in OKLCH. */
const ENDS: Record<ChangePalette, [less: number, more: number]> = {
  "blue-orange": [252, 55],
  "purple-green": [145, 305],
  "red-green": [145, 25],
};
/** Changes below this strength are gray. */
const UNCHANGED = 0.035;

/** Paint of a change: `change` is -1 (gone) to 1 (new), 0 is unchanged. */
function changePaint(change: number, palette: ChangePalette, theme: Theme): Paint {
  // The square root makes small changes visible: a change by half would otherwise get only a fifth of the
  // color.
  const strength = Math.sqrt(Math.min(1, Math.abs(change))),
    flat = Math.abs(change) < UNCHANGED,
    hue = flat ? 265 : ENDS[palette][change < 0 ? 0 : 1],
    chroma = flat ? 0.006 : 0.025 + 0.105 * strength;
  const lightness = theme === "dark" ? 0.34 + 0.14 * strength : 0.915 - 0.14 * strength;
  return {
    fill: `oklch(${lightness.toFixed(3)} ${chroma.toFixed(3)} ${hue})`,
    text: theme === "dark" ? "#f1f3f6" : "#16181d",
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
    theme === "dark" ? { fill: "#2c313b", text: "#f1f3f6" } : { fill: "#dee1e7", text: "#16181d" };
  return (box) => (box === 0 || f.name[box] === CUT_OFF_NAME ? root : paints[f.name[box]!]!);
}
