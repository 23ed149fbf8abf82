import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ALLOC, alloc, CPU, cpu, Instance, MEMORY, SECOND, T0 } from "@cinderblock/head/testing";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import { LogShards, shardOf } from "./log-shards.ts";

/** The ingest threads of a process over one data path. */
class Threads {
  readonly shards: Instance[] = [];
  private readonly dir: string;
  private readonly count: number;
  readonly logs: LogShards;
  constructor(dir: string, count: number) {
    this.dir = dir;
    this.count = count;
    this.logs = new LogShards(dir, count);
  }

  /** @param upTo last step of the start before the process ends */
  async start(upTo: "adopted" | "dropped" | "settled" = "settled"): Promise<this> {
    for (let shard = 0; shard < this.count; shard++) {
      const i = new Instance(this.dir, shard);
      i.options = { segmentBytes: 8192 };
      const { count, ...plan } = this.logs.replayOf(shard);
      await i.start({ ...plan, keeps: (route) => shardOf(route, count) === shard });
      this.shards.push(i);
    }
    if (this.logs.resharding) {
      for (const s of this.shards) await s.shard.adoptBaselines();
      if (upTo === "adopted") return this;
      for (const s of this.shards) await s.shard.dropForeignBaselines();
      if (upTo === "dropped") return this;
    }
    this.logs.settle();
    return this;
  }

  /** Pushes like the ingester: the route chooses the thread. */
  async push(route: string, labels: Record<string, string>, at: number, value: number): Promise<void> {
    const i = this.shards[shardOf(route, this.count)]!;
    i.shard.route = route;
    await i.push({ ...MEMORY, service_name: route, ...labels }, alloc(T0 + BigInt(at) * SECOND, value, 10));
  }

  async flush(): Promise<void> {
    for (const s of this.shards) await s.shard.flush();
  }

  /** Growth of a service in all threads' heads and in `blocks`. */
  async grown(service: string): Promise<number> {
    let sum = 0;
    for (const s of this.shards) {
      const main = (await s.tree(ALLOC, `{service_name="${service}"}`)).find((l) => l.startsWith("/main "));
      sum += main === undefined ? 0 : Number(main.split(" ")[1]);
    }
    return sum;
  }
}

const SERVICES = Array.from({ length: 12 }, (_, i) => `service-${i}`);

describe("a change of the number of ingest threads", () => {
  it.each([
    [2, 3, 2],
    [1, 4, 1],
    [3, 1, 3],
    [4, 3, 2],
  ])("counts all growth once: %i, %i, %i threads", async (...counts) => {
    const dir = temporaryFolder();
    const sums = new Map<string, number>();
    let at = 0,
      value = 1000;
    for (const count of counts) {
      const t = await new Threads(dir, count).start();
      for (const s of SERVICES) sums.set(s, (sums.get(s) ?? 0) - (await t.grown(s)));
      for (let k = 0; k < 2; k++) {
        at++;
        for (const s of SERVICES) await t.push(s, {}, at, value);
        value += 1000;
      }
      // Growth in heads from before the restart is counted by now.
      for (const s of SERVICES) sums.set(s, sums.get(s)! + (await t.grown(s)));
    }
    expect([...sums]).toEqual(SERVICES.map((s) => [s, value - 1000 - 1000]));
  });

  it.each(["adopted", "dropped"] as const)(
    "loses and duplicates no growth when the process ends as baselines are %s",
    async (upTo) => {
      const dir = temporaryFolder();
      const one = await new Threads(dir, 2).start();
      for (const s of SERVICES) await one.push(s, {}, 1, 1000);
      await one.flush();
      await new Threads(dir, 3).start(upTo);
      const t = await new Threads(dir, 3).start();
      for (const s of SERVICES) await t.push(s, {}, 2, 3000);
      for (const s of SERVICES) expect([s, await t.grown(s)]).toEqual([s, 2000]);
    },
  );

  it("ignores baselines of an orphaned log that other threads already have", async () => {
    const dir = temporaryFolder();
    const three = await new Threads(dir, 3).start();
    for (const s of SERVICES) await three.push(s, {}, 1, 1000);
    for (const s of SERVICES)
      await three.shards[shardOf(s, 3)]!.push({ ...CPU, service_name: s }, cpu(T0, 1));
    // The third log stays because its heads stay.
    const one = await new Threads(dir, 1).start();
    for (const s of SERVICES) await one.push(s, {}, 2, 3000);
    // Return to three threads over several restarts, with the stale log among the others.
    const again = await new Threads(dir, 1).start();
    for (const s of SERVICES) await again.push(s, {}, 3, 4000);
    const back = await new Threads(dir, 3).start();
    for (const s of SERVICES) await back.push(s, {}, 4, 6000);
    for (const s of SERVICES) expect([s, await back.grown(s)]).toEqual([s, 5000]);
  });

  it("keeps series with their pushes, for any labels", async () => {
    const dir = temporaryFolder();
    const one = await new Threads(dir, 2).start();
    // A push without a service name goes to the thread of the empty route.
    await one.push("", { service_name: "named" }, 1, 1000);
    for (const count of [3, 5, 2]) {
      const t = await new Threads(dir, count).start();
      await t.flush();
    }
    const t = await new Threads(dir, 4).start();
    await t.push("", { service_name: "named" }, 2, 1500);
    expect(await t.grown("named")).toBe(500);
  });

  it("is detected without a file from the previous release, or with an incomplete file", async () => {
    const dir = temporaryFolder();
    expect(new LogShards(dir, 2).resharding).toBe(false);
    await new Threads(dir, 2).start();
    expect(new LogShards(dir, 2).resharding).toBe(false);
    expect(new LogShards(dir, 3).resharding).toBe(true);
    expect(new LogShards(dir, 1).resharding).toBe(true);
    const copy = temporaryFolder();
    cpSync(dir, copy, { recursive: true });
    const file = join(copy, ".cinderblock", "log", "shards.json");
    for (const text of ["", "null", '{"version":1', "\0\0\0"]) {
      writeFileSync(file, text);
      expect(new LogShards(copy, 2).resharding).toBe(true);
    }
  });

  it.each([1, 2, 3])(
    "keeps all growth through random thread counts, cuts and kills (seed %i)",
    async (seed) => {
      const random = new Random(seed),
        dir = temporaryFolder(),
        last = new Map<string, number>(),
        blocks: Instance["blocks"] = [];
      let t = await new Threads(dir, 2).start();
      for (let at = 1; at <= 60; at++) {
        const s = SERVICES[random.below(SERVICES.length)]!,
          value = last.has(s) ? last.get(s)! + random.below(50) : 1000;
        last.set(s, value);
        await t.push(s, {}, at, value);
        if (random.next() < 0.1) await t.flush();
        if (random.next() < 0.15) {
          blocks.push(...t.shards.flatMap((i) => i.blocks));
          if (random.next() < 0.2) await new Threads(dir, 1 + random.below(4)).start("adopted");
          t = await new Threads(dir, 1 + random.below(4)).start();
        }
      }
      t.shards[0]!.blocks.push(...blocks);
      for (const s of last.keys()) expect([s, await t.grown(s)]).toEqual([s, last.get(s)! - 1000]);
    },
    30_000,
  );
});
