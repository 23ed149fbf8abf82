import { ByteReader, decodeUtf8, ShortRead } from "@cinderblock/bytes";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import {
  CONTEXT_ID,
  ID_WORDS,
  type JfrEvent,
  type JfrStacks,
  readRecording,
  SPAN_ID,
  SPAN_NAME,
  TRACE_HIGH,
  TRACE_LOW,
} from "@cinderblock/jfr";
import type { Label } from "@cinderblock/model";
import type { PprofHeader, PprofSource } from "@cinderblock/pprof";
import { WordTuples } from "@cinderblock/symdb";
import type { FrameBudget } from "./frame-budget.ts";
import { JFR_SYMBOLS, type StackBuilder, type StackBuilders } from "./stack-builder.ts";
import { UNSCALED } from "./wide-sums.ts";

/** Sample types and period of the profiles made from JFR events (docs/formats/ingest.md). */
const PROFILES = {
  cpu: { name: "process_cpu", types: [["cpu", "nanoseconds"]], period: ["cpu", "nanoseconds"] },
  wall: { name: "wall", types: [["wall", "nanoseconds"]], period: ["wall", "nanoseconds"] },
  inTlab: {
    name: "memory",
    types: [
      ["alloc_in_new_tlab_objects", "count"],
      ["alloc_in_new_tlab_bytes", "bytes"],
    ],
    period: ["space", "bytes"],
  },
  outsideTlab: {
    name: "memory",
    types: [
      ["alloc_outside_tlab_objects", "count"],
      ["alloc_outside_tlab_bytes", "bytes"],
    ],
    period: ["space", "bytes"],
  },
  sampled: {
    name: "memory",
    types: [
      ["alloc_sample_objects", "count"],
      ["alloc_sample_bytes", "bytes"],
    ],
    period: ["space", "bytes"],
  },
  monitor: {
    name: "mutex",
    types: [
      ["contentions", "count"],
      ["delay", "nanoseconds"],
    ],
    period: ["mutex", "count"],
  },
  park: {
    name: "block",
    types: [
      ["contentions", "count"],
      ["delay", "nanoseconds"],
    ],
    period: ["block", "count"],
  },
  live: { name: "memory", types: [["live", "count"]], period: ["objects", "count"] },
  malloc: {
    name: "memory",
    types: [
      ["malloc_objects", "count"],
      ["malloc_bytes", "bytes"],
    ],
    // As in v1, this kind has no period.
    period: undefined,
  },
} as const;
type ProfileKey = keyof typeof PROFILES;

/** One profile of a recording, in the layout of a pprof. */
export interface JfrProfile {
  name: string;
  header: PprofHeader;
  source: PprofSource;
}

/** Labels of each context that the agent set, by ID, and the strings to which events refer by ID. */
export interface JfrLabels {
  contexts: ReadonlyMap<number, readonly Label[]>;
  strings: ReadonlyMap<number, string>;
}
/** Label contexts of a recording without labels. */
export const NO_JFR_LABELS: JfrLabels = { contexts: new Map(), strings: new Map() };

/** LabelsSnapshot: 1 contexts: map<int64, {1 labels: map<int64, int64>}>, 2 strings: map<int64, string>. */
export function readJfrLabels(bytes: Uint8Array): JfrLabels {
  try {
    const strings = new Map<number, string>(),
      contexts = new Map<number, [number, number][]>();
    const entry = (r: ByteReader, onValue: (r: ByteReader, end: number) => void): number => {
      let key = 0;
      const end = r.uvarint() + r.pos;
      if (end > r.end) throw new ShortRead(r.pos, "expected a map entry inside its message");
      while (r.pos < end) {
        const tag = r.uvarint();
        if (tag === 8) key = r.uvarint();
        else if (tag === 18 || tag === 16) onValue(r, tag === 18 ? r.uvarint() + r.pos : end);
        else throw new ShortRead(r.pos, `expected a map entry, found tag ${tag}`);
      }
      return key;
    };
    const r = new ByteReader(bytes);
    while (r.left > 0) {
      const tag = r.uvarint();
      if (tag === 10) {
        const labels: [number, number][] = [];
        const id = entry(r, (c, end) => {
          while (c.pos < end) {
            if (c.uvarint() !== 10) throw new ShortRead(c.pos, "expected labels");
            let value = 0;
            const key = entry(c, (v) => {
              value = v.uvarint();
            });
            labels.push([key, value]);
          }
        });
        contexts.set(id, labels);
      } else if (tag === 18) {
        let text = "";
        const id = entry(r, (c, end) => {
          const at = c.requireBytes(end - c.pos);
          text = decodeUtf8(c.bytes, at, end);
        });
        strings.set(id, text);
      } else throw new ShortRead(r.pos, `expected contexts or strings, found tag ${tag}`);
    }
    return {
      strings,
      contexts: new Map(
        [...contexts].map(([id, list]) => [
          id,
          list.flatMap(([k, v]) => {
            const name = strings.get(k),
              value = strings.get(v);
            return name !== undefined && value !== undefined ? [{ name, value }] : [];
          }),
        ]),
      ),
    };
  } catch (err) {
    if (err instanceof ShortRead)
      throw new CinderblockError("unknown", `parsing IngestInput-pprof failed jfr labels: ${err.message}`, {
        reason: "malformed_profile",
        cause: err,
      });
    throw err;
  }
}

