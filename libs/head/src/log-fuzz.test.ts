import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ByteReader, ByteWriter, crc32c, loadHasher, ShortRead } from "@cinderblock/bytes";
import { PushProcessor, RateGate } from "@cinderblock/ingest";
import { executeOn } from "@cinderblock/query";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { mutations, Random, temporaryFolder, tinyPprof } from "@cinderblock/testkit";
import { Head, HeadShard, logDirectory, readSegment } from "./index.ts";
import { applyAppendRecord, RecordType } from "./log-records.ts";

const T0 = 1_795_409_460_000_000_000n;

async function shardIn(dir: string): Promise<HeadShard> {
  return new HeadShard(await loadHasher(), {
    shard: 0,
    dataPath: dir,
    windowNanos: 3600n * 1_000_000_000n,
    headBytes: 1 << 30,
    logBytes: 1 << 30,
    segmentBytes: 1 << 20,
    idleMs: 0,
    sync: false,
    onFailure: (err) => {
      throw err;
    },
    onBlock: () => undefined,
    now: () => Date.now(),
  });
}

const LIMIT = {
  reached: true,
  periodType: "hour",
  periodLimitMb: 1,
  resetMs: 0,
  trickle: undefined,
  groupsOverLimit: [],
};

/** A folder with the log of twelve pushes; every second push has an annotation. */
async function logged(): Promise<string> {
  const dir = temporaryFolder(),
    shard = await shardIn(dir);
  shard.replay();
  shard.resume();
  const processor = new PushProcessor(await loadHasher(), shard);
  for (let i = 0; i < 12; i++) {
    const rawProfile = Buffer.from(
      tinyPprof({
        stacks: [{ frames: ["main", `f${i % 4}`, `g${i}`], values: [10 + i] }],
        timeNanos: T0 + BigInt(i),
      }),
    ).toString("base64");
    const body = Buffer.from(
      JSON.stringify({
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "service_name", value: "s" },
              { name: "id", value: String(i % 3) },
            ],
            samples: [{ rawProfile }],
          },
        ],
      }),
    );
    const out = processor.process(
      "t",
      { kind: "push", codec: "json", gzip: false, body, trickle: true },
      { ...TEST_LIMITS, ingestionLimit: i % 2 === 0 ? undefined : LIMIT },
      new RateGate(new SharedArrayBuffer(8)),
      Date.now(),
    );
    if (out.error) throw out.error;
    await shard.commit();
  }
  await shard.close();
  return dir;
}

describe("a mutated log with repaired checksums", () => {
  it("is read record by record: readable rows, or an error of the record", async () => {
    const dir = await logged(),
      hasher = await loadHasher();
    const records: Uint8Array[] = [];
    for (const f of readdirSync(logDirectory(dir, 0)))
      readSegment(
        logDirectory(dir, 0),
        Number.parseInt(f, 10),
        { records: 0, tornBytes: 0, damaged: [] },
        (p) => {
          if (p[0] === RecordType.append) records.push(Uint8Array.from(p));
        },
      );
    expect(records.length).toBe(12);
    const random = new Random(51);
    let refused = 0,
      lost = 0,
      asked = 0;
    for (let i = 0; i < mutations(1500); i++) {
      const head = new Head("01M83BWES06AEJX19K2E07509W", "t", T0 + 3600n * 1_000_000_000n, hasher);
      const victim = random.below(records.length);
      let lostBytes = 0;
      for (let k = 0; k < records.length; k++) {
        const r = new ByteReader(k === victim ? random.mutate(records[k]!) : records[k]!);
        try {
          r.u8();
          r.uvarint();
          lost += applyAppendRecord(r, head, lostBytes);
        } catch (err) {
          if (!(err instanceof ShortRead) && !(err instanceof RangeError)) throw err;
          refused++;
          lostBytes += records[k]!.length;
        }
      }
      // Every accepted row can be queried.
      if (i % 20 !== 0 || head.rowCount === 0) continue;
      const tree = await executeOn(
        [head],
        {
          kind: "tree",
          select: {
            profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            labelSelector: "{}",
            startMs: 1,
            endMs: 2e12,
          },
          spans: [],
          maxNodes: 0,
        },
        {},
      );
      expect(tree.kind).toBe("tree");
      asked++;
    }
    expect(refused).toBeGreaterThan(300);
    expect(lost).toBeGreaterThan(0);
    expect(asked).toBeGreaterThan(50);
  });

  it("is replayed as a file: the process starts, and names lost records", async () => {
    const dir = await logged(),
      from = logDirectory(dir, 0),
      random = new Random(52);
    const name = readdirSync(from)[0]!,
      good = readFileSync(join(from, name));
    let damaged = 0,
      rows = 0;
    for (let i = 0; i < mutations(1500) / 10; i++) {
      const at = temporaryFolder(),
        to = logDirectory(at, 0);
      mkdirSync(to, { recursive: true });
      for (const f of readdirSync(from)) copyFileSync(join(from, f), join(to, f));
      const bad = random.mutate(good);
      writeFileSync(join(to, name), i % 2 === 0 ? bad : reframed(bad));
      const shard = await shardIn(at);
      const report = shard.replay();
      damaged += report.damaged.length + (report.tornBytes > 0 ? 1 : 0) + (report.lostSymbols > 0 ? 1 : 0);
      rows += report.rows;
      await shard.close();
    }
    expect(damaged).toBeGreaterThan(20);
    expect(rows).toBeGreaterThan(300);
  });
});

/** The segment with each record's checksum recomputed from its current bytes. */
function reframed(bytes: Uint8Array): Uint8Array {
  const out = new ByteWriter(bytes.length);
  out.bytes(bytes);
  const view = new DataView(out.buffer.buffer, 0, bytes.length);
  for (let at = 8; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at);
    if (at + 8 + size > bytes.length) break;
    view.setUint32(at + 4, crc32c(out.buffer, at + 8, at + 8 + size));
    at += 8 + size;
  }
  return out.transferBytes();
}
