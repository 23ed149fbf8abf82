export { BlocksCleaner } from "./cleaner.ts";
export { Compactor } from "./compactor.ts";
export { BucketIndexUpdater } from "./index-updater.ts";
export type { CompactorLimits } from "./limits.ts";
