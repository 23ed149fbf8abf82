import { loadHasher } from "@cinderblock/bytes";
import { kindOf } from "@cinderblock/errors";
import { encodePush, PushProcessor, RateGate } from "@cinderblock/ingest";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { temporaryFolder, tinyPprof } from "@cinderblock/testkit";
import { HeadShard } from "./index.ts";

const T0 = 1_795_409_460_000_000_000n;

async function instance(headBytes: number) {
  const hasher = await loadHasher(),
    blocks: string[] = [],
    used: number[] = [];
  const shard = new HeadShard(hasher, {
    shard: 0,
    dataPath: temporaryFolder(),
    windowNanos: 3_600_000_000_000n,
    headBytes,
    logBytes: 1 << 30,
    segmentBytes: 1 << 20,
    idleMs: 3600_000,
    sync: false,
    onFailure: (err) => {
      throw err;
    },
    onBlock: (tenant) => blocks.push(tenant),
    onMemory: (bytes) => used.push(bytes),
    now: () => Number(T0 / 1_000_000n),
  });
  shard.replay();
  shard.resume();
  let pressed = 0;
  shard.onPressure = () => pressed++;
  const processor = new PushProcessor(hasher, shard);
  /** @returns the kind of the refusal */
  const push = (tenant: string, stacks: string[], at = 0): string | undefined => {
    const profile = tinyPprof({
      timeNanos: T0 + BigInt(at),
      stacks: stacks.map((f) => ({ frames: ["main", f], values: [1] })),
    });
    const labels = [
      { name: "__name__", value: "process_cpu" },
      { name: "service_name", value: "shop" },
    ];
    const body = encodePush([{ labels, profiles: [profile] }], profile.length);
    try {
      const out = processor.process(
        tenant,
        { kind: "push", codec: "proto", gzip: false, body },
        TEST_LIMITS,
        new RateGate(new SharedArrayBuffer(8)),
        0,
      );
      expect(out.error).toBeUndefined();
      return undefined;
    } catch (err) {
      return kindOf(err);
    }
  };
  return { shard, push, blocks, used, pressed: () => pressed };
}
/** Pushes profiles with unique stacks until one is refused. @returns the number of accepted profiles */
function fill(
  push: (tenant: string, stacks: string[], at: number) => string | undefined,
  tenant: string,
): number {
  for (let i = 0; ; i++) {
    const stacks = Array.from({ length: 50 }, (_, k) => `function_${i}_${k}_of_${tenant}`);
    if (push(tenant, stacks, i) !== undefined) return i;
  }
}

describe("the heads of many tenants", () => {
  it("are small while they hold one profile", async () => {
    const { shard, push } = await instance(1 << 30);
    for (let i = 0; i < 50; i++) push(`t${i}`, ["f"]);
    expect(shard.stats().headBytes / 50).toBeLessThan(24_000);
  });

  it("are cut until memory is free, as many as needed; a refusal triggers it too", async () => {
    const LIMIT = 1_000_000,
      { shard, push, blocks, used, pressed } = await instance(LIMIT);
    let taken = 0;
    while (push(`t${taken}`, ["f"]) === undefined) taken++;
    expect(taken).toBeGreaterThan(20);
    const before = pressed();
    expect(push("another", ["f"])).toBe("no-room");
    expect(pressed()).toBe(before + 1);
    await shard.maintain();
    expect(shard.stats().headBytes).toBeLessThanOrEqual((LIMIT * 3) / 8);
    expect(blocks.length).toBeGreaterThan(10);
    expect(used.at(-1)).toBe(shard.stats().headBytes);
    // Maintenance leaves heads that fit alone.
    const left = shard.stats().heads;
    await shard.maintain();
    expect([shard.stats().heads, taken]).toEqual([left, left + blocks.length]);
    expect(push("another", ["f"])).toBeUndefined();
    await shard.close();
  });

  it("leave memory for a small tenant while another pushes at full speed", async () => {
    const { shard, push } = await instance(2_000_000);
    expect(fill(push, "flood")).toBeGreaterThan(10);
    expect(push("flood", ["one more"])).toBe("no-room");
    for (let i = 0; i < 5; i++) expect(push("customer", [`f${i}`], i)).toBeUndefined();
    // The flood's head is cut; the customer's is not.
    await shard.maintain();
    expect(shard.sources("customer").length).toBe(1);
    expect(shard.sources("flood").length).toBe(0);
    expect(push("flood", ["one more"])).toBeUndefined();
    await shard.close();
  });
});
