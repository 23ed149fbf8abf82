import { availableParallelism, totalmem } from "node:os";
import { readFileSync } from "node:fs";
import {
  type Accepted,
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
    "Take the tenant from X-Scope-OrgID; otherwise every request is tenant anonymous.",
  ),
  tokensPath: str(
    "auth.tokens-file",
    "auth.tokens_file",
    "",
    "YAML file with tokens, what each may do, and for which tenants; empty: nobody is asked for one.",
  ),
  internalToken: secret(
    "auth.internal-token",
    "auth.internal_token",
    "Token that the processes of a cluster show each other, at least 16 characters; empty with no -auth.internal-token-file: a random one that they share through -redis.address.",
  ),
  internalTokenPath: str(
    "auth.internal-token-file",
    "auth.internal_token_file",
    "",
    "File with the token that the processes of a cluster show each other, read again while running. A second line is a token that is accepted, too, during a rotation.",
  ),
  shutdownDelay: duration("shutdown-delay", undefined, "0s", "Time between /ready turning 503 and the stop."),
  ringStore: str(
    "ring.store",
    "ingester.lifecycler.ring.kvstore.store",
    "memberlist",
    "Where ring state lives. One process needs none; several need redis.",
    { choices: ["memberlist", "inmemory", "redis", "consul", "etcd", "multi"] },
  ),
  instanceId: str(
    "ring.instance-id",
    "ring.instance_id",
    "",
    "Name of this process in the rings; empty: hostname and port.",
  ),
  instanceAddr: str(
    "ring.instance-addr",
    "ring.instance_addr",
    "",
    "Address that other processes reach this one at; empty: the listen address, or the first of the machine that is not its own.",
  ),
  heartbeatPeriod: duration(
    "ingester.heartbeat-period",
    "ingester.lifecycler.heartbeat_period",
    "5s",
    "How often a member of a ring tells that it lives.",
  ),
  heartbeatTimeout: duration(
    "ring.heartbeat-timeout",
    "ingester.lifecycler.ring.heartbeat_timeout",
    "1m",
    "Silence after which a member is taken for unhealthy.",
  ),
  zone: str(
    "ingester.availability-zone",
    "ingester.lifecycler.availability_zone",
    "",
    "Failure domain of this process.",
  ),
  unregister: bool(
    "ingester.unregister-on-shutdown",
    "ingester.lifecycler.unregister_on_shutdown",
    true,
    "A clean stop takes the member out of its rings.",
  ),
  replicationFactor: int(
    "distributor.replication-factor",
    "ingester.lifecycler.ring.replication_factor",
    1,
    "Ingesters that get each push, when they are processes of their own.",
    { min: 1 },
  ),
  zoneAware: bool(
    "distributor.zone-awareness-enabled",
    "ingester.lifecycler.ring.zone_awareness_enabled",
    false,
    "Put the replicas of a push into different zones.",
  ),
  schedulerDiscovery: str(
    "query-scheduler.service-discovery-mode",
    "query_scheduler.service_discovery_mode",
    "ring",
    "How frontends and queriers find the query-schedulers.",
    { choices: ["ring", "dns"] },
  ),
  schedulersUsed: int(
    "query-scheduler.max-used-instances",
    "query_scheduler.max_used_instances",
    0,
    "Query-schedulers of the ring that are used, the oldest first; 0: all.",
    { min: 0 },
  ),
  frontendScheduler: str(
    "query-frontend.scheduler-address",
    "frontend.scheduler_address",
    "",
    "Host and port of the query-schedulers, for -query-scheduler.service-discovery-mode=dns.",
  ),
  querierScheduler: str(
    "querier.scheduler-address",
    "frontend_worker.scheduler_address",
    "",
    "The same for queriers; either may be set.",
  ),
  redisAddress: str(
    "redis.address",
    "redis.address",
    "127.0.0.1:6379",
    "Host and port of Redis, for -ring.store=redis.",
  ),
  redisUsername: str("redis.username", "redis.username", "", "User of Redis."),
  redisPassword: secret("redis.password", "redis.password", "Password of Redis."),
  redisDatabase: int("redis.db", "redis.db", 0, "Database of Redis.", { min: 0 }),
  redisTls: bool("redis.tls-enabled", "redis.tls_enabled", false, "Speak TLS to Redis."),
  redisTlsCa: str(
    "redis.tls-ca-path",
    "redis.tls_ca_path",
    "",
    "File with the certificate authorities of Redis's certificate; empty: the system's and those of NODE_EXTRA_CA_CERTS.",
  ),
  redisTlsInsecure: bool(
    "redis.tls-insecure-skip-verify",
    "redis.tls_insecure_skip_verify",
    false,
    "Do not verify Redis's certificate.",
  ),
  redisTimeout: duration("redis.timeout", "redis.timeout", "2s", "Time a command of Redis gets."),
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
    "What stands between distributors and ingesters: nothing, each push goes to replicas in the ring; or Kafka.",
    { choices: ["none", "kafka"] },
  ),
  kafkaBrokers: str("kafka.brokers", undefined, "", "Brokers of Kafka, host:port separated by commas."),
  kafkaTopic: str("kafka.topic", undefined, "cinderblock-pushes", "Topic of the pushes."),
  kafkaCreate: bool("kafka.auto-create-topic-enabled", undefined, true, "Make the topic when there is none."),
  kafkaPartitions: int(
    "kafka.auto-create-topic-partitions",
    undefined,
    12,
    "Partitions of a topic that is made: at least as many as there will be ingesters in a zone.",
    { min: 1 },
  ),
  kafkaReplication: int(
    "kafka.auto-create-topic-replication",
    undefined,
    1,
    "Replicas of a topic that is made.",
    { min: 1 },
  ),
  kafkaMaxRecord: int(
    "kafka.max-record-bytes",
    undefined,
    8388608,
    "Largest push in Kafka, as it came; larger ones are refused. The topic's max.message.bytes must allow it.",
    { min: 65536 },
  ),
  kafkaLinger: duration(
    "kafka.linger",
    undefined,
    "5ms",
    "How long a push waits for others to go to Kafka with: fewer requests, less CPU. 0s: not at all.",
  ),
  kafkaTls: bool("kafka.tls-enabled", undefined, false, "Speak TLS to Kafka."),
  kafkaTlsCa: str(
    "kafka.tls-ca-path",
    undefined,
    "",
    "File with the certificate authorities of Kafka's certificates; empty: the system's.",
  ),
  kafkaTlsInsecure: bool(
    "kafka.tls-insecure-skip-verify",
    undefined,
    false,
    "Do not verify Kafka's certificates.",
  ),
  kafkaSasl: str("kafka.sasl.mechanism", undefined, "", "SASL mechanism for Kafka; empty: none.", {
    choices: ["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"],
  }),
  kafkaUsername: str("kafka.sasl.username", undefined, "", "User of Kafka."),
  kafkaPassword: secret("kafka.sasl.password", "kafka.sasl.password", "Password of Kafka."),
  kafkaTokenEndpoint: str(
    "kafka.sasl.oauth.token-endpoint",
    undefined,
    "",
    "Where a token for OAUTHBEARER is asked for, with the client's credentials.",
  ),
  kafkaClientId: str(
    "kafka.sasl.oauth.client-id",
    undefined,
    "",
    "Name of the client at the token endpoint.",
  ),
  kafkaClientSecret: secret(
    "kafka.sasl.oauth.client-secret",
    "kafka.sasl.oauth.client_secret",
    "Secret of the client at the token endpoint.",
  ),
  kafkaScope: str("kafka.sasl.oauth.scope", undefined, "", "Scope that is asked for; empty: none."),
  kafkaTokenFile: str(
    "kafka.sasl.oauth.token-file",
    undefined,
    "",
    "File with a token for OAUTHBEARER that something else keeps fresh; read for every connection.",
  ),
  architecture: str(
    "architecture.storage",
    "architecture_storage",
    "v1",
    "Storage architecture; only v1 exists here.",
    { choices: ["v1", "v1-v2-dual", "v2"] },
  ),
  writePath: str("write-path", "limits.write_path", "ingester", "Write path; only ingester exists here.", {
    choices: ["ingester", "segment-writer", "combined"],
  }),
  httpAddress: str(
    "server.http-listen-address",
    "server.http_listen_address",
    "",
    "Address to listen on; empty for all.",
  ),
  httpPort: int(
    "server.http-listen-port",
    "server.http_listen_port",
    4040,
    "Port for everything: HTTP/1.1 and HTTP/2, Connect, gRPC, gRPC-web and plain routes.",
    { min: 0 },
  ),
  internalAddress: str(
    "server.internal-listen-address",
    "server.internal_listen_address",
    "",
    "Address to listen on for calls between the processes of a cluster; empty: -server.http-listen-address.",
  ),
  internalPort: int(
    "server.internal-listen-port",
    "server.internal_listen_port",
    0,
    "Port for calls between the processes of a cluster. 0: 1000 above -server.http-listen-port, or any free port if that one is taken.",
    { min: 0 },
  ),
  httpReadTimeout: duration(
    "server.http-read-timeout",
    "server.http_server_read_timeout",
    "30s",
    "Time to read the headers of a request, and its body; a body that comes at 64 KiB/s or faster may take longer.",
  ),
  httpWriteTimeout: duration(
    "server.http-write-timeout",
    "server.http_server_write_timeout",
    "30s",
    "Time that an answer may wait for its client to take it; one that goes at 64 KiB/s or faster may take longer.",
  ),
  httpIdleTimeout: duration(
    "server.http-idle-timeout",
    "server.http_server_idle_timeout",
    "2m",
    "Time an idle connection is kept.",
  ),
  httpConnections: int(
    "server.http-conn-limit",
    "server.http_listen_conn_limit",
    0,
    "Connections at once. At the limit the connection that has waited longest without a whole request is closed for a new one. 0: one for each 128 KiB of -memory.limit-bytes, and at most three quarters of the file descriptors.",
    { min: 0 },
  ),
  shutdownTimeout: duration(
    "server.graceful-shutdown-timeout",
    "server.graceful_shutdown_timeout",
    "30s",
    "Time that requests in flight get at a stop.",
  ),
  maxConcurrentStreams: int(
    "server.grpc-max-concurrent-streams",
    "server.grpc_server_max_concurrent_streams",
    100,
    "HTTP/2 streams of one connection at once.",
    { min: 1 },
  ),
  ...tlsSchema,
  runtimeFile: str(
    "runtime-config.file",
    "runtime_config.file",
    "",
    "YAML files or URLs with limits of single tenants, separated by commas; read again while running. Empty: all tenants have the defaults.",
    { list: true },
  ),
  runtimeReload: duration(
    "runtime-config.reload-period",
    "runtime_config.period",
    "10s",
    "How often they are read again.",
  ),
  logLevel: str(
    "log.level",
    "server.log_level",
    "info",
    "Least level that is logged; POST /log_level changes it while running.",
    { choices: ["debug", "info", "warn", "error"] },
  ),
  logFormat: str("log.format", "server.log_format", "logfmt", "Form of log lines.", {
    choices: ["logfmt", "json"],
  }),
  tracingEndpoint: str(
    "tracing.otlp-endpoint",
    "tracing.otlp_endpoint",
    "",
    "OTLP/HTTP endpoint for traces, e.g. http://localhost:4318/v1/traces; empty: no traces.",
  ),
  selfDisablePush: bool(
    "self-profiling.disable-push",
    "self_profiling.disable_push",
    true,
    "Do not push this process's own CPU and heap profiles. They are at /debug/pprof/ in any case.",
  ),
  selfUrl: str(
    "self-profiling.url",
    "self_profiling.url",
    "",
    "Where they are pushed: the address of a Cinderblock or Pyroscope; empty: into this process, if it is the single binary.",
  ),
  selfTenant: str(
    "self-profiling.tenant-id",
    "self_profiling.tenant_id",
    "",
    "Tenant that they belong to; empty: anonymous, or none told.",
  ),
  selfToken: secret(
    "self-profiling.token",
    "self_profiling.token",
    "Token to push them with, where one is asked for.",
  ),
  selfInterval: duration(
    "self-profiling.interval",
    "self_profiling.interval",
    "15s",
    "Length of each CPU profile, and how often profiles are pushed.",
  ),
  ...storageSchema,
  dataPath: str(
    "pyroscopedb.data-path",
    "pyroscopedb.data_path",
    "./data",
    "Directory of the ingester: log, local blocks.",
  ),
  maxBlockDuration: duration(
    "pyroscopedb.max-block-duration",
    "pyroscopedb.max_block_duration",
    "1h",
    "Time window of one block; at least 5s.",
  ),
  queryWorkers: int(
    "querier.workers",
    "querier.workers",
    0,
    "Query threads; 0: one less than there are cores.",
    { min: 0 },
  ),
  memoryLimit: int(
    "memory.limit-bytes",
    "memory.limit_bytes",
    0,
    "Memory of the process that budgets are shares of; 0: half of what the container has, at most 4 GiB.",
    { min: 0 },
  ),
  memoryHeads: int(
    "memory.head-bytes",
    "memory.head_bytes",
    0,
    "Memory of all heads, divided over the ingest threads; beyond half of it heads are cut, beyond all of it pushes get 429, those of a large tenant earlier. 0: 25 % of what the runtime leaves.",
    { min: 0 },
  ),
  memoryInflight: int(
    "memory.inflight-bytes",
    "memory.inflight_bytes",
    0,
    "Request bodies that are read and processed at once, reserved before they are read; beyond it requests get 429. A quarter is kept for small ones. 0: 10 % of what the runtime leaves.",
    { min: 0 },
  ),
  memoryBlocks: int(
    "memory.block-cache-bytes",
    "memory.block_cache_bytes",
    0,
    "Decoded columns and symbols of blocks that queries keep. 0: 20 % of what the runtime leaves.",
    { min: 0 },
  ),
  blockIdle: duration(
    "memory.block-idle-timeout",
    "memory.block_idle_timeout",
    "20m",
    "Blocks that no query asked for are closed after so long.",
  ),
  syncDir: str(
    "blocks-storage.bucket-store.sync-dir",
    "store_gateway.bucket_store.sync_dir",
    "./data/pyroscope-sync",
    "Directory of what is kept of far blocks.",
  ),
  diskCacheBytes: int(
    "blocks-storage.bucket-store.disk-cache-bytes",
    "store_gateway.bucket_store.disk_cache_bytes",
    1073741824,
    "Parts of far blocks' files that are kept on the local disk, in -blocks-storage.bucket-store.sync-dir; 0: none. A filesystem bucket needs none.",
    { min: 0 },
  ),
  symbolizerEnabled: bool(
    "symbolizer.enabled",
    "symbolizer.enabled",
    false,
    "Name frames of native programs that came without functions, by their build id, when they are read: from debug files that were uploaded or that a debuginfod server has. On in every component that reads profiles, or in none.",
  ),
  debuginfodUrl: str(
    "symbolizer.debuginfod-url",
    "symbolizer.debuginfod_url",
    "",
    "Servers of debug files, separated by commas and asked in this order; empty: only uploaded files count. They are told the build ids of your programs.",
  ),
  symbolizerMaxFile: int(
    "symbolizer.max-file-bytes",
    "symbolizer.max_file_bytes",
    268435456,
    "Largest debug file, uploaded or fetched.",
    { min: 1 },
  ),
  symbolizerFetchTimeout: duration(
    "symbolizer.fetch-timeout",
    "symbolizer.fetch_timeout",
    "2m",
    "Time that fetching a debug file gets.",
  ),
  symbolizerQueryWait: duration(
    "symbolizer.query-wait",
    "symbolizer.query_wait",
    "3s",
    "How long a query waits for a debug file; then it is answered without these names and with a warning, while the file is fetched.",
  ),
  symbolizerAbsent: duration(
    "symbolizer.absent-ttl",
    "symbolizer.absent_ttl",
    "10m",
    "After so long a file that nobody had is looked for again.",
  ),
  symbolizerMemory: int(
    "symbolizer.memory-bytes",
    "symbolizer.memory_bytes",
    134217728,
    "Tables of debug files in memory, of all threads together.",
    { min: 0 },
  ),
  symbolizerDisk: int(
    "symbolizer.disk-bytes",
    "symbolizer.disk_bytes",
    1073741824,
    "Tables of fetched debug files on the local disk, in -blocks-storage.bucket-store.sync-dir.",
    { min: 1048576 },
  ),
  queryTimeout: duration("querier.query-timeout", "querier.query_timeout", "2m", "Longest time of a query."),
  compactorMemory: int(
    "compactor.memory-limit",
    "compactor.memory_limit",
    0,
    "Memory in bytes that a compaction's columns may use, whatever the size of the blocks; one symbol partition comes on top. 0: 15 % of what the runtime leaves.",
    { min: 0 },
  ),

  // Limits: the defaults for all tenants.
  ingestionRateMb: float(
    "distributor.ingestion-rate-limit-mb",
    "limits.ingestion_rate_mb",
    4,
    "Ingestion rate of a tenant in MiB/s, labels and uncompressed profiles.",
    { min: 0 },
  ),
  ingestionBurstMb: float(
    "distributor.ingestion-burst-size-mb",
    "limits.ingestion_burst_size_mb",
    2,
    "Burst of a tenant in MiB; a single profile above it never passes.",
    { min: 0 },
  ),
  ingestionBodyMb: float(
    "distributor.ingestion-body-limit-mb",
    "limits.ingestion_body_limit_mb",
    256,
    "Largest body of a push in MiB, inflated; at most twice -memory.inflight-bytes, or 16 where that is less.",
    { min: 0 },
  ),
  maxLabelNameLength: int(
    "validation.max-length-label-name",
    "limits.max_label_name_length",
    1024,
    "Bytes of a label name.",
    { min: 1 },
  ),
  maxLabelValueLength: int(
    "validation.max-length-label-value",
    "limits.max_label_value_length",
    2048,
    "Bytes of a label value.",
    { min: 1 },
  ),
  maxLabelNames: int(
    "validation.max-label-names-per-series",
    "limits.max_label_names_per_series",
    30,
    "Labels of a series.",
    { min: 1 },
  ),
  maxSessions: int(
    "validation.max-sessions-per-series",
    "limits.max_sessions_per_series",
    0,
    "Distinct session ids of a series; 0 removes them.",
    { min: 0 },
  ),
  enforceLabelsOrder: bool(
    "validation.enforce-labels-order",
    "limits.enforce_labels_order",
    false,
    "Sort labels with the profile type and the service first.",
  ),
  disableSanitization: bool(
    "validation.disable-label-sanitization",
    "limits.disable_label_sanitization",
    true,
    "Take any UTF-8 label name; otherwise dots become underscores and other characters are refused.",
  ),
  maxProfileSize: int(
    "validation.max-profile-size-bytes",
    "limits.max_profile_size_bytes",
    4194304,
    "Uncompressed bytes of a profile; 0: no limit.",
    { min: 0 },
  ),
  maxProfileSamples: int(
    "validation.max-profile-stacktrace-samples",
    "limits.max_profile_stacktrace_samples",
    16000,
    "Samples of a profile; 0: no limit.",
    { min: 0 },
  ),
  maxSampleLabels: int(
    "validation.max-profile-stacktrace-sample-labels",
    "limits.max_profile_stacktrace_sample_labels",
    100,
    "Labels of a sample; 0: no limit.",
    { min: 0 },
  ),
  maxStackDepth: int(
    "validation.max-profile-stacktrace-depth",
    "limits.max_profile_stacktrace_depth",
    1000,
    "Frames of a stack; deeper ones lose their leaf end.",
    { min: 0 },
  ),
  maxSymbolLength: int(
    "validation.max-profile-symbol-value-length",
    "limits.max_profile_symbol_value_length",
    65535,
    "Bytes of a symbol; longer ones lose their beginning.",
    { min: 0 },
  ),
  ingestionShardSize: int(
    "distributor.ingestion-tenant-shard-size",
    "limits.ingestion_tenant_shard_size",
    0,
    "Ingesters (of each zone as many, rounded up) that a tenant's writes stay in, so that a tenant that overloads its part leaves the others alone; 0: all. At least the replication factor is taken.",
    { min: 0 },
  ),
  rejectOlderThan: duration(
    "validation.reject-older-than",
    "limits.reject_older_than",
    "1h",
    "Profiles older than this are refused; 0: none.",
  ),
  rejectNewerThan: duration(
    "validation.reject-newer-than",
    "limits.reject_newer_than",
    "10m",
    "Profiles newer than this are refused; 0: none.",
  ),
  relabelDefaultRules: str(
    "distributor.ingestion-relabeling-default-rules-position",
    "limits.ingestion_relabeling_default_rules_position",
    "first",
    "Where the default relabelling rules apply.",
    { choices: ["first", "last", "disabled"] },
  ),
  relabelRules: yaml(
    "distributor.ingestion-relabeling-rules",
    "limits.ingestion_relabeling_rules",
    [] as RelabelRule[],
    "Relabelling rules of Prometheus for the labels of each series.",
    parseRelabelRules,
  ),
  sampleTypeRules: yaml(
    "distributor.sample-type-relabeling-rules",
    "limits.sample_type_relabeling_rules",
    [] as RelabelRule[],
    "Rules (keep, drop) that decide by the labels of a series, __type__ and __unit__ which sample types of a profile are stored.",
    (value, where) => parseRelabelRules(value, where, ["keep", "drop"]),
  ),
  usageGroups: yaml(
    "distributor.usage-groups",
    "limits.distributor_usage_groups",
    [] as UsageGroup[],
    "Whose profiles count together: names and selectors of series, at most 50. A name may hold ${labels.<name>}. pyroscope_usage_group_* count their bytes.",
    parseUsageGroups,
  ),
  sampling: yaml(
    "distributor.sampling",
    "limits.distributor_sampling",
    [] as SamplingRule[],
    "Which part of a usage group's profiles is kept: usage_groups: {<name>: {probability: 0.1}}. The smallest of a series' groups holds; the others get 200 and are counted as dropped_by_sampling_rules.",
    parseSampling,
  ),
  keepStripped: bool(
    "distributor.sampling.keep-stripped-profiles",
    "limits.keep_stripped_profiles",
    false,
    'Of profiles that sampling leaves out keep the totals, without stacks, in series with the label __sampled__="true": time lines stay whole.',
  ),
  ingestionLimit: yaml(
    "distributor.ingestion-limit",
    "limits.ingestion_limit",
    undefined as IngestionLimit | undefined,
    "What somebody else counts a tenant's volume by, and has found: period_type, period_limit_mb, limit_reset_time (Unix seconds), limit_reached (pushes get 429), sampling {num_requests, period} (so many are taken all the same, and marked with an annotation), usage_groups {<name>: {period_limit_mb, limit_reached}}.",
    parseIngestionLimit,
  ),
  aggregationWindow: duration(
    "distributor.aggregation-window",
    "limits.distributor_aggregation_window",
    "0s",
    "Profiles of a series that are held together become one for each window of their time; 0: none. See -distributor.aggregation-period.",
  ),
  aggregationPeriod: duration(
    "distributor.aggregation-period",
    "limits.distributor_aggregation_period",
    "0s",
    "When a series' profiles come closer together than this, they are held for so long and stored as one, which takes fewer rows. A push is answered once its profile is on disk, so agents wait up to this time: keep it below their timeout. 0: none. Needs -distributor.aggregation-window too.",
  ),
  maxLocalSeries: int(
    "ingester.max-local-series-per-tenant",
    "limits.max_local_series_per_tenant",
    0,
    "Active series of a tenant in this ingester; 0: no limit.",
    { min: 0 },
  ),
  maxGlobalSeries: int(
    "ingester.max-global-series-per-tenant",
    "limits.max_global_series_per_tenant",
    5000,
    "Active series of a tenant in all ingesters; 0: no limit.",
    { min: 0 },
  ),
  blocksRetention: duration(
    "compactor.blocks-retention-period",
    "limits.compactor_blocks_retention_period",
    "0s",
    "Blocks wholly older than this are deleted; 0: none.",
  ),
  retentionRules: yaml(
    "compactor.retention-rules",
    "limits.compactor_retention_rules",
    [] as RetentionRule[],
    "Series that are kept for a shorter time: a list of selector and period. Blocks wholly older than the period are written again without them.",
    parseRetentionRules,
  ),
  splitShards: int(
    "compactor.split-and-merge-shards",
    "limits.compactor_split_and_merge_shards",
    0,
    "Shards that series are divided over; 0: none.",
    { min: 0 },
  ),
  splitGroups: int(
    "compactor.split-groups",
    "limits.compactor_split_groups",
    1,
    "Groups that blocks are divided into before they are split.",
    { min: 1 },
  ),
  splitStageSize: int(
    "compactor.split-and-merge-stage-size",
    "limits.compactor_split_and_merge_stage_size",
    0,
    "Accepted for v1; all shards are written in one pass here, within the memory limit.",
    { min: 0 },
  ),
  compactorShardSize: int(
    "compactor.compactor-tenant-shard-size",
    "limits.compactor_tenant_shard_size",
    0,
    "Compactors that share a tenant's jobs; 0: all.",
    { min: 0 },
  ),
  partialBlockDelay: duration(
    "compactor.partial-block-deletion-delay",
    "limits.compactor_partial_block_deletion_delay",
    "1d",
    "Idle time after which a block without a meta is marked; below 4h: never.",
  ),
  tenantDownsampler: bool(
    "compactor.compactor-downsampler-enabled",
    "limits.compactor_downsampler_enabled",
    true,
    "Downsample this tenant's blocks, where the compactor does.",
  ),
  maxQueryLookback: duration(
    "querier.max-query-lookback",
    "limits.max_query_lookback",
    "7d",
    "How far back queries see; 0: all.",
  ),
  maxQueryLength: duration(
    "querier.max-query-length",
    "limits.max_query_length",
    "24h",
    "Longest range of a query; 0: any.",
  ),
  maxQueryParallelism: int(
    "querier.max-query-parallelism",
    "limits.max_query_parallelism",
    0,
    "Parts of a query that run at once; 0: 32.",
    { min: 0 },
  ),
  splitQueries: duration(
    "querier.split-queries-by-interval",
    "limits.split_queries_by_interval",
    "0s",
    "Length of the parts that a query's range is divided into, which run apart and whose answers may be kept; 0: one.",
  ),
  splitShardsOfQueries: int(
    "querier.split-queries-by-shards",
    "limits.split_queries_by_shards",
    0,
    "Parts that a query's series are divided into, each run by itself; 0: one. For tenants whose queries are too heavy for one querier.",
    { min: 0 },
  ),
  maxQueriersPerTenant: int(
    "query-frontend.max-queriers-per-tenant",
    "limits.max_queriers_per_tenant",
    0,
    "Queriers that may run a tenant's queries; 0: all.",
    { min: 0 },
  ),
  maxRegexInstructions: int(
    "querier.max-regex-instructions",
    "limits.max_regex_instructions",
    1000,
    "Instructions that the regular expressions of a query may compile to, together. One costs about 20 µs for a value of 2,000 characters at worst; lists of plain values cost none. 0: no limit.",
    { min: 0 },
  ),
  maxSelectorLength: int(
    "querier.max-selector-length",
    "limits.max_selector_length",
    262144,
    "Characters of the selectors and filters of a query, together; 0: no limit.",
    { min: 0 },
  ),
  maxMatchers: int(
    "querier.max-matchers",
    "limits.max_matchers",
    128,
    "Matchers of the selectors of a query, labels that it groups by, and entries of each of its stack filters; 0: no limit.",
    { min: 0 },
  ),
  maxTenantsPerQuery: int(
    "querier.max-tenants-per-query",
    "limits.max_tenants_per_query",
    500,
    "Tenants that one query may name; 0: no limit.",
    { min: 0 },
  ),
  nodesDefault: int(
    "querier.max-flamegraph-nodes-default",
    "limits.max_flamegraph_nodes_default",
    8192,
    "Nodes of a flame graph that does not say.",
    { min: 0 },
  ),
  nodesMax: int(
    "querier.max-flamegraph-nodes-max",
    "limits.max_flamegraph_nodes_max",
    1048576,
    "Most nodes that may be asked for; 0: any.",
    { min: 0 },
  ),
  nodesOnMergeProfile: bool(
    "querier.max-flamegraph-nodes-on-select-merge-profile",
    "limits.max_flamegraph_nodes_on_select_merge_profile",
    false,
    "Apply the nodes limit to SelectMergeProfile.",
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
    "Accepted for v1; AnalyzeQuery counts heads and blocks only.",
  ),
};

export type CommonConfig = ConfigOf<typeof commonSchema>;

/** Options of v1 without effect here, or not supported yet: accepted, and named in a warning. */
export const accepted: Accepted = {
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
}

/** Memory per connection: twice the maximum size of its headers, for clients that send them slowly. */
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
    connections: Math.max(64, Math.floor(Math.min(limit / CONNECTION_BYTES, (fileDescriptors() * 3) / 4))),
  };
}
