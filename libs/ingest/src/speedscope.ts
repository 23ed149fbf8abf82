import { decodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type StackBounds, StackBuilder } from "./stack-builder.ts";

const SCHEMA = "https://www.speedscope.app/file-format-schema.json";

/** One profile of a speedscope file; `unit` is the file's word. */
export interface SpeedscopeProfile {
  name: string;
  unit: string;
  stacks: StackBuilder;
}

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

/**
 * Reads a speedscope file; merges profiles of equal name, type, unit and start.
 * @param bounds limits of each profile
 * @throws `unknown` for a malformed file
 */
export function readSpeedscope(body: Uint8Array, bounds?: StackBounds): SpeedscopeProfile[] {
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
  const out = new Map<string, SpeedscopeProfile>();
  for (const p of file.profiles as RawProfile[]) {
    if (p === null || typeof p !== "object") refuse("expected objects in profiles");
    const unit = String(p.unit ?? "none"),
      name = String(p.name ?? "");
    if (!FACTOR.has(unit)) refuse(`unknown unit ${JSON.stringify(unit)}`);
    const key = JSON.stringify([name, p.type, unit, p.startValue]);
    let profile = out.get(key);
    if (!profile) out.set(key, (profile = { name, unit, stacks: new StackBuilder(1, bounds) }));
    if (p.type === "sampled") readSampled(p, frames, FACTOR.get(unit)!, profile.stacks);
    else if (p.type === "evented") readEvented(p, frames, FACTOR.get(unit)!, profile.stacks);
    else refuse(`unknown type of profile ${JSON.stringify(p.type)}`);
  }
  return [...out.values()];
}

function frameAt(frames: readonly string[], i: unknown): string {
  const name = typeof i === "number" ? frames[i] : undefined;
  return name ?? refuse(`expected a frame below ${frames.length}, found ${JSON.stringify(i)}`);
}

function scaled(weight: unknown, factor: number): bigint {
  if (typeof weight !== "number" || !Number.isFinite(weight))
    refuse(`expected a number, found ${JSON.stringify(weight)}`);
  return BigInt(Math.trunc(Math.max(0, weight) * factor));
}

function readSampled(p: RawProfile, frames: readonly string[], factor: number, stacks: StackBuilder): void {
  if (!Array.isArray(p.samples) || !Array.isArray(p.weights) || p.samples.length !== p.weights.length)
    refuse("expected as many weights as samples");
  const weights = p.weights as unknown[];
  (p.samples as unknown[]).forEach((stack, i) => {
    if (!Array.isArray(stack)) refuse("expected a list of frames in every sample");
    let node = 0;
    for (const f of stack as unknown[]) node = stacks.child(node, frameAt(frames, f));
    if (node > 0) stacks.add(node, [scaled(weights[i], factor)]);
  });
}

/** Adds the time between two events to the open stack. */
function readEvented(p: RawProfile, frames: readonly string[], factor: number, stacks: StackBuilder): void {
  if (!Array.isArray(p.events)) refuse("expected events");
  const open: { frame: unknown; node: number }[] = [];
  let at = typeof p.startValue === "number" ? p.startValue : 0;
  for (const e of p.events as { type?: unknown; at?: unknown; frame?: unknown }[]) {
    if (typeof e?.at !== "number" || e.at < at) refuse("expected events in the order of time");
    const top = open.at(-1);
    if (top && e.at > at) stacks.add(top.node, [scaled(e.at - at, factor)]);
    at = e.at;
    if (e.type === "O")
      open.push({ frame: e.frame, node: stacks.child(top?.node ?? 0, frameAt(frames, e.frame)) });
    else if (e.type === "C") {
      if (open.pop()?.frame !== e.frame) refuse("expected the frame that is closed to be the one on top");
    } else refuse(`unknown event ${JSON.stringify(e.type)}`);
  }
}
