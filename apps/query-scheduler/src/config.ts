import { type ConfigOf, int } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";

/** The section of this component. */
export const schedulerSection = {
  maxOutstanding: int("query-scheduler.max-outstanding-requests-per-tenant", "query_scheduler.max_outstanding_requests_per_tenant", 100, "Queries of a tenant that may wait; beyond it 429.", { min: 1 }),
};

export const schedulerSchema = { ...commonSchema, ...schedulerSection };
export type SchedulerComponentConfig = CommonConfig & ConfigOf<typeof schedulerSection>;
