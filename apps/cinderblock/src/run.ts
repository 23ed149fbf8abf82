import { helpText, loadConfig } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { wire } from "./app.ts";
import type { Build, Scripts } from "./parts.ts";
import { accepted, blockRangesOf, bucketOf, redisOf, type CinderblockConfig, schema } from "./config.ts";

const MODULES = ["all", "distributor", "ingester", "query-frontend", "query-scheduler", "querier", "store-gateway", "compactor"];

/** Reads the configuration, starts the components, serves, and stops on a signal. Returns the exit code. */
export async function run(argv: readonly string[], scripts: Scripts, build: Build): Promise<number> {
  let loaded;
  try {
    loaded = loadConfig(schema, argv, process.env, accepted);
    check(loaded.config);
  } catch (err) {
    process.stderr.write(`cinderblock: ${(err as Error).message}\n`);
    return 1;
  }
  if (loaded.help) { process.stdout.write(helpText(schema, "cinderblock")); return 0; }
  if (loaded.version) { process.stdout.write(`cinderblock ${build.version} (${build.revision}) on Node ${process.version}\n`); return 0; }
  if (loaded.modules) { process.stdout.write(`${MODULES.join("\n")}\n`); return 0; }

  const { config } = loaded;
  const log = createLogger({ level: config.logLevel, format: config.logFormat as "logfmt" | "json" });
  const tracer = startTracing(config.tracingEndpoint, build.version);
  const base = { log, metrics: new Metrics(), tracer, now: () => Date.now() };
  base.metrics.gauge("pyroscope_build_info", "Version of this process.", ["version", "revision", "branch", "goversion"]).set({ version: build.version, revision: build.revision, branch: "main", goversion: `node ${process.version}` }, 1);
  for (const w of loaded.warnings) log.warn({ key: w }, "configuration without effect");

  const stopping = Promise.withResolvers<number>();
  const fatal = (reason: string): void => {
    // What was acknowledged is on disk; the next start replays it.
    log.fatal({ reason }, "cannot go on");
    process.exit(1);
  };
  process.on("uncaughtException", (err) => fatal(err.stack ?? err.message));
  process.on("unhandledRejection", (err) => fatal(err instanceof Error ? (err.stack ?? err.message) : String(err)));
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => { log.info({ signal }, "stopping"); stopping.resolve(0); });

  const { group, server, ready, drain } = await wire(config, base, scripts, build, fatal);
  try {
    await server.start();
    await group.start();
    log.info({ version: build.version }, "ready");
  } catch (err) {
    log.error({ err }, "could not start");
    return 1;
  }
  const code = await stopping.promise;
  ready.draining = true;
  if (config.shutdownDelay > 0) await new Promise((resolve) => { setTimeout(resolve, config.shutdownDelay); });
  try {
    await drain();
    await server.stop();
    await group.stop();
    await tracer.stop();
    log.info("stopped");
  } catch (err) {
    log.error({ err }, "stop was not clean");
    return 1;
  }
  return code;
}

/** Refuses what this version cannot do, and says why. */
function check(config: CinderblockConfig): void {
  blockRangesOf(config);
  const targets = config.target.split(",").map((t) => t.trim());
  for (const t of targets) if (!MODULES.includes(t)) throw new CinderblockError("invalid", `-target: unknown component ${JSON.stringify(t)}; there are ${MODULES.join(", ")}`);
  if (!targets.includes("all")) {
    if (config.ringStore !== "redis") throw new CinderblockError("invalid", `-target=${config.target} runs components as separate processes, which needs -ring.store=redis: a ring of Cinderblock and one of Pyroscope v1 cannot mix, the two systems share a bucket and never a ring`);
    if (config.httpPort === 0) throw new CinderblockError("invalid", "-server.http-listen-port=0: a component that others call needs a port that they know");
    redisOf(config);
  }
  if (config.architecture !== "v1") throw new CinderblockError("invalid", `-architecture.storage=${config.architecture}: Cinderblock implements the v1 storage; set it to v1 or leave it out`);
  if (config.writePath !== "ingester") throw new CinderblockError("invalid", `-write-path=${config.writePath}: segment-writer and combined belong to Pyroscope's v2 storage; set it to ingester or leave it out`);
  bucketOf(config);
}
