import { type ConfigOf, type Schema, str } from "@cinderblock/config";
import { ClusterProcess } from "./cluster-process.ts";
import { type CommonConfig, commonSchema } from "./config.ts";
import type { Build, Scripts } from "./resources.ts";
import { run } from "./run.ts";

/** A deployable component: its flags, and its part of a cluster process. */
export interface Component<S extends Schema> {
  name: string;
  /** the common options and the component's own */
  schema: S;
  /** refuses an impossible configuration. @throws `invalid` */
  check?: (config: ConfigOf<S>) => void;
  /** registers the component's services and routes with the process */
  wire(config: ConfigOf<S>, host: ClusterProcess): Promise<void> | void;
}

declare const CINDERBLOCK_BUILD: Build;

/** Entry points of the worker threads and the web UI, next to a built program. */
export function workerScripts(program: string): Scripts {
  return {
    ingest: new URL("./ingest-worker.mjs", program),
    query: new URL("./query-worker.mjs", program),
    compact: new URL("./compact-worker.mjs", program),
    validate: new URL("./validate-worker.mjs", program),
    debugFiles: new URL("./debug-files-worker.mjs", program),
    web: new URL("./web/", program),
  };
}

/** Version information of the build; the bundler inserts it. */
export function buildInfo(): Build {
  return CINDERBLOCK_BUILD;
}

/** Runs one component as a separate process. @param program URL of the built program */
export function runComponent<S extends Schema>(
  component: Component<S>,
  argv: readonly string[],
  program: string,
): Promise<number> {
  // A separate process needs a ring that others can read; the single binary does not.
  const schema = {
    ...component.schema,
    target: str("target", undefined, component.name, "Component to run.", { choices: [component.name] }),
    ringStore: { ...commonSchema.ringStore, initial: "redis" },
  };
  return run(
    {
      name: component.name,
      schema,
      modules: [component.name],
      check: (config) => {
        ClusterProcess.checkConfig(config as unknown as CommonConfig, component.name);
        component.check?.(config);
      },
      wire: async (config, resources, onFatal) => {
        const host = new ClusterProcess(
          config as unknown as CommonConfig,
          resources,
          component.name,
          onFatal,
        );
        await component.wire(config, host);
        return host.finish();
      },
    },
    argv,
    workerScripts(program),
    buildInfo(),
  );
}
