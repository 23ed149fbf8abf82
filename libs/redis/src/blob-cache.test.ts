import { InMemoryCache } from "./index.ts";

describe("a cache of bytes", () => {
  it("in memory keeps the most recently used entries, within its size and their time to live", async () => {
    let now = 0;
    const c = new InMemoryCache(1000, () => now);
    for (const k of ["a", "b", "c"]) await c.set(k, new Uint8Array(200), 100);
    await c.get("a"); // used again: b is the least recently used now
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
});
