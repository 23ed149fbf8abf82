import { LABEL_SERVICE_NAME } from "@cinderblock/model";
import { type Component, commonSchema, kafkaOf, partitionedLog, SCHEDULERS } from "@cinderblock/runtime";
import { DEFAULT_TENANT } from "@cinderblock/tenant";
import { RemoteQueue } from "@cinderblock/transport";
import { QueryFrontend } from "./frontend.ts";
import { renderRoutes } from "./render-api.ts";
import { frontendRpc } from "./rpc.ts";

/** The public read API: checks queries, queues them at a scheduler, renders what comes back. */
export const queryFrontend: Component<typeof commonSchema> = {
  name: "query-frontend",
  schema: commonSchema,
  check: (config) => { if (config.writeBuffer === "kafka") kafkaOf(config); },
  wire(config, process) {
    const { base } = process;
    process.view(SCHEDULERS);
    const schedulers = (): string[] => process.schedulers();
    const kafka = config.writeBuffer === "kafka" ? partitionedLog(config, base) : undefined;
    if (kafka) process.add(kafka.service);
    const ends = kafka && (async (): Promise<number[]> => (await kafka.log.offsets()).map((o) => o.end));
    const frontend = new QueryFrontend(new RemoteQueue(process.client, schedulers), process.addPool(), process.resources.limits, base, ends);
    const readConfig = { multitenancy: config.multitenancy, queryTimeoutMs: config.queryTimeout };
    process.serve(frontendRpc(frontend, readConfig), renderRoutes(frontend, readConfig, base.now));
    process.readyWhen(() => (schedulers().length === 0 ? "no query-scheduler is ACTIVE in the ring" : ""));
    process.seen = () => seenServices(frontend);
  },
};

/** Services that sent profiles lately, for the front page. */
export function seenServices(frontend: QueryFrontend): Promise<string[]> {
  return frontend.labelValues({ tenants: [DEFAULT_TENANT], deadlineMs: Date.now() + 5000, signal: undefined, warn: () => undefined }, LABEL_SERVICE_NAME, [], 0, 0);
}
