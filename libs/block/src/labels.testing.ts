import { type Label, type Labels, parseSelector, selectorMatches } from "@cinderblock/model";
import fc from "fast-check";

/** Few names and values, so that sets repeat, lack and share labels; a set may repeat a name. */
export const labelSet = fc.array(
  fc.record({ name: fc.constantFrom("a", "b", "c"), value: fc.constantFrom("", "1", "2", "3", "11") }),
  { maxLength: 4 },
);
const matcher = fc
  .tuple(
    fc.constantFrom("a", "b", "c", "absent"),
    fc.constantFrom("=", "!=", "=~", "!~"),
    fc.constantFrom("", "1", "2", "1+", "1|2", "1.*", ".*1", ".*", ".+", "1.+", "9"),
  )
  .map(([name, op, value]) => `${name}${op}"${value}"`);
export const selectors = fc.array(matcher, { maxLength: 3 }).map((list) => `{${list.join(",")}}`);

/** Questions answered by a walk over all series. */
export const walk = {
  select: (list: readonly { labels: Labels }[], selector: string): number[] => {
    const parsed = parseSelector(selector);
    return list.flatMap(({ labels }, i) => (selectorMatches(parsed, labels) ? [i] : []));
  },
  of: (list: readonly { labels: Labels }[], positions: readonly number[]): Label[] =>
    positions.flatMap((i) => [...list[i]!.labels]),
};
export const unique = (list: readonly string[]): string[] => [...new Set(list)].sort();
