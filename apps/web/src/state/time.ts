/**
 * Text of a point in time: `now`, `now-1h`, `now/d` (the start of the unit that holds it), `1h` (ago), `15:00`
 * (the last one), `today`, `yesterday`, `2026-11-24 10:00`, seconds or milliseconds of the epoch.
 */
export type TimeText = string;

const UNITS: Record<string, number> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };
const DURATION = String.raw`(?:\d+[smhdw])+`,
  RELATIVE = new RegExp(`^now(?:-(${DURATION}))?(?:/([hdw]))?$`),
  AGO = new RegExp(`^${DURATION}$`);

function durationMs(text: string): number {
  return [...text.matchAll(/(\d+)([smhdw])/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!,
    0,
  );
}

/** Stored form of a text: durations and day names become relative times. */
export function relativeForm(text: TimeText): TimeText {
  const t = text.trim().toLowerCase();
  if (AGO.test(t)) return `now-${t}`;
  if (t === "today") return "now/d";
  if (t === "yesterday") return "now-1d/d";
  return text.trim();
}

/** Milliseconds since the epoch. @throws Error that lists the valid forms if the text is not a time */
export function resolveTime(text: TimeText, nowMs: number, zone: string): number {
  const t = relativeForm(text);
  const relative = RELATIVE.exec(t);
  if (relative) {
    const [, duration, unit] = relative;
    if (unit === undefined) return nowMs - durationMs(duration ?? "");
    return startOf(unit, nowMs, durationMs(duration ?? ""), zone);
  }
  const clock = /^(\d{1,2}):(\d\d)(?::(\d\d))?$/.exec(t);
  if (clock && Number(clock[1]) < 24 && Number(clock[2]) < 60 && Number(clock[3] ?? 0) < 60) {
    const at = (daysAgo: number): number => {
      const [y, mo, d] = dayOf(nowMs, zone);
      return wallTime(y, mo, d - daysAgo, Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0), zone);
    };
    return at(0) <= nowMs ? at(0) : at(1);
  }
  if (/^\d{12,14}$/.test(t)) return Number(t);
  if (/^\d{9,11}$/.test(t)) return Number(t) * 1000;
  const parts = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/.exec(t);
  if (parts) {
    const [y, mo, d, h, mi, s] = parts.slice(1, 7).map((p) => Number(p ?? 0));
    const exists =
      mo! <= 12 && new Date(Date.UTC(y!, mo! - 1, d!)).getUTCDate() === d && h! < 24 && mi! < 60 && s! < 60;
    if (exists) return parts[8] ? Date.parse(t.replace(" ", "T")) : wallTime(y!, mo!, d!, h!, mi!, s!, zone);
  }
  throw new Error(
    `"${text}" is not a valid time. Examples: now, now-1h, 1h, now/d, 15:00, yesterday, 2026-11-24 10:00, milliseconds`,
  );
}

/** Year, month and day of an instant in a zone. */
function dayOf(ms: number, zone: string): [y: number, mo: number, d: number] {
  const [y, mo, d] = formatTime(ms, zone).slice(0, 10).split("-").map(Number);
  return [y!, mo!, d!];
}

/**
 * Start of the hour, day or week (Monday) that holds `nowMs - agoMs`. Whole days go back on the calendar, so
 * that a day before a clock change is the day before.
 */
function startOf(unit: string, nowMs: number, agoMs: number, zone: string): number {
  if (unit === "h") {
    const ms = nowMs - agoMs,
      offset = offsetMs(ms, zone);
    return Math.floor((ms + offset) / UNITS.h!) * UNITS.h! - offset;
  }
  const days = agoMs % UNITS.d! === 0 ? agoMs / UNITS.d! : 0,
    [y, mo, d] = dayOf(days > 0 ? nowMs : nowMs - agoMs, zone);
  const day = d - days,
    sinceMonday = unit === "w" ? (new Date(Date.UTC(y, mo - 1, day)).getUTCDay() + 6) % 7 : 0;
  return wallTime(y, mo, day - sinceMonday, 0, 0, 0, zone);
}

export const isRelative = (t: TimeText): boolean => relativeForm(t).startsWith("now");

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

/** A duration in a relative time, in the unit that the quick ranges use: hours up to a day, then days. */
function compact(ms: number): string {
  if (ms % UNITS.d! === 0 && ms > UNITS.d!) return `${ms / UNITS.d!}d`;
  if (ms % UNITS.h! === 0) return `${ms / UNITS.h!}h`;
  return ms % UNITS.m! === 0 ? `${ms / UNITS.m!}m` : `${Math.round(ms / 1000)}s`;
}

export interface Range {
  from: TimeText;
  until: TimeText;
}

/**
 * The range moved by multiples of its length (or by `byMs`), but not beyond now. Two relative times stay
 * relative; other times become instants.
 */
export function shiftRange(r: Range, nowMs: number, zone: string, lengths: number, byMs?: number): Range {
  const from = resolveTime(r.from, nowMs, zone),
    until = resolveTime(r.until, nowMs, zone);
  const by = Math.min(byMs ?? lengths * (until - from), Math.max(0, nowMs - until));
  if (by === 0) return { from: r.from, until: r.until };
  if (!isRelative(r.from) || !isRelative(r.until))
    return { from: String(Math.round(from + by)), until: String(Math.round(until + by)) };
  const ago = (ms: number): TimeText => (ms === 0 ? "now" : `now-${compact(ms)}`);
  return { from: ago(nowMs - from - by), until: ago(nowMs - until - by) };
}

/** Quick ranges; the end is now, except where it is named. */
export const RANGE_PRESETS: readonly (readonly [from: TimeText, label: string, until?: TimeText])[] = [
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
  ["now/d", "Today"],
  ["now-1d/d", "Yesterday", "now/d"],
];
