import type { ForeignOption, ComponentOption, OptionEffect } from "@cinderblock/config";
import { pyroscopeOptions, type PyroscopeOption } from "./names.ts";

const meaningless = (why: string): OptionEffect => ({ is: "meaningless", why });
const warned = (why: string): OptionEffect => ({ is: "warned", why });
const refused = (why: string): OptionEffect => ({ is: "refused", why });
const mapped = (to: string): OptionEffect => ({ is: "mapped", to });

const V2 = meaningless("an option of Pyroscope's v2 storage");
const RING = meaningless("the rings live in Redis, see -ring.store and -redis.address");
const GRPC = meaningless("gRPC shares the HTTP port, and processes call each other over HTTP/2");
const RING_TIMES = warned(
  "-ingester.heartbeat-period, -ring.heartbeat-timeout and -ingester.unregister-on-shutdown apply to all rings",
);
const ADDRESS = warned("set -ring.instance-addr and -ring.instance-id, which apply to all rings");
const POOL = warned("the object store client sizes its connection pool itself");
const LOG = warned("the log of requests has no such setting");
const CLIENT_TLS =
  "calls between the processes of a cluster use TLS by -internal-client.tls-enabled and the other -internal-client.tls-* flags";
const LABELS = "processes of a cluster authenticate each other by -auth.internal-token";

/**
 * Effects of the options of Pyroscope that Cinderblock does not have. The first pattern that matches the
 * flag decides, or the path in the file where there is no flag.
 *
 * Options of ring transports, of gRPC and of the v2 storage have no meaning here. An option of safety, paths,
 * retention, TLS or limits is refused, since ignoring it would break a promise. Any other one is warned of.
 */
