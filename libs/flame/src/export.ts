import type { CallTree } from "./call-tree.ts";
import { cutOffText } from "./draw.ts";
import { type Flame, CUT_OFF_NAME } from "./layout.ts";
import { createPainter } from "./palette.ts";
import { eachStack } from "./transform.ts";
import type { Unit } from "./figures.ts";
import { formatShare, formatValue } from "./units.ts";

/**
 * Folded stacks, one per line: `root;child;leaf 42`. Replaces `;` in names by `:`, because the format has no
 * escape.
 */
export function toFolded(t: CallTree): string {
  const lines: string[] = [];
  eachStack(t, (frames, value) => {
    if (value > 0)
      lines.push(`${frames.map((f) => f.replace(/[;\n]/g, ":")).join(";") || "(root)"} ${value}`);
  });
  return lines.length > 0 ? `${lines.join("\n")}\n` : "";
}

/**
 * Folded stacks of two sides: `root;child;leaf 40 42`, the value before and the value after, as difffolded.pl
 * writes it.
 */
export function toFoldedDiff(t: CallTree): string {
  const lines: string[] = [];
  eachStack(t, (frames, value, before) => {
    if (value > 0 || before > 0)
      lines.push(`${frames.map((f) => f.replace(/[;\n]/g, ":")).join(";") || "(root)"} ${before} ${value}`);
  });
  return lines.length > 0 ? `${lines.join("\n")}\n` : "";
}

/** A speedscope file (https://www.speedscope.app/file-format-schema.json) with one sampled profile. */
export function toSpeedscope(t: CallTree, title: string, unit: "nanoseconds" | "bytes" | "count"): string {
  const frames: { name: string }[] = [],
    known = new Map<string, number>(),
    samples: number[][] = [],
    weights: number[] = [];
  let sum = 0;
  eachStack(t, (stack, value) => {
    if (value <= 0) return;
    samples.push(
      stack.map((name) => {
        let i = known.get(name);
        if (i === undefined) {
          known.set(name, (i = frames.length));
          frames.push({ name });
        }
        return i;
      }),
    );
    weights.push(value);
    sum += value;
  });
  return JSON.stringify({
    $schema: "https://www.speedscope.app/file-format-schema.json",
    name: title,
    exporter: "cinderblock",
    activeProfileIndex: 0,
    shared: { frames },
    profiles: [
      {
        type: "sampled",
        name: title,
        unit: unit === "count" ? "none" : unit,
        startValue: 0,
        endValue: sum,
        samples,
        weights,
      },
    ],
  });
}

/**
 * A profile of the Firefox Profiler (https://profiler.firefox.com) in its processed format, version 47: one
 * thread with one sample per stack, weighted by the stack's value. The times are artificial: one millisecond
 * per sample.
 */
export function toFirefox(
  t: CallTree,
  title: string,
  unit: "nanoseconds" | "bytes" | "count",
  atMs: number,
): string {
  const strings: string[] = [],
    known = new Map<string, number>(),
    string = (s: string): number => {
      let i = known.get(s);
      if (i === undefined) {
        i = strings.push(s) - 1;
        known.set(s, i);
      }
      return i;
    };
  const functions = new Map<string, number>(),
    stacks = { frame: [] as number[], prefix: [] as (number | null)[] },
    nodes = new Map<string, number>();
  const samples: (number | null)[] = [],
    weights: number[] = [];
  const child = (prefix: number | null, name: string): number => {
    let f = functions.get(name);
    if (f === undefined) functions.set(name, (f = functions.size));
    const key = `${prefix ?? -1}/${f}`;
    let n = nodes.get(key);
    if (n === undefined) {
      nodes.set(key, (n = stacks.frame.length));
      stacks.frame.push(f);
      stacks.prefix.push(prefix);
    }
    return n;
  };
  eachStack(t, (frames, value) => {
    if (value <= 0) return;
    samples.push(frames.reduce<number | null>((prefix, name) => child(prefix, name), null));
    weights.push(unit === "nanoseconds" ? value / 1e6 : value);
  });
  const names = [...functions.keys()].map(string),
    n = names.length,
    all = <T>(value: T, length: number): T[] => Array.from({ length }, () => value);
  return JSON.stringify({
    meta: {
      interval: 1,
      startTime: atMs,
      processType: 0,
      product: title,
      stackwalk: 1,
      version: 27,
      preprocessedProfileVersion: 47,
      symbolicationNotSupported: true,
      symbolicated: true,
      importedFrom: "cinderblock",
      categories: [{ name: "Other", color: "grey", subcategories: ["Other"] }],
      markerSchema: [],
    },
    libs: [],
    pages: [],
    threads: [
      {
        processType: "default",
        processName: title,
        processStartupTime: 0,
        processShutdownTime: null,
        registerTime: 0,
        unregisterTime: null,
        pausedRanges: [],
        name: title,
        isMainThread: true,
        pid: "0",
        tid: 0,
        samples: {
          stack: samples,
          time: samples.map((_, i) => i),
          weight: weights,
          weightType: unit === "nanoseconds" ? "tracing-ms" : unit === "bytes" ? "bytes" : "samples",
          length: samples.length,
        },
        markers: { data: [], name: [], startTime: [], endTime: [], phase: [], category: [], length: 0 },
        stackTable: {
          frame: stacks.frame,
          prefix: stacks.prefix,
          category: all(0, stacks.frame.length),
          subcategory: all(0, stacks.frame.length),
          length: stacks.frame.length,
        },
        frameTable: {
          address: all(-1, n),
          inlineDepth: all(0, n),
          category: all(0, n),
          subcategory: all(0, n),
          func: names.map((_, i) => i),
          nativeSymbol: all(null, n),
          innerWindowID: all(0, n),
          implementation: all(null, n),
          line: all(null, n),
          column: all(null, n),
          length: n,
        },
        funcTable: {
          isJS: all(false, n),
          relevantForJS: all(false, n),
          name: names,
          resource: all(-1, n),
          fileName: all(null, n),
          lineNumber: all(null, n),
          columnNumber: all(null, n),
          length: n,
        },
        resourceTable: { lib: [], name: [], host: [], type: [], length: 0 },
        nativeSymbols: { libIndex: [], address: [], name: [], functionSize: [], length: 0 },
        stringArray: strings,
      },
    ],
  });
}

