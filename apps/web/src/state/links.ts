import { decode, type Side, type State } from "./state.ts";
import { isRelative } from "./time.ts";

/** Whether a state shows something else later: a time of it counts from now. */
export function isMoving(s: State): boolean {
  if (s.screen === "files" || s.screen === "status") return false;
  return (s.screen === "compare" ? [s.side, s.baseline] : [s.side]).some(
    (x) => isRelative(x.from) || isRelative(x.until),
  );
}

/** The state with times that stay. @param range what a side's times are now, milliseconds */
export function frozen(
  s: State,
  range: (side: Side) => [fromMs: number, untilMs: number] | undefined,
): State {
  const fix = (x: Side): Side => {
    const r = range(x);
    return r ? { ...x, from: String(Math.round(r[0])), until: String(Math.round(r[1])) } : x;
  };
  return { ...s, side: fix(s.side), baseline: fix(s.baseline), refresh: 0 };
}

/** Short links are settings of the tenant, as Pyroscope v1 keeps them too, by these names; the oldest go when there are so many. */
export const SHORT_PREFIX = "link.",
  MAX_SHORT = 500;
const ID_LENGTH = 10,
  LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";

/** A name that nobody guesses: 50 bits. */
export function newShortId(random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array): string {
  return [...random(new Uint8Array(ID_LENGTH))].map((b) => LETTERS[b % LETTERS.length]!).join("");
}

/** The address that a short link has, relative to where the UI is mounted. */
export function shortAddress(id: string, tenant: string): string {
  return `?${new URLSearchParams({ l: id, ...(tenant === "" ? {} : { t: tenant }) }).toString()}`;
}

/** The short link that an address is: its id, and the tenant that it is of. */
export function shortOf(search: string): { id: string; tenant: string } | undefined {
  const p = new URLSearchParams(search),
    id = p.get("l");
  return id === null || id === "" ? undefined : { id, tenant: p.get("t") ?? "" };
}

/** What a short link stands for, of which `encode`'s text is stored: another text cannot lead elsewhere. */
export function stateOfStored(text: string): State {
  const at = text.indexOf("?"),
    path = at < 0 ? text : text.slice(0, at);
  return decode(path === "." ? "" : path, at < 0 ? "" : text.slice(at));
}
