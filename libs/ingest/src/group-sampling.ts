import { ANNOTATION_SAMPLED, type Annotation, type Annotations, NO_ANNOTATIONS } from "@cinderblock/model";
import { overLimitError, throttledAnnotation } from "./ingestion-limit.ts";
import type { DecodedProfile, PushContext } from "./push-context.ts";
import type { SeriesContext } from "./series-cache.ts";
import { type Membership, membershipsOf, OTHER_GROUP, samplingOf } from "./usage-groups.ts";

/** Usage groups of one profile, as far as known, and its annotations. */
export interface ProfileMarks {
  groups: string[] | undefined;
  annotations: Annotations;
}

/** Marks of a profile whose usage groups are not known yet. */
export function marksOf({ trickle, limits: { ingestionLimit } }: PushContext): ProfileMarks {
  return {
    groups: undefined,
    annotations:
      trickle && ingestionLimit?.reached
        ? [throttledAnnotation(ingestionLimit, "", ingestionLimit.periodLimitMb)]
        : NO_ANNOTATIONS,
  };
}

/**
 * Counts a profile for its usage groups, and decides whether a sampling rule drops it. The decision depends
 * only on the profile's content and the limits: replicas, retries and log readers agree.
 * @throws `limit` for a usage group over its limit
 */
export function isSampledOut(
  profile: DecodedProfile,
  context: SeriesContext,
  marks: ProfileMarks,
  ctx: PushContext,
): boolean {
  const { limits, out } = ctx,
    { usageGroups } = limits,
    counts = (out.groups ??= new Map<string, number>());
  if (context.memberships?.of !== usageGroups)
    context.memberships = { of: usageGroups, list: membershipsOf(usageGroups, context.sent) };
  const memberships = context.memberships.list;
  marks.groups = memberships.length > 0 ? memberships.map((m) => m.name) : [OTHER_GROUP];
  for (const name of marks.groups) counts.set(name, (counts.get(name) ?? 0) + profile.size);
  checkGroups(memberships, marks, ctx);
  const rule = limits.sampling.length > 0 ? samplingOf(memberships, limits.sampling) : undefined;
  if (!rule) return false;
  if (Number(profile.contentHash() >> 11n) / 2 ** 53 < rule.probability) {
    marks.annotations = [...marks.annotations, sampled(rule)];
    return false;
  }
  out.discarded.push({
    reason: "dropped_by_sampling_rules",
    profiles: 1,
    bytes: profile.size,
    groups: marks.groups,
  });
  return true;
}

/**
 * Refuses profiles of a usage group over its limit, except the trickle. Pushes in log records were accepted
 * at the distributor, so only a trickle's record carries the limit.
 * @throws `limit`
 */
function checkGroups(
  memberships: readonly Membership[],
  marks: ProfileMarks,
  { limits, trickle, out }: PushContext,
): void {
  const limit = limits.ingestionLimit;
  if (!limit || limit.groupsOverLimit.length === 0) return;
  for (const m of memberships) {
    const over =
      limit.groupsOverLimit.find((g) => g.name === m.name) ??
      limit.groupsOverLimit.find((g) => g.name === m.group);
    if (!over) continue;
    if (!trickle) throw overLimitError(`the limit of usage group ${m.name} is reached`);
    out.trickled = true;
    marks.annotations = [...marks.annotations, throttledAnnotation(limit, m.name, over.periodLimitMb)];
    return;
  }
}

function sampled(rule: { probability: number; by: string }): Annotation {
  return {
    key: ANNOTATION_SAMPLED,
    value: JSON.stringify({ body: { source: { usageGroup: rule.by, probability: rule.probability } } }),
  };
}
