import { decodeUtf8, encodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { jfrToPprofs, readSpeedscope } from "@cinderblock/ingest";
import { inflateProfile, isGzip, PprofDecoder, type PprofTables } from "@cinderblock/pprof";
import { type PartialTree, TreeMerger } from "@cinderblock/query";

/** One profile type of a file. */
export interface FileProfile {
  type: string;
  unit: string;
  tree: PartialTree;
}

/** @throws `unknown`, which is v1's status for an unreadable file */
function refuse(what: string, cause?: unknown): never {
  throw new CinderblockError(
    "unknown",
    `failed to parse profile: ${what}`,
    cause === undefined ? {} : { cause },
  );
}

/** Builds a call tree by name: frames are texts, and each name is interned once. */
class Growing {
  readonly tree = new TreeMerger();
  private readonly names = new Map<string, number>();
  child(parent: number, name: string): number {
    let id = this.names.get(name);
    if (id === undefined) {
      const b = encodeUtf8(name);
      this.names.set(name, (id = this.tree.names.intern(b, 0, b.length)));
    }
    return this.tree.child(parent, id);
  }
  add(frames: readonly string[], value: bigint): void {
    let node = 0;
    for (const f of frames) node = this.child(node, f);
    this.tree.self.data[node]! += value;
  }
}

/**
 * Reads the profiles of a file: pprof (gzip or plain), JFR, speedscope, flamebearer JSON, `perf script`
 * output, folded stacks.
 * @param limit maximum inflated size in bytes
 */
export function readProfileFile(name: string, file: Uint8Array, limit: number): FileProfile[] {
  if (file.length === 0) refuse("the file is empty");
  let bytes = file;
  if (isGzip(file)) {
    try {
      bytes = inflateProfile(file, limit);
    } catch (err) {
      if (kindOf(err) === "invalid") throw err;
      refuse(`the gzip stream is broken: ${(err as Error).message}`, err);
    }
  }
  const plain = name.replace(/\.gz$/, "");
  if (bytes.length > 3 && decodeUtf8(bytes, 0, 4) === "FLR\0")
    return fromPprofs(jfrToPprofs(bytes, new Map(), 100, 0n, 0n).profiles.map((p) => p.bytes));
  const first = bytes.find((b) => b > 32);
  if (first === 123) return fromJson(plain, bytes);
  if (isText(bytes))
    return /\.(perf|perf[._-]script|script)(\.txt)?$/.test(plain) || looksLikePerf(bytes)
      ? fromPerf(bytes)
      : fromFolded(bytes);
  return fromPprofs([bytes]);
}

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
      return refuse(`this is no pprof, JFR, JSON or text that is known: ${(err as Error).message}`, err);
    }
    if (t.sampleTypes === 0) refuse("a pprof without sample types");
    out.push(...treesOf(t));
  }
  return out;
}

function treesOf(t: PprofTables): FileProfile[] {
  const id = (lo: number, hi: number): number => hi * 4294967296 + lo;
  const text = (i: number): string =>
    i < t.strings
      ? decodeUtf8(t.bytes, t.stringStart.data[i]!, t.stringEnd.data[i]!)
      : refuse(`string ${i} is not there`);
  const functions = new Map<number, string>(),
    locations = new Map<number, string[]>();
  for (let f = 0; f < t.functions; f++)
    functions.set(id(t.funcIdLo.data[f]!, t.funcIdHi.data[f]!), text(t.funcName.data[f]!));
  for (let l = 0; l < t.locations; l++) {
    const frames: string[] = [];
    for (let k = t.locLines.data[l]!; k < t.locLines.data[l + 1]!; k++)
      frames.push(functions.get(id(t.lineFunctionLo.data[k]!, t.lineFunctionHi.data[k]!)) ?? "");
    // A location without a function shows its address.
    locations.set(
      id(t.locIdLo.data[l]!, t.locIdHi.data[l]!),
      frames.length > 0 ? frames.reverse() : [`0x${BigInt.asUintN(64, t.locAddress.data[l]!).toString(16)}`],
    );
  }
  const trees = Array.from({ length: t.sampleTypes }, () => new Growing());
  for (let s = 0; s < t.samples; s++) {
    const frames: string[] = [];
    for (let k = t.sampleLocations.data[s + 1]! - 1; k >= t.sampleLocations.data[s]!; k--)
      frames.push(...(locations.get(id(t.locationIdLo.data[k]!, t.locationIdHi.data[k]!)) ?? []));
    const from = t.sampleValues.data[s]!;
    if (t.sampleValues.data[s + 1]! - from < t.sampleTypes)
      refuse(`sample ${s} has fewer values than there are sample types`);
    trees.forEach((g, k) => g.add(frames, t.value.data[from + k]!));
  }
  return trees.map((g, k) => ({
    type: text(t.typeType.data[k]!),
    unit: text(t.typeUnit.data[k]!),
    tree: g.tree.finish(),
  }));
}

