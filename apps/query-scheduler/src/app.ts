import { QuerySchedulerService } from "@cinderblock/api";
import { sleep } from "@cinderblock/async";
import { internalService } from "@cinderblock/rpc";
import { type Component, RING_REFRESH_MS, SCHEDULERS } from "@cinderblock/runtime";
import { serveScheduler } from "@cinderblock/transport";
import { schedulerSchema } from "./config.ts";
import { QueryScheduler } from "./scheduler.ts";

/** Time that a leaving scheduler waits for running queries. */
const LEAVE_MS = 10_000;

/** Queues queries for queriers, fairly between tenants. */
export const queryScheduler: Component<typeof schedulerSchema> = {
  name: "query-scheduler",
  schema: schedulerSchema,
  wire(config, host) {
    const scheduler = new QueryScheduler(
      {
        maxOutstanding: config.maxOutstanding,
        maxQueriers: (tenant) => host.resources.limits.forTenant(tenant).maxQueriersPerTenant,
        querierForgetMs: config.querierForgetDelay,
      },
      host.base,
    );
    const served = serveScheduler(scheduler, host.base);
    const me = host.ringMember(SCHEDULERS, 1);
    host.ringView(SCHEDULERS);
    host.addServices(
      me,
      {
        name: "query-scheduler-transport",
        start: () => Promise.resolve(),
        stop: () => {
          served.stop();
          return Promise.resolve();
        },
      },
      scheduler,
    );
    host.becomeActive(me);
    // By then frontends and queriers have read the LEAVING state: waiting queries move to another scheduler,
    // and running queries end here.
    host.beforeStop(async () => {
      await me.setState("LEAVING");
      await sleep(2 * RING_REFRESH_MS);
      await scheduler.stop();
      await served.idle(LEAVE_MS);
    });
    host.serveInternal(internalService(QuerySchedulerService, served.handlers));
  },
};
