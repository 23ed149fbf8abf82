import type { BlobCache } from "./blob-cache.ts";
import type { Metrics } from "@cinderblock/telemetry";
import { type RedisConfig, RedisConnection } from "./connection.ts";

/** A cache that several processes share. */
export class RedisCache implements BlobCache {
  private readonly connection: RedisConnection;
  constructor(config: RedisConfig, metrics?: Metrics) {
    this.connection = new RedisConnection(config, "cache", metrics);
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.connection.run(async (r) => (await r.getBuffer(this.connection.prefix + key)) ?? undefined);
  }
  async set(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    await this.connection.run((r) =>
      r.set(
        this.connection.prefix + key,
        Buffer.from(value.buffer, value.byteOffset, value.length),
        "PX",
        ttlMs,
      ),
    );
  }
  close(): Promise<void> {
    return this.connection.close();
  }
}
