import { internalRoutes } from "@cinderblock/rpc";
import { type Component, SCHEDULERS } from "@cinderblock/runtime";
import { serveScheduler } from "@cinderblock/transport";
import { schedulerSchema } from "./config.ts";
import { QueryScheduler } from "./scheduler.ts";

/** Queues queries, fairly between tenants, for queriers to take. */
export const queryScheduler: Component<typeof schedulerSchema> = {
  name: "query-scheduler",
  schema: schedulerSchema,
  wire(config, process) {
    const scheduler = new QueryScheduler({ maxOutstanding: config.maxOutstanding, maxQueriers: (tenant) => process.resources.limits.of(tenant).maxQueriersPerTenant, querierForgetMs: config.querierForgetDelay }, process.base);
    const served = serveScheduler(scheduler, process.base);
    const me = process.member(SCHEDULERS, 1);
    process.view(SCHEDULERS);
    process.add(me, { name: "query-scheduler-transport", start: () => Promise.resolve(), stop: () => { served.stop(); return Promise.resolve(); } }, scheduler);
    process.becomeActive(me);
    process.serve(internalRoutes("QueryScheduler", served.methods));
  },
};
