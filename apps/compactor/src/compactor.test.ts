import { BucketIndexUpdater } from "@cinderblock/compact";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { BlocksCleaner } from "./cleaner.ts";
import { Compactor } from "./compactor.ts";
import type { CompactorConfig } from "./compactor-config.ts";
import type { CompactorLimits } from "./limits.ts";

const LIMITS = {} as CompactorLimits,
  START_MS = 1_795_409_460_000;

describe("the times of a compactor's last success", () => {
  it("begin with the start, so that an alert on their age needs no first success", async () => {
    const base = {
      log: createLogger({ level: "silent", format: "json" }),
      metrics: new Metrics(),
      tracer: noTracer,
      now: () => START_MS,
    };
    const bucket = new FilesystemBucket(temporaryFolder()),
      index = new BucketIndexUpdater(bucket, base);
    new Compactor({} as never, bucket, index, { intervalMs: 1000 } as CompactorConfig, LIMITS, base);
    new BlocksCleaner(
      bucket,
      index,
      {
        intervalMs: 1000,
        deletionDelayMs: 0,
        removeEmptyTenants: false,
        retentionDryRun: false,
        owns: () => true,
      },
      LIMITS,
      base,
    );
    const text = await base.metrics.registry.metrics();
    for (const name of [
      "pyroscope_compactor_last_successful_run_timestamp_seconds",
      "pyroscope_compactor_block_cleanup_last_successful_run_timestamp_seconds",
    ])
      expect(text).toContain(`\n${name} ${START_MS / 1000}\n`);
  });
});
