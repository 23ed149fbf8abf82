import type { UsageGroup } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";

/** Metric label of the usage groups beyond a tenant's limit. */
export const OVERFLOW_GROUP = "__overflow__";

/**
 * Names of usage groups in metrics. A placeholder makes one group of every value of a label, and clients
 * choose the values: beyond a number of names for each tenant, further groups share one name. A group that is
 * configured by its own name always keeps it.
 */
export class UsageGroupNames {
  private readonly byTenant = new Map<string, Set<string>>();
  private readonly overflowing = new Set<string>();
  private readonly maxNames: number;
  private readonly base: Base;
  private readonly overflows: { inc(labels: { tenant: string }): void };

  /** @param maxNames maximum number of names from placeholders for each tenant */
  constructor(maxNames: number, base: Base) {
    this.maxNames = maxNames;
    this.base = base;
    this.overflows = base.metrics.counter(
      "cinderblock_distributor_usage_group_overflows_total",
      "Increments counted under the usage group __overflow__ because the tenant has too many groups.",
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
        "usage groups above the limit count as __overflow__ in metrics (-distributor.max-usage-group-names)",
      );
    }
    return OVERFLOW_GROUP;
  }
}
