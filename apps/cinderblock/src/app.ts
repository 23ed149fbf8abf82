import type { ServiceGroup } from "@cinderblock/service";
import type { ApiServer } from "@cinderblock/rpc";
import type { Base } from "@cinderblock/telemetry";
import type { CinderblockConfig } from "./config.ts";
import { wireCluster } from "./cluster.ts";
import type { Build, Scripts } from "./parts.ts";
import { wireSingle } from "./single.ts";

export interface Wired {
  group: ServiceGroup;
  server: ApiServer;
  ready: { draining: boolean };
  /** before the server stops: what others must still be able to read goes where they find it */
  drain: () => Promise<void>;
}

/** The components that `-target` names, in one process with each other or with others over the network. Read this first. */
export function wire(config: CinderblockConfig, base: Base, scripts: Scripts, build: Build, onFatal: (reason: string) => void): Promise<Wired> {
  return config.target.split(",").some((t) => t.trim() === "all") ? wireSingle(config, base, scripts, build, onFatal) : wireCluster(config, base, scripts, build, onFatal);
}
