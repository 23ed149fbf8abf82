import fs from "node:fs";
import { join } from "node:path";
import { decodeMeta } from "@cinderblock/block-meta";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { executeOn } from "@cinderblock/query";
import { type DiskRefusal, FullDisk, Random, temporaryFolder } from "@cinderblock/testkit";
import { removeUnfinished } from "./index.ts";
import { ALLOC, alloc, CPU, Instance, MEMORY, T0 } from "./shard.testing.ts";

const REFUSALS: DiskRefusal[] = ["ENOSPC", "EDQUOT", "EROFS", "EMFILE", "inodes"];

/** An instance over a folder as a start finds it; the test triggers the retries of its writes. */
class Subject extends Instance {
  retries: (() => void)[] = [];
  unwritable: string[] = [];
  makesRoom: () => boolean = () => false;
  nowMs = 1;

  override async start() {
    this.options = {
      segmentBytes: 3000,
      later: (_ms, run) => this.retries.push(run),
      onNoSpace: () => this.makesRoom(),
      onUnwritable: (operation, err) => this.unwritable.push(err ? operation : `${operation} again`),
      now: () => (this.nowMs += 10_000),
    };
    for (const t of fs.readdirSync(this.dir)) {
      if (t.startsWith(".")) continue;
      removeUnfinished(join(this.dir, t));
      const local = join(this.dir, t, "local");
      if (fs.existsSync(local))
        for (const u of fs.readdirSync(local))
          this.blocks.push(decodeMeta(fs.readFileSync(join(local, u, "meta.json"))));
    }
    return super.start();
  }

  /** Retries the writes that wait for disk space. */
  async retry(): Promise<void> {
    for (const run of this.retries.splice(0)) run();
    await this.shard.commit();
  }

  store(id: number): Promise<void> {
    return this.push(
      { ...CPU, id: String(id) },
      {
        stacks: [{ frames: ["main", `f${id % 9}`, `g${id}`], values: [1000 + id] }],
        timeNanos: T0 + BigInt(id),
      },
    );
  }

  /** Value of each series, keyed by its `id`. */
  async values(): Promise<Map<string, number>> {
    const range = { startMs: 1, endMs: 2e12, stepMs: 2e12 - 1, groupBy: ["id"] };
    const r = await executeOn(
      await this.sources(),
      {
        kind: "series",
        callSite: [],
        select: {
          profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
          labelSelector: "{}",
          startMs: 1,
          endMs: 2e12,
        },
        range,
      },
      {},
    );
    return new Map(
      r.kind === "series"
        ? r.series.map((s) => [s.labels[0]!.value, Number(s.sum.reduce((x, y) => x + y, 0n))])
        : [],
    );
  }
}

const subject = async (dir = temporaryFolder()): Promise<Subject> => {
  const a = new Subject(dir);
  await a.start();
  return a;
};
const refusedBy = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (err: unknown) => err,
  );

afterEach(() => jest.restoreAllMocks());

describe("a log on a full disk", () => {
  for (const refusal of REFUSALS)
    it(`refuses pushes temporarily and continues after ${refusal}`, async () => {
      const disk = new FullDisk(),
        a = await subject();
      await a.store(1);
      disk.refusal = refusal;
      disk.room = 50;
      // New segments need descriptors and inodes; writes to an open segment do not.
      for (let id = 2; id < 60 && a.unwritable.length === 0; id++) await refusedBy(a.store(id));
      expect(a.unwritable).toEqual(["log"]);
      expect(await refusedBy(a.store(60))).toMatchObject({ kind: "no-room", detail: { resource: "disk" } });
      expect((await a.values()).has("60")).toBe(false);
      disk.refusal = undefined;
      await a.retry();
      expect(a.unwritable).toEqual(["log", "log again"]);
      await a.store(61);
      const known = await a.values();
      const again = await subject(a.dir);
      expect(await again.values()).toEqual(known);
      expect(known.get("1")).toBe(1001);
      expect(known.get("61")).toBe(1061);
    });

  it("uses the space of a ballast once, without a refusal", async () => {
    const disk = new FullDisk(),
      a = await subject();
    await a.store(1);
    disk.refusal = "ENOSPC";
    a.makesRoom = () => {
      disk.refusal = undefined;
      return true;
    };
    await a.store(2);
    expect(a.unwritable).toEqual([]);
    expect([...(await a.values()).keys()].sort()).toEqual(["1", "2"]);
  });

  it("closes with an unwritten batch, whose pushes were refused", async () => {
    const disk = new FullDisk(),
      a = await subject();
    await a.store(1);
    disk.refusal = "ENOSPC";
    expect(kindOf(await refusedBy(a.store(2)))).toBe("no-room");
    await a.shard.close();
    disk.refusal = undefined;
    for (const run of a.retries) run();
    expect([...(await (await subject(a.dir)).values()).keys()]).toEqual(["1"]);
  });
});

