import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
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
  it("outlive a cut of everything and a kill", async () => {
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

  it("outlive a clean stop, which cuts every head", async () => {
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

  it("outlive the cut of another tenant's heads and a kill", async () => {
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

  it("that were forgotten stay forgotten when a quiet head keeps the segment with their records", async () => {
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

  it("are not written again and again while nothing is pushed", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(MEMORY, heap(0, 1000));
    await a.shard.flush();
    const before = readdirSync(logDirectory(a.dir, 0));
    for (let i = 0; i < 5; i++) await a.shard.maintain();
    expect(readdirSync(logDirectory(a.dir, 0))).toEqual(before);
    await a.shard.close();
  });

  it.each([1, 2, 3, 4, 5])(
    "count all growth once, whatever is cut, killed and stopped in between (seed %i)",
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
