import { describeWith, startRedis } from "@cinderblock/testkit";
import { RedisCache } from "./index.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

describeWith(["redis"], "a cache of bytes", () => {
  it("in Redis returns the same bytes until they expire; an unreachable server is an error", async () => {
    const redis = await startRedis();
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
