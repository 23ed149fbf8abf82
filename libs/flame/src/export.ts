import type { CallTree } from "./call-tree.ts";
import { eachStack } from "./transform.ts";

/** Folded stacks, one a line: `root;child;leaf 42`. A `;` inside a name becomes `:`, since the format has no escape. */
export function toFolded(t: CallTree): string {
  const lines: string[] = [];
  eachStack(t, (frames, value) => { if (value > 0) lines.push(`${frames.map((f) => f.replace(/[;\n]/g, ":")).join(";") || "(root)"} ${value}`); });
  return lines.length > 0 ? `${lines.join("\n")}\n` : "";
}

/** A file of speedscope (https://www.speedscope.app/file-format-schema.json), one sampled profile. */
export function toSpeedscope(t: CallTree, title: string, unit: "nanoseconds" | "bytes" | "count"): string {
  const frames: { name: string }[] = [], known = new Map<string, number>(), samples: number[][] = [], weights: number[] = [];
  let sum = 0;
  eachStack(t, (stack, value) => {
    if (value <= 0) return;
    samples.push(stack.map((name) => { let i = known.get(name); if (i === undefined) { known.set(name, (i = frames.length)); frames.push({ name }); } return i; }));
    weights.push(value);
    sum += value;
  });
  return JSON.stringify({
    $schema: "https://www.speedscope.app/file-format-schema.json", name: title, exporter: "cinderblock", activeProfileIndex: 0, shared: { frames },
    profiles: [{ type: "sampled", name: title, unit: unit === "count" ? "none" : unit, startValue: 0, endValue: sum, samples, weights }],
  });
}
