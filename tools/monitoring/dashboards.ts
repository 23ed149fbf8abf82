// The dashboards as data: tools/gen-monitoring.ts makes Grafana's JSON of them.

/** One panel of lines: each expression with its legend. */
interface Panel {
  title: string;
  unit: string;
  exprs: readonly (readonly [expr: string, legend: string])[];
}

export interface Dashboard {
  id: string;
  title: string;
  panels: readonly Panel[];
  /** whether a variable selects the tenants of the panels */
  tenant?: boolean;
}

const route = (re: string): string => `route=~"${re}"`;
const WRITES = route("push_v1.*|ingest|pyroscope_ingest|opentelemetry.*|v1development.*"),
  READS = route("querier_v1.*|pyroscope_render.*");
const quantile = (q: number, selector: string): string =>
  `histogram_quantile(${q}, sum by (le) (rate(pyroscope_request_duration_seconds_bucket{${selector}}[$__rate_interval])))`;

/** A panel with title, unit, and expressions with their legends. */
const p = (title: string, unit: string, ...exprs: (string | readonly [string, string])[]): Panel => ({
  title,
  unit,
  exprs: exprs.map((e) => (typeof e === "string" ? [e, ""] : e)),
});

export const dashboards: readonly Dashboard[] = [
  {
    id: "writes",
    title: "Cinderblock / Writes",
    panels: [
      p("Pushes by status", "reqps", [
        `sum by (status_code) (rate(pyroscope_request_duration_seconds_count{${WRITES}}[$__rate_interval]))`,
        "{{status_code}}",
      ]),
      p("Push latency", "s", [quantile(0.5, WRITES), "p50"], [quantile(0.99, WRITES), "p99"]),
      p("Profiles by tenant", "cps", [
        "sum by (tenant) (rate(pyroscope_distributor_profiles_received_total[$__rate_interval]))",
        "{{tenant}}",
      ]),
      p(
        "Bytes received",
        "Bps",
        ["sum(rate(pyroscope_distributor_received_compressed_bytes_sum[$__rate_interval]))", "as sent"],
        [
          "sum(rate(pyroscope_distributor_received_decompressed_bytes_sum[$__rate_interval]))",
          "uncompressed",
        ],
      ),
      p("Refused profiles by reason", "cps", [
        "sum by (reason) (rate(pyroscope_discarded_samples_total[$__rate_interval]))",
        "{{reason}}",
      ]),
      p("Request bodies in flight", "bytes", ["cinderblock_distributor_inflight_bytes", "{{instance}}"]),
      p(
        "Heads and their memory budget",
        "bytes",
        ["pyroscope_head_size_bytes", "{{instance}}"],
        ["cinderblock_ingester_head_limit_bytes", "{{instance}} limit"],
      ),
      p("Series in heads", "short", ["pyroscope_tsdb_head_series", "{{instance}}"]),
      p("Write-ahead log to replay after a crash", "bytes", [
        "cinderblock_ingester_log_bytes",
        "{{instance}}",
      ]),
      p("Ingesters by state", "short", [
        'sum by (state) (pyroscope_ring_members{name="ingester"})',
        "{{state}}",
      ]),
    ],
  },
  {
    id: "reads",
    title: "Cinderblock / Reads",
    panels: [
      p("Queries by status", "reqps", [
        `sum by (status_code) (rate(pyroscope_request_duration_seconds_count{${READS}}[$__rate_interval]))`,
        "{{status_code}}",
      ]),
      p("Query latency", "s", [quantile(0.5, READS), "p50"], [quantile(0.99, READS), "p99"]),
      p("Latency by route, p99", "s", [
        `histogram_quantile(0.99, sum by (le, route) (rate(pyroscope_request_duration_seconds_bucket{${READS}}[$__rate_interval])))`,
        "{{route}}",
      ]),
      p("Queries in progress", "short", ["pyroscope_query_frontend_queries_in_progress", "{{instance}}"]),
      p("Queue time, p99", "s", [
        "histogram_quantile(0.99, sum by (le) (rate(pyroscope_query_scheduler_queue_duration_seconds_bucket[$__rate_interval])))",
        "p99",
      ]),
      p(
        "Queue",
        "short",
        ["pyroscope_query_scheduler_queue_length", "{{instance}} {{user}}"],
        ["pyroscope_query_scheduler_connected_querier_clients", "queriers at {{instance}}"],
      ),
      p("Blocks served by store-gateways", "short", ["pyroscope_bucket_store_blocks_loaded", "{{instance}}"]),
      p("Planned blocks that no source could serve", "short", [
        "increase(cinderblock_querier_missing_blocks_total[$__rate_interval])",
        "{{instance}}",
      ]),
      p("Bytes between components", "Bps", [
        "rate(cinderblock_internal_received_bytes[$__rate_interval])",
        "{{instance}} received",
      ]),
    ],
  },
  {
    id: "storage",
    title: "Cinderblock / Storage",
    panels: [
      p("Bucket operations", "ops", [
        "sum by (operation) (rate(objstore_bucket_operations_total[$__rate_interval]))",
        "{{operation}}",
      ]),
      p("Failures", "ops", [
        "sum by (operation) (rate(objstore_bucket_operation_failures_total[$__rate_interval]))",
        "{{operation}}",
      ]),
      p("Mean duration of an operation", "s", [
        "sum by (operation) (rate(objstore_bucket_operation_seconds_total[$__rate_interval])) / sum by (operation) (rate(objstore_bucket_operations_total[$__rate_interval]))",
        "{{operation}}",
      ]),
      p("Duration of a successful operation, 99th percentile", "s", [
        "histogram_quantile(0.99, sum by (le, operation) (rate(objstore_bucket_operation_duration_seconds_bucket[$__rate_interval])))",
        "{{operation}}",
      ]),
      p("Bytes transferred", "Bps", [
        "sum by (operation) (rate(objstore_bucket_operation_transferred_bytes_total[$__rate_interval]))",
        "{{operation}}",
      ]),
      p("Blocks waiting for upload", "bytes", ["cinderblock_ingester_unshipped_bytes", "{{instance}}"]),
      p(
        "Uploads",
        "cps",
        ["sum(rate(pyroscope_shipper_uploads_total[$__rate_interval]))", "uploaded"],
        ["sum(rate(pyroscope_shipper_upload_failures_total[$__rate_interval]))", "failed"],
      ),
      p("Free disk of ingesters", "bytes", ["cinderblock_ingester_disk_free_bytes", "{{instance}}"]),
      p("Last read of the bucket", "s", [
        "time() - pyroscope_bucket_stores_blocks_last_successful_sync_timestamp_seconds",
        "{{instance}}",
      ]),
    ],
  },
  {
    id: "compaction",
    title: "Cinderblock / Compaction",
    panels: [
      p("Blocks by tenant", "short", ["max by (user) (pyroscope_bucket_blocks_count)", "{{user}}"]),
      p("Blocks marked for deletion", "short", [
        "max by (user) (pyroscope_bucket_blocks_marked_for_deletion_count)",
        "{{user}}",
      ]),
      p(
        "Jobs",
        "cps",
        ["sum(rate(pyroscope_compactor_group_compactions_total[$__rate_interval]))", "done"],
        ["sum(rate(pyroscope_compactor_group_compactions_failures_total[$__rate_interval]))", "failed"],
      ),
      p(
        "Runs",
        "cps",
        ["sum(rate(pyroscope_compactor_runs_completed_total[$__rate_interval]))", "completed"],
        ["sum(rate(pyroscope_compactor_runs_failed_total[$__rate_interval]))", "failed"],
      ),
      p("Last successful run", "s", [
        "time() - pyroscope_compactor_last_successful_run_timestamp_seconds",
        "{{instance}}",
      ]),
      p("Last cleanup", "s", [
        "time() - pyroscope_compactor_block_cleanup_last_successful_run_timestamp_seconds",
        "{{instance}}",
      ]),
      p("Age of the bucket index", "s", [
        "time() - max by (user) (pyroscope_bucket_index_last_successful_update_timestamp_seconds)",
        "{{user}}",
      ]),
    ],
  },
  {
    id: "kafka",
    title: "Cinderblock / Kafka",
    panels: [
      p("Records written", "cps", [
        "sum by (partition) (rate(cinderblock_distributor_records_produced_total[$__rate_interval]))",
        "{{partition}}",
      ]),
      p("Lag in records", "short", [
        "cinderblock_ingester_partition_lag_records",
        "{{instance}} {{partition}}",
      ]),
      p("Lag in time", "s", ["cinderblock_ingester_partition_lag_seconds", "{{instance}} {{partition}}"]),
      p("Age of the oldest record without upload", "s", [
        "max by (partition) (cinderblock_ingester_partition_unuploaded_seconds)",
        "{{partition}}",
      ]),
      p("Uploaded offset", "short", [
        "cinderblock_ingester_partition_uploaded_offset",
        "{{instance}} {{partition}}",
      ]),
    ],
  },
  {
    id: "tenants",
    title: "Cinderblock / Tenants",
    panels: [
      p("Profiles", "cps", [
        'sum(rate(pyroscope_distributor_profiles_received_total{tenant=~"$tenant"}[$__rate_interval]))',
        "received",
      ]),
      p(
        "Uncompressed bytes and the limit",
        "Bps",
        [
          'sum(rate(pyroscope_distributor_received_decompressed_bytes_sum{tenant=~"$tenant"}[$__rate_interval]))',
          "received",
        ],
        [
          'max(pyroscope_limits_overrides{limit_name="ingestion_rate_mb",tenant=~"$tenant"} or on() pyroscope_limits_defaults{limit_name="ingestion_rate_mb"}) * 1048576',
          "limit",
        ],
      ),
      p("Refused profiles by reason", "cps", [
        'sum by (reason) (rate(pyroscope_discarded_samples_total{tenant=~"$tenant"}[$__rate_interval]))',
        "{{reason}}",
      ]),
      p("Samples of a profile, mean", "short", [
        'sum(rate(pyroscope_distributor_received_samples_sum{tenant=~"$tenant"}[$__rate_interval])) / sum(rate(pyroscope_distributor_received_samples_count{tenant=~"$tenant"}[$__rate_interval]))',
        "samples",
      ]),
    ],
    tenant: true,
  },
];
