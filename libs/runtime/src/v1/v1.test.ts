import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Decision, loadConfig, type Option, type Schema, stringifyYaml } from "@cinderblock/config";
import { temporaryFolder } from "@cinderblock/testkit";
import { commonSchema } from "../config.ts";
import { knownNames, optionsOfAllComponents } from "./known.ts";
import { pyroscopeOptions, type PyroscopeOption } from "./names.ts";
import { NO_EFFECT_DEFINED } from "./outcomes.ts";

/** Options of all components. */
const schema: Schema = Object.fromEntries([
  ...optionsOfAllComponents.map((o): [string, Option<unknown>] => [
    o.flag,
    { ...o, initial: undefined, doc: "", parse: (v) => v },
  ]),
  ...Object.values(commonSchema as Schema).map((o): [string, Option<unknown>] => [o.flag, o]),
]);
const ownFlags = new Set(optionsOfAllComponents.map((o) => o.flag)),
  ownKeys = new Set(optionsOfAllComponents.map((o) => o.yaml));
const load = (...argv: string[]) => loadConfig(schema, argv, {}, knownNames);
function loadFile(text: string, ...argv: string[]) {
  const path = join(temporaryFolder(), "c.yaml");
  writeFileSync(path, text);
  return load(`-config.file=${path}`, ...argv);
}
/** YAML with values at paths. */
function yamlOf(values: readonly (readonly [string, unknown])[]): string {
  const tree: Record<string, unknown> = {};
  for (const [path, value] of values) {
    const keys = path.split(".");
    let at = tree;
    for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Record<string, unknown>;
    at[keys.at(-1)!] = value;
  }
  return stringifyYaml(tree);
}
/** A default as v1 writes it. */
function defaultOf(o: PyroscopeOption, n: number): unknown {
  const text = o.defaults[n]!;
  if (text === "" && (o.kind === "list" || o.kind === "any")) return [];
  return o.kind === "bool" ? text === "true" : o.kind === "int" ? Number(text) : text;
}
/** A value that is no default of an option. */
function other(o: PyroscopeOption): string {
  switch (o.kind) {
    case "bool":
      return o.defaults[0] === "true" ? "false" : "true";
    case "int":
    case "float":
      return String(Number(o.defaults[0]) + 7);
    case "duration":
      return "77m";
    default:
      return "some-other";
  }
}
const flags = pyroscopeOptions.filter((o) => o.flag !== ""),
  keys = pyroscopeOptions.filter((o) => o.yaml !== "");
const PROGRAM = new Set(["h", "help", "help-all", "version", "modules", "config.file", "config.expand-env"]);
const silent = new Set<Decision["is"]>(["taken", "fits"]);

