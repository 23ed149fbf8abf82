import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockMeta, encodeMeta, newUlid } from "@cinderblock/block-meta";
import { Ballast } from "@cinderblock/files";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import { ballastPath, DiskGuard } from "./disk-guard.ts";
import { DiskCounters, BallastReleaser } from "./disk-counters.ts";
import { LocalBlocks } from "./local-blocks.ts";

const MIB = 1 << 20,
  TOTAL = 1000 * MIB,
  /** a twentieth of the disk */
  RESERVE = 50 * MIB;

const metaOf = (ulid: string, sizeBytes: number): BlockMeta => ({
  ulid,
  minTimeMs: 1000,
  maxTimeMs: 2000,
  stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
  files: [{ relPath: "profiles.parquet", sizeBytes }],
  compaction: { level: 1, sources: [ulid], parents: [] },
  version: 3,
  labels: {},
  source: "ingester",
  downsampleResolution: 0,
});

/** A guard over a simulated disk and simulated heads. */
class Subject {
  readonly dir = temporaryFolder();
  readonly log = createLogger({ level: "silent", format: "logfmt" });
  readonly metrics = new Metrics();
  readonly blocks = new LocalBlocks(this.dir, this.log);
  readonly usage = new DiskCounters(2);
  nowMs = 1e6;
  free = 500 * MIB;
  inodes = 1e6;
  heads = 0;
  copies = 1;
  answerable: (ulid: string) => Promise<boolean> = () => Promise.resolve(true);
  onFlush: () => void = () => undefined;
  readonly calls: string[] = [];
  readonly guard = new DiskGuard(
    {
      dataPath: this.dir,
      ballastBytes: 10 * MIB,
      retentionMs: 1e12,
      minFreeDiskBytes: 10 * 1024 * MIB,
      minDiskAvailable: 0.05,
      retentionDisabled: false,
    },
    {
      blocks: this.blocks,
      usage: this.usage,
      headBytes: () => this.heads,
      copies: () => this.copies,
      answerable: (_tenant, ulid) => this.answerable(ulid),
      onRemove: (_tenant, ulid) => this.calls.push(`remove ${ulid}`),
      flush: () => {
        this.calls.push("flush");
        this.onFlush();
        return Promise.resolve();
      },
      ship: () => this.calls.push("ship"),
      size: () =>
        Promise.resolve({ bsize: 1, blocks: TOTAL, bavail: this.free, files: 1e6, ffree: this.inodes }),
    },
    { log: this.log, metrics: this.metrics, tracer: noTracer, now: () => this.nowMs },
  );

  /** Adds an uploaded local block of this size. */
  shipped(sizeBytes: number): string {
    const ulid = newUlid(this.nowMs++),
      dir = join(this.dir, "t", "local", ulid);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "meta.json"), encodeMeta(metaOf(ulid, sizeBytes)));
    this.blocks.add("t", metaOf(ulid, sizeBytes));
    this.blocks.markUploaded("t", ulid);
    return ulid;
  }

  takes(bytes: number): boolean {
    try {
      this.guard.reserveSpace(bytes);
      return true;
    } catch (err) {
      expect(err).toMatchObject({ kind: "no-room", reason: "rate_limited", detail: { resource: "disk" } });
      return false;
    }
  }

  async figure(name: string): Promise<number> {
    const text = await this.metrics.registry.metrics();
    return Number(new RegExp(`^cinderblock_ingester_disk_${name} (\\S+)$`, "m").exec(text)?.[1]);
  }
}

