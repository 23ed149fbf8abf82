import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { decodeMessage, encodeMessage } from "@cinderblock/message";
import { parseSelector } from "@cinderblock/model";
import type { PartialResult, SourceQuery } from "@cinderblock/query";
import type { BlobCache } from "@cinderblock/redis";
import type { Base } from "@cinderblock/telemetry";

export interface ResultsCacheConfig {
  /** a range may be cached when it ended at least this long ago */
  minAgeMs: number;
  ttlMs: number;
  maxItemBytes: number;
}

/** Version of the encoded partial results; results of another version are not found. */
const VERSION = 1;
const compress = promisify(zstdCompress),
  decompress = promisify(zstdDecompress);

/**
 * Caches partial results of ranges that have ended (docs/correctness.md, "Result cache keys"). The key holds
 * tenant, query, range and the digest of the data behind the answer, so no entry needs invalidation: after a
 * change of the data, its key is no longer looked up. An unavailable cache counts as a miss.
 */
export class ResultsCache {
  private readonly config: ResultsCacheConfig;
  private readonly store: BlobCache;
  private readonly base: Base;
  private readonly asked: { inc(): void };
  private readonly hits: { inc(): void };
  private readonly kept: { inc(n: number): void };
  private readonly failed: { inc(): void };

  constructor(config: ResultsCacheConfig, store: BlobCache, base: Base) {
    this.config = config;
    this.store = store;
    this.base = base;
    const { metrics } = base;
    this.asked = metrics.counter(
      "cinderblock_query_frontend_results_cache_requests_total",
      "Sub-queries looked up in the results cache.",
    );
    this.hits = metrics.counter(
      "cinderblock_query_frontend_results_cache_hits_total",
      "Sub-queries answered from the results cache.",
    );
    this.kept = metrics.counter(
      "cinderblock_query_frontend_results_cache_stored_bytes_total",
      "Bytes written to the results cache.",
    );
    this.failed = metrics.counter(
      "cinderblock_query_frontend_results_cache_failures_total",
      "Failed operations of the results cache.",
    );
    for (const c of [this.asked, this.hits, this.kept, this.failed]) (c as { inc(n: number): void }).inc(0);
  }

  /** Whether a range ended long enough ago. */
  isCacheable(endMs: number): boolean {
    return endMs < this.base.now() - this.config.minAgeMs;
  }

  async get(tenant: string, query: SourceQuery, digest: string): Promise<PartialResult[] | undefined> {
    this.asked.inc();
    try {
      const bytes = await this.store.get(keyOf(tenant, query, digest));
      if (!bytes) return undefined;
      const parts = decodeMessage(await decompress(bytes)) as PartialResult[];
      this.hits.inc();
      return parts;
    } catch (err) {
      this.miss(err);
      return undefined;
    }
  }

  async put(
    tenant: string,
    query: SourceQuery,
    digest: string,
    parts: readonly PartialResult[],
  ): Promise<void> {
    try {
      const plain = encodeMessage(parts);
      const bytes = await compress(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
      if (bytes.length > this.config.maxItemBytes) return;
      await this.store.set(keyOf(tenant, query, digest), bytes, this.config.ttlMs);
      this.kept.inc(bytes.length);
    } catch (err) {
      this.miss(err);
    }
  }

  private miss(err: unknown): void {
    this.failed.inc();
    this.base.log.debug({ err }, "results cache operation failed, the query runs without it");
  }
}

function keyOf(tenant: string, query: SourceQuery, digest: string): string {
  const { labelSelector, ...select } = query.select;
  const matchers = parseSelector(labelSelector).map(String).sort();
  return `${VERSION}/${createHash("sha256")
    .update(JSON.stringify([tenant, { ...query, select: undefined }, select, matchers, digest]))
    .digest("base64url")}`;
}
