import { parseSelector, selectorText } from "./selector.ts";
import type { Side } from "./state.ts";

const PINNED = "cinderblock.baseline";

/** The selection pinned in this browser for comparisons; undefined without one, or for an unreadable one. */
export function pinnedBaseline(): Side | undefined {
  try {
    const s = JSON.parse(localStorage.getItem(PINNED) ?? "null") as {
      selector: string;
      from: string;
      until: string;
    } | null;
    return s ? { selector: parseSelector(s.selector), from: s.from, until: s.until } : undefined;
  } catch {
    return undefined; // stored settings of another version, or invalid ones
  }
}

/** Pins a selection as the baseline of later comparisons. */
export function pinBaseline(side: Side): void {
  localStorage.setItem(
    PINNED,
    JSON.stringify({ selector: selectorText(side.selector), from: side.from, until: side.until }),
  );
}
