import type { RuntimeOverrides } from "@cinderblock/runtime";
import type { Base } from "@cinderblock/telemetry";

/** The limits that v1's overrides-exporter exports. */
const SHOWN = [
  "ingestion_rate_mb",
  "ingestion_burst_size_mb",
  "max_global_series_per_tenant",
  "max_local_series_per_tenant",
  "max_label_name_length",
  "max_label_value_length",
  "max_label_names_per_series",
  "max_sessions_per_series",
  "distributor_aggregation_window",
  "distributor_aggregation_period",
  "max_query_lookback",
  "max_query_length",
  "max_query_parallelism",
  "split_queries_by_interval",
  "max_flamegraph_nodes_default",
  "max_flamegraph_nodes_max",
];
/** v1 exports one limit under another name. */
const nameOf = (limit: string): string =>
  limit === "max_local_series_per_tenant" ? "max_series_per_tenant" : limit;

/** Registers `pyroscope_limits_defaults` and `pyroscope_limits_overrides`; durations in nanoseconds. */
export function exportLimits(overrides: RuntimeOverrides, base: Base): void {
  base.metrics.gauge(
    "pyroscope_limits_defaults",
    "Default limits of tenants without overrides.",
    ["limit_name"],
    (g) => {
      const { defaults } = overrides.numericLimits();
      for (const l of SHOWN) g.set({ limit_name: nameOf(l) }, defaults.get(l)!);
    },
  );
  base.metrics.gauge(
    "pyroscope_limits_overrides",
    "Limits of tenants with overrides.",
    ["limit_name", "tenant"],
    (g) => {
      for (const [tenant, values] of overrides.numericLimits().tenants)
        for (const l of SHOWN) g.set({ limit_name: nameOf(l), tenant }, values.get(l)!);
    },
  );
}
