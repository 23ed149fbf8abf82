import { bool, type ConfigOf, duration } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** The section of this component. */
export const distributorSection = {
  zoneAware: bool("distributor.zone-awareness-enabled", "ingester.lifecycler.ring.zone_awareness_enabled", false, "Put the replicas of a push into different zones."),
  pushTimeout: duration("distributor.push.timeout", "distributor.pushtimeout", "5s", "Time an ingester gets for a push."),
};

export const distributorSchema = { ...commonSchema, ...distributorSection };
export type DistributorComponentConfig = CommonConfig & ConfigOf<typeof distributorSection>;
