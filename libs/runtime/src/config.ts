import { availableParallelism, totalmem } from "node:os";
import { readFileSync } from "node:fs";
import {
  type AcceptedKeys,
  bool,
  type ConfigOf,
  duration,
  float,
  int,
  secret,
  str,
  yaml,
} from "@cinderblock/config";
import { parseRetentionRules, type RetentionRule } from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import { parseIngestionLimit, parseRelabelRules, parseSampling, parseUsageGroups } from "@cinderblock/ingest";
import type { RedisConfig } from "@cinderblock/redis";
import {
  type IngestionLimit,
  type Limits,
  type RelabelRule,
  type SamplingRule,
  smallerLimit,
  type UsageGroup,
} from "@cinderblock/tenant";
import { storageSchema } from "./storage-config.ts";
import { tlsSchema } from "./tls-config.ts";

const MIB = 1048576;

/**
 * Options of every process; a component adds its own. Flags, YAML keys, defaults, help and docs are generated
 * from both.
 */
export const commonSchema = {
  multitenancy: bool(
    "auth.multitenancy-enabled",
    "multitenancy_enabled",
    false,
    "Require a tenant ID in X-Scope-OrgID. When false, all requests belong to the tenant anonymous.",
  ),
  tokensPath: str(
    "auth.tokens-file",
    "auth.tokens_file",
    "",
    "YAML file of access tokens with their roles and tenants. Empty: requests need no token.",
  ),
  internalToken: secret(
    "auth.internal-token",
    "auth.internal_token",
    "Shared token for calls between the processes of a cluster, at least 16 characters. Empty, with an empty -auth.internal-token-file: a random token shared through -redis.address.",
  ),
  internalTokenPath: str(
    "auth.internal-token-file",
    "auth.internal_token_file",
    "",
    "File with the shared token for calls between the processes of a cluster, reloaded at run time. During a rotation, a second line holds another accepted token.",
  ),
  shutdownDelay: duration(
    "shutdown-delay",
    undefined,
    "0s",
    "Delay between /ready returning 503 and the start of the shutdown.",
  ),
  ringStore: str(
    "ring.store",
    "ingester.lifecycler.ring.kvstore.store",
    "memberlist",
    "Storage of the ring state. The single binary needs none; several processes need redis.",
    { choices: ["memberlist", "inmemory", "redis", "consul", "etcd", "multi"] },
  ),
  instanceId: str(
    "ring.instance-id",
    "ring.instance_id",
    "",
    "Instance ID in the rings. Empty: host name and port.",
  ),
  instanceAddr: str(
    "ring.instance-addr",
    "ring.instance_addr",
    "",
    "Address under which other processes reach this one. Empty: the listen address, or the machine's first address that is not loopback.",
  ),
  heartbeatPeriod: duration(
    "ingester.heartbeat-period",
    "ingester.lifecycler.heartbeat_period",
    "5s",
    "Interval between heartbeats of a ring member.",
  ),
  heartbeatTimeout: duration(
    "ring.heartbeat-timeout",
    "ingester.lifecycler.ring.heartbeat_timeout",
    "1m",
    "Time without a heartbeat after which a ring member is unhealthy.",
  ),
  zone: str(
    "ingester.availability-zone",
    "ingester.lifecycler.availability_zone",
    "",
    "Availability zone of this process.",
  ),
  unregister: bool(
    "ingester.unregister-on-shutdown",
    "ingester.lifecycler.unregister_on_shutdown",
    true,
    "Leave the rings on a clean shutdown.",
  ),
  replicationFactor: int(
    "distributor.replication-factor",
    "ingester.lifecycler.ring.replication_factor",
    1,
    "Number of ingesters that receive each push, when ingesters run as processes of their own.",
    { min: 1 },
  ),
  zoneAware: bool(
    "distributor.zone-awareness-enabled",
    "ingester.lifecycler.ring.zone_awareness_enabled",
    false,
    "Place the replicas of a push in different zones.",
  ),
  schedulerDiscovery: str(
    "query-scheduler.service-discovery-mode",
    "query_scheduler.service_discovery_mode",
    "ring",
    "Method by which query-frontends and queriers discover the query-schedulers.",
    { choices: ["ring", "dns"] },
  ),
  schedulersUsed: int(
    "query-scheduler.max-used-instances",
    "query_scheduler.max_used_instances",
    0,
    "Maximum number of query-schedulers in use from the ring, oldest first; 0 uses all.",
    { min: 0 },
  ),
  frontendScheduler: str(
    "query-frontend.scheduler-address",
    "frontend.scheduler_address",
    "",
    "DNS name and port of the query-schedulers for query-frontends, with -query-scheduler.service-discovery-mode=dns.",
  ),
  querierScheduler: str(
    "querier.scheduler-address",
    "frontend_worker.scheduler_address",
    "",
    "DNS name and port of the query-schedulers for queriers, with -query-scheduler.service-discovery-mode=dns. Without one of the two addresses, the other applies.",
  ),
  redisAddress: str(
    "redis.address",
    "redis.address",
    "127.0.0.1:6379",
    "Host and port of Redis, for -ring.store=redis.",
  ),
  redisUsername: str("redis.username", "redis.username", "", "Redis user name."),
  redisPassword: secret("redis.password", "redis.password", "Redis password."),
  redisDatabase: int("redis.db", "redis.db", 0, "Redis database number.", { min: 0 }),
  redisTls: bool("redis.tls-enabled", "redis.tls_enabled", false, "Connect to Redis over TLS."),
  redisTlsCa: str(
    "redis.tls-ca-path",
    "redis.tls_ca_path",
    "",
    "PEM file with the certificate authorities that sign Redis's certificate. Empty: the system's authorities and those of NODE_EXTRA_CA_CERTS.",
  ),
  redisTlsInsecure: bool(
    "redis.tls-insecure-skip-verify",
    "redis.tls_insecure_skip_verify",
    false,
    "Skip the verification of Redis's certificate.",
  ),
  redisTimeout: duration("redis.timeout", "redis.timeout", "2s", "Timeout of a Redis command."),
  redisPrefix: str(
    "redis.key-prefix",
    "redis.key_prefix",
    "cinderblock/ring/",
    "Prefix of the rings' keys in Redis.",
  ),
  writeBuffer: str(
    "distributor.write-buffer",
    undefined,
    "none",
    "Buffer between distributors and ingesters. none: distributors send each push to its replicas in the ring; kafka: pushes pass through a Kafka topic.",
    { choices: ["none", "kafka"] },
  ),
  kafkaBrokers: str("kafka.brokers", undefined, "", "Kafka brokers: comma-separated list of host:port."),
  kafkaTopic: str("kafka.topic", undefined, "cinderblock-pushes", "Kafka topic of the pushes."),
  kafkaCreate: bool(
    "kafka.auto-create-topic-enabled",
    undefined,
    true,
    "Create the topic if it does not exist.",
  ),
  kafkaPartitions: int(
    "kafka.auto-create-topic-partitions",
    undefined,
    12,
    "Number of partitions of a topic that Cinderblock creates; at least the number of ingesters per zone.",
    { min: 1 },
  ),
  kafkaReplication: int(
    "kafka.auto-create-topic-replication",
    undefined,
    1,
    "Replication factor of a topic that Cinderblock creates.",
    { min: 1 },
  ),
  kafkaMaxRecord: int(
    "kafka.max-record-bytes",
    undefined,
    8388608,
    "Maximum size in bytes of a push in Kafka, as received; larger pushes are refused. The topic's max.message.bytes must allow this size.",
    { min: 65536 },
  ),
  kafkaLinger: duration(
    "kafka.linger",
    undefined,
    "5ms",
    "Maximum time that a push waits to share a produce request with other pushes; longer waits save requests and CPU. 0s sends each push immediately.",
  ),
  kafkaTls: bool("kafka.tls-enabled", undefined, false, "Connect to Kafka over TLS."),
  kafkaTlsCa: str(
    "kafka.tls-ca-path",
    undefined,
    "",
    "PEM file with the certificate authorities that sign the brokers' certificates. Empty: the system's authorities.",
  ),
  kafkaTlsInsecure: bool(
    "kafka.tls-insecure-skip-verify",
    undefined,
    false,
    "Skip the verification of the brokers' certificates.",
  ),
  kafkaSasl: str(
    "kafka.sasl.mechanism",
    undefined,
    "",
    "SASL mechanism for Kafka. Empty: no authentication.",
    {
      choices: ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
    },
  ),
  kafkaUsername: str("kafka.sasl.username", undefined, "", "Kafka user name."),
  kafkaPassword: secret("kafka.sasl.password", "kafka.sasl.password", "Kafka password."),
  kafkaTokenEndpoint: str(
    "kafka.sasl.oauth.token-endpoint",
    undefined,
    "",
    "OAuth token endpoint for OAUTHBEARER, called with the client credentials.",
  ),
  kafkaClientId: str("kafka.sasl.oauth.client-id", undefined, "", "OAuth client ID."),
  kafkaClientSecret: secret(
    "kafka.sasl.oauth.client-secret",
    "kafka.sasl.oauth.client_secret",
    "OAuth client secret.",
  ),
  kafkaScope: str("kafka.sasl.oauth.scope", undefined, "", "OAuth scope to request. Empty: no scope."),
  kafkaTokenFile: str(
    "kafka.sasl.oauth.token-file",
    undefined,
    "",
    "File with an OAUTHBEARER token that another program renews; read for each connection.",
  ),
  architecture: str(
    "architecture.storage",
    "architecture_storage",
    "v1",
    "Storage architecture; Cinderblock supports only v1.",
    { choices: ["v1", "v1-v2-dual", "v2"] },
  ),
  writePath: str(
    "write-path",
    "limits.write_path",
    "ingester",
    "Write path; Cinderblock supports only ingester.",
    {
      choices: ["ingester", "segment-writer", "combined"],
    },
  ),
  httpAddress: str(
    "server.http-listen-address",
    "server.http_listen_address",
    "",
    "HTTP listen address. Empty: all addresses.",
  ),
  httpPort: int(
    "server.http-listen-port",
    "server.http_listen_port",
    4040,
    "Listen port for all protocols: HTTP/1.1 and HTTP/2, Connect, gRPC, gRPC-web and plain HTTP.",
    { min: 0 },
  ),
  internalAddress: str(
    "server.internal-listen-address",
    "server.internal_listen_address",
    "",
    "Listen address for calls between the processes of a cluster. Empty: -server.http-listen-address.",
  ),
  internalPort: int(
    "server.internal-listen-port",
    "server.internal_listen_port",
    0,
    "Listen port for calls between the processes of a cluster. 0: -server.http-listen-port + 1000, or any free port if that port is in use.",
    { min: 0 },
  ),
  httpReadTimeout: duration(
    "server.http-read-timeout",
    "server.http_server_read_timeout",
    "30s",
    "Maximum time to read the headers and the body of a request; a body that arrives at 64 KiB/s or faster may take longer.",
  ),
  httpWriteTimeout: duration(
    "server.http-write-timeout",
    "server.http_server_write_timeout",
    "30s",
    "Maximum time to write a response; a response that the client reads at 64 KiB/s or faster may take longer.",
  ),
  httpIdleTimeout: duration(
    "server.http-idle-timeout",
    "server.http_server_idle_timeout",
    "2m",
    "Time after which an idle connection is closed.",
  ),
  httpConnections: int(
    "server.http-conn-limit",
    "server.http_listen_conn_limit",
    0,
    "Maximum number of simultaneous connections. At the limit, a new connection replaces the connection that has waited longest for a complete request. 0: one per 128 KiB of -memory.limit-bytes, and at most three quarters of the file descriptors.",
    { min: 0 },
  ),
  httpMaxHeaderBytes: int(
    "server.http-max-header-bytes",
    undefined,
    1048576,
    "Bytes of a request's line and headers: long selectors, cookies and tokens of proxies. A longer request gets 431.",
    { min: 8192 },
  ),
  shutdownTimeout: duration(
    "server.graceful-shutdown-timeout",
    "server.graceful_shutdown_timeout",
    "30s",
    "Time that in-flight requests have to finish during a shutdown.",
  ),
  maxConcurrentStreams: int(
    "server.grpc-max-concurrent-streams",
    "server.grpc_server_max_concurrent_streams",
    100,
    "Maximum number of concurrent HTTP/2 streams per connection.",
    { min: 1 },
  ),
  ...tlsSchema,
  runtimeFile: str(
    "runtime-config.file",
    "runtime_config.file",
    "",
    "Comma-separated YAML files or URLs with per-tenant limits, reloaded at run time. Empty: all tenants have the default limits.",
    { list: true },
  ),
  runtimeReload: duration(
    "runtime-config.reload-period",
    "runtime_config.period",
    "10s",
    "Interval between reloads of the per-tenant limits.",
  ),
  logLevel: str(
    "log.level",
    "server.log_level",
    "info",
    "Minimum log level. POST /log_level changes it at run time.",
    { choices: ["debug", "info", "warn", "error"] },
  ),
  logFormat: str("log.format", "server.log_format", "logfmt", "Log format.", {
    choices: ["logfmt", "json"],
  }),
  tracingEndpoint: str(
    "tracing.otlp-endpoint",
    "tracing.otlp_endpoint",
    "",
    "OTLP/HTTP endpoint for traces, for example http://localhost:4318/v1/traces. Empty: tracing is disabled.",
  ),
  selfDisablePush: bool(
    "self-profiling.disable-push",
    "self_profiling.disable_push",
    true,
    "Do not push this process's own CPU and heap profiles. /debug/pprof/ serves them in either case.",
  ),
  selfUrl: str(
    "self-profiling.url",
    "self_profiling.url",
    "",
    "Address of the Cinderblock or Pyroscope server that receives this process's own profiles. Empty: this process, in the single binary.",
  ),
  selfTenant: str(
    "self-profiling.tenant-id",
    "self_profiling.tenant_id",
    "",
    "Tenant of this process's own profiles. Empty: anonymous, or no tenant header.",
  ),
  selfToken: secret(
    "self-profiling.token",
    "self_profiling.token",
    "Token for pushing this process's own profiles, if the server requires one.",
  ),
  selfInterval: duration(
    "self-profiling.interval",
    "self_profiling.interval",
    "15s",
    "Duration of each CPU profile of this process, and interval between pushes.",
  ),
  ...storageSchema,
  dataPath: str(
    "pyroscopedb.data-path",
    "pyroscopedb.data_path",
    "./data",
    "Data directory of the ingester: write-ahead log and local blocks.",
  ),
  maxBlockDuration: duration(
    "pyroscopedb.max-block-duration",
    "pyroscopedb.max_block_duration",
    "1h",
    "Time range of one block; at least 5s.",
  ),
  queryWorkers: int(
    "querier.workers",
    "querier.workers",
    0,
    "Number of query threads; 0 uses one fewer than the number of cores.",
    { min: 0 },
  ),
  memoryLimit: int(
    "memory.limit-bytes",
    "memory.limit_bytes",
    0,
    "Memory in bytes of this process, from which the default memory budgets are derived. 0: half of the container's memory, at most 4 GiB.",
    { min: 0 },
  ),
  memoryHeads: int(
    "memory.head-bytes",
    "memory.head_bytes",
    0,
    "Memory budget in bytes of all heads, divided among the ingest threads. Above half of it, heads are cut; above all of it, pushes get 429, earlier for tenants with large heads. 0: 25 % of the memory that the runtime leaves.",
    { min: 0 },
  ),
  memoryInflight: int(
    "memory.inflight-bytes",
    "memory.inflight_bytes",
    0,
    "Memory budget in bytes of concurrently processed request bodies, reserved before a body is read; above it, requests get 429. A quarter is reserved for small bodies. 0: 10 % of the memory that the runtime leaves.",
    { min: 0 },
  ),
  memoryBlocks: int(
    "memory.block-cache-bytes",
    "memory.block_cache_bytes",
    0,
    "Memory budget in bytes of decoded block columns and symbols that queries cache. 0: 20 % of the memory that the runtime leaves.",
    { min: 0 },
  ),
  blockIdle: duration(
    "memory.block-idle-timeout",
    "memory.block_idle_timeout",
    "20m",
    "Time without queries after which an open block is closed.",
  ),
  syncDir: str(
    "blocks-storage.bucket-store.sync-dir",
    "store_gateway.bucket_store.sync_dir",
    "./data/pyroscope-sync",
    "Directory of the disk cache for remote blocks.",
  ),
  diskCacheBytes: int(
    "blocks-storage.bucket-store.disk-cache-bytes",
    "store_gateway.bucket_store.disk_cache_bytes",
    1073741824,
    "Size in bytes of the disk cache for remote blocks, in -blocks-storage.bucket-store.sync-dir; 0 disables it. A filesystem bucket does not use it.",
    { min: 0 },
  ),
  symbolizerEnabled: bool(
    "symbolizer.enabled",
    "symbolizer.enabled",
    false,
    "Resolve function names of native frames by build ID at query time, from uploaded debug files or a debuginfod server. Set the same value on all components that read profiles.",
  ),
  debuginfodUrl: str(
    "symbolizer.debuginfod-url",
    "symbolizer.debuginfod_url",
    "",
    "Comma-separated debuginfod servers, queried in this order. They learn the build IDs of your programs. Empty: only uploaded debug files are used.",
  ),
  symbolizerMaxFile: int(
    "symbolizer.max-file-bytes",
    "symbolizer.max_file_bytes",
    268435456,
    "Maximum size in bytes of a debug file, uploaded or fetched.",
    { min: 1 },
  ),
  symbolizerFetchTimeout: duration(
    "symbolizer.fetch-timeout",
    "symbolizer.fetch_timeout",
    "2m",
    "Timeout of fetching a debug file.",
  ),
  symbolizerQueryWait: duration(
    "symbolizer.query-wait",
    "symbolizer.query_wait",
    "3s",
    "Maximum time that a query waits for a debug file. Afterwards the response lacks these names and carries a warning, and the fetch continues.",
  ),
  symbolizerAbsent: duration(
    "symbolizer.absent-ttl",
    "symbolizer.absent_ttl",
    "10m",
    "Time before a debug file that no server had is requested again.",
  ),
  symbolizerMemory: int(
    "symbolizer.memory-bytes",
    "symbolizer.memory_bytes",
    134217728,
    "Memory budget in bytes of debug file tables, shared by all threads.",
    { min: 0 },
  ),
  symbolizerDisk: int(
    "symbolizer.disk-bytes",
    "symbolizer.disk_bytes",
    1073741824,
    "Size in bytes of the disk cache for tables of fetched debug files, in -blocks-storage.bucket-store.sync-dir.",
    { min: 1048576 },
  ),
  queryTimeout: duration("querier.query-timeout", "querier.query_timeout", "2m", "Query timeout."),
  compactorMemory: int(
    "compactor.memory-limit",
    "compactor.memory_limit",
    0,
    "Memory budget in bytes of a compaction's columns, independent of the block sizes; one symbol partition is added to it. 0: 15 % of the memory that the runtime leaves.",
    { min: 0 },
  ),

  // Limits: the defaults for all tenants.
  ingestionRateMb: float(
    "distributor.ingestion-rate-limit-mb",
    "limits.ingestion_rate_mb",
    4,
    "Per-tenant ingestion rate limit in MiB per second, counting labels and uncompressed profiles.",
    { min: 0 },
  ),
  ingestionBurstMb: float(
    "distributor.ingestion-burst-size-mb",
    "limits.ingestion_burst_size_mb",
    2,
    "Per-tenant ingestion burst size in MiB; a single profile above it is always refused.",
    { min: 0 },
  ),
  ingestionBodyMb: float(
    "distributor.ingestion-body-limit-mb",
    "limits.ingestion_body_limit_mb",
    256,
    "Maximum uncompressed body size of a push in MiB; at most twice -memory.inflight-bytes, or 16 if that is less.",
    { min: 0 },
  ),
  maxLabelNameLength: int(
    "validation.max-length-label-name",
    "limits.max_label_name_length",
    1024,
    "Maximum length in bytes of a label name.",
    { min: 1 },
  ),
  maxLabelValueLength: int(
    "validation.max-length-label-value",
    "limits.max_label_value_length",
    2048,
    "Maximum length in bytes of a label value.",
    { min: 1 },
  ),
  maxLabelNames: int(
    "validation.max-label-names-per-series",
    "limits.max_label_names_per_series",
    30,
    "Maximum number of label names per series.",
    { min: 1 },
  ),
  maxSessions: int(
    "validation.max-sessions-per-series",
    "limits.max_sessions_per_series",
    0,
    "Maximum number of session IDs per series; 0 removes session IDs.",
    { min: 0 },
  ),
  enforceLabelsOrder: bool(
    "validation.enforce-labels-order",
    "limits.enforce_labels_order",
    false,
    "Sort the labels of a series with the profile type and the service name first.",
  ),
  disableSanitization: bool(
    "validation.disable-label-sanitization",
    "limits.disable_label_sanitization",
    true,
    "Accept any UTF-8 label name. When false, dots become underscores and other invalid characters are refused.",
  ),
  maxProfileSize: int(
    "validation.max-profile-size-bytes",
    "limits.max_profile_size_bytes",
    4194304,
    "Maximum uncompressed size of a profile in bytes; 0 disables the limit.",
    { min: 0 },
  ),
  maxProfileSamples: int(
    "validation.max-profile-stacktrace-samples",
    "limits.max_profile_stacktrace_samples",
    16000,
    "Maximum number of samples per profile; 0 disables the limit.",
    { min: 0 },
  ),
  maxSampleLabels: int(
    "validation.max-profile-stacktrace-sample-labels",
    "limits.max_profile_stacktrace_sample_labels",
    100,
    "Maximum number of labels per sample; 0 disables the limit.",
    { min: 0 },
  ),
  maxStackDepth: int(
    "validation.max-profile-stacktrace-depth",
    "limits.max_profile_stacktrace_depth",
    1000,
    "Maximum number of frames per stacktrace; deeper stacktraces are truncated at the leaf end.",
    { min: 0 },
  ),
  maxSymbolLength: int(
    "validation.max-profile-symbol-value-length",
    "limits.max_profile_symbol_value_length",
    65535,
    "Maximum length in bytes of a symbol name; the beginning of longer names is removed.",
    { min: 0 },
  ),
  ingestionShardSize: int(
    "distributor.ingestion-tenant-shard-size",
    "limits.ingestion_tenant_shard_size",
    0,
    "Number of ingesters in a tenant's shuffle shard, spread evenly over the zones; limits the effect of an overloading tenant on others. 0 uses all ingesters. The replication factor is the minimum.",
    { min: 0 },
  ),
  rejectOlderThan: duration(
    "validation.reject-older-than",
    "limits.reject_older_than",
    "1h",
    "Maximum age of a profile; older profiles are refused. 0 disables the limit.",
  ),
  rejectNewerThan: duration(
    "validation.reject-newer-than",
    "limits.reject_newer_than",
    "10m",
    "Maximum time of a profile in the future; newer profiles are refused. 0 disables the limit.",
  ),
  relabelDefaultRules: str(
    "distributor.ingestion-relabeling-default-rules-position",
    "limits.ingestion_relabeling_default_rules_position",
    "first",
    "Position of the default relabeling rules relative to -distributor.ingestion-relabeling-rules.",
    { choices: ["first", "last", "disabled"] },
  ),
  relabelRules: yaml(
    "distributor.ingestion-relabeling-rules",
    "limits.ingestion_relabeling_rules",
    [] as RelabelRule[],
    "Prometheus relabeling rules for the labels of each series.",
    parseRelabelRules,
  ),
  sampleTypeRules: yaml(
    "distributor.sample-type-relabeling-rules",
    "limits.sample_type_relabeling_rules",
    [] as RelabelRule[],
    "Relabeling rules (keep, drop) on the series labels, __type__ and __unit__ that select which sample types of a profile are stored.",
    (value, where) => parseRelabelRules(value, where, ["keep", "drop"]),
  ),
  usageGroups: yaml(
    "distributor.usage-groups",
    "limits.distributor_usage_groups",
    [] as UsageGroup[],
    "Usage groups: at most 50 names with series selectors. A name may contain ${labels.<name>}. The pyroscope_usage_group_* metrics count the bytes of each group.",
    parseUsageGroups,
  ),
  sampling: yaml(
    "distributor.sampling",
    "limits.distributor_sampling",
    [] as SamplingRule[],
    "Sampling probabilities per usage group: usage_groups: {<name>: {probability: 0.1}}. The smallest probability of a series' groups applies. Other profiles get 200 and count as dropped_by_sampling_rules.",
    parseSampling,
  ),
  keepStripped: bool(
    "distributor.sampling.keep-stripped-profiles",
    "limits.keep_stripped_profiles",
    false,
    'Keep the totals, without stacktraces, of profiles dropped by sampling, in series with the label __sampled__="true"; timelines stay complete.',
  ),
  ingestionLimit: yaml(
    "distributor.ingestion-limit",
    "limits.ingestion_limit",
    undefined as IngestionLimit | undefined,
    "State of an external volume limit: period_type, period_limit_mb, limit_reset_time (Unix seconds), limit_reached (pushes get 429), sampling {num_requests, period} (number of pushes still accepted, each with an annotation), usage_groups {<name>: {period_limit_mb, limit_reached}}.",
    parseIngestionLimit,
  ),
  aggregationWindow: duration(
    "distributor.aggregation-window",
    "limits.distributor_aggregation_window",
    "0s",
    "Time window within which held profiles of a series merge into one profile; 0 disables aggregation. See -distributor.aggregation-period.",
  ),
  aggregationPeriod: duration(
    "distributor.aggregation-period",
    "limits.distributor_aggregation_period",
    "0s",
    "Minimum interval between stored profiles of a series. Profiles that arrive faster are held for this long and stored as one, in fewer rows. A push is acknowledged only after its profile is on disk, so keep this below the agents' timeout. 0 disables aggregation. Needs -distributor.aggregation-window.",
  ),
  maxLocalSeries: int(
    "ingester.max-local-series-per-tenant",
    "limits.max_local_series_per_tenant",
    0,
    "Maximum number of active series per tenant in each ingester; 0 disables the limit.",
    { min: 0 },
  ),
  maxGlobalSeries: int(
    "ingester.max-global-series-per-tenant",
    "limits.max_global_series_per_tenant",
    5000,
    "Maximum number of active series per tenant in all ingesters together; 0 disables the limit.",
    { min: 0 },
  ),
  blocksRetention: duration(
    "compactor.blocks-retention-period",
    "limits.compactor_blocks_retention_period",
    "0s",
    "Retention period: blocks that are entirely older are deleted. 0 disables retention.",
  ),
  retentionRules: yaml(
    "compactor.retention-rules",
    "limits.compactor_retention_rules",
    [] as RetentionRule[],
    "Series with a shorter retention period: list of selectors and periods. Blocks entirely older than the period are rewritten without these series.",
    parseRetentionRules,
  ),
  splitShards: int(
    "compactor.split-and-merge-shards",
    "limits.compactor_split_and_merge_shards",
    0,
    "Number of shards into which the compactor splits blocks; 0 disables splitting.",
    { min: 0 },
  ),
  splitGroups: int(
    "compactor.split-groups",
    "limits.compactor_split_groups",
    1,
    "Number of groups into which blocks are divided before splitting.",
    { min: 1 },
  ),
  splitStageSize: int(
    "compactor.split-and-merge-stage-size",
    "limits.compactor_split_and_merge_stage_size",
    0,
    "Accepted for compatibility with v1; all shards are written in one pass within the memory limit.",
    { min: 0 },
  ),
  compactorShardSize: int(
    "compactor.compactor-tenant-shard-size",
    "limits.compactor_tenant_shard_size",
    0,
    "Number of compactors that share a tenant's jobs; 0 uses all.",
    { min: 0 },
  ),
  partialBlockDelay: duration(
    "compactor.partial-block-deletion-delay",
    "limits.compactor_partial_block_deletion_delay",
    "1d",
    "Time without changes after which a partial block (without meta.json) is marked for deletion; values below 4h disable it.",
  ),
  tenantDownsampler: bool(
    "compactor.compactor-downsampler-enabled",
    "limits.compactor_downsampler_enabled",
    true,
    "Downsample the tenant's blocks; also needs -compactor.downsampler-enabled.",
  ),
  maxQueryLookback: duration(
    "querier.max-query-lookback",
    "limits.max_query_lookback",
    "7d",
    "Maximum age of data that queries can read; 0 disables the limit.",
  ),
  maxQueryLength: duration(
    "querier.max-query-length",
    "limits.max_query_length",
    "24h",
    "Maximum time range of a query; 0 disables the limit.",
  ),
  maxQueryParallelism: int(
    "querier.max-query-parallelism",
    "limits.max_query_parallelism",
    0,
    "Maximum number of concurrent sub-queries of a query; 0: 32.",
    { min: 0 },
  ),
  splitQueries: duration(
    "querier.split-queries-by-interval",
    "limits.split_queries_by_interval",
    "0s",
    "Interval by which a query's time range is split into sub-queries, whose responses the results cache can keep; 0 disables splitting by time.",
  ),
  splitShardsOfQueries: int(
    "querier.split-queries-by-shards",
    "limits.split_queries_by_shards",
    0,
    "Number of shards into which a query's series are split, each a sub-query, for tenants whose queries are too heavy for one querier; 0 disables splitting by series.",
    { min: 0 },
  ),
  maxQueriersPerTenant: int(
    "query-frontend.max-queriers-per-tenant",
    "limits.max_queriers_per_tenant",
    0,
    "Maximum number of queriers for a tenant's queries; 0 uses all.",
    { min: 0 },
  ),
  maxRegexInstructions: int(
    "querier.max-regex-instructions",
    "limits.max_regex_instructions",
    1000,
    "Maximum number of compiled instructions of all regular expressions in a query; 0 disables the limit. One instruction costs about 20 µs in the worst case for a value of 2,000 characters; lists of literal values cost none.",
    { min: 0 },
  ),
  maxSelectorLength: int(
    "querier.max-selector-length",
    "limits.max_selector_length",
    262144,
    "Maximum total length in characters of a query's selectors and filters; 0 disables the limit.",
    { min: 0 },
  ),
  maxMatchers: int(
    "querier.max-matchers",
    "limits.max_matchers",
    128,
    "Maximum number of selector matchers, of group-by labels, and of entries per stack filter of a query; 0 disables the limit.",
    { min: 0 },
  ),
  maxTenantsPerQuery: int(
    "querier.max-tenants-per-query",
    "limits.max_tenants_per_query",
    500,
    "Maximum number of tenants per query; 0 disables the limit.",
    { min: 0 },
  ),
  nodesDefault: int(
    "querier.max-flamegraph-nodes-default",
    "limits.max_flamegraph_nodes_default",
    8192,
    "Default number of nodes of a flame graph, for requests without max_nodes.",
    { min: 0 },
  ),
  nodesMax: int(
    "querier.max-flamegraph-nodes-max",
    "limits.max_flamegraph_nodes_max",
    1048576,
    "Maximum number of nodes that a request may ask for; 0 disables the limit.",
    { min: 0 },
  ),
  nodesOnMergeProfile: bool(
    "querier.max-flamegraph-nodes-on-select-merge-profile",
    "limits.max_flamegraph_nodes_on_select_merge_profile",
    false,
    "Apply the limit on nodes to SelectMergeProfile.",
  ),
  queryAnalysis: bool(
    "querier.query-analysis-enabled",
    "limits.query_analysis_enabled",
    true,
    "Answer AnalyzeQuery.",
  ),
  queryAnalysisSeries: bool(
    "querier.query-analysis-series-enabled",
    "limits.query_analysis_series_enabled",
    false,
    "Accepted for compatibility with v1; AnalyzeQuery counts only heads and blocks.",
  ),
};

