import type { ShardStats } from "@cinderblock/head";
import type { Metrics } from "@cinderblock/telemetry";
import type { LocalBlocks } from "./local-blocks.ts";

/**
 * Registers the metrics of heads, logs and local blocks.
 * @param stats state of each ingest thread, read at each scrape
 */
export function observeIngester(
  metrics: Metrics,
  stats: () => Promise<ShardStats[]>,
  blocks: LocalBlocks,
  headLimitBytes: number,
): void {
  const gauge = (name: string, help: string, pick: (s: ShardStats) => number): void => {
    metrics.gauge(name, help, [], async (g) => {
      g.set((await stats()).reduce((n, s) => n + pick(s), 0));
    });
  };
  gauge("pyroscope_head_size_bytes", "Memory used by all heads.", (s) => s.headBytes);
  gauge("pyroscope_head_profiles", "Profiles in all heads.", (s) => s.rows);
  gauge("pyroscope_tsdb_head_series", "Series in all heads.", (s) => s.series);
  gauge("cinderblock_ingester_heads", "Number of heads, including heads that are being cut.", (s) => s.heads);
  gauge("cinderblock_ingester_log_bytes", "Size of the write-ahead log segments on disk.", (s) => s.logBytes);
  gauge("cinderblock_ingester_log_syncs", "Syncs of the write-ahead log since startup.", (s) => s.syncs);
  gauge(
    "cinderblock_ingester_first_cumulative_profiles",
    "Cumulative profiles that only set a baseline.",
    (s) => s.firstCumulative,
  );
  metrics.gauge(
    "cinderblock_ingester_unshipped_bytes",
    "Blocks waiting for upload to the bucket.",
    [],
    (g) => {
      g.set(blocks.unshippedBytes());
    },
  );
  metrics.gauge(
    "cinderblock_ingester_damaged_unshipped_blocks",
    "Quarantined blocks that were never uploaded; responses over their time range are partial.",
    [],
    (g) => {
      g.set(blocks.allDamaged().length);
    },
  );
  metrics.gauge(
    "cinderblock_ingester_heads_left",
    "Folders in the heads of Pyroscope v1 that hold no whole block.",
    [],
    (g) => {
      g.set(blocks.headsLeft);
    },
  );
  metrics.gauge("cinderblock_ingester_head_limit_bytes", "Memory budget of the heads.", [], (g) => {
    g.set(headLimitBytes);
  });
}
