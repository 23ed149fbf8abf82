import { invalidError } from "@cinderblock/errors";
import { type Label, LABEL_NAME, LABEL_SESSION_ID } from "@cinderblock/model";

/** The `name` parameter of /ingest: `app{key=value,key2=value2}`. */
export interface AppName {
  app: string;
  tags: Label[];
}

/** Parses the `name` parameter of /ingest. Grammar: docs/formats/ingest.md#name @throws `invalid` */
export function parseAppName(text: string): AppName {
  if (text === "") throw invalidError("name: service name is required");
  const brace = text.indexOf("{");
  let app = (brace < 0 ? text : text.slice(0, brace)).trim();
  if (app === "") throw invalidError("name: service name is required");
  if (!/^[A-Za-z0-9_.\-/]+$/.test(app))
    throw invalidError(`name: service name has characters that are not allowed: ${JSON.stringify(app)}`);
  const tags = new Map<string, string>();
  if (brace >= 0) {
    const end = text.indexOf("}", brace);
    const inside = text.slice(brace + 1, end < 0 ? text.length : end);
    const parts = inside.split(",");
    // In v1 a comma or the closing brace ends a tag: without the brace, the last tag is dropped.
    if (end < 0) parts.pop();
    for (const part of parts) {
      const eq = part.indexOf("=");
      const key = (eq < 0 ? "" : part.slice(0, eq)).trim();
      if (eq < 0) {
        if (part.trim() === "") continue;
        throw invalidError(`name: tag ${JSON.stringify(part.trim())} has no value`);
      }
      if (!/^[A-Za-z0-9_.]+$/.test(key))
        throw invalidError(`name: tag key has characters that are not allowed: ${JSON.stringify(key)}`);
      tags.set(key, part.slice(eq + 1).trim());
    }
  }
  const name = tags.get(LABEL_NAME);
  if (name !== undefined) {
    app = name;
    tags.delete(LABEL_NAME);
  }
  return {
    app,
    tags: [...tags]
      .filter(([k]) => !k.startsWith("__") || k === LABEL_SESSION_ID)
      .map(([k, value]) => ({ name: k, value })),
  };
}

/** Beginnings of the units of an offset, the first match counts, with their milliseconds. */
const UNITS: readonly (readonly [string, number])[] = [
  ["s", 1e3],
  ["mon", 30 * 864e5],
  ["M", 30 * 864e5],
  ["m", 6e4],
  ["h", 36e5],
  ["d", 864e5],
  ["w", 7 * 864e5],
  ["y", 365 * 864e5],
];
/** Largest distance of a time from 1970 in milliseconds, as of a `Date`. */
const MAX_TIME_MS = 864e13;

/**
 * Parses a time like Pyroscope v1: digits are a date or a Unix time, depending on their number; any other
 * text is an offset from now, whose unknown units count nothing. There is no error.
 * @returns milliseconds since the epoch, at most MAX_TIME_MS from it
 */
export function parseTime(text: string, nowMs: number): number {
  return Math.min(MAX_TIME_MS, Math.max(-MAX_TIME_MS, timeOf(text, nowMs)));
}

function timeOf(text: string, nowMs: number): number {
  const s = text.replace(/[\s_,]/g, "");
  if (/^\d+$/.test(s)) {
    if (s.length === 8) {
      const at = Date.UTC(Number(s.slice(0, 4)), Number(s.slice(4, 6)) - 1, Number(s.slice(6)));
      if (new Date(at).toISOString().slice(0, 10).replaceAll("-", "") === s) return at;
    }
    const n = Number(s);
    if (s.length === 13) return n;
    if (s.length === 16) return Math.floor(n / 1e3);
    if (s.length === 19) return Number(BigInt(s) / 1_000_000n); // more digits than a double holds exactly
    return n * 1000;
  }
  const m = /[+-].*$/.exec(s);
  if (!m) return nowMs;
  let offset = 0,
    sign = 1;
  for (const [, own, n, unit] of m[0].matchAll(/([+-]?)(\d+)([A-Za-z]*)/g)) {
    if (own !== "") sign = own === "-" ? -1 : 1;
    const [, ms = 0] = UNITS.find(([begin]) => unit!.startsWith(begin)) ?? [];
    offset += sign * Math.min(Number(n), MAX_TIME_MS) * ms;
  }
  return nowMs + offset;
}
