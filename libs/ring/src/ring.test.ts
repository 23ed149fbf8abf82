import { readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { CinderblockError } from "@cinderblock/errors";
import { InMemoryMembers, type MemberStore } from "@cinderblock/redis";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import {
  assignPartitions,
  decodeMember,
  encodeMember,
  type Member,
  RingMember,
  RingSnapshot,
  RingView,
} from "./index.ts";

const base = () => ({
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => 1_795_000_000_000,
});
const random = new Random(20261124);
const member = (id: string, more: Partial<Member> = {}): Member => ({
  id,
  address: `${id}:4040`,
  zone: "",
  state: "ACTIVE",
  tokens: Array.from({ length: 128 }, () => random.below(2 ** 32)).sort((a, b) => a - b),
  heartbeat: 1,
  registeredAtMs: 0,
  ...more,
});
const ids = (m: readonly Member[]): string[] => m.map((x) => x.id);

describe("a ring", () => {
  it("returns as many distinct members as replicas", () => {
    const ring = new RingSnapshot(["a", "b", "c", "d"].map((i) => member(i)));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (token) => {
        const { members, maxErrors } = ring.writeReplicas(token, 3);
        expect(new Set(ids(members)).size).toBe(3);
        expect(maxErrors).toBe(1);
      }),
    );
  });
  it("moves about one in n of the tokens to a joining member, and none between the others", () => {
    const old = ["a", "b", "c", "d"].map((i) => member(i));
    const before = new RingSnapshot(old),
      after = new RingSnapshot([...old, member("e")]);
    let moved = 0;
    for (let i = 0; i < 5000; i++) {
      const token = random.below(2 ** 32),
        was = before.writeReplicas(token, 1).members[0]!.id,
        is = after.writeReplicas(token, 1).members[0]!.id;
      if (was !== is) {
        moved++;
        expect(is).toBe("e");
      }
    }
    expect(moved / 5000).toBeGreaterThan(0.12);
    expect(moved / 5000).toBeLessThan(0.28);
  });
  it("spreads tokens evenly", () => {
    const ring = new RingSnapshot(Array.from({ length: 10 }, (_, i) => member(`m${i}`)));
    const counts = new Map<string, number>();
    for (let i = 0; i < 20_000; i++) {
      const { id } = ring.writeReplicas(random.below(2 ** 32), 1).members[0]!;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const n of counts.values()) {
      expect(n / 2000).toBeGreaterThan(0.6);
      expect(n / 2000).toBeLessThan(1.5);
    }
  });
  it("skips members that accept no writes, and reports too few replicas", () => {
    const all = ["a", "b", "c", "d"].map((i) => member(i));
    const ring = new RingSnapshot([{ ...all[0]!, state: "LEAVING" }, ...all.slice(1)], new Set(["b"]));
    for (let i = 0; i < 200; i++)
      expect(ids(ring.writeReplicas(random.below(2 ** 32), 3).members)).toEqual(
        expect.arrayContaining(["c", "d"]),
      );
    expect(ring.writeReplicas(1, 3)).toMatchObject({ maxErrors: 0 });
    const one = new RingSnapshot(all.slice(0, 3), new Set(["a", "b"]));
    expect(() => one.writeReplicas(1, 3)).toThrow(
      new CinderblockError("unavailable", "at least 2 live replicas required, could only find 1"),
    );
    expect(() => new RingSnapshot([]).writeReplicas(1, 1)).toThrow(
      "no ingester of the ring takes writes now",
    );
  });
  it("places replicas in distinct zones if there are enough", () => {
    const ring = new RingSnapshot(
      ["a1", "a2", "b1", "b2", "c1", "c2"].map((i) => member(i, { zone: i[0]! })),
    );
    for (let i = 0; i < 200; i++)
      expect(
        new Set(ring.writeReplicas(random.below(2 ** 32), 3, true).members.map((m) => m.zone)).size,
      ).toBe(3);
    const down = new RingSnapshot(ring.members, new Set(["a1"]));
    for (let i = 0; i < 200; i++)
      expect(
        new Set(down.writeReplicas(random.below(2 ** 32), 3, true).members.map((m) => m.zone)).size,
      ).toBe(3);
  });
});

