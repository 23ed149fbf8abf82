import { duration, int } from "@cinderblock/config";
import { commonSchema } from "@cinderblock/runtime";

/** Flags of the distributor. */
const distributorSection = {
  pushTimeout: duration(
    "distributor.push.timeout",
    "distributor.pushtimeout",
    "5s",
    "Time an ingester gets for a push.",
  ),
  maxUsageGroupNames: int(
    "distributor.max-usage-group-names",
    "distributor.max_usage_group_names",
    500,
    "Usage groups of each tenant, named by label values, that metrics show; further ones count as __overflow__.",
    { min: 0 },
  ),
};

export const distributorSchema = { ...commonSchema, ...distributorSection };
