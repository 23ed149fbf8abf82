import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Growth } from "@cinderblock/ingest";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import { logDirectory } from "./index.ts";
import { ALLOC, alloc, CPU, Instance, MEMORY, SECOND, T0 } from "./shard.testing.ts";

/** A cumulative profile whose log record exceeds the size of a reclaimable segment. */
const heap = (second: number, value: number) => {
  const p = alloc(T0 + BigInt(second) * SECOND, value, 10);
  for (let i = 0; i < 200; i++)
    p.stacks.push({ frames: ["main", `function_number_${i}_with_a_usual_name`], values: [10] });
  return p;
};
/** Stored growth of the allocations. */
const grown = async (a: Instance, selector = "{}"): Promise<number> => {
  const main = (await a.tree(ALLOC, selector)).find((line) => line.startsWith("/main "));
  return main === undefined ? 0 : Number(main.split(" ")[1]);
};
const logBytes = (dir: string): number =>
  readdirSync(logDirectory(dir, 0)).reduce((n, f) => n + statSync(join(logDirectory(dir, 0), f)).size, 0);

/** Starts another process on the same folder, as after a crash of the previous one. */
async function restarted(a: Instance): Promise<Instance> {
  const b = new Instance(a.dir, a.shardNo);
  b.tenant = a.tenant;
  b.options = a.options;
  b.blocks = a.blocks;
  await b.start();
  return b;
}

