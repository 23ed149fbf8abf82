import type { UsageGroup } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";

/** The name under which metrics count the usage groups of a tenant beyond its limit. */
export const OVERFLOW_GROUP = "__overflow__";

/**
 * Names of usage groups as metrics show them. A placeholder makes a group of every value of a label, which clients choose:
 * beyond a number of names for each tenant, further groups share one. Groups that are configured by their own name always
 * keep it.
 */
export class UsageGroupNames {
  private readonly byTenant = new Map<string, Set<string>>();
  private readonly overflowing = new Set<string>();
  private readonly maxNames: number;
  private readonly base: Base;
  private readonly overflows: { inc(labels: { tenant: string }): void };

  /** @param maxNames names of placeholders for each tenant */
  constructor(maxNames: number, base: Base) {
    this.maxNames = maxNames;
    this.base = base;
    this.overflows = base.metrics.counter(
      "cinderblock_distributor_usage_group_overflows_total",
      "Counts of usage groups that went to the group __overflow__, because their tenant has too many.",
      ["tenant"],
    );
  }

  nameOf(tenant: string, group: string, configured: readonly UsageGroup[]): string {
    if (configured.some((g) => g.name === group)) return group;
    let known = this.byTenant.get(tenant);
    if (!known) this.byTenant.set(tenant, (known = new Set()));
    if (known.has(group)) return group;
    if (known.size < this.maxNames) {
      known.add(group);
      return group;
    }
    this.overflows.inc({ tenant });
    if (!this.overflowing.has(tenant)) {
      this.overflowing.add(tenant);
      this.base.log.warn(
        { tenant, limit: this.maxNames },
        "usage groups beyond the limit share one in metrics (-distributor.max-usage-group-names)",
      );
    }
    return OVERFLOW_GROUP;
  }
}
