import { describeWith, freePort, startRedis } from "@cinderblock/testkit";
import { Metrics } from "@cinderblock/telemetry";
import { type RedisConfig, RedisMembers } from "./index.ts";

const of = (port: number, more: Partial<RedisConfig> = {}): RedisConfig => ({
  host: "127.0.0.1",
  port,
  username: "",
  password: "",
  database: 0,
  tls: undefined,
  timeoutMs: 1000,
  prefix: "r/",
  ...more,
});

describeWith(["redis"], "an error of Redis", () => {
  const stores: RedisMembers[] = [];
  const connect = (config: RedisConfig): RedisMembers => {
    const store = new RedisMembers(config);
    stores.push(store);
    return store;
  };
  afterEach(async () => {
    for (const s of stores.splice(0)) await s.close();
  });

  /** Messages of the first calls; some of them wait for the next attempt to connect. */
  async function messages(config: RedisConfig): Promise<Set<string>> {
    const store = connect(config),
      found = new Set<string>();
    for (let i = 0; i < 4; i++)
      found.add(
        await store.compareAndSwap("ingester", "a", "", "entry").then(
          () => "written",
          (err: unknown) => (err as Error).message,
        ),
      );
    return found;
  }

  it("names an unreachable server", async () => {
    const port = await freePort();
    expect(await messages(of(port))).toEqual(
      new Set([`Redis at 127.0.0.1:${port}: connect ECONNREFUSED 127.0.0.1:${port} (-redis.address)`]),
    );
    // A name with an IPv6 and an IPv4 address.
    for (const message of await messages(of(port, { host: "localhost" })))
      expect(message).toContain("ECONNREFUSED");
  }, 60_000);

  it("names a wrong password, a missing one, and a user without the rights", async () => {
    const { port } = await startRedis([
      ..."--requirepass right --user reader on >pass ~* +@read +ping".split(" "),
    ]);
    const place = `Redis at 127.0.0.1:${port}: `,
      flags = "(-redis.username, -redis.password)";
    expect(await messages(of(port, { password: "wrong" }))).toEqual(
      new Set([`${place}WRONGPASS invalid username-password pair or user is disabled. ${flags}`]),
    );
    for (const message of await messages(of(port))) {
      expect(message).toMatch(/: NOAUTH /);
      expect(message).toContain(flags);
    }
    for (const message of await messages(of(port, { username: "reader", password: "pass" })))
      expect(message).toContain(`${place}the ACL of the user is too narrow: NOPERM`);
    expect(await messages(of(port, { password: "right" }))).toContain("written");
  }, 60_000);

  it("names a node of a Redis Cluster", async () => {
    const { port } = await startRedis(["--cluster-enabled", "yes"]);
    for (const message of await messages(of(port)))
      expect(message).toMatch(
        /the server is a node of a Redis Cluster.*(MOVED|CLUSTERDOWN).*\(-redis\.address\)/,
      );
  }, 60_000);

  it("is gone when the server returns, and counts in metrics", async () => {
    const redis = await startRedis(),
      metrics = new Metrics(),
      store = new RedisMembers(of(redis.port), metrics);
    stores.push(store);
    const shown = async (name: string): Promise<number> =>
      Number(
        new RegExp(`^cinderblock_redis_${name}\\{purpose="ring"\\} (.*)$`, "m").exec(
          await metrics.registry.metrics(),
        )![1],
      );
    expect([await shown("connected"), await shown("call_failures_total")]).toEqual([0, 0]);
    await store.write("ingester", "a", "1");
    expect(await shown("connected")).toBe(1);
    await redis.kill();
    await expect(store.read("ingester")).rejects.toThrow(/ECONNREFUSED|closed/);
    expect([
      await shown("connected"),
      await shown("call_failures_total"),
      await shown("call_duration_seconds_count"),
    ]).toEqual([0, 1, 2]);
    await redis.start();
    const deadline = Date.now() + 20_000;
    let read: unknown;
    while (!(read instanceof Map) && Date.now() < deadline)
      read = await store.read("ingester").catch((err: unknown) => err);
    expect(read).toEqual(new Map());
    expect(await shown("connected")).toBe(1);
  }, 60_000);
});
