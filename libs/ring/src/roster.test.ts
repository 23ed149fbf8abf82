import { existsSync, writeFileSync } from "node:fs";
import { jest } from "@jest/globals";
import { CinderblockError } from "@cinderblock/errors";
import { InMemoryMembers } from "@cinderblock/redis";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import {
  encodeMember,
  Holders,
  type Member,
  ROSTER_FOLDER,
  Roster,
  type RosterBucket,
  RosterMember,
  rosterName,
  RingView,
} from "./index.ts";

const base = () => ({
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => Date.now(),
});

/** In-memory bucket whose requests can fail or never respond, per kind of request. */
class Objects implements RosterBucket {
  readonly all = new Map<string, Uint8Array>();
  mode: "well" | "refuses writes" | "away" | "silent" = "well";
  readonly requests: string[] = [];
  private ask<T>(what: string, writes: boolean, work: () => T): Promise<T> {
    this.requests.push(what);
    if (this.mode === "silent") return new Promise(() => undefined);
    if (this.mode === "away" || (writes && this.mode === "refuses writes"))
      return Promise.reject(new CinderblockError("unavailable", "bucket is away"));
    try {
      return Promise.resolve(work());
    } catch (err) {
      return Promise.reject(err as Error);
    }
  }
  get(name: string): Promise<Uint8Array> {
    return this.ask("get", false, () => {
      const bytes = this.all.get(name);
      if (!bytes) throw new CinderblockError("not-found", name);
      return bytes;
    });
  }
  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.ask("put", true, () => void this.all.set(name, bytes));
  }
  exists(name: string): Promise<boolean> {
    return this.ask("exists", false, () => this.all.has(name));
  }
  delete(name: string): Promise<void> {
    return this.ask("delete", true, () => void this.all.delete(name));
  }
  list(prefix: string): Promise<string[]> {
    return this.ask("list", false, () => [...this.all.keys()].filter((n) => n.startsWith(prefix)).sort());
  }
}

const flushed = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());
const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);

describe("an ingester's roster entry", () => {
  const made = (bucket: RosterBucket, file = `${temporaryFolder()}/roster.json`) => {
    const member = new RosterMember(
      bucket,
      { id: "ingester-0", address: () => "10.0.0.1:4040", zone: "a", file },
      base(),
    );
    let ready = false;
    void member.ready.then(() => (ready = true));
    return { member, file, ready: () => ready };
  };
  const NAME = rosterName("ingester-0");

  it("is written before the ingester is ready, whatever the bucket does meanwhile", async () => {
    for (const mode of ["away", "refuses writes", "silent"] as const) {
      const bucket = new Objects(),
        { member, ready } = made(bucket);
      bucket.mode = mode;
      await member.start();
      await pass(30_000);
      expect([ready(), bucket.all.size, member.obstacle === ""]).toEqual([false, 0, false]);
      bucket.mode = "well";
      await pass(15_000);
      expect([ready(), [...bucket.all.keys()], member.obstacle]).toEqual([true, [NAME], ""]);
      const stopped = member.stop();
      await pass(10_000);
      await stopped;
    }
  });
  it("does not delay a restart with an earlier entry while the bucket is away", async () => {
    const bucket = new Objects(),
      first = made(bucket);
    await first.member.start();
    await flushed();
    await first.member.stop(); // stopped without a hand-over
    bucket.mode = "away";
    const second = made(bucket, first.file);
    await second.member.start();
    await flushed();
    expect(second.ready()).toBe(true);
    await second.member.stop();
    // A file of another ingester, or a torn file, counts as absent.
    for (const text of ['{"id":"ingester-1"}', '{"id":"inges', "", "null"]) {
      writeFileSync(first.file, text);
      const other = made(bucket, first.file);
      await other.member.start();
      await flushed();
      expect(other.ready()).toBe(false);
      await other.member.stop();
    }
  });
  it("is rewritten after its deletion", async () => {
    const bucket = new Objects(),
      { member } = made(bucket);
    await member.start();
    await pass(1000);
    bucket.all.clear();
    await pass(61_000);
    expect([...bucket.all.keys()]).toEqual([NAME]);
    await member.stop();
  });
  it("is removed after a hand-over, also by a slow bucket, and kept by an unresponsive one", async () => {
    const bucket = new Objects(),
      { member, file } = made(bucket);
    await member.start();
    await flushed();
    expect(existsSync(file)).toBe(true);
    bucket.mode = "refuses writes";
    const removed = member.remove(Date.now() + 20_000);
    await pass(5000);
    bucket.mode = "well";
    await pass(5000);
    expect([await removed, bucket.all.size, existsSync(file)]).toEqual([true, 0, false]);

    const again = made(bucket, file);
    await again.member.start();
    await flushed();
    bucket.mode = "silent";
    const kept = again.member.remove(Date.now() + 20_000);
    await pass(60_000);
    expect([await kept, [...bucket.all.keys()]]).toEqual([false, [NAME]]);
  });
  it("of a later incarnation stays when an earlier one hands over late", async () => {
    const bucket = new Objects(),
      early = made(bucket);
    await early.member.start();
    await flushed();
    const later = made(bucket);
    await later.member.start();
    await flushed();
    expect(await early.member.remove(Date.now() + 5000)).toBe(true);
    expect([...bucket.all.keys()]).toEqual([NAME]);
    await later.member.stop();
  });
});