describe("a tenant's shuffle shard", () => {
  const ring = new RingSnapshot(Array.from({ length: 30 }, (_, i) => member(`m${i}`, { zone: `z${i % 3}` })));
  it("has the configured number of members, the same in every process, as many from each zone", () => {
    for (let t = 0; t < 50; t++) {
      const part = ring.shuffleShard(`tenant-${t}`, 6);
      expect(part.members).toHaveLength(6);
      expect(
        ids(new RingSnapshot([...ring.members].reverse()).shuffleShard(`tenant-${t}`, 6).members),
      ).toEqual(ids(part.members));
      for (const z of ["z0", "z1", "z2"]) expect(part.members.filter((m) => m.zone === z)).toHaveLength(2);
    }
    expect(ring.shuffleShard("t", 4).members).toHaveLength(6); // two of each zone
    expect([ring.shuffleShard("t", 0), ring.shuffleShard("t", 30), ring.shuffleShard("t", 99)]).toEqual([
      ring,
      ring,
      ring,
    ]);
  });
  it("spreads tenants over all members, with few equal shards", () => {
    const counts = new Map<string, number>(),
      parts = new Set<string>();
    for (let t = 0; t < 1000; t++) {
      const m = ids(ring.shuffleShard(`tenant-${t}`, 6).members);
      parts.add(m.join());
      for (const id of m) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    for (const n of counts.values()) {
      expect(n).toBeGreaterThan(60);
      expect(n).toBeLessThan(420);
    }
    expect(counts.size).toBe(30);
    expect(parts.size).toBeGreaterThan(900);
  });
  it("changes by at most one member when one joins or leaves, and grows by the added number", () => {
    const more = new RingSnapshot([...ring.members, member("new", { zone: "z1" })]),
      fewer = new RingSnapshot(ring.members.filter((m) => m.id !== "m7"));
    const lost = (a: RingSnapshot, b: RingSnapshot): number =>
      a.members.filter((m) => !b.members.some((x) => x.id === m.id)).length;
    for (let t = 0; t < 300; t++) {
      const part = ring.shuffleShard(`tenant-${t}`, 9);
      expect(lost(part, more.shuffleShard(`tenant-${t}`, 9))).toBeLessThanOrEqual(1);
      expect(lost(part, fewer.shuffleShard(`tenant-${t}`, 9))).toBeLessThanOrEqual(1);
      expect(lost(ring.shuffleShard(`tenant-${t}`, 6), part)).toBe(0);
    }
  });
  it("keeps writes inside, skipping members that accept none", () => {
    const part = new RingSnapshot(
      ring.members,
      new Set([ring.shuffleShard("t", 9).members[0]!.id]),
    ).shuffleShard("t", 9);
    for (let i = 0; i < 200; i++) {
      const { members } = part.writeReplicas(random.below(2 ** 32), 3, true);
      expect(members.length).toBeGreaterThanOrEqual(2);
      for (const m of members) expect(ids(part.members)).toContain(m.id);
    }
  });
});

describe("partitions of a log", () => {
  it("have one owner each, evenly, and keep their owners when members join or leave", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 1, max: 40 }),
        fc.nat(1000),
        (partitions, n, seed) => {
          const owners = Array.from({ length: n }, (_, i) => `ingester-${seed}-${i}`).sort(),
            owner = assignPartitions(partitions, owners);
          const held = owners.map((_, i) => owner.filter((o) => o === i).length);
          expect(held.reduce((a, b) => a + b, 0)).toBe(partitions);
          expect(Math.max(...held)).toBeLessThanOrEqual(Math.ceil(partitions / n));
        },
      ),
      { numRuns: 200 },
    );
    const many = Array.from({ length: 50 }, (_, i) => `ingester-${String(i).padStart(3, "0")}`),
      less = many.filter((o) => o !== "ingester-017");
    const before = assignPartitions(1000, many),
      after = assignPartitions(1000, less);
    const moved = [...before.keys()].filter((p) => many[before[p]!] !== less[after[p]!]).length;
    expect(moved).toBeGreaterThanOrEqual(20); // the member's own
    expect(moved).toBeLessThan(120);
  });
});

describe("a read-only member", () => {
  it("receives no writes, others accept them, and it stays readable", () => {
    const all = ["a", "b", "c", "d"].map((id) => member(id)),
      ring = new RingSnapshot(all.map((m) => (m.id === "b" ? { ...m, readOnly: true } : m)));
    for (let i = 0; i < 200; i++) {
      const { members } = ring.writeReplicas(random.below(2 ** 32), 3);
      expect([members.length, members.some((m) => m.id === "b")]).toEqual([3, false]);
    }
    expect([ids(ring.active), ids(ring.readable)]).toEqual([
      ["a", "c", "d"],
      ["a", "b", "c", "d"],
    ]);
    expect(decodeMember(encodeMember(ring.members[1]!))).toEqual(ring.members[1]);
    expect(() =>
      new RingSnapshot(all.map((m) => ({ ...m, readOnly: m.id < "d" }))).writeReplicas(0, 3),
    ).toThrow("at least 2 live replicas required, could only find 1");
  });
});