describe("baselines of cumulative profiles", () => {
  it("survive a cut of all heads and a kill", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(MEMORY, heap(0, 1000));
    await a.push(MEMORY, heap(1, 2000));
    expect(logBytes(a.dir)).toBeGreaterThan(4096);
    await a.shard.flush();
    const b = await restarted(a);
    await b.push(MEMORY, heap(2, 5000));
    expect(await grown(b)).toBe(4000);
    await b.shard.close();
  });

  it("survive a clean stop, which cuts every head", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(MEMORY, heap(0, 1000));
    await a.shard.flush();
    await a.shard.close();
    const b = await restarted(a);
    await b.shard.flush();
    await b.shard.close();
    const c = await restarted(b);
    await c.push(MEMORY, heap(1, 5000));
    expect(await grown(c)).toBe(4000);
    await c.shard.close();
  });

  it("of two Kafka partitions are two, over a restart and a forgotten one", async () => {
    const at = (i: Instance, kafkaPartition: number, growth: Growth = "counts"): Instance => {
      i.shard.route = "shop";
      i.shard.origin = { kafkaPartition, growth };
      return i;
    };
    const a = new Instance(temporaryFolder());
    await a.start();
    await at(a, 1).push(MEMORY, heap(0, 1000));
    await at(a, 1).push(MEMORY, heap(1, 2000));
    // The same profile is in both partitions: it sets the baseline of the new one and counts in the old one,
    // in any order.
    await at(a, 5).push(MEMORY, heap(2, 2500));
    await at(a, 1, "leaves").push(MEMORY, heap(2, 2500));
    expect(await grown(a)).toBe(1500);
    await a.shard.flush();
    const b = await restarted(a);
    expect(b.shard.baselineServices()).toEqual([{ tenant: "t", service: "shop", kafkaPartition: 5 }]);
    await at(b, 1, "leaves").push(MEMORY, heap(3, 2600));
    await at(b, 1, "ignored").push(MEMORY, heap(3, 2600));
    expect(await grown(b)).toBe(1500);
    await at(b, 5).push(MEMORY, heap(3, 2600));
    expect(await grown(b)).toBe(1600);
    expect(b.shard.forgetBaselines([{ tenant: "t", service: "shop", kafkaPartition: 1 }])).toBe(0);
    expect(b.shard.forgetBaselines([{ tenant: "t", service: "shop", kafkaPartition: 5 }])).toBe(1);
    await b.shard.commit();
    const c = await restarted(b);
    expect(c.shard.baselineServices()).toEqual([]);
    await c.shard.close();
  });

  it("of an earlier release, which name no Kafka partition, go to the first partition that has their series", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    a.shard.route = "shop";
    await a.push(MEMORY, heap(0, 1000));
    const b = await restarted(a);
    b.shard.route = "shop";
    b.shard.origin = { kafkaPartition: 1, growth: "counts" };
    await b.push(MEMORY, heap(1, 3000));
    expect(await grown(b)).toBe(2000);
    const c = await restarted(b);
    expect(c.shard.baselineServices()).toEqual([{ tenant: "t", service: "shop", kafkaPartition: 1 }]);
    c.shard.route = "shop";
    c.shard.origin = { kafkaPartition: 2, growth: "counts" };
    await c.push(MEMORY, heap(2, 4000));
    expect(await grown(c)).toBe(2000);
    c.shard.origin = { kafkaPartition: 1, growth: "counts" };
    await c.push(MEMORY, heap(2, 4000));
    expect(await grown(c)).toBe(3000);
    await c.shard.close();
  });

  it("survive the cut of another tenant's heads and a kill", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    a.tenant = "b";
    await a.push(MEMORY, heap(0, 1000));
    await a.push(MEMORY, heap(1, 2000));
    await a.shard.flush();
    a.tenant = "a";
    await a.push(CPU, heap(0, 5));
    await a.shard.flush("a");
    const b = new Instance(a.dir);
    b.tenant = "b";
    b.blocks = a.blocks.slice(0, 1);
    await b.start();
    await b.push(MEMORY, heap(2, 5000));
    expect(await grown(b)).toBe(4000);
    await b.shard.close();
  });

  it("that were dropped stay dropped when an idle head pins the segment with their records", async () => {
    const a = new Instance(temporaryFolder());
    a.options = { segmentBytes: 8192, logBytes: 1 << 30 };
    await a.start();
    await a.push(MEMORY, heap(0, 1000));
    // The quiet tenant's head holds the first segment while it is open.
    a.tenant = "quiet";
    await a.push(CPU, { stacks: [{ frames: ["main"], values: [1] }], timeNanos: T0 });
    a.tenant = "t";
    expect(a.shard.forgetBaselines([{ tenant: "t", service: "shop" }])).toBeGreaterThan(0);
    for (let i = 0; i < 20; i++) await a.push(CPU, heap(i, 5));
    await a.shard.flush("t");
    const b = await restarted(a);
    expect(b.shard.baselineServices()).toEqual([]);
    await b.shard.close();
  });

  it("are not rewritten while no push arrives", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(MEMORY, heap(0, 1000));
    await a.shard.flush();
    const before = readdirSync(logDirectory(a.dir, 0));
    for (let i = 0; i < 5; i++) await a.shard.maintain();
    expect(readdirSync(logDirectory(a.dir, 0))).toEqual(before);
    await a.shard.close();
  });

  it.each(process.env.CINDERBLOCK_LONG ? [1, 2, 3, 4, 5, 6, 7, 8] : [1, 2])(
    "count all growth once, through cuts, kills and stops (seed %i)",
    async (seed) => {
      const random = new Random(seed),
        services = ["s0", "s1", "s2"],
        last = new Map<string, number>();
      let a = new Instance(temporaryFolder());
      a.options = { segmentBytes: 8192, logBytes: 40_000 };
      await a.start();
      for (let step = 0; step < 120; step++) {
        const service = services[random.below(services.length)]!,
          at = random.next();
        if (at < 0.6) {
          const value = (last.get(service) ?? 1000) + (last.has(service) ? random.below(100) : 0);
          last.set(service, value);
          await a.push({ ...MEMORY, service_name: service }, heap(step, value));
        } else if (at < 0.7) await a.push(CPU, heap(step, 1 + step));
        else if (at < 0.8) await a.shard.flush();
        else if (at < 0.85) await a.shard.maintain();
        else {
          if (at < 0.92) {
            await a.shard.flush();
            await a.shard.close();
          }
          a = await restarted(a);
        }
      }
      for (const service of services)
        expect([service, await grown(a, `{service_name="${service}"}`)]).toEqual([
          service,
          (last.get(service) ?? 1000) - 1000,
        ]);
      await a.shard.close();
    },
    30_000,
  );
});
