import { cpSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "@cinderblock/async";
import { CinderblockError, type ErrorRecord, noRoom } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import { InMemoryLog } from "@cinderblock/kafka";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { temporaryFolder } from "@cinderblock/testkit";
import { encodePushRecord } from "@cinderblock/transport";
import { Partitions } from "./partitions.ts";
import type { RecordSink } from "./record-intake.ts";

function base() {
  return {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer: startTracing("", "0"),
    now: () => Date.now(),
  };
}
const NOTHING: PushAnswer = {
  profiles: 1,
  compressedBytes: 0,
  decompressedBytes: 0,
  samples: 0,
  discarded: [],
  error: undefined,
};

/** A sink that refuses in both ways an ingester can: by throwing, and by an answer. */
class Sink implements RecordSink {
  taken: string[] = [];
  full = false;
  used = 0;
  /** body -> its first answers, in order */
  answers: Map<string, (PushAnswer | CinderblockError)[]> = new Map();
  oldest = Infinity;
  pressure(): number {
    return this.used;
  }
  push(tenant: string, service: string, push: RawPush, _limits: unknown, nowMs: number): Promise<PushAnswer> {
    if (this.full) return Promise.reject(noRoom("heads", "heads use 2 bytes; the limit is 1"));
    const answer = this.answers.get(Buffer.from(push.body).toString())?.shift();
    if (answer instanceof CinderblockError) return Promise.reject(answer);
    if (answer) return Promise.resolve(answer);
    this.taken.push(`${tenant}/${service}/${nowMs}/${Buffer.from(push.body).toString()}`);
    return Promise.resolve(NOTHING);
  }
  learnt: string[] = [];
  forgotten = 0;
  updateBaselines(_tenant: string, _service: string, push: RawPush): Promise<void> {
    this.learnt.push(Buffer.from(push.body).toString());
    return Promise.resolve();
  }
  forgetBaselines(gone: (tenant: string, service: string) => boolean): Promise<void> {
    if (gone("t", "s")) this.forgotten++;
    return Promise.resolve();
  }
  oldestUnuploadedMs(): Promise<number> {
    return Promise.resolve(this.oldest);
  }
}

/** An answer that refuses one profile. */
function refusing(error: ErrorRecord): PushAnswer {
  return {
    ...NOTHING,
    profiles: 0,
    error,
    discarded: [{ reason: error.reason ?? "unknown", profiles: 1, bytes: 1 }],
  };
}

const record = (i: number, refused?: number): Uint8Array =>
  encodePushRecord({
    ...(refused === undefined ? {} : { refused }),
    tenant: "t",
    service: "s",
    atMs: 1000 + i,
    limits: TEST_LIMITS,
    push: { kind: "push", codec: "proto", gzip: false, body: Buffer.from(`b${i}`) },
  });
async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !check(); i++) await sleep(20);
  expect(check()).toBe(true);
}
function ingester(
  log: InMemoryLog,
  sink: Sink,
  dir = temporaryFolder(),
  owners = () => ["me"],
  id = "me",
  rule = 2,
  metrics = new Metrics(),
): Partitions {
  return new Partitions(
    { id, zone: "", topic: "pushes", file: join(dir, "partitions.json"), learnMs: 60_000 },
    log,
    sink,
    () => ({ ids: owners(), rule }),
    { ...base(), metrics },
  );
}

