import { int } from "@cinderblock/config";
import { commonSchema } from "@cinderblock/runtime";

/** Flags of the querier. */
const querierSection = {
  querierConcurrency: int(
    "querier.max-concurrent",
    "querier.max_concurrent",
    4,
    "Maximum number of concurrent queries per querier.",
    { min: 1 },
  ),
};

export const querierSchema = { ...commonSchema, ...querierSection };
