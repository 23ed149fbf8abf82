import type { Metrics } from "@cinderblock/telemetry";
import { type RedisConfig, RedisConnection } from "./connection.ts";
import type { MemberStore } from "./member-store.ts";

/** Deletes a field if it has the expected value: a member that has returned in the meantime stays. */
const REMOVE_IF =
  "if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0";

/** Writes a field if it has the expected value ("" for no value); returns the current value otherwise. */
const SWAP =
  "local found = redis.call('HGET', KEYS[1], ARGV[1]) or '' if found == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) return false end return found";

/** Rings in Redis: a hash per ring, a field per member. */
export class RedisMembers implements MemberStore {
  private readonly connection: RedisConnection;
  constructor(config: RedisConfig, metrics?: Metrics) {
    this.connection = new RedisConnection(config, "ring", metrics);
  }

  private key(ring: string): string {
    return this.connection.prefix + ring;
  }
  read(ring: string): Promise<Map<string, string>> {
    return this.connection.run(async (r) => new Map(Object.entries(await r.hgetall(this.key(ring)))));
  }
  async write(ring: string, id: string, entry: string): Promise<void> {
    await this.connection.run((r) => r.hset(this.key(ring), id, entry));
  }
  async compareAndSwap(
    ring: string,
    id: string,
    expected: string,
    entry: string,
  ): Promise<string | undefined> {
    const found = await this.connection.run((r) => r.eval(SWAP, 1, this.key(ring), id, expected, entry));
    return found === null ? undefined : String(found);
  }
  remove(ring: string, id: string, expected?: string): Promise<boolean> {
    return this.connection.run(
      async (r) =>
        (expected === undefined
          ? await r.hdel(this.key(ring), id)
          : Number(await r.eval(REMOVE_IF, 1, this.key(ring), id, expected))) > 0,
    );
  }
  putIfAbsent(name: string, value: string): Promise<string> {
    return this.connection.run(async (r) => {
      await r.set(this.key(name), value, "NX");
      return (await r.get(this.key(name))) ?? value;
    });
  }
  close(): Promise<void> {
    return this.connection.close();
  }
}