const hex = (ids: Uint32Array, at: number): string =>
  [ids[at + 1]!, ids[at]!].map((word) => word.toString(16).padStart(8, "0")).join("");

/** Number of the 64 bits at `at`, exact below 2^53. */
const idAt = (ids: Uint32Array, at: number): number => ids[at + 1]! * 2 ** 32 + ids[at]!;

/** Labels of events with these IDs: those of the context, then span, span name and trace. */
function labelsOfIds(ids: Uint32Array, { contexts, strings }: JfrLabels): Label[] {
  const labels = [...(contexts.get(idAt(ids, CONTEXT_ID)) ?? [])],
    spanName = strings.get(idAt(ids, SPAN_NAME));
  if (idAt(ids, SPAN_ID) !== 0) labels.push({ name: "profile_id", value: hex(ids, SPAN_ID) });
  if (idAt(ids, SPAN_NAME) !== 0 && spanName) labels.push({ name: "span_name", value: spanName });
  if (idAt(ids, TRACE_HIGH) !== 0 || idAt(ids, TRACE_LOW) !== 0)
    labels.push({ name: "trace_id", value: hex(ids, TRACE_HIGH) + hex(ids, TRACE_LOW) });
  return labels;
}

function isZero(ids: Uint32Array): boolean {
  for (let i = 0; i < ID_WORDS; i++) if (ids[i] !== 0) return false;
  return true;
}

function product(count: number, nanos: number): number | bigint {
  const time = count * nanos;
  return Number.isSafeInteger(time) ? time : BigInt(count) * BigInt(nanos);
}

/** `nodes`: stack trace -> node; `locations`: frame -> location, or one of the two constants below */
interface ChunkNumbers {
  nodes: Map<number, number>;
  locations: Int32Array;
}
const UNSEEN = -1,
  UNTOLD = -2;

/** Node of a stack of frames, leaf first; frames without a name are left out. */
function stackNode(b: StackBuilder, stacks: JfrStacks, frames: Uint32Array, locations: Int32Array): number {
  let whole = true;
  for (let i = 0; i < frames.length; i++)
    if (locations[frames[i]!]! < 0) {
      whole = false;
      break;
    }
  if (whole) return b.stack(frames, locations);
  nameFrames(b, stacks, frames, locations);
  return b.stack(
    frames.filter((frame) => locations[frame] !== UNTOLD),
    locations,
  );
}

/** Numbers the frames of a stack that have no location yet, root first. */
function nameFrames(b: StackBuilder, stacks: JfrStacks, frames: Uint32Array, locations: Int32Array): void {
  for (let i = frames.length - 1; i >= 0; i--) {
    const frame = frames[i]!;
    if (locations[frame] !== UNSEEN) continue;
    const name = stacks.frameName(frame);
    locations[frame] = name === undefined ? UNTOLD : b.locationAt(name, stacks.frameLine(frame));
  }
}

/**
 * Converts a recording to one profile for each kind of event that it contains; also returns the profiler's event
 * setting. The profiles are valid as long as their builders.
 * @throws `invalid` for samples of CPU or wall time at a rate of 0, which leaves no time to them, and for stacks
 * that exceed the budget
 */
