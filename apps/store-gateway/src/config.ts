import { type ConfigOf, duration, int } from "@cinderblock/config";
import { type CommonConfig, commonSchema } from "@cinderblock/runtime";
import type { StoreGatewayConfig } from "./store-gateway.ts";

/** Flags of the store-gateway. */
const storeSection = {
  syncInterval: duration(
    "blocks-storage.bucket-store.sync-interval",
    "store_gateway.bucket_store.sync_interval",
    "15m",
    "How often a store-gateway reads the bucket index.",
  ),
  metaConcurrency: int(
    "blocks-storage.bucket-store.meta-sync-concurrency",
    "store_gateway.bucket_store.meta_sync_concurrency",
    20,
    "Metas read at once.",
    { min: 1 },
  ),
  ignoreDeletionMarksDelay: duration(
    "blocks-storage.bucket-store.ignore-deletion-marks-delay",
    "store_gateway.bucket_store.ignore_deletion_mark_delay",
    "30m",
    "Age of a deletion mark from which its block is hidden.",
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
