import { bool, type ConfigOf, str } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { instanceIdOf } from "./instance-id.ts";

/** Options of tracing, for every process. */
export const tracingSchema = {
  tracingEnabled: bool("tracing.enabled", "tracing.enabled", true, "Send traces to -tracing.otlp-endpoint."),
  tracingEndpoint: str(
    "tracing.otlp-endpoint",
    "tracing.otlp_endpoint",
    "",
    "OTLP/HTTP endpoint for traces, for example http://localhost:4318/v1/traces. Empty: tracing is disabled.",
  ),
  tracingSampleRatio: str(
    "tracing.sample-ratio",
    "tracing.sample_ratio",
    "",
    "Share of the traces that begin in this process and are recorded, from 0 to 1. Requests with a traceparent header follow its sampled flag. Empty: OTEL_TRACES_SAMPLER or JAEGER_SAMPLER_TYPE with their arguments, or else all.",
  ),
};

/** Destination and names of a process's spans, and the share of recorded traces. */
interface Tracing {
  /** "": no tracing */
  endpoint: string;
  service: string;
  instance: string;
  /** undefined: the environment variables of OpenTelemetry decide */
  sampleRatio: number | undefined;
  /** variables of the environment that have no effect, for the log */
  warnings: string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of Pyroscope v1's tracing client that have an equivalent here. */
const MAPPED = new Set(["JAEGER_SERVICE_NAME", "JAEGER_SAMPLER_TYPE", "JAEGER_SAMPLER_PARAM"]);

/**
 * Tracing by flags, and by variables of the environment where a flag is not set.
 * @param program name of the program, which is the component's name in a program of one component
 * @throws `invalid` for a ratio outside of 0 to 1
 */
export function tracingOf(
  config: ConfigOf<typeof tracingSchema> & Parameters<typeof instanceIdOf>[0] & { target?: string },
  env: Environment,
  program: string,
): Tracing {
  const endpoint = config.tracingEnabled ? config.tracingEndpoint : "",
    warnings: string[] = [],
    sampleRatio = ratioOf(config.tracingSampleRatio) ?? jaegerRatioOf(env, warnings);
  const unused = Object.keys(env)
    .filter((name) => name.startsWith("JAEGER_") && (endpoint === "" || !MAPPED.has(name)))
    .sort();
  if (unused.length > 0 && config.tracingEnabled)
    warnings.push(
      `no effect: ${unused.join(", ")}; spans go to -tracing.otlp-endpoint alone, over OTLP/HTTP`,
    );
  return {
    endpoint,
    service: env.JAEGER_SERVICE_NAME || `cinderblock-${config.target ?? program}`,
    instance: instanceIdOf(config),
    sampleRatio,
    warnings,
  };
}

/** Ratio of the flag; undefined if it is not set. @throws `invalid` */
function ratioOf(flag: string): number | undefined {
  if (flag === "") return undefined;
  const ratio = Number(flag);
  if (flag.trim() === "" || !(ratio >= 0 && ratio <= 1))
    throw new CinderblockError(
      "invalid",
      `-tracing.sample-ratio=${flag}: expected a number from 0 to 1, such as 0.01`,
    );
  return ratio;
}

/** Ratio by the variables of v1's tracing client; OpenTelemetry's variables take precedence. */
function jaegerRatioOf(env: Environment, warnings: string[]): number | undefined {
  const { JAEGER_SAMPLER_TYPE: type = "", JAEGER_SAMPLER_PARAM: param = "" } = env;
  if (env.OTEL_TRACES_SAMPLER || (type === "" && param === "")) return undefined;
  const ratio = param.trim() === "" ? NaN : Number(param);
  if ((type === "const" || type === "probabilistic") && ratio >= 0 && ratio <= 1)
    return type === "const" ? Math.ceil(ratio) : ratio;
  warnings.push(
    `JAEGER_SAMPLER_TYPE=${type} with JAEGER_SAMPLER_PARAM=${param} has no effect: expected const or probabilistic, and a number from 0 to 1; all traces are recorded`,
  );
  return undefined;
}
