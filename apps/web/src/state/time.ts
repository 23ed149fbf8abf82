/** Text of a point in time: `now`, `now-1h`, `2026-11-24 10:00`, or milliseconds. */
export type TimeText = string;

const UNITS: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Milliseconds since the epoch. @throws Error that lists the valid forms if the text is not a time */
export function resolveTime(text: TimeText, nowMs: number, zone: string): number {
  const t = text.trim();
  if (t === "now") return nowMs;
  const relative = /^now-((?:\d+[smhdw])+)$/.exec(t);
  if (relative)
    return (
      nowMs -
      [...relative[1]!.matchAll(/(\d+)([smhdw])/g)].reduce(
        (sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!,
        0,
      )
    );
  if (/^\d{12,14}$/.test(t)) return Number(t);
  if (/^\d{9,11}$/.test(t)) return Number(t) * 1000;
  const parts = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(t);
  if (parts) {
    if (parts[8]) return Date.parse(t.replace(" ", "T"));
    const [y, mo, d, h, mi, s] = parts.slice(1, 7).map((p) => Number(p ?? 0));
    return wallTime(y!, mo!, d!, h!, mi!, s!, zone);
  }
  throw new Error(
    `"${text}" is not a valid time. Examples: now, now-1h, now-2d12h, 2026-11-24 10:00, milliseconds`,
  );
}

export const isRelative = (t: TimeText): boolean => t.trim().startsWith("now");

/** Name of a zone for `Intl`; undefined is the browser's own zone. */
export function zoneName(zone: string): string | undefined {
  return zone === "local" ? undefined : zone === "utc" ? "UTC" : zone;
}
export function isZone(zone: string): boolean {
  if (zone === "local" || zone === "utc") return true;
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** Offset of a zone from UTC at an instant, in milliseconds. */
function offsetMs(ms: number, zone: string): number {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zoneName(zone),
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).formatToParts(ms);
  const n = (type: string): number => Number(parts.find((p) => p.type === type)!.value);
  return (
    Date.UTC(n("year"), n("month") - 1, n("day"), n("hour"), n("minute"), n("second")) -
    Math.floor(ms / 1000) * 1000
  );
}

/** The instant of a wall clock time in a zone. */
function wallTime(y: number, mo: number, d: number, h: number, mi: number, s: number, zone: string): number {
  const wall = Date.UTC(y, mo - 1, d, h, mi, s);
  const guess = wall - offsetMs(wall, zone);
  return wall - offsetMs(guess, zone);
}

/** An instant in a zone: `2026-11-24 10:00:00`. */
export function formatTime(ms: number, zone: string): string {
  const d = new Date(ms + offsetMs(ms, zone)).toISOString();
  return `${d.slice(0, 10)} ${d.slice(11, 19)}`;
}
/** Range text: only the time of day if both instants are on one day. */
export function formatRange(fromMs: number, untilMs: number, zone: string): string {
  const a = formatTime(fromMs, zone),
    b = formatTime(untilMs, zone);
  return `${a} – ${a.slice(0, 10) === b.slice(0, 10) ? b.slice(11) : b}`;
}
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
/** A range without year and seconds, for narrow places: `Nov 29, 13:40 – 14:40`. */
export function shortRange(fromMs: number, untilMs: number, zone: string): string {
  const short = (text: string): [day: string, time: string] => [
      `${MONTHS[Number(text.slice(5, 7)) - 1]} ${Number(text.slice(8, 10))}`,
      text.slice(11, 16),
    ],
    [day, time] = short(formatTime(fromMs, zone)),
    [lastDay, lastTime] = short(formatTime(untilMs, zone));
  return `${day}, ${time} – ${lastDay === day ? "" : `${lastDay}, `}${lastTime}`;
}
export function zoneLabel(zone: string): string {
  return zone === "local" ? Intl.DateTimeFormat().resolvedOptions().timeZone : zone === "utc" ? "UTC" : zone;
}

/** `5 min`, `2 h`, `3 d 4 h`. */
export function formatLength(ms: number): string {
  const out: string[] = [];
  let left = Math.round(ms / 1000);
  for (const [size, name] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const) {
    const n = Math.floor(left / size);
    if (n > 0 && out.length < 2) out.push(`${n} ${name}`);
    left -= n * size;
  }
  return out.join(" ") || "0 s";
}

/** A duration in a relative time: the largest unit that divides it. */
function compact(ms: number): string {
  for (const [name, size] of [
    ["w", 6048e5],
    ["d", 864e5],
    ["h", 36e5],
    ["m", 6e4],
  ] as const)
    if (ms % size === 0) return `${ms / size}${name}`;
  return `${Math.round(ms / 1000)}s`;
}

export interface Range {
  from: TimeText;
  until: TimeText;
}

/**
 * The range moved by multiples of its length (or by `byMs`), as absolute times. A range with two relative
 * times stays relative when it moves into the past.
 */
export function shiftRange(r: Range, nowMs: number, zone: string, lengths: number, byMs?: number): Range {
  const from = resolveTime(r.from, nowMs, zone),
    until = resolveTime(r.until, nowMs, zone);
  const by = byMs ?? lengths * (until - from);
  if (isRelative(r.from) && isRelative(r.until) && by < 0)
    return { from: `now-${compact(nowMs - from - by)}`, until: `now-${compact(nowMs - until - by)}` };
  return { from: String(Math.round(from + by)), until: String(Math.round(until + by)) };
}

export const RANGE_PRESETS: readonly [text: string, label: string][] = [
  ["now-5m", "Last 5 minutes"],
  ["now-15m", "Last 15 minutes"],
  ["now-30m", "Last 30 minutes"],
  ["now-1h", "Last 1 hour"],
  ["now-3h", "Last 3 hours"],
  ["now-6h", "Last 6 hours"],
  ["now-12h", "Last 12 hours"],
  ["now-24h", "Last 24 hours"],
  ["now-2d", "Last 2 days"],
  ["now-7d", "Last 7 days"],
];
