import { type Component, INGESTERS } from "@cinderblock/runtime";
import { RemotePush } from "@cinderblock/transport";
import { distributorSchema } from "./config.ts";
import { Distributor } from "./distributor.ts";
import { RingWritePath } from "./ring-write-path.ts";
import { distributorRoutes } from "./rpc.ts";

/** Takes pushes and sends them to the ingesters that the ring names. */
export const distributor: Component<typeof distributorSchema> = {
  name: "distributor",
  schema: distributorSchema,
  wire(config, process) {
    const { base, client, resources: { limits, budgets } } = process;
    const ring = process.view(INGESTERS);
    const path = new RingWritePath({ replicationFactor: config.replicationFactor, zoneAware: config.zoneAware, timeoutMs: config.pushTimeout }, () => ring.snapshot, (address) => new RemotePush(client, address), base);
    process.serve(distributorRoutes(new Distributor(path, limits, budgets.inflight, base), config.multitenancy, base.now));
    process.readyWhen(() => (ring.snapshot.active.length === 0 ? "no ingester is ACTIVE in the ring" : ""));
  },
};
