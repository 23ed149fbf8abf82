import { loadConfig } from "@cinderblock/config";
import { commonSchema } from "./config.ts";
import { tracingOf } from "./tracing.ts";
import { knownNames } from "./v1/known.ts";

const ENDPOINT = "-tracing.otlp-endpoint=http://c:4318/v1/traces";
const tracing = (flags: string[], env: Record<string, string> = {}) =>
  tracingOf(loadConfig(commonSchema, flags, {}, knownNames).config, env, "querier");
const ratio = (flags: string[], env: Record<string, string> = {}): number | undefined =>
  tracing([ENDPOINT, ...flags], env).sampleRatio;

describe("the configuration of tracing", () => {
  it("names the service by the component, and the instance as in the rings", () => {
    expect(tracing([ENDPOINT, "-ring.instance-id=querier-0"])).toMatchObject({
      endpoint: "http://c:4318/v1/traces",
      service: "cinderblock-querier",
      instance: "querier-0",
      warnings: [],
    });
    expect(tracing([ENDPOINT], { JAEGER_SERVICE_NAME: "own" }).service).toBe("own");
    expect(tracing([ENDPOINT, "-tracing.enabled=false"]).endpoint).toBe("");
  });

  it("takes the ratio from the flag, or from the variables of OpenTelemetry or of v1's client", () => {
    const jaeger = { JAEGER_SAMPLER_TYPE: "probabilistic", JAEGER_SAMPLER_PARAM: "0.25" };
    expect(ratio([])).toBeUndefined();
    expect(ratio(["-tracing.sample-ratio=0.01"], jaeger)).toBe(0.01);
    expect(ratio(["-tracing.sample-ratio=0"], jaeger)).toBe(0);
    expect(ratio([], jaeger)).toBe(0.25);
    expect(ratio([], { JAEGER_SAMPLER_TYPE: "const", JAEGER_SAMPLER_PARAM: "1" })).toBe(1);
    expect(ratio([], { JAEGER_SAMPLER_TYPE: "const", JAEGER_SAMPLER_PARAM: "0" })).toBe(0);
    // The SDK reads OpenTelemetry's variables itself.
    expect(ratio([], { ...jaeger, OTEL_TRACES_SAMPLER: "parentbased_always_off" })).toBeUndefined();
  });

  it("refuses a ratio outside of 0 to 1", () => {
    for (const bad of ["-0.1", "1.1", "10%", "half", " ", "NaN"])
      expect(() => tracing([`-tracing.sample-ratio=${bad}`])).toThrow(
        `-tracing.sample-ratio=${bad}: expected a number from 0 to 1`,
      );
  });

  it("warns of variables of v1's client that have no effect", () => {
    const agent = { JAEGER_AGENT_HOST: "tempo", JAEGER_SAMPLER_TYPE: "const", JAEGER_SAMPLER_PARAM: "1" };
    expect(tracing([ENDPOINT], agent).warnings).toEqual([
      "no effect: JAEGER_AGENT_HOST; spans go to -tracing.otlp-endpoint alone, over OTLP/HTTP",
    ]);
    expect(tracing([], agent).warnings).toEqual([
      "no effect: JAEGER_AGENT_HOST, JAEGER_SAMPLER_PARAM, JAEGER_SAMPLER_TYPE; spans go to -tracing.otlp-endpoint alone, over OTLP/HTTP",
    ]);
    expect(tracing(["-tracing.enabled=false"], agent).warnings).toEqual([]);
    for (const [type, param] of [
      ["remote", "0.5"],
      ["probabilistic", "many"],
      ["const", "2"],
      ["ratelimiting", ""],
    ] as const) {
      const found = tracing([ENDPOINT], { JAEGER_SAMPLER_TYPE: type, JAEGER_SAMPLER_PARAM: param });
      expect([found.sampleRatio, found.warnings]).toEqual([
        undefined,
        [expect.stringContaining(`JAEGER_SAMPLER_TYPE=${type} with JAEGER_SAMPLER_PARAM=${param}`)],
      ]);
    }
  });
});
