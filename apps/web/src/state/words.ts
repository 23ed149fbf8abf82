import { formatCount, formatShare } from "@cinderblock/flame";

/** A number with its noun: `1 profile`, `2 profiles`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${formatCount(n)} ${n === 1 ? one : many}`;
}

/** Number and share of the matches of a search. */
export function matchesText(found: { boxes: { length: number }; share: number }): string {
  return `${plural(found.boxes.length, "match", "matches")} · ${formatShare(found.share)}`;
}

/** A figure without the word of its unit, where the heading names the unit: `0.034 cores` is `0.034`. */
export function withoutUnit(text: string): string {
  return text.replace(/ (cores|threads)$/, "");
}
