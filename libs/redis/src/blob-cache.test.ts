import { type RedisServer, startRedis } from "@cinderblock/testkit";
import { InMemoryCache, RedisCache } from "./index.ts";

let redis: RedisServer | undefined;
beforeAll(async () => {
  redis = await startRedis();
}, 120_000);
afterAll(() => redis?.kill());

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("a cache of bytes", () => {
  it("in memory keeps what was asked for last, within its memory and for its time", async () => {
    let now = 0;
    const c = new InMemoryCache(1000, () => now);
    for (const k of ["a", "b", "c"]) await c.set(k, new Uint8Array(200), 100);
    await c.get("a"); // used again: b is the oldest now
    await c.set("d", new Uint8Array(200), 100);
    expect(await Promise.all(["a", "b", "c", "d"].map(async (k) => (await c.get(k)) !== undefined))).toEqual([
      true,
      false,
      true,
      true,
    ]);
    expect(c.bytes).toBeLessThanOrEqual(1000);
    await c.set("large", new Uint8Array(2000), 100);
    expect(await c.get("large")).toBeUndefined();
    now = 100;
    expect(await c.get("a")).toBeUndefined();
    await c.close();
    expect(c.bytes).toBe(0);
  });
  it("in Redis gives back the same bytes, for their time; a server that is away says so", async () => {
    if (!redis) return; // said when it was looked for
    const c = new RedisCache({
      host: "127.0.0.1",
      port: redis.port,
      username: "",
      password: "",
      database: 0,
      tls: undefined,
      timeoutMs: 500,
      prefix: "cache/",
    });
    await c.set("k", Uint8Array.of(0, 255, 128, 10), 300);
    expect([...(await c.get("k"))!]).toEqual([0, 255, 128, 10]);
    expect(await c.get("other")).toBeUndefined();
    await new Promise((r) => {
      setTimeout(r, 400);
    });
    expect(await c.get("k")).toBeUndefined();
    await redis.kill();
    await expect(c.get("k")).rejects.toThrow("(-redis.address)");
    await expect(c.set("k", bytes("x"), 10)).rejects.toThrow("(-redis.address)");
    await redis.start();
    await c.close();
  }, 30_000);
});