describe("disk space", () => {
  it("is reserved for in-flight pushes, unmeasured log appends, and blocks of open heads", async () => {
    const s = new Subject();
    await s.guard.checkDisk();
    expect(s.takes(100 * MIB)).toBe(true); // may log 400 MiB
    expect(s.takes(20 * MIB)).toBe(false);
    const t = new Subject();
    await t.guard.checkDisk();
    t.heads = 440 * MIB;
    expect(t.takes(2 * MIB)).toBe(true);
    expect(t.takes(1 * MIB)).toBe(false);
    const u = new Subject();
    await u.guard.checkDisk();
    u.usage.setAppended(0, 200 * MIB);
    u.usage.setAppended(1, 240 * MIB);
    expect(u.takes(3 * MIB)).toBe(false);
    expect(u.takes(2 * MIB)).toBe(true);
    // That push started a measurement, which counts the appended bytes.
    await u.guard.checkDisk();
    expect(u.takes(80 * MIB)).toBe(true);
  });

  it("is reserved twice if the bucket is a folder on the same disk", async () => {
    const s = new Subject();
    s.copies = 2;
    s.heads = 230 * MIB;
    await s.guard.checkDisk();
    expect(s.takes(0)).toBe(false);
    s.heads = 220 * MIB;
    expect(s.takes(2 * MIB)).toBe(true);
    s.blocks.add("t", metaOf(newUlid(1), 20 * MIB));
    expect(s.takes(1)).toBe(false);
  });

  it("is released when pushes end", async () => {
    const s = new Subject();
    await s.guard.checkDisk();
    const done = s.guard.reserveSpace(110 * MIB);
    expect(s.takes(10 * MIB)).toBe(false);
    done();
    expect(s.takes(10 * MIB)).toBe(true);
  });

  it("is never exhausted by admitted pushes, in any order", async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = new Random(seed),
        s = new Subject();
      let appended = 0,
        taken = 0;
      const open: { bytes: number; done: () => void }[] = [];
      await s.guard.checkDisk();
      for (let i = 0; i < 400; i++) {
        const bytes = random.below(8 * MIB);
        try {
          open.push({ bytes, done: s.guard.reserveSpace(bytes) });
          taken++;
        } catch {
          // Refused: nothing is written.
        }
        if (random.below(2) === 0) {
          const [ended] = open.splice(random.below(open.length), 1);
          if (ended) {
            // The push is logged and interned by a head.
            appended += random.below(4) * ended.bytes;
            s.usage.setAppended(0, appended);
            s.heads += random.below(2) * ended.bytes;
            ended.done();
          }
        }
        if (random.below(20) === 0) {
          s.free = 500 * MIB - appended;
          await s.guard.checkDisk();
        }
        // Heads intern pushes in flight, so their blocks stay within those reservations.
        expect(500 * MIB - appended - s.heads).toBeGreaterThanOrEqual(0);
      }
      expect(taken).toBeGreaterThan(10);
    }
  });

  it("is refused while inodes run out or a thread's log waits", async () => {
    const s = new Subject();
    s.inodes = 200;
    await s.guard.checkDisk();
    expect(s.takes(1)).toBe(false);
    s.inodes = 1e6;
    await s.guard.removeExpired();
    await s.guard.checkDisk();
    expect(s.takes(1)).toBe(true);
    s.guard.noteLog(1, "EROFS");
    s.nowMs += 60_000;
    expect(s.takes(1)).toBe(false);
    expect(await s.figure("full")).toBe(1);
    s.guard.noteLog(1, undefined);
    expect(s.takes(1)).toBe(true);
    expect(await s.figure("full")).toBe(0);
  });
});

describe("a nearly full disk", () => {
  it("drops uploaded blocks that the bucket can serve first, then cuts heads", async () => {
    const s = new Subject(),
      gone = s.shipped(10),
      stays = s.shipped(10);
    s.answerable = (ulid) =>
      ulid === stays ? Promise.reject(new Error("no store-gateway")) : Promise.resolve(ulid === gone);
    s.heads = 100 * MIB;
    s.free = RESERVE + 90 * MIB;
    await s.guard.removeExpired();
    expect(s.calls).toEqual([`remove ${gone}`, "ship", "flush"]);
    expect(s.blocks.metas("t").map((m) => m.ulid)).toEqual([stays]);
    await s.guard.removeExpired();
    expect(s.calls).toHaveLength(3);
    s.nowMs += 2000;
    await s.guard.removeExpired();
    expect(s.calls.slice(3)).toEqual(["ship", "flush"]);
  });

  it("is freed immediately when a push is refused, not only by the timer", async () => {
    const s = new Subject();
    s.heads = 600 * MIB;
    s.onFlush = () => {
      s.heads = 0;
    };
    await s.guard.checkDisk();
    expect(s.takes(1)).toBe(false);
    await s.guard.removeExpired();
    expect(s.calls).toEqual(["ship", "flush"]);
    expect(s.takes(1)).toBe(true);
  });

  it("gets its ballast when space is available, and releases it once for all threads", async () => {
    const s = new Subject();
    await s.guard.removeExpired();
    expect(statSync(ballastPath(s.dir)).size).toBe(10 * MIB);
    const threads = [1, 2].map(() => new BallastReleaser(new Ballast(ballastPath(s.dir)), s.usage));
    expect(threads.map((t) => t.release())).toEqual([true, true]);
    expect(threads.map((t) => t.release())).toEqual([false, false]);
    expect(await s.figure("ballast_bytes")).toBe(0);
    s.free = RESERVE + MIB;
    await s.guard.removeExpired();
    expect(await s.figure("ballast_bytes")).toBe(0);
    s.free = 500 * MIB;
    await s.guard.removeExpired();
    expect(await s.figure("ballast_bytes")).toBe(10 * MIB);
  });
});

describe("a start on a full disk", () => {
  it("removes shipped blocks, then the ballast, before the log is read", async () => {
    const s = new Subject(),
      block = s.shipped(10);
    await s.guard.removeExpired();
    s.free = 0;
    await s.guard.makeRoomForReplay();
    expect(s.calls).toEqual([`remove ${block}`]);
    expect(await s.figure("ballast_bytes")).toBe(0);
    expect(s.takes(0)).toBe(false);
  });

  it("keeps the ballast if removing uploaded blocks frees enough space", async () => {
    const s = new Subject();
    await s.guard.removeExpired();
    s.shipped(10);
    s.free = 0;
    s.answerable = () => {
      s.free = 500 * MIB;
      return Promise.resolve(true);
    };
    await s.guard.makeRoomForReplay();
    expect(await s.figure("ballast_bytes")).toBe(10 * MIB);
    expect(s.takes(1)).toBe(true);
  });
});