const OUTCOMES: readonly (readonly [RegExp, OptionEffect, ...string[]])[] = [
  // Pyroscope's options of TLS, identity and addresses.
  [
    /^server\.http_tls_config\./,
    refused("put the PEM text into a file and name it in the key that ends in _file"),
  ],
  [
    /^server\.(grpc-tls-|grpc_tls_config\.)/,
    refused("gRPC shares the HTTP port and its TLS settings, -server.http-tls-*"),
  ],
  [
    /^(query-frontend\.grpc-client-config|querier\.frontend-client|query-scheduler\.grpc-client-config)\.tls-/,
    refused(CLIENT_TLS),
  ],
  [/^(metastore|query-backend|segment-writer)\./, V2],
  [/^runtime-config\.http-client-cluster-validation\./, refused(LABELS)],
  [/cluster-validation\./, refused(LABELS)],
  [/^storage\.cos\.http\.insecure-skip-verify$/, mapped("storage.s3.http.insecure-skip-verify")],
  [
    /^storage\.gcs\.http\.insecure-skip-verify$/,
    refused("certificates are always verified; add the authority to NODE_EXTRA_CA_CERTS"),
  ],
  [
    /^(api\.base-url|server\.path-prefix)$/,
    refused("all routes are served at the root; let the reverse proxy remove the prefix"),
  ],
  [
    /^server\.proxy-protocol-enabled$/,
    refused("the PROXY protocol is not supported; turn it off in the load balancer"),
  ],
  [
    /^server\.http-listen-network$/,
    refused("-server.http-listen-address selects IPv4 or IPv6 by its notation"),
  ],
  [
    /^server\.register-instrumentation$/,
    refused("/metrics and /debug/pprof cannot be turned off; -auth.tokens-file restricts them"),
  ],
  [
    /^admin-server\.mode$/,
    refused("operational routes stay on the HTTP port; -auth.tokens-file restricts them"),
  ],
  [/^admin-server\./, warned("there is no separate admin port")],
  [
    /^debug-info\.enabled$/,
    refused("uploads of debug files cannot be turned off; -auth.tokens-file restricts them"),
  ],
  [/^debug-info\.max-upload-size$/, refused("set -symbolizer.max-file-bytes")],
  [/^debug-info\./, warned("uploads of debug files have no time limit of their own")],

  // Pyroscope's options of the object store.
  [/^storage\.storage-prefix$/, mapped("storage.prefix")],
  [/^limits\.s3_sse_/, refused("encryption is set for the whole bucket: -storage.s3.sse.*")],
  [/^storage\.s3\.http\.response-header-timeout$/, mapped("storage.s3.request-timeout")],
  [/^storage\.gcs\.http\.response-header-timeout$/, warned("set -storage.gcs.request-timeout")],
  [/^storage\.cos\.http\.response-header-timeout$/, mapped("storage.s3.request-timeout")],
  [/^storage\.(s3|cos)\.max-connections-per-host$/, mapped("storage.s3.max-connections")],
  [
    /^storage\.s3\.native-aws-auth-enabled$/,
    warned("without -storage.s3.access-key-id, the credentials come from AWS's own chain"),
  ],
  [/^storage\.(s3|gcs|cos)\.(http\.|max-|tls-handshake|expect-continue)/, POOL],

  // Pyroscope's options of limits and retention.
  [/^distributor\.ingestion-artificial-delay$/, refused("pushes are never delayed on purpose")],
  [/^distributor\.push\.max-concurrency$/, refused("-memory.inflight-bytes bounds concurrent pushes")],
  [/^store-gateway\.tenant-shard-size$/, refused("leave it out: every store-gateway may serve every tenant")],
  [/^querier\.sanitize-on-merge$/, refused("leave it out: merged profiles are always validated")],
  [/^retention-period$/, refused("set -compactor.blocks-retention-period")],
  [/^valdation\.symbolizer\.max-symbol-size-bytes$/, refused("set -symbolizer.max-file-bytes")],
  [
    /^distributor\.excluded-zones$/,
    refused("no zone can be excluded from the placement; take its ingesters out of the ring"),
  ],
  [
    /^store-gateway\.sharding-ring\.tokens-file-path$/,
    refused("a store-gateway keeps no file of its tokens; it loads its blocks again after a restart"),
  ],

  // Options of Pyroscope's v2 storage.
  [
    /^(adaptive-placement|compaction-worker|write-path|symbolizer|recording-rules)\.|^(async-ingest|enable-query-backend)|^querier\.query-tree|^query-frontend\.(async-queries|max-async)|^limits\.recording_rules/,
    V2,
  ],

  // Pyroscope's options of rings.
  [/^store-gateway\.sharding-ring\.instance-availability-zone$/, mapped("ingester.availability-zone")],
  [/(\.ring|sharding-ring|query-frontend)\.instance-|^ingester\.(lifecycler\.|enable-inet6)/, ADDRESS],
  [
    /^(memberlist|consul|etcd|multi)\.|^ring\.prefix$|ring\.(consul|etcd|multi)\.|ring\.(store|prefix)$/,
    RING,
  ],
  [/ring\.heartbeat-|^ingester\.heartbeat-timeout$|sharding-ring\.unregister-on-shutdown$/, RING_TIMES],
  [/ring\.wait-/, warned("members wait until the ring in Redis is readable, not for a fixed time")],
  [
    /^store-gateway\.sharding-ring\.(replication-factor|zone-awareness-enabled)$/,
    warned("one store-gateway owns a block at a time, and another one takes over when it leaves the ring"),
  ],
  [
    /^ingester\.(final-sleep|join-after|observe-period|min-ready-duration|readiness-check-ring-health)$/,
    warned("an ingester is ready once it is in the ring, and leaves it on shutdown without a fixed wait"),
  ],

  // Pyroscope's options of gRPC.
  [/^server\.grpc|grpc-client-config\.|^querier\.frontend-client\./, GRPC],
  [/^(distributor|querier)\.(client-cleanup-period|health-check-)/, GRPC],
  [
    /^query-frontend\.scheduler-worker-concurrency$|^frontend(_worker)?\.(scheduler_dns|dns_lookup|address)/,
    GRPC,
  ],

  // Pyroscope's options of single components.
  [
    /^compactor\.compaction-concurrency$/,
    warned("a compactor runs one job at a time within -compactor.memory-limit; add compactors for more"),
  ],
  [
    /^compactor\.(block-sync|meta-sync|cleanup|max-opening-blocks)-?concurrency$|^blocks-storage\.bucket-store\.(tenant|meta)-sync-concurrency$/,
    warned("-storage.max-requests-in-flight bounds concurrent requests to the bucket"),
  ],
  [/^compactor\.shutdown-timeout$/, warned("-server.graceful-shutdown-timeout bounds the shutdown")],
  [/^compactor\.tenant_cleanup_delay$/, warned("-compactor.deletion-delay applies to all files")],
  [
    /^blocks-storage\.bucket-store\.ignore-blocks-within$/,
    warned("a store-gateway serves new blocks at once"),
  ],
  [/^pyroscopedb\.row-group-target-size$/, warned("row groups are bounded by memory")],
  [
    /^pyroscopedb\.symbols-partition-label$/,
    warned("symbols are partitioned by the main mapping or the service"),
  ],
  [/^querier\.id$/, warned("-ring.instance-id names this process")],
  [/^embedded-grafana\./, warned("there is no embedded Grafana")],
  [/^tenant-settings\.recording-rules\./, warned("there are no recording rules")],
  [/^self-profiling\.use-k6/, warned("labels of k6 are not read from requests")],
  [/^self-profiling\./, warned("there is no such profile on Node.js")],
  [/^tracing\.profiling-enabled$/, warned("traces carry no profiles of this process")],
  [/^runtime-config\.http-client-/, warned("the HTTP client of -runtime-config.file has fixed settings")],
  [/^usage-stats\.enabled$/, warned("no usage statistics are sent"), "false"],
  [/^config\.show_banner$/, warned("there is no banner"), "false"],

  // Pyroscope's options of the server.
  [/^server\.http-read-header-timeout$/, warned("-server.http-read-timeout covers the headers")],
  [/^server\.(log-|http-log-)/, LOG],
  [/^server\.create-new-traces$/, warned("a request continues the trace of its caller")],
  [/^server\.trace-request-/, warned("spans carry no request headers")],
  [/^server\.(report-grpc-codes|throughput\.)/, warned("request metrics have no such label or series")],
];

