import { CinderblockError } from "@cinderblock/errors";
import { InMemoryMembers } from "@cinderblock/redis";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { RingMember, RingView } from "./index.ts";

const REFUSED =
  "Redis at r:6379: WRONGPASS invalid username-password pair (-redis.username, -redis.password)";

/** A store that answers nothing while it is away. */
class Breakable extends InMemoryMembers {
  away = false;
  private ask<T>(work: () => Promise<T>): Promise<T> {
    return this.away ? Promise.reject(new CinderblockError("unavailable", REFUSED)) : work();
  }
  override read(ring: string): Promise<Map<string, string>> {
    return this.ask(() => super.read(ring));
  }
  override compareAndSwap(
    ring: string,
    id: string,
    expected: string,
    entry: string,
  ): Promise<string | undefined> {
    return this.ask(() => super.compareAndSwap(ring, id, expected, entry));
  }
  override remove(ring: string, id: string, expected?: string): Promise<boolean> {
    return this.ask(() => super.remove(ring, id, expected));
  }
}

function setUp() {
  const store = new Breakable(),
    metrics = new Metrics(),
    clock = { ms: 1_000_000 };
  const base = {
    log: createLogger({ level: "silent", format: "logfmt" }),
    metrics,
    tracer: noTracer,
    now: () => clock.ms,
  };
  const member = new RingMember(
    store,
    {
      ring: "ingester",
      id: "a",
      address: () => "a:1",
      zone: "",
      tokens: 4,
      tokensFile: "",
      heartbeatMs: 1e6,
      unregister: true,
    },
    base,
  );
  const view = new RingView(
    store,
    { ring: "ingester", refreshMs: 1e6, heartbeatTimeoutMs: 60_000, forgetAfterMs: 0 },
    base,
  );
  const lines = async (name: string): Promise<string[]> =>
    (await metrics.registry.metrics()).split("\n").filter((l) => l.startsWith(name));
  return { store, member, view, clock, lines };
}

describe("readiness of a ring member", () => {
  const HEARTBEAT = "cinderblock_ring_last_heartbeat_timestamp_seconds";

  it("waits for the first accepted ACTIVE entry, names the cause, and outlasts an outage", async () => {
    const { store, member, clock, lines } = setUp();
    store.away = true;
    await member.start();
    await member.setState("ACTIVE");
    expect(member.obstacle).toBe(`this process is not in the ring ingester yet: ${REFUSED}`);
    expect(await lines(HEARTBEAT)).toEqual([`${HEARTBEAT}{ring="ingester"} 0`]);
    store.away = false;
    clock.ms = 2_000_000;
    await member.setState("ACTIVE");
    expect(member.obstacle).toBe("");
    expect(await lines(HEARTBEAT)).toEqual([`${HEARTBEAT}{ring="ingester"} 2000`]);
    store.away = true;
    clock.ms = 3_000_000;
    await member.setState("ACTIVE");
    expect(member.obstacle).toBe("");
    expect(await lines(HEARTBEAT)).toEqual([`${HEARTBEAT}{ring="ingester"} 2000`]);
    await member.stop();
  });

  it("does not take an accepted JOINING entry for a member that others find", async () => {
    const { store, member } = setUp();
    await member.start();
    expect(member.obstacle).toBe("this process is not ACTIVE in the ring ingester yet");
    store.away = true;
    await member.setState("ACTIVE");
    expect(member.obstacle).toContain("WRONGPASS");
    store.away = false;
    await member.setState("ACTIVE");
    expect(member.obstacle).toBe("");
    await member.stop();
  });
});

describe("readiness of a ring's view", () => {
  it("waits for the first read, names the cause, and outlasts an outage", async () => {
    const { store, view } = setUp();
    store.away = true;
    await view.start();
    expect(view.obstacle).toBe(`the ring ingester has not been read yet: ${REFUSED}`);
    store.away = false;
    await view.refresh();
    expect(view.obstacle).toBe("");
    store.away = true;
    await view.refresh();
    expect(view.obstacle).toBe("");
    await view.stop();
  });
});

it("loops of a ring count failed passes while the store is away", async () => {
  const { store, member, view, lines } = setUp();
  store.away = true;
  await member.start();
  await view.start();
  expect((await lines("cinderblock_process_loop_failures_total")).filter((l) => l.endsWith(" 1"))).toEqual([
    'cinderblock_process_loop_failures_total{loop="heartbeat-ingester",late="false"} 1',
    'cinderblock_process_loop_failures_total{loop="ring-ingester",late="false"} 1',
  ]);
  await member.stop();
  await view.stop();
});
