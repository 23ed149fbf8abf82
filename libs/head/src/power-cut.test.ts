import fs from "node:fs";
import { join } from "node:path";
import { decodeMeta } from "@cinderblock/block-meta";
import { executeOn } from "@cinderblock/query";
import { PowerCutDisk, Random, temporaryFolder } from "@cinderblock/testkit";
import { removeUnfinished } from "./index.ts";
import { ALLOC, alloc, CPU, Instance, MEMORY, T0 } from "./shard.testing.ts";

/** Constant stacks of each cumulative profile: they push the log above the size of a reclaimable segment. */
const PAD = 60;
/** Value of the first cumulative profile. */
const FIRST = 1000;

/** An instance over a folder as a start finds it: it removes unfinished blocks and knows finished ones. */
async function instance(dir: string, sync: boolean): Promise<Instance> {
  const a = new Instance(dir);
  a.options = { segmentBytes: 4096, sync };
  for (const t of fs.readdirSync(dir)) {
    if (t.startsWith(".")) continue;
    removeUnfinished(join(dir, t));
    const local = join(dir, t, "local");
    if (fs.existsSync(local))
      for (const u of fs.readdirSync(local))
        a.blocks.push(decodeMeta(fs.readFileSync(join(local, u, "meta.json"))));
  }
  await a.start();
  return a;
}

const pushCpu = (a: Instance, id: number): Promise<void> =>
  a.push(
    { ...CPU, id: String(id) },
    {
      stacks: [{ frames: ["main", `f${id % 9}`, `g${id}`], values: [1000 + id] }],
      timeNanos: T0 + BigInt(id),
    },
  );
const pushMemory = (a: Instance, at: number, grown: number): Promise<void> => {
  const p = alloc(T0 + BigInt(at), FIRST + grown, 10);
  for (let i = 0; i < PAD; i++) p.stacks.push({ frames: ["main", `function_number_${i}`], values: [10] });
  return a.push(MEMORY, p);
};

/** Value of each series, keyed by its `id`. */
async function values(a: Instance): Promise<Map<string, number>> {
  const r = await executeOn(
    await a.sources(),
    {
      kind: "series",
      callSite: [],
      select: {
        profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
        labelSelector: "{}",
        startMs: 1,
        endMs: 2e12,
      },
      range: { startMs: 1, endMs: 2e12, stepMs: 2e12 - 1, groupBy: ["id"] },
    },
    {},
  );
  return new Map(
    r.kind === "series"
      ? r.series.map((s) => [s.labels[0]!.value, Number(s.sum.reduce((x, y) => x + y, 0n))])
      : [],
  );
}

/** Stored growth of the cumulative series. */
async function grown(a: Instance): Promise<number> {
  const main = (await a.tree(ALLOC)).find((line) => line.startsWith("/main "));
  return main === undefined ? 0 : Number(main.split(" ")[1]);
}

/**
 * Pushes and cuts, with power cuts at random file calls.
 * @returns number of power cuts, and of those during a head's cut; lost acknowledged profiles, doubled
 * profiles, and wrong growths, over all power cuts
 */
async function run(
  sync: boolean,
  seed: number,
): Promise<{ cuts: number; lost: number; doubled: number; inCut: number; wrongGrowth: number[] }> {
  const random = new Random(seed);
  const dir = temporaryFolder();
  const disk = new PowerCutDisk(dir);
  const acknowledged = new Set<number>();
  const snapshots: { dir: string; acknowledged: Set<number> }[] = [];
  let flushing = false,
    cutting = false,
    inCut = 0;
  const a = await instance(dir, sync);
  await pushMemory(a, 0, 0);
  disk.onStep = () => {
    // The copies of a simulated cut are file calls as well.
    if (cutting || snapshots.length >= 60 || random.next() > (flushing ? 0.25 : 0.04)) return;
    const to = temporaryFolder();
    cutting = true;
    try {
      disk.cut(to, () => random.next());
    } finally {
      cutting = false;
    }
    if (flushing) inCut++;
    snapshots.push({ dir: to, acknowledged: new Set(acknowledged) });
  };
  for (let id = 0; id < 240; id++) {
    const pushes = [id];
    while (random.next() < 0.5 && id < 239) pushes.push(++id);
    const pending = pushes.map((p) => pushCpu(a, p).then(() => acknowledged.add(p)));
    pending.push(pushMemory(a, id + 1, id * 7).then(() => acknowledged));
    if (random.next() < 0.06) {
      flushing = true;
      await a.shard.flush();
      flushing = false;
    }
    await Promise.all(pending);
  }
  disk.onStep = () => undefined;
  let lost = 0,
    doubled = 0;
  const wrongGrowth: number[] = [];
  for (const s of snapshots) {
    const b = await instance(s.dir, true);
    const found = await values(b);
    for (const id of s.acknowledged) if (!found.has(String(id))) lost++;
    for (const [id, v] of found) if (v !== 1000 + Number(id)) doubled++;
    // Independent of the stored state, the next profile brings the total growth since the first to its exact
    // value.
    await pushMemory(b, 1000, 50_000);
    const growth = await grown(b);
    if (growth !== 50_000) wrongGrowth.push(growth);
    await b.shard.close();
  }
  await a.shard.close();
  return { cuts: snapshots.length, lost, doubled, inCut, wrongGrowth };
}

describe("a power cut", () => {
  afterEach(() => jest.restoreAllMocks());
  it.each(process.env.CINDERBLOCK_LONG ? [1, 2, 3, 4, 5, 6, 7, 8] : [1])(
    "at any file call leaves every acknowledged profile and every growth exactly once (seed %i)",
    async (seed) => {
      const r = await run(true, seed);
      expect(r.cuts).toBeGreaterThan(20);
      expect(r.inCut).toBeGreaterThan(5);
      expect([r.lost, r.doubled, r.wrongGrowth]).toEqual([0, 0, []]);
    },
    60_000,
  );
  it("loses acknowledged profiles without syncs, which proves the test", async () => {
    expect((await run(false, 4)).lost).toBeGreaterThan(0);
  }, 60_000);
});
