import { githubSettings, SourceCode } from "@cinderblock/source-code";
import { type ConfigOf, duration, int, str } from "@cinderblock/config";
import { InMemoryCache, RedisCache } from "@cinderblock/redis";
import { type CommonConfig, commonSchema, redisConfigOf } from "@cinderblock/runtime";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { ResultsCache } from "./results-cache.ts";

/** Flags of the query-frontend. */
const frontendSection = {
  cacheBackend: str(
    "query-frontend.results-cache.backend",
    undefined,
    "none",
    "Backend of the results cache, which keeps responses of sub-queries over past ranges (see -querier.split-queries-by-interval): none, the memory of this process, or Redis shared by all query-frontends.",
    { choices: ["none", "memory", "redis"] },
  ),
  cacheBytes: int(
    "query-frontend.results-cache.memory-bytes",
    undefined,
    67108864,
    "Size in bytes of the in-memory results cache.",
    { min: 1 },
  ),
  cacheItemBytes: int(
    "query-frontend.results-cache.max-item-bytes",
    undefined,
    8388608,
    "Maximum size in bytes of a cached response, compressed.",
    { min: 1 },
  ),
  cacheTtl: duration(
    "query-frontend.results-cache.ttl",
    undefined,
    "7d",
    "Time to live of a cached response. New or deleted data in its time range invalidates it immediately.",
  ),
  cacheMinAge: duration(
    "query-frontend.results-cache.min-age",
    undefined,
    "10m",
    "Minimum age of a time range's end before its responses are cached.",
  ),
  logSlower: duration(
    "query-frontend.log-queries-longer-than",
    "frontend.log_queries_longer_than",
    "0s",
    "Minimum duration of logged slow queries; 0 disables the log. /query-frontend/slow-queries lists the slowest queries of the last hour in any case.",
  ),
  cachePrefix: str(
    "query-frontend.results-cache.key-prefix",
    undefined,
    "cinderblock/results/",
    "Prefix of the results cache's keys in Redis.",
  ),
};

export const frontendSchema = { ...commonSchema, ...frontendSection };
export type FrontendConfig = CommonConfig & ConfigOf<typeof frontendSection>;

/** The configured cache and its connection; undefined: none. */
export function resultsCacheOf(
  c: FrontendConfig,
  base: Base,
): { cache: ResultsCache; service: Service } | undefined {
  if (c.cacheBackend === "none") return undefined;
  const store =
    c.cacheBackend === "redis"
      ? new RedisCache({ ...redisConfigOf(c), prefix: c.cachePrefix }, base.metrics)
      : new InMemoryCache(c.cacheBytes);
  if (store instanceof InMemoryCache)
    base.metrics.gauge(
      "cinderblock_query_frontend_results_cache_bytes",
      "Memory of the answers that this process keeps.",
      [],
      (g) => {
        g.set(store.bytes);
      },
    );
  const cache = new ResultsCache(
    { minAgeMs: c.cacheMinAge, ttlMs: c.cacheTtl, maxItemBytes: c.cacheItemBytes },
    store,
    base,
  );
  return {
    cache,
    service: { name: "results-cache", start: () => Promise.resolve(), stop: () => store.close() },
  };
}

/** The source-code integration, from v1's environment variables; undefined: not configured. */
export function sourceCodeOf(now: () => number): SourceCode | undefined {
  const github = githubSettings(process.env);
  return github && new SourceCode(github, now);
}
