import { decodeState, type Side, type State } from "./state.ts";
import { isRelative } from "./time.ts";

/** Whether a state has a time relative to now, so that its content changes. */
export function hasRelativeTime(s: State): boolean {
  if (s.screen === "files" || s.screen === "status") return false;
  return [s.side, ...(s.screen === "compare" && s.baseline ? [s.baseline] : [])].some(
    (x) => isRelative(x.from) || isRelative(x.until),
  );
}

/** The state with absolute times. @param range a side's current times in milliseconds */
export function withAbsoluteTimes(
  s: State,
  range: (side: Side) => [fromMs: number, untilMs: number] | undefined,
): State {
  const fix = (x: Side): Side => {
    const r = range(x);
    return r ? { ...x, from: String(Math.round(r[0])), until: String(Math.round(r[1])) } : x;
  };
  return { ...s, side: fix(s.side), baseline: s.baseline && fix(s.baseline), refresh: 0 };
}

/**
 * Short links are settings of the tenant with this name prefix; v1 stores settings, too. Above a maximum, the
 * oldest are deleted.
 */
export const SHORT_LINK_PREFIX = "link.",
  MAX_SHORT_LINKS = 500;
const ID_LENGTH = 10,
  LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";

/** A random name of 50 bits, too long to guess. */
export function newShortId(random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array): string {
  return [...random(new Uint8Array(ID_LENGTH))].map((b) => LETTERS[b % LETTERS.length]!).join("");
}

/** The address of a short link, relative to the base of the UI. */
export function shortAddress(id: string, tenant: string): string {
  return `?${new URLSearchParams({ l: id, ...(tenant === "" ? {} : { t: tenant }) }).toString()}`;
}

/** ID and tenant of a short link's address; undefined for other addresses. */
export function parseShortAddress(search: string): { id: string; tenant: string } | undefined {
  const p = new URLSearchParams(search),
    id = p.get("l");
  return id === null || id === "" ? undefined : { id, tenant: p.get("t") ?? "" };
}

/**
 * State of a short link's stored text, the output of `encode`: other text also decodes to a state of this UI.
 */
export function stateOfStored(text: string): State {
  const at = text.indexOf("?"),
    path = at < 0 ? text : text.slice(0, at);
  return decodeState(path === "." ? "" : path, at < 0 ? "" : text.slice(at));
}
