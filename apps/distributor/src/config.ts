import { type ConfigOf, duration } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** The section of this component. */
export const distributorSection = {
  pushTimeout: duration(
    "distributor.push.timeout",
    "distributor.pushtimeout",
    "5s",
    "Time an ingester gets for a push.",
  ),
};

export const distributorSchema = { ...commonSchema, ...distributorSection };
export type DistributorComponentConfig = CommonConfig & ConfigOf<typeof distributorSection>;
