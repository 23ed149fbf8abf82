import { duration, int } from "@cinderblock/config";
import { commonSchema } from "@cinderblock/runtime";

/** Flags of the query-scheduler. */
const schedulerSection = {
  maxOutstanding: int(
    "query-scheduler.max-outstanding-requests-per-tenant",
    "query_scheduler.max_outstanding_requests_per_tenant",
    100,
    "Maximum number of queued queries per tenant; further queries get 429. Sub-queries of one query count once.",
    { min: 1 },
  ),
  querierForgetDelay: duration(
    "query-scheduler.querier-forget-delay",
    "query_scheduler.querier_forget_delay",
    "0s",
    "Time that a querier without contact keeps its place in the tenants' querier shards; at least 15s.",
  ),
};

export const schedulerSchema = { ...commonSchema, ...schedulerSection };
