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
    "Time after an addition of partitions for which records of services that move are written to the old and the new partition. Set it above the interval of profiles, so that cumulative profiles lose no growth; 0 ends it at the next pass, after one second.",
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
