import { type ConfigOf, duration, int } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";
import type { StoreGatewayConfig } from "./store-gateway.ts";

/** Flags of the store-gateway. */
const storeSection = {
  syncInterval: duration(
    "blocks-storage.bucket-store.sync-interval",
    "store_gateway.bucket_store.sync_interval",
    "15m",
    "Interval between reads of the bucket index.",
  ),
  metaConcurrency: int(
    "blocks-storage.bucket-store.meta-sync-concurrency",
    "store_gateway.bucket_store.meta_sync_concurrency",
    20,
    "Maximum number of meta.json files read concurrently.",
    { min: 1 },
  ),
  ignoreDeletionMarksDelay: duration(
    "blocks-storage.bucket-store.ignore-deletion-marks-delay",
    "store_gateway.bucket_store.ignore_deletion_mark_delay",
    "30m",
    "Age of a deletion mark after which its block is excluded from queries.",
  ),
};

export const storeSchema = { ...commonSchema, ...storeSection };
export type StoreComponentConfig = CommonConfig & ConfigOf<typeof storeSection>;

export function storeConfigOf(c: StoreComponentConfig): StoreGatewayConfig {
  return {
    syncIntervalMs: c.syncInterval,
    metaConcurrency: c.metaConcurrency,
    ignoreDeletionMarksDelayMs: c.ignoreDeletionMarksDelay,
    maxStaleMs: 3600_000,
  };
}
