import { type Pace, UNPACED } from "@cinderblock/async";
import { FlameIndex } from "@cinderblock/block";
import { ByteWriter, encodeUtf8 } from "@cinderblock/bytes";
import { LOCATION_HEAD, FUNCTION_WORDS, MAPPING_WORDS } from "@cinderblock/symdb";
import type { PartialProfile } from "./profile.ts";
import { writeVarintField } from "./put-value.ts";
import { type StackFilter, stackPredicate } from "./stack-filter.ts";

/**
 * A function in one source file of one build, with the exact values of its lines, ascending. Recursion on one
 * line counts once.
 */
export interface FunctionFile {
  filename: string;
  startLine: number;
  /** build ID of its mapping; JSON with repository, git_ref, root_path if agents sent these labels */
  buildId: string;
  lines: { line: number; self: bigint; total: bigint }[];
}

interface LineSums extends Omit<FunctionFile, "lines"> {
  lines: Map<number, { self: bigint; total: bigint }>;
}

/**
 * Source files of the functions called `name`, and the cost of each line in the stacks that a filter accepts.
 */
export async function functionLines(
  p: PartialProfile,
  name: string,
  filter: StackFilter,
  pace = UNPACED,
): Promise<FunctionFile[]> {
  const n = p.value.length,
    wanted = encodeUtf8(name);
  const text = (at: number): string =>
    Buffer.from(p.stringBytes.subarray(p.stringOffset[at]!, p.stringOffset[at + 1]!)).toString();
  const isWanted = (at: number): boolean =>
    p.stringOffset[at + 1]! - p.stringOffset[at]! === wanted.length &&
    Buffer.compare(p.stringBytes.subarray(p.stringOffset[at]!, p.stringOffset[at + 1]!), wanted) === 0;
  const functions = new Set<number>();
  for (let i = 0; i < p.functionWords.length; i += FUNCTION_WORDS)
    if (isWanted(p.functionWords[i]!)) functions.add(i / FUNCTION_WORDS);
  if (functions.size === 0) return [];

  const files = new Map<string, LineSums>();
  /** location -> the function's frames in it, innermost first */
  const inLocation = new Map<number, { file: LineSums; line: number; leaf: boolean }[]>();
  for (let l = 0; l + 1 < p.locationOffset.length; l++) {
    const at = p.locationOffset[l]!,
      end = p.locationOffset[l + 1]!;
    for (let w = at + LOCATION_HEAD; w < end; w += 2) {
      const f = p.locationWords[w]!;
      if (!functions.has(f)) continue;
      const mapping = p.locationWords[at]! * MAPPING_WORDS,
        buildId = mapping + 7 < p.mappingWords.length ? text(p.mappingWords[mapping + 7]!) : "";
      const filename = text(p.functionWords[f * FUNCTION_WORDS + 2]!),
        startLine = p.functionWords[f * FUNCTION_WORDS + 3]!,
        key = JSON.stringify([filename, startLine, buildId]);
      let file = files.get(key);
      if (!file) files.set(key, (file = { filename, startLine, buildId, lines: new Map() }));
      let own = inLocation.get(l);
      if (!own) inLocation.set(l, (own = []));
      own.push({ file, line: p.locationWords[w + 1]!, leaf: w === at + LOCATION_HEAD });
    }
  }

  const keep = await keptStacks(p, filter, pace);
  const below = new BigInt64Array(n);
  for (let i = n - 1; i > 0; i--) {
    if (keep(i)) below[i]! += p.value[i]!;
    below[p.stackParent[i]!]! += below[i]!;
  }
  for (let i = 1; i < n; i++) {
    const own = inLocation.get(p.stackLocation[i]!);
    if (!own || below[i] === 0n) continue;
    own.forEach(({ file, line, leaf }, k) => {
      let sums = file.lines.get(line);
      if (!sums) file.lines.set(line, (sums = { self: 0n, total: 0n }));
      if (leaf && keep(i)) sums.self += p.value[i]!;
      if (
        own.findIndex((o) => o.file === file && o.line === line) === k &&
        !isAbove(p, inLocation, i, file, line)
      )
        sums.total += below[i]!;
    });
  }
  return [...files.values()]
    .filter((f) => f.lines.size > 0)
    .map((f) => ({
      ...f,
      lines: [...f.lines].map(([line, s]) => ({ line, ...s })).sort((a, b) => a.line - b.line),
    }))
    .sort((a, b) => {
      const x = sumOf(a),
        y = sumOf(b);
      return x < y ? 1 : x > y ? -1 : a.filename < b.filename ? -1 : 1;
    });
}

function sumOf(f: FunctionFile): bigint {
  return f.lines.reduce((n, l) => n + l.total, 0n);
}

/** Whether a line already occurs in the stack above a node: then only the outer occurrence counts. */
function isAbove(
  p: PartialProfile,
  inLocation: ReadonlyMap<number, readonly { file: LineSums; line: number }[]>,
  node: number,
  file: LineSums,
  line: number,
): boolean {
  for (let i = p.stackParent[node]!; i > 0; i = p.stackParent[i]!)
    if (inLocation.get(p.stackLocation[i]!)?.some((o) => o.file === file && o.line === line)) return true;
  return false;
}

/**
 * Predicate for stacks that a filter accepts; hidden functions are ignored, because merging into callers
 * changes no line.
 */
async function keptStacks(
  p: PartialProfile,
  filter: StackFilter,
  pace: Pace,
): Promise<(node: number) => boolean> {
  if (filter.callSite.length + filter.only.length + filter.without.length === 0) return () => true;
  const flame = new FlameIndex();
  flame.extend(p);
  return stackPredicate(p, flame, { ...filter, hide: [] }, pace);
}

/** Encodes cinderblock.explore.v1.FunctionLinesResponse. */
export function encodeFunctionLines(files: readonly FunctionFile[]): Uint8Array {
  const out = new ByteWriter(1024),
    file = new ByteWriter(512),
    line = new ByteWriter(64);
  const message = (to: ByteWriter, field: number, m: ByteWriter): void => {
    to.u8(field * 8 + 2);
    to.uvarint(m.length);
    to.bytes(m.finish());
  };
  const str = (to: ByteWriter, field: number, s: string): void => {
    to.u8(field * 8 + 2);
    to.str(s);
  };
  for (const f of files) {
    file.reset();
    str(file, 1, f.filename);
    writeVarintField(file, 2, BigInt(f.startLine));
    str(file, 3, f.buildId);
    for (const l of f.lines) {
      line.reset();
      writeVarintField(line, 1, BigInt(l.line));
      writeVarintField(line, 2, l.self);
      writeVarintField(line, 3, l.total);
      message(file, 4, line);
    }
    message(out, 1, file);
  }
  return out.transferBytes();
}
