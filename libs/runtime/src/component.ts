import type { ConfigOf, Schema } from "@cinderblock/config";
import { ClusterProcess } from "./cluster-process.ts";
import { type CommonConfig, commonSchema } from "./config.ts";
import type { Build, Scripts } from "./resources.ts";
import { run } from "./run.ts";

/** A component as something that can be deployed: its flags, and how it takes part in a cluster. */
export interface Component<S extends Schema> {
  name: string;
  /** the common options and its own */
  schema: S;
  /** refuses a configuration that cannot work */
  check?: (config: ConfigOf<S>) => void;
  /** registers what it starts and serves with the process */
  wire(config: ConfigOf<S>, process: ClusterProcess): Promise<void> | void;
}

declare const CINDERBLOCK_BUILD: Build;

/** The worker threads' entry points and the web UI beside a built program. */
export function scriptsBeside(program: string): Scripts {
  return {
    ingest: new URL("./ingest-worker.mjs", program),
    query: new URL("./query-worker.mjs", program),
    compact: new URL("./compact-worker.mjs", program),
    validate: new URL("./validate-worker.mjs", program),
    debugFiles: new URL("./debug-files-worker.mjs", program),
    web: new URL("./web/", program),
  };
}

/** What was built; the bundler puts it in. */
export function buildInfo(): Build {
  return CINDERBLOCK_BUILD;
}

/** Runs one component as a process of its own. @param program the URL of the built program */
export function runComponent<S extends Schema>(
  component: Component<S>,
  argv: readonly string[],
  program: string,
): Promise<number> {
  // A process of its own needs a ring that others see; the single binary needs none.
  const schema = { ...component.schema, ringStore: { ...commonSchema.ringStore, initial: "redis" } };
  return run(
    {
      name: component.name,
      schema,
      modules: [component.name],
      check: (config) => {
        ClusterProcess.check(config as unknown as CommonConfig, component.name);
        component.check?.(config);
      },
      wire: async (config, resources, onFatal) => {
        const process = new ClusterProcess(
          config as unknown as CommonConfig,
          resources,
          component.name,
          onFatal,
        );
        await component.wire(config, process);
        return process.finish();
      },
    },
    argv,
    scriptsBeside(program),
    buildInfo(),
  );
}
