/** Canonical forms of Pyroscope v1's JSON answers: equal answers become equal texts, independent of order. */

interface Flamegraph {
  names: string[];
  levels: { values: string[] }[];
}

/**
 * One line for each node of a flame graph: path of names, total, self. Siblings with one name are one node.
 */
function flameLines(f: Flamegraph): string[] {
  const merged = new Map<string, [total: bigint, self: bigint]>();
  let above: { start: bigint; end: bigint; path: string }[] = [];
  for (const [depth, { values }] of f.levels.entries()) {
    const level: typeof above = [];
    let x = 0n,
      parent = 0;
    for (let i = 0; i + 3 < values.length; i += 4) {
      const start = x + BigInt(values[i]!),
        total = BigInt(values[i + 1]!),
        name = f.names[Number(values[i + 3])]!;
      x = start + total;
      while (parent + 1 < above.length && above[parent]!.end <= start) parent++;
      const path = depth === 0 ? name : `${above[parent]!.path}\n${name}`;
      if (depth > 0 && (start < above[parent]!.start || x > above[parent]!.end))
        throw new Error(`node ${JSON.stringify(name)} of level ${depth} lies outside of its parent`);
      const known = merged.get(path) ?? [0n, 0n];
      merged.set(path, [known[0] + total, known[1] + BigInt(values[i + 2]!)]);
      level.push({ start, end: x, path });
    }
    above = level;
  }
  return [...merged].map(([path, [total, self]]) => `${path}\t${total}\t${self}`).sort();
}

interface Pprof {
  stringTable: string[];
  sampleType: { type?: string; unit?: string }[];
  sample: { locationId?: string[]; value: string[] }[];
  location: { id: string; line?: { functionId: string; line?: string }[] }[];
  function: { id: string; name?: string; filename?: string }[];
}

/** One line for each stack of a merged pprof: frames with file and line, and the sum of its values. */
function pprofLines(p: Pprof): string[] {
  const text = (i: string | undefined): string => p.stringTable[Number(i ?? 0)]!;
  const functions = new Map(p.function.map((f) => [f.id, `${text(f.name)} ${text(f.filename)}`]));
  const locations = new Map(
    p.location.map((l) => [
      l.id,
      (l.line ?? []).map((x) => `${functions.get(x.functionId)}:${x.line ?? 0}`).join("|"),
    ]),
  );
  const sums = new Map<string, bigint>();
  for (const s of p.sample) {
    const stack = (s.locationId ?? []).map((l) => locations.get(l)).join("\n");
    sums.set(stack, (sums.get(stack) ?? 0n) + BigInt(s.value[0] ?? 0));
  }
  return [
    ...p.sampleType.map((t) => `type ${text(t.type)} ${text(t.unit)}`),
    ...[...sums].map(([stack, value]) => `${stack}\t${value}`).sort(),
  ];
}

/** Sorts every list of an answer by its text and leaves exemplars and annotations out. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(sorted).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "exemplars" && key !== "annotations")
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, v]) => [key, sorted(v)]),
  );
}

/** The canonical form of one answer by the route that gave it. */
export function canonical(path: string, body: Record<string, unknown>): unknown {
  if (path.endsWith("SelectMergeStacktraces")) return flameLines(body.flamegraph as Flamegraph);
  if (path.endsWith("SelectMergeProfile")) return pprofLines(body as unknown as Pprof);
  return sorted(body);
}
