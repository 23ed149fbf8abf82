import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { listSegments } from "./log-file.ts";

const logsFolder = (dataPath: string): string => join(dataPath, ".cinderblock", "log");

/** Folder of a shard's log segments. */
export function logDirectory(dataPath: string, shard: number): string {
  return join(logsFolder(dataPath), `shard-${shard}`);
}

/** Number of the last segment of a shard's log; 0 without a segment. */
export function lastSegment(dataPath: string, shard: number): number {
  return listSegments(logDirectory(dataPath, shard)).at(-1) ?? 0;
}

/** Shard numbers that have a log under `dataPath`. */
export function loggedShards(dataPath: string): number[] {
  const dir = logsFolder(dataPath);
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .map((f) => /^shard-(\d+)$/.exec(f)?.[1])
    .filter((n): n is string => n !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Time of the last write to any log, in milliseconds; undefined without a log. */
export function lastLoggedMs(dataPath: string): number | undefined {
  const times = loggedShards(dataPath).flatMap((shard) => {
    const dir = logDirectory(dataPath, shard);
    return readdirSync(dir).map((f) => statSync(join(dir, f)).mtimeMs);
  });
  return times.length > 0 ? Math.max(...times) : undefined;
}
