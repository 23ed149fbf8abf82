import { isIP } from "node:net";
import { Redis } from "ioredis";
import { CinderblockError } from "@cinderblock/errors";

/** Settings of a Redis server. */
export interface RedisConfig {
  host: string;
  port: number;
  username: string;
  password: string;
  database: number;
  /** undefined: cleartext. `ca`: PEM of the authorities, "" for the system's */
  tls: { ca: string; insecureSkipVerify: boolean } | undefined;
  timeoutMs: number;
  /** prefix of every key */
  prefix: string;
}

/** A connection to a Redis server; each call tries an unavailable server again. */
export class RedisConnection {
  readonly redis: Redis;
  readonly prefix: string;
  private readonly place: string;

  constructor(config: RedisConfig) {
    this.prefix = config.prefix;
    this.place = `${config.host}:${config.port}`;
    this.redis = new Redis({
      host: config.host,
      port: config.port,
      db: config.database,
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      commandTimeout: config.timeoutMs,
      connectTimeout: config.timeoutMs,
      ...(config.username === "" ? {} : { username: config.username }),
      ...(config.password === "" ? {} : { password: config.password }),
      ...(config.tls
        ? {
            tls: {
              servername: isIP(config.host) === 0 ? config.host : "",
              ...(config.tls.ca === "" ? {} : { ca: config.tls.ca }),
              rejectUnauthorized: !config.tls.insecureSkipVerify,
            },
          }
        : {}),
      retryStrategy: (times) => Math.min(100 * 2 ** Math.min(times, 5), 2000),
    });
    this.redis.on("error", () => {
      /* each failed call reports the error itself */
    });
  }

  async ask<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await work(this.redis);
    } catch (err) {
      throw new CinderblockError(
        "unavailable",
        `Redis at ${this.place}: ${(err as Error).message} (-redis.address)`,
        { cause: err },
      );
    }
  }

  close(): Promise<void> {
    this.redis.disconnect();
    return Promise.resolve();
  }
}
