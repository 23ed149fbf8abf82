import fs, { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter, crc32c } from "@cinderblock/bytes";
import { Random, temporaryFolder } from "@cinderblock/testkit";
import { logDirectory, LogWriter, readSegment } from "./index.ts";
import { listSegments, segmentName } from "./log-file.ts";
import { FRAME_BYTES } from "./log-frames.ts";
import { CPU, cpu, Instance, SECOND, T0 } from "./shard.testing.ts";

const report = () => ({
  records: 0,
  tornBytes: 0,
  damaged: [] as { segment: number; offset: number; bytes: number }[],
});
const writer = (dir: string, segmentBytes: number): LogWriter => {
  const log = new LogWriter(dir, {
    segmentBytes,
    sync: true,
    onFailure: (err) => {
      throw err;
    },
  });
  log.open(1);
  return log;
};
/** A record whose content identifies it. */
const record = (i: number, size: number): Uint8Array => {
  const b = Buffer.alloc(size, i & 255);
  b[0] = 2;
  b.writeUInt32BE(i, 1);
  return b;
};
const read = (dir: string, segment = 1): { found: number[]; report: ReturnType<typeof report> } => {
  const found: number[] = [],
    r = report();
  readSegment(dir, segment, r, (p) => found.push(Buffer.from(p).readUInt32BE(1)));
  return { found, report: r };
};

describe("a log", () => {
  afterEach(() => jest.restoreAllMocks());

  it("ends a segment under a load without pauses", async () => {
    const dir = temporaryFolder(),
      log = writer(dir, 10_000);
    // Records are always queued when a sync ends.
    const commits: Promise<void>[] = [];
    let n = 0;
    const real = fs.fdatasync;
    jest.spyOn(fs, "fdatasync").mockImplementation(((fd: number, done: (err: null) => void) => {
      if (n < 400) {
        log.append(record(n++, 1000));
        commits.push(log.commit());
      }
      real(fd, done as never);
    }) as typeof fs.fdatasync);
    log.append(record(n++, 1000));
    await log.commit();
    for (let i = 0; i < commits.length; i++) await commits[i];
    await log.close();
    const segments = listSegments(dir);
    for (const s of segments) expect(statSync(join(dir, segmentName(s))).size).toBeLessThan(10_000 + 3000);
    expect(segments.flatMap((s) => read(dir, s).found)).toEqual(Array.from({ length: n }, (_, i) => i));
  });

  it("keeps records appended together in one segment, in order", async () => {
    const dir = temporaryFolder(),
      log = writer(dir, 5000);
    let n = 0;
    for (let i = 0; i < 30; i++) {
      const segments = new Set([1, 2, 3, 4].map(() => log.append(record(n++, 700))));
      expect(segments.size).toBe(1);
      await log.commit();
    }
    await log.close();
    expect(listSegments(dir).flatMap((s) => read(dir, s).found)).toEqual(
      Array.from({ length: n }, (_, i) => i),
    );
  });

  it("creates no file before the first commit, and removes unneeded segments in any order", async () => {
    const dir = temporaryFolder(),
      log = writer(dir, 100);
    expect(readdirSync(dir)).toEqual([]);
    for (let i = 0; i < 5; i++) {
      log.append(record(i, 200));
      await log.commit();
    }
    const segments = log.segments();
    expect(listSegments(dir)).toEqual(segments.slice(0, 5));
    log.remove([segments[1]!, segments[3]!]);
    expect(listSegments(dir)).toEqual([segments[0], segments[2], segments[4]]);
    expect(log.totalBytes).toBe(
      [0, 2, 4].reduce((sum, i) => sum + statSync(join(dir, segmentName(segments[i]!))).size, 0),
    );
    await log.close();
  });

  it("retries when a full disk has space, without duplicates", async () => {
    const dir = temporaryFolder();
    let freed = 0,
      full = false;
    const log = new LogWriter(dir, {
      segmentBytes: 1 << 20,
      sync: true,
      onFailure: () => undefined,
      onNoSpace: () => {
        full = false;
        return ++freed === 1;
      },
    });
    log.open(1);
    log.append(record(0, 500));
    await log.commit();
    const real = fs.writeSync;
    jest.spyOn(fs, "writeSync").mockImplementation(((
      fd: number,
      bytes: Uint8Array,
      from: number,
      size: number,
      at: number,
    ) => {
      if (!full) return real(fd, bytes, from, size, at);
      // A part of it still fits.
      real(fd, bytes, from, 100, at);
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    }) as typeof fs.writeSync);
    full = true;
    log.append(record(1, 500));
    await log.commit();
    full = true;
    log.append(record(2, 500));
    await expect(log.commit()).rejects.toThrow("ENOSPC");
    expect(freed).toBe(2);
    expect(read(dir).found).toEqual([0, 1]);
    expect(read(dir).report).toEqual({ records: 4, tornBytes: 0, damaged: [] });
  });
});