describe("entries of members", () => {
  it("round-trip, and malformed entries are skipped", () => {
    const m = member("a", { zone: "z" });
    expect(decodeMember(encodeMember(m))).toEqual(m);
    for (const bad of [
      "",
      "{",
      "[]",
      "null",
      '{"version":2}',
      JSON.stringify({ version: 1, ...m, state: "?" }),
      JSON.stringify({ version: 1, ...m, tokens: [-1] }),
    ])
      expect(decodeMember(bad)).toBeUndefined();
  });
});

describe("a ring member", () => {
  it("keeps its tokens across a restart, sends heartbeats, and leaves", async () => {
    const store = new InMemoryMembers();
    const config = {
      ring: "ingester",
      id: "a",
      address: () => "a:1",
      zone: "",
      tokens: 16,
      tokensFile: `${temporaryFolder()}/tokens.json`,
      heartbeatMs: 10,
      unregister: true,
    };
    const read = async (): Promise<Member> => decodeMember((await store.read("ingester")).get("a")!)!;
    const first = new RingMember(store, config, base());
    await first.start();
    const one = await read();
    expect([one.state, one.tokens.length]).toEqual(["JOINING", 16]);
    await first.setState("ACTIVE");
    await new Promise((r) => {
      setTimeout(r, 60);
    });
    expect((await read()).heartbeat).toBeGreaterThan(one.heartbeat + 1);
    await first.stop();
    expect((await store.read("ingester")).size).toBe(0);
    const second = new RingMember(store, config, base());
    await second.start();
    expect((await read()).tokens).toEqual(one.tokens);
    await second.stop();
  });

  it.each([
    ["empty", ""],
    ["null", "null"],
    ["cut short", '{"tokens":[1,2,'],
    ["zeros", "\0".repeat(512)],
    ["of another form", '{"tokens":[1,"2"]}'],
    ["out of range", '{"tokens":[1,4294967296]}'],
  ])("replaces a tokens file that is %s, by the ring's tokens or by new ones", async (_, text) => {
    const store = new InMemoryMembers(),
      tokensFile = `${temporaryFolder()}/tokens.json`;
    const config = {
      ring: "ingester",
      id: "a",
      address: () => "a:1",
      zone: "",
      tokens: 16,
      tokensFile,
      heartbeatMs: 60_000,
      unregister: false,
    };
    const tokens = async (): Promise<number[]> =>
      decodeMember((await store.read("ingester")).get("a")!)!.tokens;
    writeFileSync(tokensFile, text);
    const first = new RingMember(store, config, base());
    await first.start();
    const made = await tokens();
    expect(new Set(made).size).toBe(16);
    expect(JSON.parse(readFileSync(tokensFile, "utf8"))).toEqual({ tokens: made });
    await first.stop();
    writeFileSync(tokensFile, text);
    const second = new RingMember(store, config, base());
    await second.start();
    expect(await tokens()).toEqual(made);
    await second.stop();
  });
});

/** A store whose reads can fail. */
class Breakable extends InMemoryMembers implements MemberStore {
  away = false;
  override read(ring: string): Promise<Map<string, string>> {
    return this.away ? Promise.reject(new CinderblockError("unavailable", "away")) : super.read(ring);
  }
}