export function jfrProfilesOf(
  body: Uint8Array,
  labels: JfrLabels,
  sampleRate: number,
  timeNanos: bigint,
  durationNanos: bigint,
  stackBuilders: StackBuilders,
  frames: FrameBudget,
): { profiles: JfrProfile[]; event: string } {
  const builders = new Map<ProfileKey, StackBuilder>(),
    bounds = { maxSamples: 0, maxBytes: 0, frames };
  const perSample = sampleRate > 0 ? Math.floor(1e9 / sampleRate) : undefined;
  /** values of the current event */
  const pair: (number | bigint)[] = [0, 0];
  const builder = (key: ProfileKey): StackBuilder => {
    let b = builders.get(key);
    if (!b) builders.set(key, (b = stackBuilders.take(PROFILES[key].types.length, bounds, JFR_SYMBOLS)));
    return b;
  };
  let stacks: JfrStacks | undefined;
  /** nodes and locations of the current chunk in each profile */
  let known = new Map<ProfileKey, ChunkNumbers>();
  const nodeOf = (key: ProfileKey, stackTrace: number): number | undefined => {
    let numbers = known.get(key);
    if (!numbers)
      known.set(
        key,
        (numbers = { nodes: new Map(), locations: new Int32Array(stacks!.frameCount).fill(UNSEEN) }),
      );
    let node = numbers.nodes.get(stackTrace);
    if (node === undefined) {
      const frames = stacks!.frames(stackTrace);
      if (!frames) return undefined;
      node = stackNode(builder(key), stacks!, frames, numbers.locations);
      numbers.nodes.set(stackTrace, node);
    }
    return node;
  };
  /** IDs of events -> number; number -> labels */
  const idSets = new WordTuples(),
    labelSets: Label[][] = [];
  /** events without IDs have no labels */
  const plain = !labels.contexts.has(0);
  const labelSetOf = (ids: Uint32Array): number => {
    const set = idSets.intern(ids, ID_WORDS);
    if (set === labelSets.length) labelSets.push(labelsOfIds(ids, labels));
    return labelSets[set]!.length > 0 ? set + 1 : 0;
  };
  const add = (key: ProfileKey, e: JfrEvent, values: readonly (number | bigint)[]): void => {
    const node = nodeOf(key, e.stackTrace);
    if (node === undefined) return;
    builder(key).addAll(node, values, plain && isZero(e.ids) ? 0 : labelSetOf(e.ids));
  };
  const addTime = (key: "cpu" | "wall", e: JfrEvent): void => {
    if (perSample === undefined)
      throw invalidError(
        `sampleRate: 0 samples a second leave no time to the recording's samples of ${key} time`,
        "malformed_profile",
      );
    pair[0] = product(e.count, perSample);
    add(key, e, pair);
  };
  const event = readRecording(body, {
    chunk(s) {
      stacks = s;
      known = new Map();
    },
    event(e, setting) {
      pair[0] = 1;
      pair[1] = e.kind === "monitor" || e.kind === "park" ? e.durationNanos : e.bytes;
      switch (e.kind) {
        case "execution":
          if (e.state !== undefined && e.state !== "STATE_SLEEPING") addTime("cpu", e);
          if (setting === "wall") addTime("wall", e);
          break;
        case "wall":
          // Where another engine samples the CPU, these samples are wall time alone.
          if (e.state === "STATE_RUNNABLE" && setting === "wall") addTime("cpu", e);
          addTime("wall", e);
          break;
        case "alloc-in-tlab":
          add("inTlab", e, pair);
          break;
        case "alloc-outside-tlab":
          add("outsideTlab", e, pair);
          break;
        case "alloc-sample":
          add("sampled", e, pair);
          break;
        case "monitor":
          add("monitor", e, pair);
          break;
        case "park":
          add("park", e, pair);
          break;
        case "live":
          add("live", e, pair);
          break;
        case "malloc":
          add("malloc", e, pair);
          break;
      }
    },
  });
  const profiles: JfrProfile[] = [];
  for (const [key, stacksOf] of builders) {
    if (stacksOf.isEmpty) continue;
    const { name, types, period } = PROFILES[key];
    profiles.push({
      name,
      header: {
        sampleTypes: types.map(([type, unit]) => ({ type, unit })),
        ...(period ? { periodType: { type: period[0], unit: period[1] } } : {}),
        period: 0n,
        timeNanos,
        durationNanos,
      },
      source: stacksOf.source(UNSCALED, (set) => labelSets[set - 1]!),
    });
  }
  return { event, profiles };
}
