import { isIP } from "node:net";
import { Redis } from "ioredis";
import { CinderblockError } from "@cinderblock/errors";
import type { Metrics } from "@cinderblock/telemetry";
import { type CallRecorder, clientMetrics, type RedisPurpose } from "./client-metrics.ts";

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

/** Meaning of an error reply whose cause is a setting, and the flags to correct. */
interface Advice {
  meaning: string;
  flags: string;
}
const CREDENTIALS: Advice = { meaning: "", flags: "-redis.username, -redis.password" },
  CLUSTER: Advice = {
    meaning: "the server is a node of a Redis Cluster, a standalone server is needed: ",
    flags: "-redis.address",
  };
/** Code of an error reply -> advice. */
const BY_CODE: Readonly<Record<string, Advice>> = {
  WRONGPASS: CREDENTIALS,
  NOAUTH: CREDENTIALS,
  NOPERM: { meaning: "the ACL of the user is too narrow: ", flags: "-redis.username" },
  MOVED: CLUSTER,
  ASK: CLUSTER,
  CLUSTERDOWN: CLUSTER,
  CROSSSLOT: CLUSTER,
  READONLY: { meaning: "the server is a replica, its primary is needed: ", flags: "-redis.address" },
};
/** Command whose error reply has the general code ERR -> advice. */
const BY_COMMAND: Readonly<Record<string, Advice>> = {
  auth: CREDENTIALS,
  hello: CREDENTIALS,
  select: { meaning: "", flags: "-redis.db" },
};
const OTHER: Advice = { meaning: "", flags: "-redis.address" };

/** An error reply; ioredis adds the command that it answers. */
type ReplyError = Error & { command?: { name: string } };

/** Advice for an error. By the Redis protocol, the first word of an error reply is its code. */
function adviceOn(err: ReplyError): Advice {
  if (err.name !== "ReplyError") return OTHER;
  const [code = ""] = err.message.split(" ", 1);
  return BY_CODE[code] ?? BY_COMMAND[err.command?.name ?? ""] ?? OTHER;
}

/** Message of an error; Node's error of a name with several addresses has only inner messages. */
function messageOf(err: Error): string {
  return err instanceof AggregateError
    ? (err.errors as Error[]).map((e) => e.message).join("; ")
    : err.message;
}

/** A connection to a Redis server; each call tries an unavailable server again. */
export class RedisConnection {
  readonly redis: Redis;
  readonly prefix: string;
  private readonly place: string;
  /** reason why the last attempt to connect failed; undefined while connected */
  private refusal: Error | undefined;
  private readonly calls: CallRecorder | undefined;

  constructor(config: RedisConfig, purpose: RedisPurpose, metrics?: Metrics) {
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
    this.calls = metrics && clientMetrics(metrics, purpose, () => this.redis.status === "ready");
  }

  async run<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    const from = performance.now();
    let failed = false;
    try {
      return await work(this.redis);
    } catch (err) {
      failed = true;
      const cause = (err as Error).name === "ReplyError" ? (err as Error) : (this.refusal ?? (err as Error)),
        { meaning, flags } = adviceOn(cause);
      throw new CinderblockError(
        "unavailable",
        `Redis at ${this.place}: ${meaning}${messageOf(cause)} (${flags})`,
        { cause },
      );
    } finally {
      this.calls?.record((performance.now() - from) / 1000, failed);
    }
  }

  close(): Promise<void> {
    this.redis.disconnect();
    return Promise.resolve();
  }
}
