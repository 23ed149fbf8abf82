import { decodeUtf8 } from "@cinderblock/bytes";
import { PprofDecoder } from "@cinderblock/pprof";

/** Renders a call graph in Graphviz's DOT language, of the `maxNodes` functions with the largest totals. */
export function pprofToDot(pprof: Uint8Array, maxNodes: number): string {
  const t = new PprofDecoder().decode(pprof);
  const text = (i: number): string => decodeUtf8(t.bytes, t.stringStart.data[i]!, t.stringEnd.data[i]!);
  const unit = t.sampleTypes > 0 ? text(t.typeUnit.data[0]!) : "";
  const flat = new Map<string, number>(),
    cum = new Map<string, number>(),
    edges = new Map<string, number>();
  const add = (m: Map<string, number>, k: string, v: number): void => {
    m.set(k, (m.get(k) ?? 0) + v);
  };
  let total = 0;
  for (let s = 0; s < t.samples; s++) {
    const value = Number(t.value.data[t.sampleValues.data[s]!]!);
    total += value;
    const frames: string[] = [];
    for (let k = t.sampleLocations.data[s]!; k < t.sampleLocations.data[s + 1]!; k++) {
      const l = t.locationIdLo.data[k]! - 1; // our encoder numbers locations from 1
      for (let n = t.locLines.data[l]!; n < t.locLines.data[l + 1]!; n++)
        frames.push(text(t.funcName.data[t.lineFunctionLo.data[n]! - 1]!));
    }
    if (frames.length === 0) continue;
    add(flat, frames[0]!, value);
    for (const f of new Set(frames)) add(cum, f, value);
    const seen = new Set<string>();
    for (let i = 1; i < frames.length; i++) {
      const e = `${frames[i]}\u0000${frames[i - 1]}`;
      if (!seen.has(e)) {
        seen.add(e);
        add(edges, e, value);
      }
    }
  }
  // The order of nodes does not depend on the order of samples.
  const byValue = (a: [string, number], b: [string, number]): number => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
  const nodes = [...cum].sort(byValue).slice(0, maxNodes);
  const id = new Map(nodes.map(([name], i) => [name, i + 1]));
  const percent = (v: number): string => `${((100 * v) / Math.max(1, total)).toFixed(2)}%`;
  const lines = [
    'digraph "profile" {',
    `node [style=filled fillcolor="#f8f8f8"]`,
    `subgraph cluster_L { "Total" [shape=box label=${JSON.stringify(`Total: ${total} ${unit}`)}] }`,
  ];
  for (const [name, c] of nodes)
    lines.push(
      `N${id.get(name)} [label=${JSON.stringify(`${name}\n${flat.get(name) ?? 0} (${percent(flat.get(name) ?? 0)})\nof ${c} (${percent(c)})`)} shape=box]`,
    );
  for (const [e, v] of [...edges].sort(byValue)) {
    const [from, to] = e.split("\u0000") as [string, string];
    if (id.has(from) && id.has(to))
      lines.push(`N${id.get(from)} -> N${id.get(to)} [label=${JSON.stringify(` ${v}`)}]`);
  }
  return `${lines.join("\n")}\n}\n`;
}