describe("a damaged stretch of a segment", () => {
  const COUNT = 400,
    SIZE = 4000;
  /** A segment in the format of this release, or of earlier ones: frames without trailers and batch marks. */
  async function segment(form: "now" | "before"): Promise<{ dir: string; path: string; frame: number }> {
    const dir = temporaryFolder(),
      path = join(dir, segmentName(1));
    if (form === "now") {
      const log = writer(dir, 1 << 30);
      for (let i = 0; i < COUNT; i++) {
        log.append(record(i, SIZE));
        await log.commit();
      }
      await log.close();
      return { dir, path, frame: SIZE + FRAME_BYTES + FRAME_BYTES + 1 };
    }
    const out = new ByteWriter(1 << 20);
    out.u32be(0x4342_4c47);
    out.u32be(1);
    for (let i = 0; i < COUNT; i++) {
      const r = record(i, SIZE);
      out.u32be(r.length);
      out.u32be(crc32c(r));
      out.bytes(r);
    }
    writeFileSync(path, out.finish());
    return { dir, path, frame: SIZE + 8 };
  }
  const shapes: [string, (b: Buffer, random: Random) => void][] = [
    ["small numbers", (b, random) => b.forEach((_, i) => (b[i] = i % 4 === 0 ? 0 : random.below(256)))],
    ["lengths and types", (b) => b.forEach((_, i) => (b[i] = [0, 1, 0x10, 2][i % 4]!))],
    ["zeros", (b) => b.fill(0)],
    ["noise", (b, random) => b.forEach((_, i) => (b[i] = random.below(256)))],
    ["ones", (b) => b.fill(1)],
  ];
  for (const form of ["now", "before"] as const)
    for (const [name, fill] of shapes)
      it(`of ${name} costs only its own records, in a segment of ${form === "now" ? "this release" : "an earlier release"}`, async () => {
        const { dir, path, frame } = await segment(form),
          good = readFileSync(path);
        for (const size of [1, 100, 64 << 10, 300 << 10]) {
          const at = 8 + 50 * frame + 17,
            bad = Buffer.from(good);
          fill(bad.subarray(at, at + size), new Random(size));
          if (bad.equals(good)) continue;
          writeFileSync(path, bad);
          const began = performance.now(),
            { found, report: r } = read(dir);
          // An earlier version took 42 s for 64 KiB here.
          expect(performance.now() - began).toBeLessThan(4000);
          const first = 50,
            last = Math.floor((at + size - 1 - 8) / frame);
          expect(found).toEqual([...Array(COUNT).keys()].filter((i) => i < first || i > last));
          expect(r.damaged.length).toBeGreaterThan(0);
        }
      });

  it("with content that imitates frames is searched in bounded time", () => {
    const dir = temporaryFolder(),
      path = join(dir, segmentName(1)),
      out = new ByteWriter(1 << 20);
    out.u32be(0x4342_4c47);
    out.u32be(1);
    out.u32be(5);
    out.u32be(1); // not the record's checksum
    // Each of these claims to end a record of half the file size.
    for (let i = 0; i < 100_000; i++) {
      out.u32be(800_000);
      out.bytes(Buffer.from([0xc1, 0x4e, 0xde, 0xb1, 0x0c, 0xcb, 0x1f, 0xe7]));
    }
    writeFileSync(path, out.finish());
    const began = performance.now();
    expect(read(dir).found).toEqual([]);
    expect(performance.now() - began).toBeLessThan(4000);
  });
});