describe("a cut on a full disk", () => {
  for (const refusal of REFUSALS)
    it(`leaves the head readable and no partial block, and succeeds after ${refusal}`, async () => {
      const disk = new FullDisk(),
        a = await subject();
      for (let id = 1; id <= 5; id++) await a.store(id);
      const before = await a.values();
      disk.refusal = refusal;
      disk.room = 700;
      expect(await refusedBy(a.shard.flush())).toMatchObject({
        kind: "no-room",
        detail: { resource: "disk" },
      });
      expect(await a.values()).toEqual(before);
      const head = join(a.dir, "t", "head");
      disk.refusal = undefined;
      expect(fs.existsSync(head) ? fs.readdirSync(head) : []).toEqual([]);
      await a.retry();
      await a.shard.flush();
      expect(a.blocks).toHaveLength(1);
      expect(await a.values()).toEqual(before);
      expect(await (await subject(a.dir)).values()).toEqual(before);
    });

  it("is not repeated if only the end of its log record failed", async () => {
    const disk = new FullDisk(),
      a = await subject();
    for (let id = 1; id <= 5; id++) await a.store(id);
    // The first write after the block's four files goes to the log.
    let writes = 0;
    disk.onWrite = () => {
      if (++writes === 5) disk.refusal = "ENOSPC";
    };
    expect(kindOf(await refusedBy(a.shard.flush()))).toBe("no-room");
    disk.onWrite = () => undefined;
    disk.refusal = undefined;
    await a.retry();
    await a.shard.flush();
    expect(a.blocks).toHaveLength(1);
    expect((await a.values()).size).toBe(5);
    const again = await subject(a.dir);
    expect((await again.values()).size).toBe(5);
    expect(again.shard.stats().heads).toBe(0);
  });
});

describe("a disk that fills and empties at random", () => {
  it("loses no acknowledged profile, also across restarts on the full disk, and counts growth once", async () => {
    let refused = 0,
      restarts = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Random(seed),
        disk = new FullDisk(),
        acknowledged = new Set<number>();
      let a = await subject(),
        grown = 0,
        grownAcknowledged = 0;
      const cumulative = async (): Promise<void> => {
        const p = alloc(T0 + BigInt(grown), 1000 + grown, 10);
        await a.push(MEMORY, p);
        grownAcknowledged = grown;
      };
      await cumulative();
      for (let id = 0; id < 60; id++) {
        if (random.below(6) === 0) {
          disk.refusal = REFUSALS[random.below(REFUSALS.length)];
          disk.room = random.below(3000);
        }
        const err = await refusedBy(a.store(id));
        if (err === undefined) acknowledged.add(id);
        else expect(err).toBeInstanceOf(CinderblockError);
        if (id % 7 === 0) {
          grown += 100;
          await refusedBy(cumulative());
        }
        if (random.below(9) === 0) await refusedBy(a.shard.flush());
        if (random.below(5) === 0) await refusedBy(a.shard.maintain());
        if (random.below(4) === 0) {
          disk.refusal = undefined;
          await a.retry();
        }
        if (random.below(12) === 0 && disk.refusal !== "EMFILE") {
          // A kill loses the queued records. The next start needs no disk space.
          restarts++;
          a.retries = [];
          a = await subject(a.dir);
        }
        if (id % 4 !== 0) continue;
        const { refusal } = disk;
        disk.refusal = undefined;
        const values = await a.values();
        disk.refusal = refusal;
        for (const known of acknowledged)
          expect([seed, known, values.get(String(known))]).toEqual([seed, known, 1000 + known]);
      }
      refused += disk.refused;
      disk.refusal = undefined;
      await a.retry();
      await a.shard.flush();
      grown += 100;
      await cumulative();
      const line = (await a.tree(ALLOC)).find((l) => l.startsWith("/main "));
      expect([seed, Number(line?.split(" ")[1])]).toEqual([seed, grownAcknowledged]);
      jest.restoreAllMocks();
    }
    expect(refused).toBeGreaterThan(30);
    expect(restarts).toBeGreaterThan(10);
  }, 60_000);
});
