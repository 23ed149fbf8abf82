export { Head, isCumulative } from "./head.ts";
export { HeadShard, lastLoggedMs, loggedShards, logDirectory } from "./shard.ts";
export type { ReplayReport, ShardOptions, ShardStats } from "./shard.ts";
export { removeUnfinished } from "./cut.ts";
export { LogWriter, readSegment } from "./log-file.ts";