/** Values of the options that all components share. */
export type CommonConfig = ConfigOf<typeof commonSchema>;

/** Options of v1 without effect here, or not supported yet: accepted, and named in a warning. */
export const acceptedV1Keys: AcceptedKeys = {
  flags: [
    /^(memberlist|kafka|redis|consul|etcd|ring|distributor|ingester|querier|query-frontend|query-scheduler|store-gateway|compactor|overrides-exporter|blocks-storage|pyroscopedb|server|storage|usage-stats|self-profiling|tracing|runtime-config|tenant-settings|embedded-grafana|admin-server|api|config|validation|metastore|segment-writer|query-backend|compaction-worker|symbolizer|adaptive-placement|recording-rules|experiment|debug-info|architecture|write-path|auth|client-capability)([.-].*)?$/,
  ],
  yaml: [
    /^(memberlist|frontend|kafka|frontend_worker|overrides_exporter|runtime_config|tenant_settings|self_profiling|analytics|show_banner|admin_server|embedded_grafana|metastore|query_backend|adaptive_placement|symbolizer|segment_writer|compaction_worker|api|distributor|querier|ingester|compactor|store_gateway|query_scheduler|server|storage|pyroscopedb|tracing|limits)(\..*)?$/,
  ],
};

/** Limits of a tenant in the units of the code, from the options. */
export function limitsOf(c: CommonConfig): Limits {
  return {
    ingestionRateBytes: c.ingestionRateMb * MIB,
    ingestionBurstBytes: c.ingestionBurstMb * MIB,
    ingestionBodyLimitBytes: smallerLimit(c.ingestionBodyMb * MIB, largestBody(c)),
    maxLabelNameLength: c.maxLabelNameLength,
    maxLabelValueLength: c.maxLabelValueLength,
    maxLabelNamesPerSeries: c.maxLabelNames,
    maxSessionsPerSeries: c.maxSessions,
    enforceLabelsOrder: c.enforceLabelsOrder,
    disableLabelSanitization: c.disableSanitization,
    maxProfileSizeBytes: c.maxProfileSize,
    maxProfileStacktraceSamples: c.maxProfileSamples,
    maxProfileStacktraceSampleLabels: c.maxSampleLabels,
    maxProfileStacktraceDepth: c.maxStackDepth,
    maxProfileSymbolValueLength: c.maxSymbolLength,
    rejectOlderThanMs: c.rejectOlderThan,
    rejectNewerThanMs: c.rejectNewerThan,
    relabelDefaultRules: c.relabelDefaultRules as Limits["relabelDefaultRules"],
    relabelRules: c.relabelRules,
    sampleTypeRelabelRules: c.sampleTypeRules,
    usageGroups: c.usageGroups,
    sampling: c.sampling,
    keepStripped: c.keepStripped,
    maxSeriesPerTenant: smallerLimit(c.maxLocalSeries, c.maxGlobalSeries),
    maxLocalSeriesPerTenant: c.maxLocalSeries,
    maxGlobalSeriesPerTenant: c.maxGlobalSeries,
    ingestionShardSize: c.ingestionShardSize,
    ingestionLimit: c.ingestionLimit,
    aggregationWindowMs: c.aggregationWindow,
    aggregationPeriodMs: c.aggregationPeriod,
    maxQueryLookbackMs: c.maxQueryLookback,
    maxQueryLengthMs: c.maxQueryLength,
    maxQueryParallelism: c.maxQueryParallelism,
    splitQueriesByIntervalMs: c.splitQueries,
    splitQueriesByShards: c.splitShardsOfQueries,
    maxQueriersPerTenant: c.maxQueriersPerTenant,
    maxRegexInstructions: c.maxRegexInstructions,
    maxSelectorLength: c.maxSelectorLength,
    maxMatchers: c.maxMatchers,
    maxTenantsPerQuery: c.maxTenantsPerQuery,
    maxFlamegraphNodesDefault: c.nodesDefault,
    maxFlamegraphNodesMax: c.nodesMax,
    maxFlamegraphNodesOnSelectMergeProfile: c.nodesOnMergeProfile,
    queryAnalysisEnabled: c.queryAnalysis,
    queryAnalysisSeriesEnabled: c.queryAnalysisSeries,
    blocksRetentionMs: c.blocksRetention,
    splitShards: c.splitShards,
    splitGroups: c.splitGroups,
    compactorShardSize: c.compactorShardSize,
    partialBlockDeletionDelayMs: c.partialBlockDelay,
    downsamplerEnabled: c.tenantDownsampler,
    retentionRules: c.retentionRules,
  };
}

