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

/** Error replies whose cause is a setting: the start of the reply, its meaning, and the flags to correct. */
const REPLIES: readonly (readonly [reply: RegExp, meaning: string, flags: string])[] = [
  [/^(WRONGPASS|NOAUTH|ERR (invalid password|AUTH))/, "", "-redis.username, -redis.password"],
  [/^NOPERM/, "the ACL of the user is too narrow: ", "-redis.username"],
  [
    /^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT)/,
    "the server is a node of a Redis Cluster, a standalone server is needed: ",
    "-redis.address",
  ],
  [/^READONLY/, "the server is a replica, its primary is needed: ", "-redis.address"],
  [/^ERR DB index is out of range/, "", "-redis.db"],
];

/** Message of an error; Node's error of a name with several addresses has only inner messages. */
function messageOf(err: Error & { errors?: readonly Error[] }): string {
  return err.message !== "" ? err.message : (err.errors ?? []).map((e) => e.message).join("; ");
}

/** A connection to a Redis server; each call tries an unavailable server again. */
export class RedisConnection {
  readonly redis: Redis;
  readonly prefix: string;
  private readonly place: string;
  /** reason why the last attempt to connect failed; undefined while connected */
  private refusal: Error | undefined;

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
    // A call during an outage fails with "max retries per request" or a time-out, which name no cause.
    this.redis.on("error", (err) => {
      this.refusal = err;
    });
    this.redis.on("close", () => {
      this.refusal ??= new Error("the connection was closed");
    });
    this.redis.on("ready", () => {
      this.refusal = undefined;
    });
  }

  async run<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    try {
      return await work(this.redis);
    } catch (err) {
      const cause = (err as Error).name === "ReplyError" ? (err as Error) : (this.refusal ?? (err as Error)),
        message = messageOf(cause),
        [, meaning, flags] = REPLIES.find(([reply]) => reply.test(message)) ?? [0, "", "-redis.address"];
      throw new CinderblockError("unavailable", `Redis at ${this.place}: ${meaning}${message} (${flags})`, {
        cause,
      });
    }
  }

  close(): Promise<void> {
    this.redis.disconnect();
    return Promise.resolve();
  }
}