const ROW = 18,
  WIDTH = 1600,
  GLYPH = 7.2;
const escape = (s: string): string =>
  s
    .replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "?");

/**
 * A flame graph as a self-contained SVG file with a title for every box. Boxes that are too narrow are
 * omitted, and the file states that.
 * @param minWidth minimum width of a box in pixels, out of 1,600
 */
export function toSvg(f: Flame, title: string, unit: Unit, minWidth = 0.5): string {
  const levels = f.rowStart.length - 1,
    scale = WIDTH / (f.width[0]! || 1),
    paint = createPainter(f, f.baseTotal ? "change" : "package", "blue-orange", "light");
  const out: string[] = [];
  let deepest = 0,
    left = 0;
  for (let level = 0; level < levels; level++) {
    for (let b = f.rowStart[level]!; b < f.rowStart[level + 1]!; b++) {
      const w = f.width[b]! * scale;
      if (w < minWidth) {
        left++;
        continue;
      }
      deepest = level;
      const folded = f.name[b] === CUT_OFF_NAME,
        name = folded ? cutOffText(f, b) : b === 0 ? "all" : f.names[f.name[b]!]!,
        x = f.x[b]! * scale,
        fits = Math.floor((w - 6) / GLYPH);
      const share = formatShare(f.sum > 0 ? f.total[b]! / f.sum : 0),
        text = fits < 3 ? "" : escape(name.length <= fits ? name : `${name.slice(0, fits - 1)}…`);
      out.push(
        `<g class="b" data-x="${x.toFixed(2)}" data-w="${w.toFixed(2)}" data-n="${escape(name)}"><title>${escape(name)}: ${formatValue(f.total[b]!, unit)}, ${share}, self ${formatValue(f.self[b]!, unit)}${f.baseTotal ? `, baseline ${formatValue(f.baseTotal[b]!, unit)}` : ""}</title><rect x="${x.toFixed(2)}" y="${level * ROW + 28}" width="${Math.max(0.1, w - 0.5).toFixed(2)}" height="${ROW - 1}" fill="${folded ? "#c4c4cd" : paint(b).fill}"/>${text === "" ? "" : `<text x="${(x + 3).toFixed(2)}" y="${level * ROW + 41}">${text}</text>`}</g>`,
      );
    }
  }
  const height = (deepest + 1) * ROW + 34;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="ui-monospace, 'DejaVu Sans Mono', monospace" font-size="12"><rect width="100%" height="100%" fill="#fff"/><text x="4" y="16">${escape(title)} · total ${formatValue(f.sum, unit)}${f.baseTotal ? `, baseline ${formatValue(f.baseSum, unit)}` : ""}${left > 0 ? ` · ${left} frames below resolution` : ""}</text>\n${out.join("\n")}\n</svg>\n`;
}

/** Script of the page: zooms on click, zooms out on Escape, and searches by text, without a network. */
const SCRIPT = `const svg=document.querySelector("svg"),all=[...svg.querySelectorAll("g.b")].map(g=>({g,r:g.querySelector("rect"),t:g.querySelector("text"),x:+g.dataset.x,w:+g.dataset.w,n:g.dataset.n}));
const zoom=(x,w)=>{const k=${WIDTH}/w;for(const b of all){const l=Math.max(0,(b.x-x)*k),r=Math.min(${WIDTH},(b.x+b.w-x)*k);b.g.style.display=r-l<.3?"none":"";b.r.setAttribute("x",l);b.r.setAttribute("width",Math.max(.1,r-l-.5));
if(!b.t&&r-l>27){b.t=document.createElementNS("http://www.w3.org/2000/svg","text");b.t.setAttribute("y",+b.r.getAttribute("y")+13);b.g.append(b.t)}if(b.t){const f=Math.floor((r-l-6)/${GLYPH});b.t.setAttribute("x",l+3);b.t.textContent=f<3?"":b.n.length<=f?b.n:b.n.slice(0,f-1)+"…"}}};
for(const b of all)b.g.addEventListener("click",()=>zoom(b.x,b.w));addEventListener("keydown",e=>{if(e.key==="Escape")zoom(0,${WIDTH})});
document.querySelector("input").addEventListener("input",e=>{const q=e.target.value.toLowerCase();for(const b of all)b.g.style.opacity=q&&!b.n.toLowerCase().includes(q)?.3:1});`;

/** A self-contained HTML page that stays interactive without a server. */
export function toHtml(f: Flame, title: string, unit: Unit): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><style>body{font:14px system-ui,sans-serif;margin:8px}svg{width:100%;height:auto}g.b{cursor:pointer}</style><p><label>Search <input type="search"></label> A click zooms, Escape goes back.</p>${toSvg(f, title, unit, 0.05)}<script>${SCRIPT}</script></html>\n`;
}
