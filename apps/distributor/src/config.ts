import { duration, int } from "@cinderblock/config";
import { commonSchema } from "@cinderblock/runtime";

/** Flags of the distributor. */
const distributorSection = {
  pushTimeout: duration(
    "distributor.push.timeout",
    "distributor.pushtimeout",
    "5s",
    "Timeout of a push to an ingester.",
  ),
  kafkaHandOver: duration(
    "distributor.kafka-hand-over-period",
    "distributor.kafka_hand_over_period",
    "2m",
    "Time for which pushes of services that change partition are written to the old and to the new partition after partitions were added. A value below the interval between profiles can lose one difference of a cumulative profile. 0: stop at the next check, about one second later.",
  ),
  maxUsageGroupNames: int(
    "distributor.max-usage-group-names",
    "distributor.max_usage_group_names",
    500,
    "Maximum number of usage groups per tenant, named by label values, that appear in metrics; further groups count as __overflow__.",
    { min: 0 },
  ),
};

export const distributorSchema = { ...commonSchema, ...distributorSection };