describe("options of Pyroscope v1", () => {
  it("are 609 flags and the keys of 617 options, and 231 flags of 2.2.1", () => {
    expect(flags.filter((o) => !o.later)).toHaveLength(609);
    expect(keys.filter((o) => !o.later)).toHaveLength(617);
    expect(flags.filter((o) => o.later)).toHaveLength(231);
    expect(new Set(flags.map((o) => o.flag)).size).toBe(flags.length);
    expect(new Set(keys.map((o) => o.yaml)).size).toBe(keys.length);
  });

  it("are accepted silently as flags at every default", () => {
    const given = flags
      .filter((o) => !PROGRAM.has(o.flag))
      .flatMap((o) => o.defaults.map((d) => `-${o.flag}=${d}`));
    const { decisions } = load(...given);
    expect(decisions).toHaveLength(given.length);
    expect(decisions.filter((d) => !silent.has(d.is))).toEqual([]);
  });

  it("are accepted silently as keys at every default", () => {
    for (const n of [0, 1]) {
      const given = keys.filter(
        (o) => o.defaults[n] !== undefined && !(ownKeys.has(o.yaml) && o.defaults[n] === ""),
      );
      const { decisions } = loadFile(yamlOf(given.map((o) => [o.yaml, defaultOf(o, n)])));
      expect(decisions).toHaveLength(given.length);
      expect(decisions.filter((d) => !silent.has(d.is))).toEqual([]);
    }
  });

  it("have a defined effect at another value", () => {
    const given = flags.filter((o) => !PROGRAM.has(o.flag) && !(ownFlags.has(o.flag) && o.kind !== "bool"));
    const keysGiven = keys.filter((o) => !ownKeys.has(o.yaml));
    const ofFlags = load("-config.check", ...given.map((o) => `-${o.flag}=${other(o)}`)).decisions;
    const ofKeys = loadFile(yamlOf(keysGiven.map((o) => [o.yaml, other(o)])), "-config.check").decisions;
    expect([ofFlags.length, ofKeys.length]).toEqual([given.length, keysGiven.length]);
    const undefinedEffects = [...ofFlags, ...ofKeys].filter(
      (d) => /unknown|expected/.test(d.text) || d.text.includes(NO_EFFECT_DEFINED),
    );
    expect(undefinedEffects).toEqual([]);
    expect([...new Set(ofFlags.map((d) => d.is))].sort()).toEqual([
      "fits",
      "mapped",
      "meaningless",
      "refused",
      "taken",
      "warned",
    ]);
  });

  it("that have no meaning are those of ring transports, gRPC and the v2 storage", () => {
    const reasons = new Set(
      knownNames.foreign.flatMap((o) => (o.outcome.is === "meaningless" ? [o.outcome.why] : [])),
    );
    expect(reasons.size).toBe(3);
  });

  it("leave the next flag its value where Boolean flags stand alone", () => {
    const given = flags.filter((o) => o.kind === "bool" && !PROGRAM.has(o.flag));
    const { decisions, config } = load(
      "-config.check",
      ...given.flatMap((o) => [`-${o.flag}`, "-log.level=debug"]),
    );
    expect(given.length).toBeGreaterThan(130);
    expect(decisions).toHaveLength(2 * given.length);
    expect(config).toMatchObject({ "log.level": "debug" });
    expect(() => load("-usage-stats.enabled", "-log.level=nonsense")).toThrow("-log.level: expected one of");
  });

  it.each([
    ["server: {http_tls_config: {cert: PEM}}", "server.http_tls_config.cert is not supported"],
    ["server: {http_tls_config: {key: PEM}}", "server.http_tls_config.key is not supported"],
    ["server: {http_tls_config: {client_ca: PEM}}", "server.http_tls_config.client_ca is not supported"],
    ["server: {grpc_tls_config: {cert_file: a}}", "server.grpc_tls_config.cert_file is not supported"],
    ["server: {http_path_prefix: /p}", "server.http_path_prefix is not supported"],
    ["api: {base-url: /p}", "api.base-url is not supported"],
    ["limits: {s3_sse_type: SSE-KMS}", "limits.s3_sse_type is not supported"],
    ["limits: {s3_sse_kms_key_id: k}", "limits.s3_sse_kms_key_id is not supported"],
    [
      "limits: {store_gateway_tenant_shard_size: 3}",
      "limits.store_gateway_tenant_shard_size is not supported",
    ],
    ["limits: {retention_period: 30d}", "set -compactor.blocks-retention-period"],
    ["limits: {ingestion_rate: 50}", "did you mean limits.ingestion_rate_mb?"],
    ["compactor: {compaction_concurency: 4}", "did you mean compactor.compaction_concurrency?"],
    ["frontend: {grpc_client_config: {tls_enabled: true}}", "-internal-client.tls-"],
    ["frontend_worker: {grpc_client_config: {tls_ca_path: a}}", "-internal-client.tls-"],
    ["query_scheduler: {grpc_client_config: {tls_cert_path: a}}", "-internal-client.tls-"],
    ["storage: {gcs: {http: {insecure_skip_verify: true}}}", "is not supported"],
  ])("refuses a key that would be unsafe to ignore: %s", (text, message) => {
    expect(() => loadFile(text)).toThrow(message);
  });

  it("set the same option under another name", () => {
    const values = (text: string): Record<string, unknown> => loadFile(text).config;
    expect(values("storage: {storage_prefix: a/b}")).toMatchObject({ "storage.prefix": "a/b" });
    expect(values("frontend_worker: {max_concurrent: 9}")).toMatchObject({ "querier.max-concurrent": 9 });
    expect(() => load("-storage.prefix=a", "-storage.storage-prefix=b")).toThrow("different values");
  });
});

