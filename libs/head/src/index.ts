export { Head, isCumulative } from "./head.ts";
export { HeadShard } from "./shard.ts";
export type { BaselineService } from "./baseline-store.ts";
export type { ShardOptions, ShardStats } from "./shard-types.ts";
export { lastLoggedMs, lastSegment, logDirectory, loggedShards } from "./log-folders.ts";
export { OWN_LOG_ONLY } from "./replayer.ts";
export type { ReplayPlan, ReplayReport } from "./replayer.ts";
export { removeUnfinished } from "./cut.ts";
export { LogWriter, readSegment } from "./log-file.ts";
