import { CinderblockError, invalidError } from "@cinderblock/errors";
import { readFoldedLines } from "./folded.ts";
import type { PprofHeader } from "@cinderblock/pprof";
import type { StackBuilder } from "./stack-builder.ts";
import { checkName } from "./strings.ts";
import { readTree, readTrie, type TreeBounds } from "./trees.ts";
import { type Scale, UNSCALED } from "./wide-sums.ts";

const SEMICOLON = 59;

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
    throw invalidError(
      `pyroscopeIngesterAdapter failed to convert metadata: unknown profile type: ${suffix}`,
    );
  return { service: dot < 0 ? app : app.slice(0, dot), type };
}

/** Text formats of /ingest. */
export type TextFormat = "groups" | "lines" | "trie" | "tree";

/** Reads stacks and counts from a body in one of the text and tree formats; returns the number of lines without a count. */
export function readText(
  body: Uint8Array,
  format: TextFormat,
  bounds: TreeBounds,
  stacks: StackBuilder,
): number {
  if (format === "trie") readTrie(body, stacks);
  else if (format === "tree") readTree(body, stacks, bounds);
  else if (format === "lines") readLines(body, stacks);
  else return readGroups(body, stacks);
  return 0;
}

/**
 * Factor of a text's values. CPU and wall time arrive as sample counts: `sampleRate` samples are one second;
 * a rate above 1e9 gives a factor below 1.
 */
export function textScale(type: TextType, sampleRate: number): Scale {
  const rate = BigInt(Math.floor(sampleRate)),
    second = 1_000_000_000n;
  if (type.scaled !== true || rate <= 0n) return UNSCALED;
  return rate <= second ? { times: second / rate, by: 1n } : { times: second, by: rate };
}

/** Types and times of a profile from text. */
export function textHeader(type: TextType, sampleRate: number, timeNanos: bigint): PprofHeader {
  // Without a rate, counts are no times: they have no period either.
  const counted = type.scaled === true && sampleRate <= 0;
  return {
    sampleTypes: [counted ? { type: "samples", unit: "count" } : { type: type.type, unit: type.unit }],
    ...(type.period && !counted ? { periodType: type.period } : {}),
    period: 0n,
    timeNanos,
    durationNanos: 0n,
  };
}

/**
 * Reads folded stacks with counts. Like v1, skips lines of one word.
 * @throws `unknown` for another line without a count, and for a text without any
 */
function readGroups(body: Uint8Array, stacks: StackBuilder): number {
  let uncounted = 0;
  readFoldedLines(body, {
    stack: (from, end, count) => {
      checkName(body, from, end);
      addFrames(stacks, body, from, end, count);
    },
    uncounted: (_line, _text, word) => {
      if (word !== "") malformed(`strconv.Atoi: parsing ${JSON.stringify(word)}: invalid syntax`);
      uncounted++;
    },
  });
  if (uncounted > 0 && stacks.isEmpty) malformed("expected a count at the end of each line");
  return uncounted;
}

/** Reads one folded stack per line; each counts 1. */
function readLines(body: Uint8Array, stacks: StackBuilder): void {
  // Line by line, because the body may be large.
  for (let from = 0; from < body.length; ) {
    const found = body.indexOf(10, from),
      next = found < 0 ? body.length : found,
      end = next > from && body[next - 1] === 13 ? next - 1 : next;
    if (end > from) {
      checkName(body, from, next);
      addFrames(stacks, body, from, end, 1);
    }
    from = next + 1;
  }
}

function malformed(what: string): never {
  throw new CinderblockError("unknown", what, { reason: "malformed_profile" });
}

/** Adds the folded stack in `body[from, end)`. As in v1, an empty frame at the end is no frame. */
function addFrames(
  stacks: StackBuilder,
  body: Uint8Array,
  from: number,
  end: number,
  value: number | bigint,
): void {
  let node = 0,
    start = from;
  for (let i = from; i < end; i++)
    if (body[i] === SEMICOLON) {
      node = stacks.child(node, stacks.locationOf(body, start, i));
      start = i + 1;
    }
  if (start < end) node = stacks.child(node, stacks.locationOf(body, start, end));
  stacks.add(node, value);
}

export type { TextType };
