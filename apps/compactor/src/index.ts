export { BucketIndexUpdater } from "./index-updater.ts";