describe("holders of data", () => {
  const member = (id: string, more: Partial<Member> = {}): Member => ({
    id,
    address: `${id}:4040`,
    zone: "",
    state: "ACTIVE",
    tokens: [1],
    heartbeat: 1,
    registeredAtMs: 0,
    ...more,
  });
  /** A reader: its ring, its roster, and their clocks. */
  async function reader(bucket: Objects, store: InMemoryMembers, timeoutMs = 3000) {
    const clock = (): number => Date.now();
    const view = new RingView(
      store,
      { ring: "ingester", refreshMs: 1000, heartbeatTimeoutMs: 3000, forgetAfterMs: 0 },
      base(),
      clock,
    );
    const roster = new Roster(bucket, base(), { timeoutMs }, clock),
      holders = new Holders(view, roster, clock);
    roster.isStale = (id) => !holders.inRing(id);
    await view.refresh();
    const read = roster.refresh();
    await pass(timeoutMs);
    await read;
    const refresh = async (): Promise<void> => {
      await view.refresh();
      holders.recordMembers();
      const again = roster.refresh();
      await pass(timeoutMs);
      await again;
    };
    return { view, roster, holders, refresh, ids: () => holders.members.map((m) => m.id) };
  }
  const write = (store: InMemoryMembers, ...members: Member[]): Promise<void[]> =>
    Promise.all(members.map((m) => store.write("ingester", m.id, encodeMember(m))));
  const enroll = (bucket: Objects, ...ids: string[]): void => {
    for (const id of ids)
      bucket.all.set(
        rosterName(id),
        Buffer.from(
          JSON.stringify({ version: 1, id, address: `${id}:4040`, zone: "", incarnation: "r", startedMs: 5 }),
        ),
      );
  };

  it("stay known when the ring's store is emptied, also to a later reader", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a", "b", "c", "d");
    await write(store, ...["a", "b", "c", "d"].map((id) => member(id)));
    const old = await reader(bucket, store);
    for (const id of ["a", "b", "c", "d"]) await store.remove("ingester", id);
    await write(store, ...["b", "c", "d"].map((id) => member(id, { heartbeat: 2 })));
    await pass(10_000);
    await old.refresh();
    expect(old.view.snapshot.members.map((m) => m.id)).toEqual(["b", "c", "d"]);
    expect(old.ids()).toEqual(["a", "b", "c", "d"]);
    const fresh = await reader(bucket, store);
    expect([fresh.ids(), fresh.holders.unknown]).toEqual([["a", "b", "c", "d"], ""]);
  });
  it("that left after a hand-over are dropped immediately by a refreshing reader", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a", "b");
    await write(store, member("a"), member("b"));
    const r = await reader(bucket, store);
    expect(r.ids()).toEqual(["a", "b"]);
    bucket.all.delete(rosterName("a"));
    await store.remove("ingester", "a");
    expect(r.ids()).toEqual(["a", "b"]); // the cached roster
    await pass(1000);
    await r.refresh();
    expect(r.ids()).toEqual(["b"]);
  });
  it("that disappear from the ring while the bucket is away stay until the roster can be read", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    await write(store, member("a"), member("b"), member("c"));
    enroll(bucket, "a", "b");
    const r = await reader(bucket, store);
    bucket.mode = "away";
    await pass(10_000);
    // c has enrolled since the last read, and the store loses c.
    enroll(bucket, "c");
    await r.refresh();
    await store.remove("ingester", "c");
    await pass(10_000);
    await r.refresh();
    expect([r.ids(), r.holders.unknown]).toEqual([["a", "b", "c"], ""]);
    bucket.mode = "well";
    bucket.all.delete(rosterName("c"));
    await pass(10_000);
    await r.refresh();
    expect(r.ids()).toEqual(["a", "b"]);
  });
  it("are unknown to a reader without a roster yet, and to a reader of a damaged entry", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a");
    for (const mode of ["away", "silent"] as const) {
      bucket.mode = mode;
      const r = await reader(bucket, store);
      expect(r.holders.unknown).toMatch(/has not been read yet/);
      bucket.mode = "well";
      await pass(5000);
      await r.refresh();
      expect([r.holders.unknown, r.ids()]).toEqual(["", ["a"]]);
    }
    bucket.all.set(`${ROSTER_FOLDER}b`, Buffer.from("{"));
    expect((await reader(bucket, store)).holders.unknown).toMatch(/ingesters\/b is damaged/);
  });
  it("do not wait for an unresponsive bucket once a roster is known", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a");
    const r = await reader(bucket, store);
    bucket.mode = "silent";
    await pass(5000);
    const first = r.roster.refresh();
    await pass(3000);
    await first; // one read waits for its deadline
    await pass(4000);
    const from = Date.now();
    await r.roster.refresh();
    expect([Date.now() - from, r.ids()]).toEqual([0, ["a"]]);
  });
  it("that moved without the ring have the address of their newer entry", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a");
    await write(store, member("a", { registeredAtMs: 5 }));
    const r = await reader(bucket, store);
    await store.remove("ingester", "a");
    bucket.all.set(
      rosterName("a"),
      Buffer.from(
        JSON.stringify({
          version: 1,
          id: "a",
          address: "moved:4040",
          zone: "",
          incarnation: "s",
          startedMs: 9,
        }),
      ),
    );
    await pass(10_000);
    await r.refresh();
    await pass(1000);
    await r.refresh();
    expect(r.holders.members.map((m) => m.address)).toEqual(["moved:4040"]);
  });
  it("that an operator forgets are removed from the bucket", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a", "b");
    const r = await reader(bucket, store);
    expect([await r.roster.forget("a"), await r.roster.forget("x"), r.ids()]).toEqual([true, false, ["b"]]);
    expect([...bucket.all.keys()]).toEqual([rosterName("b")]);
  });
  it("cost one list request at each refresh", async () => {
    const bucket = new Objects(),
      store = new InMemoryMembers();
    enroll(bucket, "a", "b");
    await write(store, member("a"), member("b"));
    const r = await reader(bucket, store);
    expect(bucket.requests).toEqual(["list", "get", "get"]);
    bucket.requests.length = 0;
    expect(r.ids()).toEqual(["a", "b"]);
    for (let i = 0; i < 3; i++) {
      await pass(30_000);
      await r.refresh();
    }
    expect(bucket.requests).toEqual(["list", "list", "list"]);
  });
});
