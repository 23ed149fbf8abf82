import { CinderblockError } from "@cinderblock/errors";
import { ClusterProcess, type Program } from "@cinderblock/runtime";
import { type CinderblockConfig, components, schema } from "./config.ts";
import { wireSingle } from "./single.ts";

const MODULES = ["all", ...components.map((c) => c.name)];

/** Entry point: runs all components (`-target=all`), or the components of `-target` in a cluster. */
export const cinderblock: Program<typeof schema> = {
  name: "cinderblock",
  schema,
  modules: MODULES,
  check(config) {
    const targets = targetsOf(config);
    for (const t of targets)
      if (!MODULES.includes(t))
        throw new CinderblockError(
          "invalid",
          `-target: unknown component ${JSON.stringify(t)}; expected one of ${MODULES.join(", ")}`,
        );
    if (!targets.includes("all")) ClusterProcess.checkConfig(config, `-target=${config.target}`);
    else if (config.writeBuffer === "kafka")
      throw new CinderblockError(
        "invalid",
        "-distributor.write-buffer=kafka does not work with -target=all, because the single binary writes pushes directly to the ingester's log; run distributors and ingesters as separate processes, or remove the flag",
      );
    for (const c of components) if ("check" in c) c.check?.(config);
  },
  async wire(config, resources, onFatal) {
    const targets = targetsOf(config);
    if (targets.includes("all")) return wireSingle(config, resources, onFatal);
    const host = new ClusterProcess(config, resources, targets.join("+"), onFatal);
    for (const c of components) if (targets.includes(c.name)) await c.wire(config, host);
    return host.finish();
  },
};

function targetsOf(config: CinderblockConfig): string[] {
  return config.target.split(",").map((t) => t.trim());
}
