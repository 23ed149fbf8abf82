import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFileSync } from "@cinderblock/files";
import { lastSegment, loggedShards } from "@cinderblock/head";
import type { ShardReplay } from "./protocol.ts";

/** `shards.json` next to the logs. Format: docs/formats/head-log.md */
interface ShardsFile {
  version: 1;
  /** number of threads that the baselines in the logs are divided among */
  count: number;
  /** shard without a thread -> its last segment whose baselines other threads have adopted */
  retired: Record<number, number>;
}

/** The thread, of `count`, that stores the pushes of a route. */
export function shardOf(route: string, count: number): number {
  let h = 0;
  for (let i = 0; i < route.length; i++) h = (Math.imul(h, 31) + route.charCodeAt(i)) >>> 0;
  return h % count;
}

/**
 * How the logs of a data path are divided among threads. Heads stay with their log; baselines move with their
 * pushes when the number of threads changes (docs/correctness.md, "Cumulative baselines").
 */
export class LogShards {
  /** whether baselines must move to other threads before pushes are accepted */
  readonly resharding: boolean;
  private readonly dataPath: string;
  private readonly count: number;
  private readonly known: ShardsFile | undefined;
  private readonly logged: readonly number[];

  constructor(dataPath: string, count: number) {
    this.dataPath = dataPath;
    this.count = count;
    this.known = read(file(dataPath));
    this.logged = loggedShards(dataPath);
    // Releases without this file had one thread for each log.
    const before = this.known?.count ?? this.logged.length,
      asBefore = this.logged.every((shard, i) => shard === i);
    this.resharding = this.logged.length > 0 && (before !== count || (!this.known && !asBefore));
  }

  /** The logs that a thread replays at its start. */
  replayOf(shard: number): ShardReplay {
    return {
      count: this.count,
      orphans: this.logged.filter((s) => s >= this.count && s % this.count === shard),
      baselinesOf: this.resharding ? this.logged : [],
      retired: this.known?.retired ?? {},
    };
  }

  /** Saves the number of threads; call this when every thread has its baselines in its own log. */
  settle(): void {
    const retired: Record<number, number> = {};
    for (const s of this.logged) if (s >= this.count) retired[s] = lastSegment(this.dataPath, s);
    const next: ShardsFile = {
      version: 1,
      count: this.count,
      retired: this.resharding ? retired : (this.known?.retired ?? retired),
    };
    if (JSON.stringify(next) !== JSON.stringify(this.known))
      replaceFileSync(file(this.dataPath), JSON.stringify(next));
  }
}

function file(dataPath: string): string {
  return join(dataPath, ".cinderblock", "log", "shards.json");
}

/** Undefined without a file. For an invalid file, a count of 0: then every log is read for baselines. */
function read(path: string): ShardsFile | undefined {
  if (!existsSync(path)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (err) {
    if (!(err instanceof SyntaxError)) throw err;
  }
  const f = json as Partial<ShardsFile> | null | undefined;
  return f?.version === 1 && Number.isInteger(f.count) && typeof f.retired === "object"
    ? (f as ShardsFile)
    : { version: 1, count: 0, retired: {} };
}
