import { decodeUtf8, encodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError, invalid } from "@cinderblock/errors";
import { encodePprof } from "@cinderblock/pprof";
import { SymbolPartition } from "@cinderblock/symdb";

/** What the last segment of an app name says about a text profile (api.md §2.2, suffix table). */
interface TextType { name: string; type: string; unit: string; period?: { type: string; unit: string }; scaled?: boolean }

const CPU: TextType = { name: "process_cpu", type: "cpu", unit: "nanoseconds", period: { type: "cpu", unit: "nanoseconds" }, scaled: true };
const WALL: TextType = { name: "wall", type: "wall", unit: "nanoseconds", period: { type: "cpu", unit: "nanoseconds" }, scaled: true };
const memory = (type: string, unit: string): TextType => ({ name: "memory", type, unit });
const counted = (name: string, type: string, unit: string): TextType => ({ name, type, unit });
const TYPES: Record<string, TextType> = {
  cpu: CPU, itimer: CPU, wall: WALL, seconds: WALL, nanoseconds: WALL, microseconds: WALL, milliseconds: WALL,
  inuse_objects: memory("inuse_objects", "count"), alloc_objects: memory("alloc_objects", "count"), inuse_space: memory("inuse_space", "bytes"), alloc_space: memory("alloc_space", "bytes"),
  goroutines: counted("goroutine", "goroutines", "count"),
  mutex_count: counted("mutex", "contentions", "count"), mutex_duration: counted("mutex", "delay", "nanoseconds"),
  block_count: counted("block", "contentions", "count"), lock_count: counted("block", "contentions", "count"),
  block_duration: counted("block", "delay", "nanoseconds"), lock_duration: counted("block", "delay", "nanoseconds"),
  alloc_in_new_tlab_objects: memory("alloc_in_new_tlab_objects", "count"), alloc_outside_tlab_objects: memory("alloc_outside_tlab_objects", "count"),
  alloc_in_new_tlab_bytes: memory("alloc_in_new_tlab_bytes", "bytes"), alloc_outside_tlab_bytes: memory("alloc_outside_tlab_bytes", "bytes"),
  live: memory("live", "count"), exceptions: counted("exceptions", "samples", "count"), bytes: memory("samples", "bytes"),
};

/** Splits `my.app.cpu` into the service and what its last segment means; an app without a dot is a CPU profile. */
export function textType(app: string): { service: string; type: TextType } {
  const dot = app.lastIndexOf(".");
  const suffix = dot < 0 ? "cpu" : app.slice(dot + 1);
  const type = TYPES[suffix];
  if (!type) throw invalid(`pyroscopeIngesterAdapter failed to convert metadata: unknown profile type: ${suffix}`);
  return { service: dot < 0 ? app : app.slice(0, dot), type };
}

/**
 * Folded stacks to pprof bytes. `groups`: `a;b;c 3` a line, lines without a space are skipped; `lines`: one stack a line,
 * each counting 1.
 */
export function foldedToPprof(body: Uint8Array, format: "groups" | "lines", type: TextType, sampleRate: number, timeNanos: bigint): Uint8Array {
  const scaled = type.scaled === true && sampleRate > 0;
  const perSample = scaled ? BigInt(Math.floor(1e9 / sampleRate)) : 1n;
  const symbols = new SymbolPartition();
  const totals = new Map<number, bigint>();
  const word = new Uint32Array(6);
  for (const line of decodeUtf8(body).split("\n")) {
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text === "") continue;
    let stack = text, count = 1n;
    if (format === "groups") {
      const space = text.lastIndexOf(" ");
      if (space < 0) continue;
      const number = text.slice(space + 1);
      if (!/^[+-]?\d+$/.test(number)) throw new CinderblockError("unknown", `strconv.Atoi: parsing ${JSON.stringify(number)}: invalid syntax`, { reason: "malformed_profile" });
      stack = text.slice(0, space);
      count = BigInt(number);
    }
    let node = 0;
    for (const frame of stack.split(";")) {
      const bytes = encodeUtf8(frame);
      const name = symbols.strings.intern(bytes, 0, bytes.length);
      word[0] = name; word[1] = name; word[2] = 0; word[3] = 0;
      const fn = symbols.functions.intern(word, 4);
      word[0] = 0; word[1] = 0; word[2] = 0; word[3] = 0; word[4] = fn; word[5] = 0;
      node = symbols.stackChild(node, symbols.locations.intern(word, 6));
    }
    totals.set(node, (totals.get(node) ?? 0n) + count * perSample);
  }
  const sampleOffset = [0];
  const sampleLocation: number[] = [];
  const t = symbols.tables();
  for (const node of totals.keys()) {
    for (let at = node; at > 0; at = t.stackParent[at]!) sampleLocation.push(t.stackLocation[at]!);
    sampleOffset.push(sampleLocation.length);
  }
  const plain = type.scaled === true && !scaled ? { type: "samples", unit: "count" } : { type: type.type, unit: type.unit };
  return encodePprof({ sampleTypes: [plain], ...(type.period ? { periodType: type.period } : {}), period: 0n, timeNanos, durationNanos: 0n }, {
    strings: { bytes: t.stringBytes, offset: t.stringOffset }, functionWords: t.functionWords, mappingWords: new Uint32Array(9), locationWords: t.locationWords, locationOffset: t.locationOffset,
    sampleOffset: Uint32Array.from(sampleOffset), sampleLocation: Uint32Array.from(sampleLocation), value: BigInt64Array.from(totals.values()),
  });
}

export type { TextType };
