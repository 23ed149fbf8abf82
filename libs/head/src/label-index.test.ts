import { labelAnswer, type LabelRequest } from "@cinderblock/query";
import { temporaryFolder } from "@cinderblock/testkit";
import { CPU, cpu, Instance, SECOND, T0 } from "./shard.testing.ts";

const query = { matchers: ['{pod=~"p.+"}'], startMs: 0, endMs: 0 };
const pods = async (a: Instance): Promise<string[]> =>
  (await labelAnswer(await a.sources(), { kind: "values", name: "pod", query })).names.sort();

describe("the label index of a head", () => {
  it("answers for series that arrive between queries, and its block answers the same", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push({ ...CPU, pod: "p0" }, cpu(T0, 1));
    expect(await pods(a)).toEqual(["p0"]);
    await a.push({ ...CPU, pod: "p1" }, cpu(T0 + SECOND, 1));
    await a.push({ ...CPU, pod: "p0" }, cpu(T0 + 2n * SECOND, 1));
    expect(await pods(a)).toEqual(["p0", "p1"]);
    const series: LabelRequest = { kind: "series", names: [], query },
      { sets } = await labelAnswer(await a.sources(), series);
    expect(sets).toHaveLength(2);
    await a.shard.flush();
    expect(a.shard.sources("t")).toHaveLength(0);
    expect(await pods(a)).toEqual(["p0", "p1"]);
    expect(await labelAnswer(await a.sources(), series)).toEqual({ names: [], sets });
  });

  it("comes with the times of the head's profiles, whatever their order", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    for (const at of [5n, 2n, 9n, 4n]) await a.push({ ...CPU, pod: `p${at}` }, cpu(T0 + at * SECOND, 1));
    const [head] = a.shard.sources("t");
    expect([head!.minTimeNanos, head!.maxTimeNanos]).toEqual([T0 + 2n * SECOND, T0 + 9n * SECOND]);
  });

  it("counts in the memory of the head from the first query on", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    for (let i = 0; i < 20; i++) await a.push({ ...CPU, pod: `p${i}` }, cpu(T0 + BigInt(i) * SECOND, 1));
    const [head] = a.shard.sources("t"),
      before = head!.byteLength;
    await pods(a);
    const index = head!.labelIndex.byteLength;
    expect(index).toBeGreaterThan(20 * 120);
    expect(head!.byteLength - before).toBe(index);
    const used = a.shard.stats().headBytes;
    a.shard.measureIndexed([head!]);
    expect(a.shard.stats().headBytes - used).toBe(index);
    await a.shard.flush();
    a.shard.measureIndexed([head!]);
    expect(a.shard.stats().headBytes).toBe(0);
  });
});
