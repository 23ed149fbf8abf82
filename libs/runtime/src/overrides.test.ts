import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { sleep } from "@cinderblock/async";
import { loadConfig } from "@cinderblock/config";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TenantLimits } from "@cinderblock/tenant";
import { temporaryFolder } from "@cinderblock/testkit";
import { type CommonConfig, commonSchema, limitsOf } from "./config.ts";
import { knownNames } from "./v1/known.ts";
import { parseOverrides, RuntimeOverrides } from "./overrides.ts";

const base = () => ({
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
});
function config(...flags: string[]): CommonConfig {
  return loadConfig(commonSchema, flags, {}, knownNames).config;
}
const parse = (text: string) => parseOverrides([{ name: "f.yaml", text }]);

describe("the runtime configuration", () => {
  it("starts from the process's limits and changes the limits of each tenant", async () => {
    const file = join(temporaryFolder(), "overrides.yaml");
    writeFileSync(
      file,
      "overrides:\n  big:\n    ingestion_rate_mb: 100\n    reject_older_than: 1d\n  small:\n    max_profile_size_bytes: 1000\n",
    );
    const c = config(
        `-runtime-config.file=${file}`,
        "-distributor.ingestion-rate-limit-mb=7",
        "-runtime-config.reload-period=1s",
      ),
      limits = new TenantLimits(limitsOf(c)),
      o = new RuntimeOverrides(c, limits, base());
    await o.start();
    expect([
      limits.forTenant("big").ingestionRateBytes,
      limits.forTenant("big").rejectOlderThanMs,
      limits.forTenant("big").maxProfileSizeBytes,
    ]).toEqual([100 << 20, 86_400_000, 4194304]);
    expect([
      limits.forTenant("small").ingestionRateBytes,
      limits.forTenant("small").maxProfileSizeBytes,
    ]).toEqual([7 << 20, 1000]);
    expect(limits.forTenant("other").ingestionRateBytes).toBe(7 << 20);
    expect(o.numericLimits().tenants.get("big")!.get("ingestion_rate_mb")).toBe(100);
    expect(o.numericLimits().defaults.get("max_query_lookback")).toBe(7 * 86_400e9);
    // Reloads; an unusable file changes nothing.
    const before = limits.forTenant("small");
    writeFileSync(file, "overrides:\n  big:\n    ingestion_rate: 1\n");
    await sleep(1500);
    expect(limits.forTenant("small")).toBe(before);
    writeFileSync(file, "overrides:\n  big:\n    ingestion_rate_mb: 5\n");
    await sleep(1500);
    expect([
      limits.forTenant("big").ingestionRateBytes,
      limits.forTenant("small").maxProfileSizeBytes,
    ]).toEqual([5 << 20, 4194304]);
    await o.stop();
  });
  it("merges files and URLs, later ones win", async () => {
    const server = createServer((_q, r) => {
      r.end("overrides: {t: {max_label_names_per_series: 9}}");
    }).listen(0, "127.0.0.1");
    await new Promise((done) => {
      server.once("listening", done);
    });
    const file = join(temporaryFolder(), "a.yaml");
    writeFileSync(file, "overrides: {t: {max_label_names_per_series: 8, max_sessions_per_series: 3}}");
    const c = config(
        `-runtime-config.file=${file},http://127.0.0.1:${(server.address() as { port: number }).port}/`,
      ),
      limits = new TenantLimits(limitsOf(c)),
      o = new RuntimeOverrides(c, limits, base());
    await o.start();
    expect([
      limits.forTenant("t").maxLabelNamesPerSeries,
      limits.forTenant("t").maxSessionsPerSeries,
    ]).toEqual([9, 3]);
    await o.stop();
    server.close();
  });
  it("refuses to start with a missing or invalid file", async () => {
    const c = config("-runtime-config.file=/nowhere/x.yaml");
    await expect(new RuntimeOverrides(c, new TenantLimits(limitsOf(c)), base()).start()).rejects.toThrow(
      /nowhere/,
    );
  });
  it.each([
    [
      "overrides:\n  t:\n    ingestion_rate: 1",
      "f.yaml: overrides.t.ingestion_rate: unknown limit; did you mean ingestion_rate_mb?",
    ],
    ["overrides: {t: {s3_sse_type: SSE-KMS}}", "overrides.t.s3_sse_type is not supported: encryption"],
    [
      "overrides: {t: {store_gateway_tenant_shard_size: 3}}",
      "store_gateway_tenant_shard_size is not supported",
    ],
    ["overrides: {t: {retention_period: 30d}}", "set -compactor.blocks-retention-period"],
    ["overrides: {t: {write_path: segment-writer}}", "overrides.t.write_path: Cinderblock supports only"],
    ["overrides: {t: {symbolizer: {enabled: true}}}", "set -symbolizer.enabled for all tenants"],
    ["overrides:\n  t:\n    ingestion_rate_mb: fast", "overrides.t.ingestion_rate_mb: expected a number"],
    ["tenants: {}", "f.yaml: unknown key tenants"],
    ["overrides: [1]", "expected keys and values"],
    ["overrides: {", "f.yaml:"],
  ])("names the error: %#", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
  it("names limits of v1 without effect", () => {
    const text = `overrides:
  t:
    enable_query_backend_from: 2026-01-01
    symbolizer: {max_unresolved_locations: 1}
    store_gateway_tenant_shard_size: 0
    s3_sse_type: ""
    write_path: ingester
    max_query_length: 1d
`;
    expect(parse(text)).toEqual({
      tenants: new Map([["t", { writePath: "ingester", maxQueryLength: 86_400_000 }]]),
      withoutEffect: ["enable_query_backend_from", "symbolizer.max_unresolved_locations"],
    });
    expect(parse("")).toEqual({ tenants: new Map(), withoutEffect: [] });
  });
});