function fromJson(name: string, bytes: Uint8Array): FileProfile[] {
  let file: {
    $schema?: unknown;
    flamebearer?: { names?: unknown; levels?: unknown };
    metadata?: { format?: unknown; name?: unknown; units?: unknown };
  };
  try {
    file = JSON.parse(decodeUtf8(bytes)) as typeof file;
  } catch (err) {
    return refuse(`this is no JSON: ${(err as Error).message}`, err);
  }
  if (file.$schema !== undefined) {
    return readSpeedscope(bytes)
      .filter((p) => !p.stacks.isEmpty)
      .flatMap((p) => {
        // The reader scales values as v1 stores them; here they are scaled back to the file's values.
        const scale = p.unit === "bytes" ? 1n : 100n;
        return fromPprofs([
          p.stacks.encode(
            {
              sampleTypes: [
                { type: p.name === "" ? name : p.name, unit: p.unit === "none" ? "count" : p.unit },
              ],
              period: 0n,
              timeNanos: 0n,
              durationNanos: 0n,
            },
            (v) => v / scale,
          ),
        ]);
      });
  }
  const f = file.flamebearer;
  if (!f || !Array.isArray(f.names) || !Array.isArray(f.levels))
    return refuse("JSON without a flamebearer and without speedscope's $schema");
  if (file.metadata?.format !== undefined && file.metadata.format !== "single")
    refuse("a flamebearer of two sides; only single ones can be opened");
  return [
    {
      type: String(file.metadata?.name ?? name),
      unit: String(file.metadata?.units ?? "count"),
      tree: fromLevels(f.names as unknown[], f.levels as unknown[]),
    },
  ];
}

/** Builds a tree from levels of (x delta, total, self, name), as in /pyroscope/render. */
function fromLevels(names: readonly unknown[], levels: readonly unknown[]): PartialTree {
  const g = new Growing();
  let above: { end: number; node: number }[] = [];
  levels.forEach((row, level) => {
    if (!Array.isArray(row) || row.length % 4 !== 0 || row.some((v) => typeof v !== "number"))
      refuse(`level ${level} is no list of four numbers for each bar`);
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
      if (typeof text !== "string") refuse(`level ${level} names ${name}, which is not there`);
      if (level > 0 && above.length === 0) refuse(`level ${level} has no level above`);
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
  let stacks = 0;
  decodeUtf8(bytes)
    .split("\n")
    .forEach((raw, i) => {
      const line = raw.trimEnd();
      if (line === "" || line.startsWith("#")) return;
      const m = /^(.*\S)\s+(\d+)$/.exec(line);
      if (!m) return refuse(`line ${i + 1} is no stack with a count: ${JSON.stringify(line.slice(0, 60))}`);
      g.add(m[1]!.split(";"), BigInt(m[2]!));
      stacks++;
    });
  if (stacks === 0) refuse("a text without stacks");
  return [{ type: "samples", unit: "count", tree: g.tree.finish() }];
}

const PERF_HEAD = /^\S.*\s\d+(\/\d+)?\s+(\[\d+\]\s+)?\d+\.\d+:/,
  PERF_FRAME = /^\s+([0-9a-f]+)\s+(.*?)(\+0x[0-9a-f]+)?(\s+\(.*\))?$/;
function looksLikePerf(bytes: Uint8Array): boolean {
  const lines = decodeUtf8(bytes, 0, Math.min(bytes.length, 4096))
    .split("\n")
    .filter((l) => l.trim() !== "" && !l.startsWith("#"));
  return lines.length > 1 && PERF_HEAD.test(lines[0]!) && PERF_FRAME.test(lines[1]!);
}

/**
 * Reads `perf script` output: a header line with the command, then the frames, leaf first, up to an empty
 * line.
 */
function fromPerf(bytes: Uint8Array): FileProfile[] {
  const g = new Growing();
  let command = "",
    frames: string[] = [],
    stacks = 0;
  const end = (): void => {
    if (command === "") return;
    g.add([command, ...frames.reverse()], 1n);
    command = "";
    frames = [];
    stacks++;
  };
  for (const line of decodeUtf8(bytes).split("\n")) {
    if (line.startsWith("#")) continue;
    if (line.trim() === "") {
      end();
      continue;
    }
    const frame = /^\s/.test(line) && command !== "" ? PERF_FRAME.exec(line) : null;
    if (frame) frames.push(frame[2] === "[unknown]" ? `0x${frame[1]}` : frame[2]!);
    else {
      end();
      command =
        /^\s*(\S.*?)\s+\d+(\/\d+)?\s/.exec(line)?.[1] ??
        refuse(`a line of perf script is neither head nor frame: ${JSON.stringify(line.slice(0, 60))}`);
    }
  }
  end();
  if (stacks === 0) refuse("an output of perf script without stacks");
  return [{ type: "samples", unit: "count", tree: g.tree.finish() }];
}
