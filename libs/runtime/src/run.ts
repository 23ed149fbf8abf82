import {
  type ConfigOf,
  type Decision,
  decisionsText,
  helpText,
  loadConfig,
  type Schema,
} from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { checkTls } from "@cinderblock/rpc";
import type { Service, ServiceGroup } from "@cinderblock/service";
import {
  type Base,
  createLogger,
  Metrics,
  noTracer,
  startTracing,
  type Tracer,
} from "@cinderblock/telemetry";
import { authorizerOf } from "./auth.ts";
import type { CommonConfig } from "./config.ts";
import { bucketSpecOf } from "./storage-config.ts";
import { type Build, Resources, type Scripts } from "./resources.ts";
import { stopBoundMs, stopWithin } from "./stop.ts";
import { clientTlsOf, serverTlsOf } from "./tls-config.ts";
import { tracingOf } from "./tracing.ts";
import { knownNames } from "./v1/known.ts";

/** Wired components: services in start order, and the server. */
export interface WiredProgram {
  group: ServiceGroup;
  server: Service;
  ready: { draining: boolean };
  /** runs before the server stops: hands over data that other processes must still be able to read */
  drain: () => Promise<void>;
}

/** A program: its flags, its configuration checks, and how it wires its components. */
export interface Program<S extends Schema> {
  name: string;
  schema: S;
  /** the list that -modules prints */
  modules: readonly string[];
  /** refuses an impossible configuration. @throws `invalid` */
  check: (config: ConfigOf<S>) => void;
  wire: (
    config: ConfigOf<S>,
    resources: Resources,
    onFatal: (reason: string) => void,
  ) => Promise<WiredProgram>;
}