describe("the loss from a damaged record", () => {
  const total = async (a: Instance): Promise<string[]> => a.tree();
  const logFile = (dir: string): string => {
    const folder = logDirectory(dir, 0);
    return join(folder, readdirSync(folder).sort()[0]!);
  };
  async function damaged(dir: string, from: number, to: number): Promise<void> {
    const bytes = readFileSync(logFile(dir));
    bytes[Math.floor((from + to) / 2)]! ^= 0x40;
    writeFileSync(logFile(dir), bytes);
    await Promise.resolve();
  }

  it("excludes the series of other records, across two restarts", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    const pods = ["p0", "p1", "p2", "p3"];
    const ends: number[] = [];
    for (const [i, pod] of pods.entries()) {
      ends.push(existsSync(logDirectory(a.dir, 0)) && i > 0 ? statSync(logFile(a.dir)).size : 0);
      await a.push({ ...CPU, pod }, cpu(T0 + BigInt(i) * SECOND, 10 ** i));
    }
    for (const [i, pod] of pods.entries())
      await a.push({ ...CPU, pod }, cpu(T0 + BigInt(10 + i) * SECOND, 10 ** i));
    await damaged(a.dir, ends[1]!, ends[2]!);
    const work = async (of: Instance): Promise<string[]> =>
      Promise.all(
        pods.map(async (pod) => {
          const t = await of.tree(undefined, `{pod="${pod}"}`);
          return t.find((l) => l.startsWith("/main/work "))?.split(" ")[1] ?? "0";
        }),
      );
    const b = new Instance(a.dir);
    await b.start();
    expect(await work(b)).toEqual(["2", "0", "200", "2000"]);
    await b.push({ ...CPU, pod: "p1" }, cpu(T0 + 20n * SECOND, 10));
    await b.push({ ...CPU, pod: "p4" }, cpu(T0 + 21n * SECOND, 7));
    const c = new Instance(a.dir);
    await c.start();
    expect(await work(c)).toEqual(["2", "10", "200", "2000"]);
    expect((await total(c)).find((l) => l.startsWith("/main/work "))).toBe("/main/work 2219 2219");
  });

  it("excludes its head, once the head's log is longer than an anchor's distance", async () => {
    const a = new Instance(temporaryFolder());
    a.options = { segmentBytes: 1 << 26 };
    await a.start();
    const large = (i: number) => ({
      stacks: Array.from({ length: 300 }, (_, k) => ({
        frames: ["main", `function_${i}_${k}_with_a_usual_name`],
        values: [1],
      })),
      timeNanos: T0 + BigInt(i) * SECOND,
    });
    for (let i = 0; i < 40; i++) await a.push({ ...CPU, pod: `p${i % 3}` }, large(i));
    // The head's own record is the first record of the log.
    await damaged(a.dir, 16, 60);
    const b = new Instance(a.dir);
    const r = await b.start();
    expect(r.damaged).toHaveLength(1);
    expect(r.rows).toBe(40);
    expect((await b.tree()).find((l) => l.startsWith("/main "))).toBe("/main 12000 0");
  });

  it("is found for any order of removed segments: a finished head stays finished", async () => {
    const a = new Instance(temporaryFolder());
    a.options = { segmentBytes: 8192 };
    await a.start();
    a.tenant = "quiet";
    await a.push(CPU, cpu(T0, 1));
    a.tenant = "t";
    const large = {
      stacks: Array.from({ length: 200 }, (_, k) => ({ frames: ["main", `f_${k}`], values: [1] })),
      timeNanos: T0,
    };
    for (let i = 0; i < 30; i++) await a.push(CPU, { ...large, timeNanos: T0 + BigInt(i) * SECOND });
    await a.shard.flush("t");
    const segments = listSegments(logDirectory(a.dir, 0));
    expect(segments[0]).toBe(1); // the quiet tenant needs it
    expect(segments.length).toBeLessThan(4);
    // The block was shipped, and the local copy was deleted.
    rmSync(join(a.dir, "t", "local"), { recursive: true });
    for (let restart = 0; restart < 3; restart++) {
      const b = new Instance(a.dir);
      b.options = a.options;
      await b.start();
      expect(b.shard.sources("t")).toEqual([]);
      expect(b.shard.sources("quiet")).toHaveLength(1);
      for (let i = 0; i < 30; i++) await b.push(CPU, { ...large, timeNanos: T0 + BigInt(i) * SECOND });
      await b.shard.flush("t");
      await b.shard.close();
      rmSync(join(a.dir, "t", "local"), { recursive: true });
    }
    await a.shard.close();
  }, 60_000);
});