/** Redis settings from the options. @throws `invalid` */
export function redisOf(c: CommonConfig): RedisConfig {
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(c.redisAddress) ?? [];
  if (host === undefined)
    throw new CinderblockError("invalid", `-redis.address=${c.redisAddress}: expected host:port`);
  return {
    host,
    port: Number(port),
    username: c.redisUsername,
    password: c.redisPassword,
    database: c.redisDatabase,
    tls: c.redisTls
      ? {
          ca: c.redisTlsCa === "" ? "" : readFileSync(c.redisTlsCa, "utf8"),
          insecureSkipVerify: c.redisTlsInsecure,
        }
      : undefined,
    timeoutMs: c.redisTimeout,
    prefix: c.redisPrefix,
  };
}

/**
 * Memory of the threads' code, stacks and heaps, measured under load: 120 MB when idle, the rest is
 * uncollected garbage.
 */
const RUNTIME_BYTES = 184 * MIB;

/** Memory budgets in bytes, and the numbers of query workers and connections. */
export interface Budgets {
  limit: number;
  heads: number;
  inflight: number;
  blocks: number;
  compactor: number;
  workers: number;
  /** maximum connections of the server's port */
  connections: number;
  /** headers above 64 KiB, of all connections together */
  headers: number;
}

/** Memory per connection: twice the header bytes that count in no budget, for clients that send them slowly. */
const CONNECTION_BYTES = 128 << 10;