describe("an ingester's partitions", () => {
  it("are read in order, with each record's limits, and report their positions", async () => {
    const log = new InMemoryLog(2),
      sink = new Sink(),
      p = ingester(log, sink);
    for (let i = 0; i < 10; i++) await log.produce(i % 2, record(i));
    await p.start();
    await until(() => sink.taken.length === 10);
    expect(sink.taken.filter((_, i) => i < 1)).toEqual(["t/s/1000/b0"]);
    expect(sink.taken.map((t) => Number(/b(\d)/.exec(t)![1])).filter((n) => n % 2 === 1)).toEqual([
      1, 3, 5, 7, 9,
    ]);
    expect(await p.waitForEnds([5, 5], Date.now() + 1000)).toEqual([0, 1]);
    expect(await p.waitForEnds([5, 6], Date.now() + 100)).toEqual([0]);
    await expect(p.waitForEnds([9, 6], Date.now() + 100)).rejects.toThrow(
      "has not read partition 0 up to offset 9 yet",
    );
    expect(p.states().map((s) => [s.partition, s.position, s.end])).toEqual([
      [0, 5, 5],
      [1, 5, 5],
    ]);
    await p.stop();
  });

  it("are caught up when the records at the claim are read", async () => {
    const log = new InMemoryLog(2),
      sink = new Sink(),
      p = ingester(log, sink);
    for (let i = 0; i < 3; i++) await log.produce(0, record(i));
    sink.full = true; // the first partition cannot be read now, the other is empty
    expect(p.caughtUp()).toEqual({ of: 2, topicId: "memory-1", partitions: [] });
    await p.start();
    await until(() => p.caughtUp().partitions.length > 0);
    await sleep(100);
    expect(p.caughtUp()).toEqual({ of: 2, topicId: "memory-1", partitions: [1] });
    sink.full = false;
    await until(() => p.caughtUp().partitions.length === 2);
    // Records that arrive now do not change that.
    sink.full = true;
    await log.produce(0, record(4));
    await sleep(100);
    expect(p.caughtUp().partitions).toEqual([0, 1]);
    await p.stop();
    expect(p.caughtUp().partitions).toEqual([]);
  });

  it("are each claimed once, even while the claim of another fails", async () => {
    /** Fails for partition 0 for a while, and is slow for partition 1. */
    class Slow extends InMemoryLog {
      readers = [0, 0];
      refused = 0;
      override async committed(partition: number, group: string): Promise<number | undefined> {
        if (partition === 0 && this.refused++ < 2) throw new CinderblockError("unavailable", "not yet");
        if (partition === 1) await sleep(1500);
        return super.committed(partition, group);
      }
      override read(...args: Parameters<InMemoryLog["read"]>): ReturnType<InMemoryLog["read"]> {
        this.readers[args[0]]!++;
        return super.read(...args);
      }
    }
    const log = new Slow(2),
      sink = new Sink(),
      p = ingester(log, sink);
    await log.produce(0, record(1));
    await log.produce(1, record(2));
    await p.start();
    for (let i = 0; i < 400 && p.caughtUp().partitions.length < 2; i++) await sleep(20);
    await sleep(1600);
    expect([log.readers, p.caughtUp().partitions.sort(), sink.taken.length]).toEqual([[1, 1], [0, 1], 2]);
    await p.stop();
  }, 20_000);

  it("are committed while the claim of another fails", async () => {
    class Refusing extends InMemoryLog {
      override committed(partition: number, group: string): Promise<number | undefined> {
        return partition === 0
          ? Promise.reject(new CinderblockError("unavailable", "not now"))
          : super.committed(partition, group);
      }
    }
    const log = new Refusing(2),
      sink = new Sink(),
      p = ingester(log, sink);
    await log.produce(1, record(1));
    await p.start();
    await until(() => sink.taken.length === 1);
    for (let i = 0; i < 500 && (await log.committed(1, "pushes-partition-1")) === undefined; i++)
      await sleep(20);
    expect(await log.committed(1, "pushes-partition-1")).toBe(1);
    await p.stop();
  }, 20_000);

  it("are kept and committed by the last ingester of a zone while it leaves", async () => {
    const log = new InMemoryLog(2),
      sink = new Sink();
    let owners = ["me"];
    const p = ingester(log, sink, temporaryFolder(), () => owners);
    for (let i = 0; i < 10; i++) await log.produce(i % 2, record(i));
    await p.start();
    await until(() => sink.taken.length === 10);
    sink.oldest = 0; // nothing is in the bucket
    owners = []; // its entry says LEAVING
    await sleep(2500); // two looks at the ring
    expect(p.states().map((s) => [s.partition, s.committed])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    await p.stopReading();
    sink.oldest = Infinity;
    await p.stop();
    expect(await Promise.all([0, 1].map((i) => log.committed(i, `pushes-partition-${i}`)))).toEqual([5, 5]);
  });

  it("are committed up to the uploaded records, no further", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    sink.oldest = Date.now(); // a head that began now
    await log.produce(0, record(1));
    await p.start();
    await until(() => sink.taken.length === 1);
    await p.commit();
    expect(await log.committed(0, "pushes-partition-0")).toBeUndefined();
    expect(p.states()[0]!.unuploadedAgeMs).toBeGreaterThanOrEqual(0);
    await sleep(1200); // a mark: the record was read before it
    // The next head began well after the record, so the record is in the bucket.
    sink.oldest = Date.now() + 60_000;
    await p.commit();
    expect(await log.committed(0, "pushes-partition-0")).toBe(1);
    await log.produce(0, record(2));
    await until(() => sink.taken.length === 2);
    sink.oldest = Infinity;
    await p.stop();
    expect(await log.committed(0, "pushes-partition-0")).toBe(2);
  });

  it("are committed without records that arrive while the ingester lists its data", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    await log.produce(0, record(1));
    await p.start();
    await until(() => sink.taken.length === 1);
    // The list shows nothing to upload; then a record arrives, and with it a head.
    sink.oldestUnuploadedMs = async () => {
      await log.produce(0, record(2));
      await until(() => p.states()[0]!.position === 2);
      return Infinity;
    };
    await p.commit();
    expect(await log.committed(0, "pushes-partition-0")).toBe(1);
    sink.oldestUnuploadedMs = () => Promise.resolve(0);
    await p.stop();
  });

  it("update baselines before storing records if another owner committed more: no duplicates, and no difference to an outdated profile", async () => {
    const log = new InMemoryLog(1),
      dir = temporaryFolder(),
      one = new Sink(),
      a = ingester(log, one, dir);
    for (let i = 0; i < 3; i++) await log.produce(0, record(i));
    await a.start();
    await until(() => one.taken.length === 3);
    await a.stop();
    expect([one.learnt, one.forgotten]).toEqual([[], 1]); // first claim: the topic held nothing before
    // Another ingester owns the partition for a while.
    for (let i = 3; i < 6; i++) await log.produce(0, record(i));
    const two = new Sink(),
      b = ingester(log, two, temporaryFolder(), () => ["me"]);
    await b.start();
    await until(() => two.taken.length === 3);
    await b.stop();
    expect(two.learnt).toEqual(["b0", "b1", "b2"]);
    for (let i = 6; i < 8; i++) await log.produce(0, record(i));
    const three = new Sink(),
      c = ingester(log, three, dir);
    await c.start();
    await until(() => three.taken.length === 2);
    expect([three.learnt, three.taken, three.forgotten]).toEqual([
      ["b0", "b1", "b2", "b3", "b4", "b5"],
      ["t/s/1006/b6", "t/s/1007/b7"],
      1,
    ]);
    await c.stop();
  });

  it("skip a record that ended an ingest thread twice, and no other in-flight record", async () => {
    let dir = temporaryFolder();
    const taken: string[][] = [],
      dead: { p: Partitions; hang: ((a: PushAnswer) => void)[] }[] = [];
    for (const run of [1, 2, 3]) {
      const log = new InMemoryLog(1),
        sink = new Sink(),
        push = sink.push.bind(sink),
        hang: ((a: PushAnswer) => void)[] = [];
      for (let i = 0; i < 5; i++) await log.produce(0, record(i));
      const p = ingester(log, sink, dir),
        died = Promise.withResolvers<void>();
      // The third record kills its thread: no record in flight gets an answer.
      sink.push = (...a) => {
        const kills = Buffer.from(a[2].body).toString() === "b2";
        if (kills)
          setTimeout(() => {
            p.noteDeath();
            died.resolve();
          }, 20);
        return kills || run === 1
          ? new Promise((done) => {
              hang.push(done);
            })
          : push(...a);
      };
      await p.start();
      if (run < 3) {
        await died.promise;
        dead.push({ p, hang });
        // A dead process writes no file of its successor; here its loops go on.
        const left = temporaryFolder();
        cpSync(dir, left, { recursive: true, filter: (path) => !path.endsWith(".next") });
        dir = left;
      } else {
        await until(() => sink.taken.length === 4);
        await p.stop();
      }
      taken.push(sink.taken.map((t) => t.slice(-2)));
    }
    expect(taken).toEqual([[], ["b0", "b1"], ["b0", "b1", "b3", "b4"]]);
    for (const { p, hang } of dead) {
      for (const done of hang) done(NOTHING);
      await p.stop();
    }
  });

  it("resume at the disk's position, not at the group's; without the disk they are read again", async () => {
    const log = new InMemoryLog(1),
      dir = temporaryFolder();
    for (let i = 0; i < 6; i++) await log.produce(0, record(i));
    const first = new Sink();
    first.oldest = 0; // nothing is ever uploaded
    const a = ingester(log, first, dir);
    await a.start();
    await until(() => first.taken.length === 6);
    await a.stop();
    expect(await log.committed(0, "pushes-partition-0")).toBeUndefined();
    await log.produce(0, record(6));
    const second = new Sink(),
      b = ingester(log, second, dir);
    second.oldest = 0;
    await b.start();
    await until(() => second.taken.length > 0);
    expect(second.taken).toEqual(["t/s/1006/b6"]);
    await b.stop();
    const third = new Sink(),
      other = ingester(log, third);
    await other.start();
    await until(() => third.taken.length === 7);
    await other.stop();
  });

  it("are read from the start after the topic was recreated, and committed again", async () => {
    const dir = temporaryFolder(),
      log = new InMemoryLog(1),
      first = new Sink();
    for (let i = 0; i < 6; i++) await log.produce(0, record(i));
    const a = ingester(log, first, dir);
    await a.start();
    await until(() => first.taken.length === 6);
    await a.stop();
    log.recreate();
    const second = new Sink();
    for (let i = 10; i < 12; i++) await log.produce(0, record(i));
    second.full = true; // reading is blocked: this ingester does not have the topic's records
    const b = ingester(log, second, dir);
    await b.start();
    await sleep(1500);
    expect([b.caughtUp().partitions, second.taken]).toEqual([[], []]);
    second.full = false;
    await until(() => second.taken.length === 2 && b.caughtUp().partitions.length === 1);
    await b.stop();
    expect(await log.committed(0, "pushes-partition-0")).toBe(2);
  });

  it("pause while heads are full, and skip undecodable records", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    sink.full = true;
    await log.produce(0, record(0));
    await log.produce(0, Uint8Array.of(1, 2, 3));
    await log.produce(0, record(2));
    await p.start();
    await sleep(500);
    expect(p.states()[0]!.position).toBe(0);
    sink.full = false;
    await until(() => p.states()[0]?.position === 3);
    expect(sink.taken.map((t) => t.slice(-2)).sort()).toEqual(["b0", "b2"]);
    await p.stop();
  });

  it.each<[string, PushAnswer | CinderblockError]>([
    ["a full head", noRoom("heads", "heads use 2 bytes; the limit is 1")],
    ["an answer that says that there is no room", refusing({ kind: "no-room", message: "heads are full" })],
    ["a rate in the answer", refusing({ kind: "limit", reason: "rate_limited", message: "too fast" })],
    [
      "a number of series in the answer",
      refusing({ kind: "limit", reason: "series_limit", message: "too many" }),
    ],
    ["an unknown error", new CinderblockError("internal", "a bug")],
    ["a worker that ended", new CinderblockError("unavailable", "the worker ended")],
  ])("wait without skipping a record that met %s", async (_, answer) => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      metrics = new Metrics(),
      p = ingester(log, sink, temporaryFolder(), () => ["me"], "me", 2, metrics);
    sink.answers.set("b1", [answer, answer, answer]);
    for (let i = 0; i < 3; i++) await log.produce(0, record(i, 0));
    await p.start();
    await until(() => p.states()[0]?.position === 3);
    expect(sink.taken.map((t) => t.slice(-2)).sort()).toEqual(["b0", "b1", "b2"]);
    expect(sink.answers.get("b1")).toEqual([]);
    expect(await metrics.registry.metrics()).toContain(
      'cinderblock_ingester_refused_records_total{reason="unknown"} 0',
    );
    await p.stop();
  });

  it.each<[string, PushAnswer | CinderblockError, number, string]>([
    [
      "are counted",
      refusing({ kind: "invalid", reason: "malformed_profile", message: "bad" }),
      0,
      "malformed_profile",
    ],
    ["are counted when they are thrown", new CinderblockError("invalid", "bad parts"), 0, "unknown"],
    [
      "are not counted if the sender received the same number",
      refusing({ kind: "invalid", message: "bad" }),
      1,
      "",
    ],
  ])("skip profiles that every reader refuses: acknowledged ones %s", async (_, answer, told, reason) => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      metrics = new Metrics(),
      p = ingester(log, sink, temporaryFolder(), () => ["me"], "me", 2, metrics);
    sink.answers.set("b0", [answer]);
    await log.produce(0, record(0, told));
    await log.produce(0, record(1, 0));
    await p.start();
    await until(() => p.states()[0]?.position === 2);
    expect(sink.taken.map((t) => t.slice(-2))).toEqual(["b1"]);
    const counted = (await metrics.registry.metrics())
      .split("\n")
      .filter((l) => l.startsWith("cinderblock_ingester_refused_records_total") && !l.endsWith(" 0"));
    expect(counted).toEqual(
      reason === "" ? [] : [`cinderblock_ingester_refused_records_total{reason="${reason}"} 1`],
    );
    await p.stop();
  });

  it("pause before heads are full, and resume after cuts", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      metrics = new Metrics(),
      p = ingester(log, sink, temporaryFolder(), () => ["me"], "me", 2, metrics);
    sink.used = 0.8;
    await log.produce(0, record(0));
    await p.start();
    await until(() => p.states().length === 1);
    await sleep(100);
    expect(sink.taken).toEqual([]);
    const waiting = /cinderblock_ingester_partition_waiting_seconds\{partition="0"\} ([\d.]+)/;
    expect(Number(waiting.exec(await metrics.registry.metrics())![1])).toBeGreaterThan(0);
    sink.used = 0.5;
    await until(() => sink.taken.length === 1);
    await until(() => p.states()[0]!.position === 1);
    expect(waiting.exec(await metrics.registry.metrics())![1]).toBe("0");
    // A stop does not wait for room.
    sink.used = 1;
    await log.produce(0, record(1));
    await p.stop();
    expect(sink.taken.length).toBe(1);
  });

  it("wait for a release that decodes a later record version", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    await log.produce(0, Uint8Array.of(3, 0));
    await p.start();
    await sleep(500);
    expect(p.states()[0]!.position).toBe(0);
    await p.stop();
  });

  it.each([1, 2])(
    "are assigned by rule %i, each to one owner, and move when an owner leaves; records dropped by retention are counted",
    async (rule) => {
      const log = new InMemoryLog(4),
        a = new Sink(),
        b = new Sink();
      a.oldest = b.oldest = 0; // nothing is ever uploaded
      let names = ["a", "b"];
      const one = ingester(log, a, temporaryFolder(), () => names, "a", rule),
        two = ingester(log, b, temporaryFolder(), () => names, "b", rule);
      await one.start();
      await two.start();
      await until(() => one.states().length === 2 && two.states().length === 2);
      expect([...one.states(), ...two.states()].map((s) => s.partition).sort()).toEqual([0, 1, 2, 3]);
      const its = two.states()[0]!.partition;
      if (rule === 1) expect(its).toBe(1);
      for (let i = 0; i < 5; i++) await log.produce(its, record(i));
      await until(() => b.taken.length === 5);
      log.expire(its, 3);
      await two.stop();
      names = ["a"];
      await until(() => one.states().length === 4);
      await until(() => a.taken.length === 2); // the two that are left
      await one.stop();
    },
  );
});
