import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, startRedis } from "@cinderblock/testkit";
import { folder, Server } from "./server.ts";

/**
 * Unchanged configuration of Pyroscope v1 operators, given to this server. e2e/stores.e2e.ts has each store's
 * keys.
 */
const COMMON = `
analytics: { reporting_enabled: false }
tracing: { enabled: false, profiling_enabled: false }
show_banner: false
architecture_storage: v1
server: { log_level: info, log_format: logfmt, http_server_read_timeout: 30s, grpc_server_max_concurrent_streams: 100, graceful_shutdown_timeout: 10s, register_instrumentation: true }
self_profiling: { disable_push: false, mutex_profile_fraction: 5, block_profile_rate: 5 }
pyroscopedb: { max_block_duration: 1h, row_group_target_size: 1342177280, min_free_disk_gb: 10, min_disk_available_percentage: 0.05, enforcement_interval: 5m }
distributor: { pushtimeout: 5s, pool_config: { client_cleanup_period: 15s, health_check_ingesters: true, remote_timeout: 5s } }
limits: { write_path: ingester, ingestion_rate_mb: 8, ingestion_burst_size_mb: 4, max_global_series_per_tenant: 0, max_query_lookback: 30d, max_query_length: 7d, reject_older_than: 0s, compactor_blocks_retention_period: 90d, distributor_usage_groups: {} }
compactor: { block_ranges: [1h, 2h, 8h], data_dir: ./data-compactor, compaction_interval: 30m, deletion_delay: 12h, cleanup_interval: 15m, sharding_ring: { kvstore: { store: memberlist } } }
store_gateway: { sharding_ring: { replication_factor: 1, kvstore: { store: memberlist }, heartbeat_period: 15s }, bucket_store: { sync_dir: ./sync, sync_interval: 15m, tenant_sync_concurrency: 10 } }
query_scheduler: { max_outstanding_requests_per_tenant: 100, service_discovery_mode: ring, ring: { kvstore: { store: memberlist } } }
frontend: { scheduler_worker_concurrency: 5, grpc_client_config: { max_recv_msg_size: 104857600, tls_enabled: false } }
frontend_worker: { scheduler_address: "", grpc_client_config: { grpc_compression: "" } }
overrides_exporter: { ring: { kvstore: { store: memberlist } } }
ingester: { lifecycler: { num_tokens: 128, heartbeat_period: 5s, min_ready_duration: 0s, availability_zone: "", ring: { kvstore: { store: memberlist }, heartbeat_timeout: 1m, replication_factor: 1 } } }
memberlist: { node_name: "", cluster_label: "", bind_port: 7946, join_members: ["pyroscope-memberlist.profiling.svc.cluster.local.:7946"], abort_if_cluster_join_fails: false }
`;
const filesystem = (dir: string): string =>
  `storage: { backend: filesystem, filesystem: { dir: ${join(dir, "blocks")} } }\n`;
const withFile = (server: Server, text: string): string => {
  mkdirSync(server.dir, { recursive: true });
  const file = join(server.dir, "v1.yaml");
  writeFileSync(file, text);
  return `-config.file=${file}`;
};
/** Error output of a server that does not start. */
const refused = async (text: string, ...flags: string[]): Promise<string> => {
  const s = new Server(folder());
  return s.start(withFile(s, text), ...flags).then(
    async () => {
      await s.stop();
      return "started";
    },
    (err: unknown) => (err as Error).message,
  );
};