/** Flags that every program has; libs/config handles them. */
const PROGRAM = /^(config\.(file|expand-env)|h|help|help-all|modules|version)$/;

/** Reason for an option that no pattern matches; a test holds that none exists. */
export const NO_EFFECT_DEFINED = "its effect is not defined";

/** The effect of an option of Pyroscope that is not in the schema. */
function outcomeOf(o: PyroscopeOption): { outcome: OptionEffect; fits: readonly string[] } {
  const name = o.flag === "" ? o.yaml : o.flag;
  const [, outcome, ...fits] = OUTCOMES.find(([pattern]) => pattern.test(name)) ?? [
    undefined,
    refused(NO_EFFECT_DEFINED),
  ];
  return { outcome, fits };
}

/**
 * Options of Pyroscope whose flag or YAML key Cinderblock does not have, with their effects.
 * @param own Cinderblock's options
 */
export function foreignOptions(own: readonly ComponentOption[]): ForeignOption[] {
  const flags = new Set(own.map((o) => o.flag)),
    keys = new Set(own.map((o) => o.yaml));
  return pyroscopeOptions.flatMap((o) => {
    if (PROGRAM.test(o.flag)) return [];
    const flag = flags.has(o.flag) ? "" : o.flag,
      yaml = keys.has(o.yaml) ? "" : o.yaml;
    if (flag === "" && yaml === "") return [];
    // Cinderblock has the flag, but another YAML key, or the reverse: both names set the same option.
    const same = own.find((x) => x.flag === o.flag || (o.yaml !== "" && x.yaml === o.yaml));
    if (same) return [{ ...o, flag, yaml, outcome: mapped(same.flag) }];
    return [{ ...o, flag, yaml, ...outcomeOf(o) }];
  });
}
