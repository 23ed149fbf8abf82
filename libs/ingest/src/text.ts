import { decodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError, invalid } from "@cinderblock/errors";
import { type StackBounds, StackBuilder } from "./stack-builder.ts";
import { readTree, readTrie, type TreeBounds } from "./trees.ts";

/** Meaning of an application name's last segment for a text profile (docs/formats/ingest.md). */
interface TextType {
  name: string;
  type: string;
  unit: string;
  period?: { type: string; unit: string };
  scaled?: boolean;
}

const CPU: TextType = {
  name: "process_cpu",
  type: "cpu",
  unit: "nanoseconds",
  period: { type: "cpu", unit: "nanoseconds" },
  scaled: true,
};
const WALL: TextType = {
  name: "wall",
  type: "wall",
  unit: "nanoseconds",
  period: { type: "cpu", unit: "nanoseconds" },
  scaled: true,
};
const memory = (type: string, unit: string): TextType => ({ name: "memory", type, unit });
const counted = (name: string, type: string, unit: string): TextType => ({ name, type, unit });
const TYPES: ReadonlyMap<string, TextType> = new Map(
  Object.entries<TextType>({
    cpu: CPU,
    itimer: CPU,
    wall: WALL,
    seconds: WALL,
    nanoseconds: WALL,
    microseconds: WALL,
    milliseconds: WALL,
    inuse_objects: memory("inuse_objects", "count"),
    alloc_objects: memory("alloc_objects", "count"),
    inuse_space: memory("inuse_space", "bytes"),
    alloc_space: memory("alloc_space", "bytes"),
    goroutines: counted("goroutine", "goroutines", "count"),
    mutex_count: counted("mutex", "contentions", "count"),
    mutex_duration: counted("mutex", "delay", "nanoseconds"),
    block_count: counted("block", "contentions", "count"),
    lock_count: counted("block", "contentions", "count"),
    block_duration: counted("block", "delay", "nanoseconds"),
    lock_duration: counted("block", "delay", "nanoseconds"),
    alloc_in_new_tlab_objects: memory("alloc_in_new_tlab_objects", "count"),
    alloc_outside_tlab_objects: memory("alloc_outside_tlab_objects", "count"),
    alloc_in_new_tlab_bytes: memory("alloc_in_new_tlab_bytes", "bytes"),
    alloc_outside_tlab_bytes: memory("alloc_outside_tlab_bytes", "bytes"),
    live: memory("live", "count"),
    exceptions: counted("exceptions", "samples", "count"),
    bytes: memory("samples", "bytes"),
  }),
);

/**
 * Splits `my.app.cpu` into the service and the meaning of its last segment; a name without a dot is a CPU
 * profile.
 */
export function textType(app: string): { service: string; type: TextType } {
  const dot = app.lastIndexOf(".");
  const suffix = dot < 0 ? "cpu" : app.slice(dot + 1);
  const type = TYPES.get(suffix);
  if (!type)
    throw invalid(`pyroscopeIngesterAdapter failed to convert metadata: unknown profile type: ${suffix}`);
  return { service: dot < 0 ? app : app.slice(0, dot), type };
}

export type TextFormat = "groups" | "lines" | "trie" | "tree";

/** Reads stacks and counts from a body in one of the text and tree formats. */
export function readText(
  body: Uint8Array,
  format: TextFormat,
  bounds: TreeBounds,
  profile?: StackBounds,
): StackBuilder {
  const stacks = new StackBuilder(1, profile);
  if (format === "trie") readTrie(body, stacks);
  else if (format === "tree") readTree(body, stacks, bounds);
  else readFolded(body, format, stacks);
  return stacks;
}

/**
 * Encodes stacks as pprof. CPU and wall time arrive as sample counts: `sampleRate` samples are one second.
 */
export function encodeText(
  stacks: StackBuilder,
  type: TextType,
  sampleRate: number,
  timeNanos: bigint,
): Uint8Array {
  const plain =
    type.scaled === true && sampleRate <= 0
      ? { type: "samples", unit: "count" }
      : { type: type.type, unit: type.unit };
  const rate = BigInt(Math.floor(sampleRate)),
    second = 1_000_000_000n;
  const scale =
    type.scaled !== true || rate <= 0n
      ? undefined
      : rate <= second
        ? (v: bigint) => v * (second / rate)
        : (v: bigint) => (v * second) / rate;
  return stacks.encode(
    {
      sampleTypes: [plain],
      ...(type.period ? { periodType: type.period } : {}),
      period: 0n,
      timeNanos,
      durationNanos: 0n,
    },
    scale,
  );
}

/**
 * Reads folded stacks. `groups`: `a;b;c 3` per line, lines without a space are skipped; `lines`: one stack
 * per line, each counts 1.
 */
function readFolded(body: Uint8Array, format: "groups" | "lines", stacks: StackBuilder): void {
  // Line by line, because the body may be large.
  for (let from = 0; from < body.length; ) {
    const found = body.indexOf(10, from),
      end = found < 0 ? body.length : found,
      line = decodeUtf8(body, from, end);
    from = end + 1;
    const text = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text === "") continue;
    let stack = text,
      count = 1n;
    if (format === "groups") {
      const space = text.lastIndexOf(" ");
      if (space < 0) continue;
      const number = text.slice(space + 1);
      if (!/^[+-]?\d+$/.test(number))
        throw new CinderblockError(
          "unknown",
          `strconv.Atoi: parsing ${JSON.stringify(number)}: invalid syntax`,
          { reason: "malformed_profile" },
        );
      stack = text.slice(0, space);
      count = BigInt(number);
    }
    addStack(stacks, stack, count);
  }
}

function addStack(stacks: StackBuilder, stack: string, value: bigint): void {
  let node = 0;
  for (const frame of stack.split(";")) node = stacks.child(node, frame);
  stacks.add(node, [value]);
}

export type { TextType };
