import { decodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { StackBuilder } from "./stack-builder.ts";
import { MAX_VALUE } from "./wide-sums.ts";

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";

/** One profile of a speedscope file; `unit` is the file's word. */
export interface SpeedscopeProfile {
  name: string;
  unit: string;
  /** factor of the file's weights */
  factor: number;
  stacks: StackBuilder;
}

/**
 * Factor of a profile's weights.
 * @param many the file has several profiles
 * @param whole all weights of the profile are whole numbers
 */
export type SpeedscopeScale = (unit: string, many: boolean, whole: boolean) => number;

function refuse(what: string): never {
  throw new CinderblockError("unknown", `speedscope: ${what}`, { reason: "malformed_profile" });
}

/** Multiplier of values by unit: 100 for times and plain counts, 1 for bytes (docs/formats/ingest.md). */
const FACTOR: ReadonlyMap<string, number> = new Map(
  Object.entries<number>({
    nanoseconds: 100,
    microseconds: 100,
    milliseconds: 100,
    seconds: 100,
    none: 100,
    bytes: 1,
  }),
);
/**
 * Sample rate by unit for requests that leave it at 100, chosen so that a unit's values become nanoseconds.
 */
const RATE: ReadonlyMap<string, number> = new Map(
  Object.entries<number>({
    nanoseconds: 1e11,
    microseconds: 1e8,
    milliseconds: 1e5,
    seconds: 100,
    none: 1e4,
    bytes: 0,
  }),
);
/** Sample rate of a file's values; `asked` is the rate of the request. */
export function speedscopeRate(unit: string, asked: number): number {
  return asked === 100 ? RATE.get(unit)! : asked;
}

interface RawProfile {
  type?: unknown;
  name?: unknown;
  unit?: unknown;
  startValue?: unknown;
  samples?: unknown;
  weights?: unknown;
  events?: unknown;
}

/** Factor of values by unit, before the sample rate; undefined for an unknown unit. */
export function speedscopeFactor(unit: string): number | undefined {
  return FACTOR.get(unit);
}

/**
 * Reads a speedscope file; merges profiles of equal name, type, unit and start. Weights are decimals: a
 * stack's sum is rounded once.
 * @param builder an empty builder for each profile
 * @throws `unknown` for a malformed file
 */
export function readSpeedscope(
  body: Uint8Array,
  scale: SpeedscopeScale,
  builder: () => StackBuilder,
): SpeedscopeProfile[] {
  let file: { $schema?: unknown; shared?: { frames?: unknown }; profiles?: unknown };
  try {
    file = JSON.parse(decodeUtf8(body)) as typeof file;
  } catch (err) {
    return refuse((err as Error).message);
  }
  if (file === null || typeof file !== "object" || file.$schema !== SCHEMA)
    refuse(`expected $schema to be ${SCHEMA}`);
  const frames = Array.isArray(file.shared?.frames)
    ? file.shared.frames.map((f: unknown) => {
        const name = (f as { name?: unknown } | null)?.name;
        return typeof name === "string" ? name : refuse("expected a name in every frame");
      })
    : refuse("expected shared.frames");
  if (!Array.isArray(file.profiles)) refuse("expected profiles");
  const groups = new Map<string, { name: string; unit: string; members: RawProfile[] }>();
  for (const p of file.profiles as RawProfile[]) {
    if (p === null || typeof p !== "object") refuse("expected objects in profiles");
    const unit = String(p.unit ?? "none"),
      name = String(p.name ?? "");
    if (!FACTOR.has(unit)) refuse(`unknown unit ${JSON.stringify(unit)}`);
    if (p.type !== "sampled" && p.type !== "evented")
      refuse(`unknown type of profile ${JSON.stringify(p.type)}`);
    const key = JSON.stringify([name, p.type, unit, p.startValue]),
      known = groups.get(key);
    if (known) known.members.push(p);
    else groups.set(key, { name, unit, members: [p] });
  }
  return [...groups.values()].map(({ name, unit, members }) => {
    const stacks = builder(),
      locations = new FrameLocations(frames, stacks),
      factor = scale(unit, groups.size > 1, members.every(isWhole)),
      weights = new Weights(stacks, factor);
    for (const p of members)
      if (p.type === "sampled") readSampled(p, locations, stacks, weights);
      else readEvented(p, locations, stacks, weights);
    weights.finish();
    return { name, unit, factor, stacks };
  });
}

function isWhole(p: RawProfile): boolean {
  const whole = (v: unknown): boolean => typeof v !== "number" || Number.isInteger(v);
  if (p.type === "sampled") return !Array.isArray(p.weights) || p.weights.every(whole);
  return (
    whole(p.startValue ?? 0) &&
    (!Array.isArray(p.events) || p.events.every((e: { at?: unknown } | null) => whole(e?.at)))
  );
}

/** Adds weights to stacks in whole units and keeps the fractions until the end. */
class Weights {
  private readonly stacks: StackBuilder;
  private readonly factor: number;
  private readonly fractions = new Map<number, number>();

  constructor(stacks: StackBuilder, factor: number) {
    this.stacks = stacks;
    this.factor = factor;
  }

  add(node: number, weight: unknown): void {
    if (typeof weight !== "number" || !Number.isFinite(weight))
      refuse(`expected a number, found ${JSON.stringify(weight)}`);
    if (weight < 0) refuse(`expected a weight of at least 0, found ${weight}`);
    const value = weight * this.factor,
      whole = Math.floor(value);
    if (whole >= 2 ** 63) refuse(`weight ${weight} is above the largest value of a stack, ${MAX_VALUE}`);
    this.stacks.add(node, whole);
    if (value > whole) this.fractions.set(node, (this.fractions.get(node) ?? 0) + value - whole);
  }

  finish(): void {
    for (const [node, fraction] of this.fractions) this.stacks.add(node, Math.round(fraction));
    this.fractions.clear();
  }
}

/** Locations of a file's frames in one profile, each named at its first use. */
class FrameLocations {
  private readonly frames: readonly string[];
  private readonly stacks: StackBuilder;
  /** frame -> location + 1, 0: not used yet */
  private readonly known: Uint32Array;

  constructor(frames: readonly string[], stacks: StackBuilder) {
    this.frames = frames;
    this.stacks = stacks;
    this.known = new Uint32Array(frames.length);
  }

  at(i: unknown): number {
    const known = typeof i === "number" ? this.known[i] : undefined;
    if (known === undefined)
      refuse(`expected a frame below ${this.frames.length}, found ${JSON.stringify(i)}`);
    if (known > 0) return known - 1;
    const location = this.stacks.location(this.frames[i as number]!);
    this.known[i as number] = location + 1;
    return location;
  }
}

function readSampled(p: RawProfile, frames: FrameLocations, stacks: StackBuilder, weights: Weights): void {
  if (!Array.isArray(p.samples) || !Array.isArray(p.weights) || p.samples.length !== p.weights.length)
    refuse("expected as many weights as samples");
  const list = p.weights as unknown[],
    samples = p.samples as unknown[];
  for (let i = 0; i < samples.length; i++) {
    const stack = samples[i];
    if (!Array.isArray(stack)) refuse("expected a list of frames in every sample");
    let node = 0;
    for (let k = 0; k < stack.length; k++) node = stacks.child(node, frames.at(stack[k]));
    if (node > 0) weights.add(node, list[i]);
  }
}

/** Adds the time between two events to the open stack. */
function readEvented(p: RawProfile, frames: FrameLocations, stacks: StackBuilder, weights: Weights): void {
  if (!Array.isArray(p.events)) refuse("expected events");
  const open: { frame: unknown; node: number }[] = [];
  let at = typeof p.startValue === "number" ? p.startValue : 0;
  for (const e of p.events as { type?: unknown; at?: unknown; frame?: unknown }[]) {
    if (typeof e?.at !== "number" || e.at < at) refuse("expected events sorted by time");
    const top = open.at(-1);
    if (top && e.at > at) weights.add(top.node, e.at - at);
    at = e.at;
    if (e.type === "O") open.push({ frame: e.frame, node: stacks.child(top?.node ?? 0, frames.at(e.frame)) });
    else if (e.type === "C") {
      if (open.pop()?.frame !== e.frame) refuse("expected the closed frame to be the top of the stack");
    } else refuse(`unknown event ${JSON.stringify(e.type)}`);
  }
}