/** Loads the configuration, starts the services, serves, and stops on a signal. @returns the exit code */
export async function run<S extends Schema>(
  program: Program<S>,
  argv: readonly string[],
  scripts: Scripts,
  build: Build,
): Promise<number> {
  let loaded;
  try {
    loaded = loadConfig(program.schema, argv, process.env, knownNames);
    if (loaded.help) {
      process.stdout.write(helpText(program.schema, program.name));
      return 0;
    }
    if (loaded.version) {
      process.stdout.write(
        `${program.name} ${build.version} (${build.revision}) on Node ${process.version}\n`,
      );
      return 0;
    }
    if (loaded.modules) {
      process.stdout.write(`${program.modules.join("\n")}\n`);
      return 0;
    }
    if (loaded.check) {
      process.stdout.write(decisionsText(loaded.decisions));
      const refused = loaded.decisions.filter((d) => d.is === "refused").length;
      if (refused > 0) {
        process.stderr.write(`${program.name}: ${refused} flags and keys are refused\n`);
        return 1;
      }
    }
    checkCommon(loaded.config as unknown as CommonConfig);
    program.check(loaded.config);
    if (loaded.check) return 0;
  } catch (err) {
    process.stderr.write(`${program.name}: ${(err as Error).message}\n`);
    return 1;
  }
  const config = loaded.config as unknown as CommonConfig;
  const tracing = tracingOf(config, process.env, program.name);
  let tracer: Tracer = noTracer;
  const log = createLogger({
    level: config.logLevel,
    format: config.logFormat as "logfmt" | "json",
    // Lines that are written while a request is served name its trace.
    ...(tracing.endpoint === ""
      ? {}
      : {
          fields: () => {
            const traceId = tracer.traceId();
            return traceId === undefined ? {} : { traceId };
          },
        }),
  });
  const metrics = new Metrics();
  tracer = startTracing(tracing.endpoint, build.version, { ...tracing, log, metrics });
  const base: Base = { log, metrics, tracer, now: () => Date.now() };
  for (const warning of tracing.warnings) log.warn({ warning }, "tracing configuration");
  base.metrics
    .gauge("pyroscope_build_info", "Build information of this process.", [
      "version",
      "revision",
      "branch",
      "goversion",
    ])
    .set(
      {
        version: build.version,
        revision: build.revision,
        branch: "main",
        goversion: `node ${process.version}`,
      },
      1,
    );
  // Pyroscope v1 has `pyroscope_build_info`, too: this one tells the jobs of both apart.
  base.metrics
    .gauge("cinderblock_build_info", "Version of this process; only Cinderblock has this metric.", [
      "version",
      "revision",
    ])
    .set({ version: build.version, revision: build.revision }, 1);
  for (const { level, keys, reason } of withoutEffect(loaded.decisions))
    log[level]({ keys, reason }, "configuration keys have no effect");

  const stopping = Promise.withResolvers<number>();
  const fatal = (reason: string): void => {
    // Exit at once: acknowledged data is on disk, and the next start replays it.
    log.fatal({ reason }, "fatal error, stopping");
    process.exit(1);
  };
  process.on("uncaughtException", (err) => fatal(err.stack ?? err.message));
  process.on("unhandledRejection", (err) =>
    fatal(err instanceof Error ? (err.stack ?? err.message) : String(err)),
  );
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => {
      log.info({ signal }, "stopping");
      stopping.resolve(0);
    });

  const resources = new Resources(program.schema, config, base, scripts, build);
  let wired: WiredProgram;
  try {
    wired = await program.wire(loaded.config, resources, fatal);
  } catch (err) {
    log.error({ err }, "startup failed");
    return 1;
  }
  const { group, server, ready, drain } = wired;
  const starting = (async () => {
    await resources.overrides.start();
    await server.start();
    await group.start();
  })();
  let started = false;
  try {
    // A start may wait for Kafka, or replay a log: a signal ends it.
    await Promise.race([starting.then(() => (started = true)), stopping.promise]);
  } catch (err) {
    log.error({ err }, "startup failed");
    return 1;
  }
  if (started) log.info({ version: build.version }, "ready");
  else starting.catch((err: unknown) => log.info({ err }, "startup interrupted by a shutdown"));
  const code = await stopping.promise;
  ready.draining = true;
  if (config.shutdownDelay > 0)
    await new Promise((resolve) => {
      setTimeout(resolve, config.shutdownDelay);
    });
  try {
    await stopWithin(
      [
        ...(started ? [{ name: "hand-over", stop: drain }] : []),
        { name: "server", stop: () => server.stop() },
        { name: "services", stop: () => group.stop() },
        { name: "runtime configuration", stop: () => resources.overrides.stop() },
        { name: "tracing", stop: () => tracer.stop() },
      ],
      stopBoundMs(config.shutdownTimeout),
    );
    log.info("stopped");
  } catch (err) {
    // Acknowledged data is on disk; the next start replays it.
    log.error(
      { err, services: group.notRunning().filter((s) => s.state === "Stopping") },
      "shutdown was not clean",
    );
    return 1;
  }
  return code;
}

/** Flags and keys without effect, by reason: a line of the log for each. */
function withoutEffect(
  decisions: readonly Decision[],
): { level: "info" | "warn"; keys: string; reason: string }[] {
  const groups = Map.groupBy(
    decisions.filter((d) => d.is === "meaningless" || d.is === "warned"),
    (d) => d.text,
  );
  return [...groups].map(([reason, group]) => ({
    level: group[0]!.is === "warned" ? "warn" : "info",
    keys: group.map((d) => d.name).join(","),
    reason,
  }));
}

/** Refuses options that this version does not support. @throws `invalid` */
function checkCommon(config: CommonConfig): void {
  if (config.architecture !== "v1")
    throw new CinderblockError(
      "invalid",
      `-architecture.storage=${config.architecture}: Cinderblock implements the v1 storage; set it to v1 or leave it out`,
    );
  if (config.writePath !== "ingester")
    throw new CinderblockError(
      "invalid",
      `-write-path=${config.writePath}: segment-writer and combined belong to Pyroscope's v2 storage; set it to ingester or leave it out`,
    );
  bucketSpecOf(config);
  tracingOf(config, {}, "");
  authorizerOf(config);
  checkTls(serverTlsOf(config), clientTlsOf(config), createLogger({ level: "error", format: "logfmt" }));
}