/** Limit of file descriptors of this process. */
function fileDescriptors(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity; // not Linux: only the memory decides
  }
}

/** Maximum bytes of one inflated body, whatever the limit: the process has to hold it. */
function largestBody(c: CommonConfig): number {
  return Math.max(16 * MIB, Math.floor(2 * budgetsOf(c).inflight));
}

let container: number | undefined;
/** Memory of the container: the limit of its cgroup, or the machine's memory. */
function containerMemory(): number {
  return (container ??= readContainerMemory());
}
function readContainerMemory(): number {
  for (const path of ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]) {
    try {
      const n = Number(readFileSync(path, "utf8").trim());
      if (Number.isFinite(n) && n > 0 && n < totalmem()) return n;
    } catch {
      /* no such cgroup file: try the next one, then the machine */
    }
  }
  return totalmem();
}

/** Splits the memory limit into budgets. */
export function budgetsOf(c: CommonConfig): Budgets {
  const limit = c.memoryLimit > 0 ? c.memoryLimit : Math.min(containerMemory() / 2, 4 * 1024 * MIB);
  // Reserve the runtime's own memory; a cut briefly needs about twice the memory of its head.
  const free = Math.max(32 * MIB, limit - RUNTIME_BYTES);
  const share = (set: number, part: number): number => (set > 0 ? set : Math.floor(free * part));
  return {
    limit,
    heads: share(c.memoryHeads, 0.25),
    inflight: share(c.memoryInflight, 0.1),
    blocks: share(c.memoryBlocks, 0.2),
    compactor: share(c.compactorMemory, 0.15),
    workers: c.queryWorkers > 0 ? c.queryWorkers : Math.max(1, availableParallelism() - 1),
    headers: Math.floor(limit / 16),
    connections: Math.max(64, Math.floor(Math.min(limit / CONNECTION_BYTES, (fileDescriptors() * 3) / 4))),
  };
}
