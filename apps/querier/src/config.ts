import { type ConfigOf, int } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** The section of this component. */
export const querierSection = {
  querierConcurrency: int(
    "querier.max-concurrent",
    "querier.max_concurrent",
    4,
    "Queries that a querier runs at once.",
    { min: 1 },
  ),
};

export const querierSchema = { ...commonSchema, ...querierSection };
export type QuerierComponentConfig = CommonConfig & ConfigOf<typeof querierSection>;