describe("a process's view of a ring", () => {
  async function setUp(forgetAfterMs = 0) {
    const store = new Breakable();
    let now = 0;
    const view = new RingView(
      store,
      { ring: "r", refreshMs: 1e6, heartbeatTimeoutMs: 60_000, forgetAfterMs },
      base(),
      () => now,
    );
    const beats = { a: 1, b: 1, c: 1 };
    const beat = async (...who: (keyof typeof beats)[]): Promise<void> => {
      for (const i of who) await store.write("r", i, encodeMember(member(i, { heartbeat: ++beats[i] })));
    };
    const step = async (ms: number): Promise<void> => {
      now += ms;
      await view.refresh();
    };
    const unhealthy = (): string[] =>
      view.snapshot.members.filter((m) => !view.snapshot.isHealthy(m)).map((m) => m.id);
    await beat("a", "b", "c");
    await view.refresh();
    return { store, view, beat, step, unhealthy };
  }

  it("marks a member unhealthy when its heartbeat does not change for the timeout, by its own clock", async () => {
    const { beat, step, unhealthy } = await setUp();
    await beat("a", "b");
    await step(59_000);
    expect(unhealthy()).toEqual([]);
    await beat("a", "b");
    await step(2000);
    expect(unhealthy()).toEqual(["c"]);
    await beat("c");
    await step(10);
    expect(unhealthy()).toEqual([]);
  });
  it("keeps the last known ring while the store is unreachable, and restarts the timeouts afterwards", async () => {
    const { store, view, step, unhealthy } = await setUp();
    store.away = true;
    await step(600_000);
    expect(ids(view.snapshot.active)).toEqual(["a", "b", "c"]);
    store.away = false;
    await step(10);
    expect(unhealthy()).toEqual([]);
    await step(61_000);
    expect(unhealthy()).toEqual(["a", "b", "c"]);
  });
  it("ignores an empty ring, or a ring that lost over a third without leaving, until a timeout passes", async () => {
    const { store, view, step } = await setUp();
    for (const i of ["a", "b"]) await store.remove("r", i);
    await step(1000);
    expect(view.snapshot.members.length).toBe(3);
    await store.remove("r", "c");
    await step(58_000);
    expect(view.snapshot.members.length).toBe(3);
    await step(3000);
    expect(view.snapshot.members.length).toBe(0);
  });
  it("accepts members that leave one by one", async () => {
    const { store, view, step } = await setUp();
    await store.write("r", "a", encodeMember(member("a", { state: "LEAVING", heartbeat: 99 })));
    await step(1000);
    await store.remove("r", "a");
    await step(1000);
    expect(ids(view.snapshot.members)).toEqual(["b", "c"]);
  });
  it("forgets silent members only if allowed, and not a recovered one", async () => {
    const never = await setUp();
    await never.beat("a", "b");
    await never.step(10_000_000);
    expect((await never.store.read("r")).size).toBe(3);
    const soon = await setUp(120_000);
    for (let i = 0; i < 3; i++) {
      await soon.beat("a", "b");
      await soon.step(50_000);
    }
    expect([...(await soon.store.read("r")).keys()]).toEqual(["a", "b"]);
    await soon.beat("c");
    expect(await soon.view.forget("c", "an older entry")).toBe(false);
  });
});

describe("two processes with one name", () => {
  const pair = () => {
    const store = new InMemoryMembers(),
      stops: string[] = [];
    const process = (address: string, now = 1000): RingMember =>
      new RingMember(
        store,
        {
          ring: "r",
          id: "a",
          address: () => address,
          zone: "",
          tokens: 4,
          tokensFile: "",
          heartbeatMs: 1e6,
          unregister: true,
          onSuperseded: () => stops.push(address),
        },
        { ...base(), now: () => now },
      );
    const entries = async () =>
      [...(await store.read("r"))].map(([id, e]) => [id.replace(/@.*/, "@"), decodeMember(e)!.address]);
    return { process, entries, stops, store };
  };

  it.each([
    ["at one time", 1000],
    ["with the clock of the later one behind", 1],
  ])(
    "the later one keeps it, the earlier one leaves under a unique name and is read until then: %s",
    async (_, laterNow) => {
      const { process, entries, stops } = pair();
      const first = process("first:1"),
        second = process("second:1", laterNow);
      await first.start();
      await first.setState("ACTIVE");
      await second.start();
      await second.setState("ACTIVE");
      // In any order of heartbeats, the entry stays the later process's.
      await first.setState("ACTIVE");
      await second.setState("ACTIVE");
      await first.setState("ACTIVE");
      expect(stops).toEqual(["first:1"]);
      expect(await entries()).toEqual([
        ["a", "second:1"],
        ["a@", "first:1"],
      ]);
      expect([first.state, first.superseded, second.superseded]).toEqual(["LEAVING", true, false]);
      await first.stop();
      expect(await entries()).toEqual([["a", "second:1"]]);
      await second.stop();
      expect(await entries()).toEqual([]);
    },
  );

  it("an entry with a lost response, or an emptied store, is not another process", async () => {
    const { process, entries, stops, store } = pair();
    const one = process("one:1");
    await one.start();
    await store.remove("r", "a");
    await one.setState("ACTIVE");
    expect([await entries(), stops]).toEqual([[["a", "one:1"]], []]);
    await one.stop();
  });
});