describe("a misspelled name", () => {
  it.each(
    `
    -compactor.retention=compactor.retention-rules
    -distributor.ingestion-rate-mb=distributor.ingestion-rate-limit-mb
    -storage.s3.bucket=storage.s3.bucket-name
    -server.http-port=server.http-listen-port
    -ingester.replication-factor=distributor.replication-factor
    -kafka.sasl.user=kafka.sasl.username
    -taget=target
    -log-level=log.level
    -loglevel=log.level
    -logformat=log.format
    -server.http_listen_port=server.http-listen-port
    -server.http-listen-adress=server.http-listen-address
    -server.grpc-listen-prot=server.grpc-listen-port
    -storage.bakend=storage.backend
    -storage.filesytem.dir=storage.filesystem.dir
    -storage.filesystem.directory=storage.filesystem.dir
    -storage.s3.acces-key-id=storage.s3.access-key-id
    -storage.s3.secret-key=storage.s3.secret-access-key
    -storage.s3.regoin=storage.s3.region
    -storage.gcs.bucket=storage.gcs.bucket-name
    -storage.azure.container=storage.azure.container-name
    -pyroscopedb.datapath=pyroscopedb.data-path
    -pyroscopedb.data-dir=pyroscopedb.data-path
    -pyroscopedb.max-block-durration=pyroscopedb.max-block-duration
    -compactor.block-retention-period=compactor.blocks-retention-period
    -compactor.blocks-retention=compactor.blocks-retention-period
    -compactor.datadir=compactor.data-dir
    -compactor.compaction-intervall=compactor.compaction-interval
    -compactor.deletion-dealy=compactor.deletion-delay
    -distributor.replication-facotr=distributor.replication-factor
    -distributor.ingestion-rate-limit=distributor.ingestion-rate-limit-mb
    -distributor.ingestion-burst-size=distributor.ingestion-burst-size-mb
    -distributor.zone-awarness-enabled=distributor.zone-awareness-enabled
    -ingester.availabilty-zone=ingester.availability-zone
    -ingester.max-global-series-per-user=ingester.max-global-series-per-tenant
    -ingester.max-local-series-per-tenants=ingester.max-local-series-per-tenant
    -validation.max-label-name-per-series=validation.max-label-names-per-series
    -validation.max-length-label-names=validation.max-length-label-name
    -validation.reject-older-then=validation.reject-older-than
    -querier.max-query-lenght=querier.max-query-length
    -querier.max-query-look-back=querier.max-query-lookback
    -querier.split-queries-interval=querier.split-queries-by-interval
    -query-frontend.max-querier-per-tenant=query-frontend.max-queriers-per-tenant
    -query-scheduler.max-outstanding-request-per-tenant=query-scheduler.max-outstanding-requests-per-tenant
    -store-gateway.sharding-ring.replication-facter=store-gateway.sharding-ring.replication-factor
    -auth.multi-tenancy-enabled=auth.multitenancy-enabled
    -runtime-config.flie=runtime-config.file
    -memberlist.joins=memberlist.join
    -memberlist.advertise-adr=memberlist.advertise-addr
    -usage-stats.enable=usage-stats.enabled
    -self-profiling.disable-pushes=self-profiling.disable-push
    -config.fiel=config.file
    -redis.adress=redis.address
    -kafka.broker=kafka.brokers
    -tracing.enable=tracing.enabled
    limits.retention=limits.retention_period
    limits.max_query_lenght=limits.max_query_length
    limits.compactor_block_retention_period=limits.compactor_blocks_retention_period
    server.http_listen-port=server.http_listen_port
    storage.s3.bucket=storage.s3.bucket_name
    ingester.lifecycler.ring.replication_facter=ingester.lifecycler.ring.replication_factor
    memberlist.join_member=memberlist.join_members
    multitenancy_enable=multitenancy_enabled
    pyroscope_db=pyroscopedb
    store_gatway=store_gateway`
      .trim()
      .split("\n")
      .map((line) => line.trim().split("=") as [string, string]),
  )("%s is refused with the name %s", (wrong, right) => {
    const attempt = wrong.startsWith("-") ? () => load(`${wrong}=1`) : () => loadFile(yamlOf([[wrong, "1"]]));
    expect(attempt).toThrow(`did you mean ${right}?`);
  });
});
