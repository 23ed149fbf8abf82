import { duration, int } from "@cinderblock/config";
import { commonSchema } from "@cinderblock/runtime";

/** Flags of the query-scheduler. */
const schedulerSection = {
  maxOutstanding: int(
    "query-scheduler.max-outstanding-requests-per-tenant",
    "query_scheduler.max_outstanding_requests_per_tenant",
    100,
    "Queries of a tenant that may wait; beyond it 429. Parts of one count once.",
    { min: 1 },
  ),
  querierForgetDelay: duration(
    "query-scheduler.querier-forget-delay",
    "query_scheduler.querier_forget_delay",
    "0s",
    "How long a querier that was not heard of keeps its place among a tenant's queriers; at least 15s.",
  ),
};

export const schedulerSchema = { ...commonSchema, ...schedulerSection };
