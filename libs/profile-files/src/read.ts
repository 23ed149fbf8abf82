import { decodeUtf8, encodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import {
  foldedFrames,
  FrameBudget,
  jfrProfilesOf,
  MAX_VALUE,
  NO_JFR_LABELS,
  readFoldedLines,
  readSpeedscope,
  StackBuilder,
  StackBuilders,
} from "@cinderblock/ingest";
import { encodePprof, inflateProfile, isGzip, PprofDecoder, type PprofTables } from "@cinderblock/pprof";
import { type PartialTree, type FlamebearerMetadata, TreeMerger } from "@cinderblock/query";
import { looksLikePerf, readPerfScript } from "./perf-script.ts";

/**
 * One profile type of a file. Values are in `unit`; the tree is by function name, without lines and
 * addresses.
 */
export interface FileProfile {
  type: string;
  unit: string;
  tree: PartialTree;
  /** metadata of a flamebearer, which its answer repeats; other files get those of their type and unit */
  shown?: FlamebearerMetadata;
}

/** @throws `unknown`, which is v1's status for an unreadable file */
function refuse(what: string, cause?: unknown): never {
  throw new CinderblockError(
    "unknown",
    `failed to parse profile: ${what}`,
    cause === undefined ? {} : { cause },
  );
}

/** Builds a call tree by name: frames are texts, and each name is interned once. Node 0 is the root. */
class Growing {
  readonly tree = new TreeMerger();
  private readonly names = new Map<string, number>();
  /** Child of a node, which is added if it is new. */
  child(parent: number, name: string): number {
    let id = this.names.get(name);
    if (id === undefined) {
      const b = encodeUtf8(name);
      this.names.set(name, (id = this.tree.names.intern(b, 0, b.length)));
    }
    return this.tree.childNode(parent, id);
  }
  /** Adds a value to the node at the end of a path, root first. */
  add(frames: readonly string[], value: bigint): void {
    let node = 0;
    for (const f of frames) node = this.child(node, f);
    this.tree.self.data[node]! += value;
  }
}

/**
 * Reads the profiles of a file: pprof (gzip or plain), JFR, speedscope, flamebearer JSON, `perf script`
 * output, folded stacks. Content decides about the format; the name only distinguishes the two text formats.
 *
 *   1f 8b          gzip: inflate, then as below
 *   "FLR\0"        JFR
 *   "{" first      speedscope with $schema, else flamebearer
 *   text           perf script by name or first lines, else folded stacks
 *   otherwise      pprof
 *
 * @param name file name, a fallback for the name of the profile type
 * @param limit maximum inflated size in bytes
 * @returns one entry for each profile type of the file
 * @throws CinderblockError `unknown` for an unreadable file, `invalid` for one above the limit
 */
export function readProfileFile(name: string, file: Uint8Array, limit: number): FileProfile[] {
  if (file.length === 0) refuse("the file is empty");
  let bytes = file;
  if (isGzip(file)) {
    try {
      bytes = inflateProfile(file, limit);
    } catch (err) {
      if (kindOf(err) === "invalid") throw err;
      refuse(`the gzip stream is damaged: ${(err as Error).message}`, err);
    }
  }
  const plain = name.replace(/\.gz$/, ""),
    frames = new FrameBudget(limit);
  if (bytes.length > 3 && decodeUtf8(bytes, 0, 4) === "FLR\0")
    return fromPprofs(
      jfrProfilesOf(bytes, NO_JFR_LABELS, 100, 0n, 0n, new StackBuilders(), frames).profiles.map((p) =>
        encodePprof(p.header, p.source),
      ),
    );
  const first = bytes.find((b) => b > 32);
  if (first === 123) return fromJson(plain, bytes, frames);
  if (isText(bytes))
    return /\.(perf|perf[._-]script|script)(\.txt)?$/.test(plain) || looksLikePerf(bytes)
      ? fromPerf(bytes)
      : fromFolded(bytes);
  return fromPprofs([bytes]);
}

// Whether the first 4 KiB have no control characters except white space.
function isText(bytes: Uint8Array): boolean {
  const n = Math.min(bytes.length, 4096);
  for (let i = 0; i < n; i++) {
    const b = bytes[i]!;
    if (b < 9 || (b > 13 && b < 32)) return false;
  }
  return true;
}

function fromPprofs(files: readonly Uint8Array[]): FileProfile[] {
  const out: FileProfile[] = [];
  for (const bytes of files) {
    let t: PprofTables;
    try {
      t = new PprofDecoder().decode(bytes);
    } catch (err) {
      return refuse(
        `unknown format, expected pprof, JFR, JSON or folded text: ${(err as Error).message}`,
        err,
      );
    }
    if (t.sampleTypes === 0) refuse("the pprof has no sample types");
    out.push(...treesOf(t));
  }
  return out;
}

// One tree for each sample type of a pprof. Locations with several lines become several frames.
function treesOf(t: PprofTables): FileProfile[] {
  const id = (lo: number, hi: number): number => hi * 4294967296 + lo;
  const text = (i: number): string =>
    i < t.strings
      ? decodeUtf8(t.bytes, t.stringStart.data[i]!, t.stringEnd.data[i]!)
      : refuse(`string ${i} does not exist`);
  const functions = new Map<number, string>(),
    locations = new Map<number, number>(),
    /** location -> its frames, root first; only of locations that samples use */
    frames: (string[] | undefined)[] = [];
  for (let f = 0; f < t.functions; f++)
    functions.set(id(t.funcIdLo.data[f]!, t.funcIdHi.data[f]!), text(t.funcName.data[f]!));
  for (let l = 0; l < t.locations; l++) locations.set(id(t.locIdLo.data[l]!, t.locIdHi.data[l]!), l);
  const framesOf = (l: number): string[] => {
    const own: string[] = [];
    for (let k = t.locLines.data[l + 1]! - 1; k >= t.locLines.data[l]!; k--) {
      const fn = id(t.lineFunctionLo.data[k]!, t.lineFunctionHi.data[k]!);
      own.push(functions.get(fn) ?? refuse(`a location refers to function ${fn}, which does not exist`));
    }
    // A location without lines is named by its address, as in v1.
    return own.length > 0 ? own : [BigInt.asUintN(64, t.locAddress.data[l]!).toString(16)];
  };
  const trees = Array.from({ length: t.sampleTypes }, () => new Growing());
  for (let s = 0; s < t.samples; s++) {
    const stack: string[] = [];
    for (let k = t.sampleLocations.data[s + 1]! - 1; k >= t.sampleLocations.data[s]!; k--) {
      const location = id(t.locationIdLo.data[k]!, t.locationIdHi.data[k]!),
        l =
          locations.get(location) ??
          refuse(`sample ${s} refers to location ${location}, which does not exist`);
      stack.push(...(frames[l] ??= framesOf(l)));
    }
    const from = t.sampleValues.data[s]!;
    if (t.sampleValues.data[s + 1]! - from < t.sampleTypes)
      refuse(`sample ${s} has fewer values than sample types`);
    if (stack.length > 0) trees.forEach((g, k) => g.add(stack, t.value.data[from + k]!));
  }
  return trees.map((g, k) => ({
    type: text(t.typeType.data[k]!),
    unit: text(t.typeUnit.data[k]!),
    tree: g.tree.finish(),
  }));
}

// A flamebearer as /pyroscope/render answers it, or speedscope. Comparisons are refused.
function fromJson(name: string, bytes: Uint8Array, frames: FrameBudget): FileProfile[] {
  let file: {
    $schema?: unknown;
    flamebearer?: { names?: unknown; levels?: unknown };
    metadata?: {
      format?: unknown;
      name?: unknown;
      units?: unknown;
      spyName?: unknown;
      sampleRate?: unknown;
    };
  };
  try {
    file = JSON.parse(decodeUtf8(bytes)) as typeof file;
  } catch (err) {
    return refuse(`invalid JSON: ${(err as Error).message}`, err);
  }
  if (file.$schema !== undefined) {
    return fromSpeedscope(name, bytes, frames);
  }
  const f = file.flamebearer;
  if (!f || !Array.isArray(f.names) || !Array.isArray(f.levels))
    return refuse("the JSON has neither a flamebearer nor speedscope's $schema");
  if (file.metadata?.format !== undefined && file.metadata.format !== "single")
    refuse("the flamebearer is a comparison of two profiles; only single profiles are supported");
  const { spyName, sampleRate, units } = file.metadata ?? {};
  return [
    {
      type: String(file.metadata?.name ?? name),
      unit: String(units ?? "count"),
      tree: fromLevels(f.names as unknown[], f.levels as unknown[]),
      ...(typeof sampleRate === "number" && typeof units === "string"
        ? { shown: { spyName: typeof spyName === "string" ? spyName : "", sampleRate, units } }
        : {}),
    },
  ];
}

/** Nanoseconds of the units of time. */
const NANOS: ReadonlyMap<string, number> = new Map([
  ["seconds", 1e9],
  ["milliseconds", 1e6],
  ["microseconds", 1e3],
]);
/** Parts of a unit that has no smaller one, for profiles whose weights are decimals. */
const PARTS = 1000;

/** Reads a speedscope file in its own units; decimals go to a smaller unit, because values are whole. */
function fromSpeedscope(name: string, bytes: Uint8Array, frames: FrameBudget): FileProfile[] {
  return readSpeedscope(
    bytes,
    (unit, _many, whole) => (whole ? 1 : (NANOS.get(unit) ?? (unit === "none" ? PARTS : 1))),
    () => new StackBuilder(1, { maxSamples: 0, maxBytes: 0, frames }),
  )
    .filter((p) => !p.stacks.isEmpty)
    .flatMap((p) =>
      fromPprofs([
        p.stacks.encode({
          sampleTypes: [{ type: p.name === "" ? name : p.name, unit: shownUnit(p.unit, p.factor !== 1) }],
          period: 0n,
          timeNanos: 0n,
          durationNanos: 0n,
        }),
      ]),
    );
}

function shownUnit(unit: string, decimal: boolean): string {
  if (unit === "none") return decimal ? "thousandths" : "count";
  return decimal && NANOS.has(unit) ? "nanoseconds" : unit;
}

/**
 * Builds a tree from levels of (x delta, total, self, name), as in /pyroscope/render. Level by level, from
 * left to right; x is the distance to the end of the bar before. A bar belongs to the bar above that covers
 * its start.
 *
 *   level 0  | total                  |
 *   level 1  | a          | b   |
 *   level 2     | c  |      | d |
 */
function fromLevels(names: readonly unknown[], levels: readonly unknown[]): PartialTree {
  const g = new Growing();
  let above: { end: number; node: number }[] = [];
  levels.forEach((row, level) => {
    if (!Array.isArray(row) || row.length % 4 !== 0 || row.some((v) => typeof v !== "number"))
      refuse(`level ${level}: expected a list of numbers, four for each bar`);
    const here: typeof above = [];
    let x = 0,
      up = 0;
    for (let i = 0; i < (row as number[]).length; i += 4) {
      const [delta, total, self, name] = (row as number[]).slice(i, i + 4) as [
        number,
        number,
        number,
        number,
      ];
      x += delta;
      while (up < above.length - 1 && above[up]!.end <= x) up++;
      const text = names[name];
      if (typeof text !== "string") refuse(`level ${level} refers to name ${name}, which does not exist`);
      if (level > 0 && above.length === 0) refuse(`level ${level} has no bars above it`);
      const node = level === 0 ? 0 : g.child(above[up]!.node, text as string);
      g.tree.self.data[node]! += BigInt(Math.trunc(self));
      x += total;
      here.push({ end: x, node });
    }
    above = here;
  });
  return g.tree.finish();
}

/** Reads `a;b;c 3` per line. Texts do not state a unit: `samples`, so that any two can be compared. */
function fromFolded(bytes: Uint8Array): FileProfile[] {
  const g = new Growing();
  let stacks = 0,
    total = 0n;
  readFoldedLines(bytes, {
    stack: (from, end, number) => {
      const count = BigInt(number);
      g.add(foldedFrames(bytes, from, end), count);
      total += count;
      if (total > MAX_VALUE) refuse(`the sum of its counts is above ${MAX_VALUE}`);
      stacks++;
    },
    uncounted: (line, text) =>
      refuse(`line ${line} is not a stack with a count: ${JSON.stringify(text.slice(0, 60))}`),
  });
  if (stacks === 0) refuse("the text has no stacks");
  return [{ type: "samples", unit: "count", tree: g.tree.finish() }];
}

/** Reads `perf script` output; each sample counts 1. */
function fromPerf(bytes: Uint8Array): FileProfile[] {
  const g = new Growing();
  let stacks = 0;
  readPerfScript(
    bytes,
    (frames) => {
      g.add(frames, 1n);
      stacks++;
    },
    (line) =>
      refuse(
        `line of perf script is neither an event header nor a frame: ${JSON.stringify(line.slice(0, 60))}`,
      ),
  );
  if (stacks === 0) refuse("the perf script output has no stacks");
  return [{ type: "samples", unit: "count", tree: g.tree.finish() }];
}
