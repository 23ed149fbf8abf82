import { Redis } from "ioredis";
import { CinderblockError } from "@cinderblock/errors";
import type { MemberStore } from "./member-store.ts";

export interface RedisConfig {
  host: string;
  port: number;
  username: string;
  password: string;
  database: number;
  tls: boolean;
  timeoutMs: number;
  /** before every key */
  prefix: string;
}

/** Deletes a field only while it holds what is expected: a member that came back meanwhile stays. */
const REMOVE_IF = "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0";

/** Rings in Redis: a hash for each, a field a member. A server that is away is tried again by the next call. */
export class RedisMembers implements MemberStore {
  private readonly redis: Redis;
  private readonly prefix: string;
  private readonly place: string;

  constructor(config: RedisConfig) {
    this.prefix = config.prefix;
    this.place = `${config.host}:${config.port}`;
    this.redis = new Redis({
      host: config.host, port: config.port, db: config.database, lazyConnect: true, maxRetriesPerRequest: 0, commandTimeout: config.timeoutMs, connectTimeout: config.timeoutMs,
      ...(config.username === "" ? {} : { username: config.username }), ...(config.password === "" ? {} : { password: config.password }), ...(config.tls ? { tls: {} } : {}),
      retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 5), 2000),
    });
    this.redis.on("error", () => { /* every call that fails says so itself */ });
  }

  private async ask<T>(work: () => Promise<T>): Promise<T> {
    try { return await work(); } catch (err) {
      throw new CinderblockError("unavailable", `Redis at ${this.place}: ${(err as Error).message} (-redis.address)`, { cause: err });
    }
  }

  read(ring: string): Promise<Map<string, string>> { return this.ask(async () => new Map(Object.entries(await this.redis.hgetall(this.prefix + ring)))); }
  async write(ring: string, id: string, entry: string): Promise<void> { await this.ask(() => this.redis.hset(this.prefix + ring, id, entry)); }
  remove(ring: string, id: string, expected?: string): Promise<boolean> {
    return this.ask(async () => (expected === undefined ? await this.redis.hdel(this.prefix + ring, id) : Number(await this.redis.eval(REMOVE_IF, 1, this.prefix + ring, id, expected))) > 0);
  }
  close(): Promise<void> { this.redis.disconnect(); return Promise.resolve(); }
}
