import { endOffsets } from "@cinderblock/kafka";
import { type Component, kafkaOf, partitionedLog } from "@cinderblock/runtime";
import { RemoteQueue } from "@cinderblock/transport";
import { frontendSchema, resultsCacheOf, sourceCodeOf } from "./config.ts";
import { QueryFrontend } from "./frontend.ts";
import { renderRoutes } from "./render-api.ts";
import { frontendRpc } from "./rpc.ts";
import { SlowQueries } from "./slow-queries.ts";
import { slowQueryRoutes } from "./slow-query-page.ts";
import type { PartitionEnds } from "./sub-queries.ts";
import { webRoutes } from "./web.ts";

/** The public read API: checks queries, queues them at a scheduler, renders the results. */
export const queryFrontend: Component<typeof frontendSchema> = {
  name: "query-frontend",
  schema: frontendSchema,
  check: (config) => {
    if (config.writeBuffer === "kafka") kafkaOf(config);
  },
  wire(config, host) {
    const { base } = host;
    const schedulers = (): string[] => host.schedulerAddresses();
    const kafka = config.writeBuffer === "kafka" ? partitionedLog(config, base) : undefined;
    if (kafka) host.addServices(kafka.service);
    const ends =
      kafka &&
      (async (): Promise<PartitionEnds> => {
        const offsets = await kafka.log.offsets();
        return { topicId: offsets.topicId, ends: endOffsets(offsets) };
      });
    const cache = resultsCacheOf(config, base);
    if (cache) host.addServices(cache.service);
    const frontend = new QueryFrontend(
      {
        queue: new RemoteQueue(host.client, schedulers),
        renderer: host.addPool(),
        limits: host.resources.limits,
        cache: cache?.cache,
        ends,
        slow: new SlowQueries(config.logSlower, base),
      },
      base,
    );
    const readConfig = {
      multitenancy: config.multitenancy,
      queryTimeoutMs: config.queryTimeout,
      version: host.resources.build.version,
      sources: sourceCodeOf(base.now),
    };
    host.addRoutes(
      frontendRpc(frontend, readConfig),
      slowQueryRoutes(frontend, config.queryTimeout),
      renderRoutes(frontend, readConfig, base.now),
      webRoutes(host.resources.scripts.web),
    );
    host.hasFront = true;
    host.readyWhen(() => (schedulers().length === 0 ? "no query-scheduler found yet" : ""));
  },
};