describe("configuration of Pyroscope v1", () => {
  it("starts the single binary, applies supported keys, and names keys without effect by reason", async () => {
    const s = new Server();
    await s.start(withFile(s, `target: all\nmultitenancy_enabled: true\n${COMMON}${filesystem(s.dir)}`));
    const config = await (await fetch(`${s.url}/api/v1/status/config`)).text();
    expect(config).toMatch(/multitenancy_enabled: true/);
    expect(config).toMatch(/ingestion_burst_size_mb: 100000/); // flags override the file, as in v1
    expect(config).toMatch(/compactor_blocks_retention_period: 90d/);
    expect(s.log()).toMatch(
      /level=info msg="configuration keys have no effect" keys=memberlist.join_members reason="the rings live in Redis/,
    );
    expect(s.log()).toMatch(
      /level=warn msg="configuration keys have no effect" keys=ingester.lifecycler.min_ready_duration reason=/,
    );
    expect(s.log().match(/configuration keys have no effect/g)).toHaveLength(2);
    expect((await s.json("/querier.v1.QuerierService/ProfileTypes", { start: "1", end: "2" })).status).toBe(
      401,
    );
    expect(await s.stop()).toBe(0);
  });

  it("of the v2 storage is refused with instructions", async () => {
    expect(await refused("architecture_storage: v2\n")).toContain(
      "Cinderblock implements the v1 storage; set it to v1 or leave it out",
    );
    expect(await refused("limits: { write_path: segment-writer }\n")).toContain(
      "segment-writer and combined belong to Pyroscope's v2 storage; set it to ingester or leave it out",
    );
    const s = new Server();
    await s.start(withFile(s, `metastore: { raft: { dir: x } }\nsegment_writer: {}\n${filesystem(s.dir)}`));
    expect(s.log()).toMatch(
      /configuration keys have no effect" keys=metastore.raft.dir reason="an option of Pyroscope's v2/,
    );
    expect(await s.stop()).toBe(0);
  });

  it("is explained by -config.check, which starts nothing", async () => {
    const dir = folder(),
      file = join(dir, "v1.yaml");
    mkdirSync(dir, { recursive: true });
    writeFileSync(file, `${COMMON}${filesystem(dir)}`);
    const check = (...flags: string[]) =>
      spawnSync("apps/cinderblock/bin/cinderblock", ["-config.check", `-config.file=${file}`, ...flags], {
        encoding: "utf8",
      });
    const sound = check("-storage.storage-prefix=a");
    expect([sound.status, sound.stderr]).toEqual([0, ""]);
    expect(sound.stdout).toContain(
      "without a meaning here: 1\n  memberlist.join_members: the rings live in Redis",
    );
    expect(sound.stdout).toContain("mapped: 1\n  -storage.storage-prefix -> -storage.prefix\n");
    const wrong = check("-compactor.retention=30d", "-server.path-prefix=/p", "-usage-stats.enabled");
    expect([wrong.status, wrong.stderr]).toEqual([1, "cinderblock: 2 flags and keys are refused\n"]);
    expect(wrong.stdout).toMatch(/^refused: 2\n {2}-compactor\.retention: unknown flag .*did you mean/);
    // The checks across options apply, too.
    expect(check("-storage.backend=s3").stderr).toContain("-storage.s3.bucket-name");
  });

  it("with an unknown key is an error that names it and the nearest key", async () => {
    expect(await refused("pyroscopedb: { data_pathh: x }\n")).toContain(
      "unknown key pyroscopedb.data_pathh; did you mean pyroscopedb.data_path?",
    );
    expect(await refused("", "-storage.backend=floppy")).toMatch(/-storage.backend.*expected one of/);
    expect(await refused("storage: { backend: s3, s3: { endpoint: 127.0.0.1:1 } }\n")).toContain("bucket");
  });
});

describeWith(["redis"], "configuration of Pyroscope v1 for a cluster", () => {
  it("starts each component of a cluster with a Redis; rings of v1 and of this system do not mix, and the error says so", async () => {
    for (const target of [
      "distributor",
      "ingester",
      "query-frontend",
      "query-scheduler",
      "querier",
      "store-gateway",
      "compactor",
    ]) {
      const dir = folder(),
        text = `${COMMON}${filesystem(dir)}`;
      expect(await refused(text, `-target=${target}`)).toContain(
        `-target=${target} as a separate process needs -ring.store=redis; a Cinderblock ring and a Pyroscope v1 ring cannot be mixed: the two systems may share a bucket, never a ring`,
      );
    }
    // Only the ring's store changes; the sections of v1's rings stay unchanged.
    const redis = await startRedis(),
      s = new Server(folder());
    await s.start(
      withFile(s, `${COMMON}${filesystem(s.dir)}`),
      "-target=ingester",
      "-ring.store=redis",
      `-redis.address=127.0.0.1:${redis.port}`,
      "-redis.key-prefix=v1config/",
    );
    expect(await s.stop()).toBe(0);
  }, 120_000);
});
