import { invalidError } from "@cinderblock/errors";
import { type Labels, labelValue, parseSelector, type Selector, selectorMatches } from "@cinderblock/model";
import type { SamplingRule, UsageGroup } from "@cinderblock/tenant";

/** Group of series that match no configured group. */
export const OTHER_GROUP = "other";
const MAX_GROUPS = 50;

function entries(value: unknown, where: string): [string, unknown][] {
  if (value === null || value === undefined || value === "") return [];
  if (typeof value !== "object" || Array.isArray(value))
    throw invalidError(`${where}: expected names, each with a selector`);
  return Object.entries(value);
}

/**
 * Parses `{name: selector}`: series of one group count together. A name may contain `${labels.<name>}`, the
 * value of a series' label.
 * @throws `invalid`
 */
export function parseUsageGroups(value: unknown, where: string): UsageGroup[] {
  const all = entries(value, where);
  if (all.length > MAX_GROUPS)
    throw invalidError(`${where}: ${all.length} usage groups; the limit is ${MAX_GROUPS}`);
  return all.map(([name, selector]) => {
    if (name === "") throw invalidError(`${where}: a usage group needs a name`);
    if (name === OTHER_GROUP)
      throw invalidError(`${where}: the name ${OTHER_GROUP} is reserved for profiles without a group`);
    if (/\$\{(?!labels\.[A-Za-z_][\w.]*\})/.test(name))
      throw invalidError(`${where}: ${name}: write placeholders as \${labels.<name>}`);
    if (typeof selector !== "string")
      throw invalidError(`${where}: ${name}: expected a selector as a string`);
    parseSelector(selector);
    return { name, selector };
  });
}

/**
 * Parses `{usage_groups: {name: {probability: 0.1}}}`: the fraction of a group's profiles to keep.
 * @throws `invalid`
 */
export function parseSampling(value: unknown, where: string): SamplingRule[] {
  const all = new Map(entries(value, where));
  for (const key of all.keys())
    if (key !== "usage_groups") throw invalidError(`${where}: unknown key ${key}`);
  return entries(all.get("usage_groups"), `${where}: usage_groups`).map(([group, rule]) => {
    const of = new Map(entries(rule, `${where}: ${group}`)),
      probability = of.get("probability");
    for (const key of of.keys())
      if (key !== "probability") throw invalidError(`${where}: ${group}: unknown key ${key}`);
    if (typeof probability !== "number" || !(probability >= 0 && probability <= 1))
      throw invalidError(
        `${where}: ${group}: expected a probability from 0 to 1, found ${JSON.stringify(probability)}`,
      );
    return { group, probability };
  });
}

interface Compiled {
  group: UsageGroup;
  selector: Selector;
  templated: boolean;
}
const compiled = new WeakMap<readonly UsageGroup[], Compiled[]>();
function compile(groups: readonly UsageGroup[]): Compiled[] {
  let c = compiled.get(groups);
  if (!c)
    compiled.set(
      groups,
      (c = groups.map((group) => ({
        group,
        selector: parseSelector(group.selector),
        templated: group.name.includes("${"),
      }))),
    );
  return c;
}

/** A group of a series; `name` has its placeholders filled in. */
export interface Membership {
  name: string;
  group: string;
  templated: boolean;
}

/** Groups of a series; an empty list means `other`. */
export function membershipsOf(groups: readonly UsageGroup[], labels: Labels): Membership[] {
  return compile(groups)
    .filter((c) => selectorMatches(c.selector, labels))
    .map(({ group, templated }) => ({
      group: group.name,
      templated,
      name: templated
        ? group.name.replaceAll(/\$\{labels\.([\w.]+)\}/g, (_, l: string) => labelValue(labels, l))
        : group.name,
    }));
}

/**
 * Fraction of a series' profiles to keep, and the name of the group whose rule decides. The smallest
 * probability of its groups wins; at equal probability, a group without placeholders wins.
 */
export function samplingOf(
  memberships: readonly Membership[],
  rules: readonly SamplingRule[],
): { probability: number; by: string } | undefined {
  let found: { probability: number; by: string; templated: boolean } | undefined;
  for (const m of memberships) {
    // A rule may name a group as configured, or with its placeholders filled in.
    const rule = rules.find((r) => r.group === m.name) ?? rules.find((r) => r.group === m.group);
    if (
      rule &&
      (!found ||
        rule.probability < found.probability ||
        (rule.probability === found.probability && found.templated && !m.templated))
    )
      found = { probability: rule.probability, by: m.name, templated: m.templated };
  }
  return found && { probability: found.probability, by: found.by };
}
