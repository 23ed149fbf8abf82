import { cpSync } from "node:fs";
import { join } from "node:path";
import { InMemoryLog } from "@cinderblock/kafka";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { temporaryFolder } from "@cinderblock/testkit";
import { encodePushRecord } from "@cinderblock/transport";
import { Partitions } from "./partitions.ts";
import type { RecordSink } from "./record-intake.ts";

const turn = setImmediate;
beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ["setImmediate", "nextTick", "queueMicrotask"] });
});
afterEach(() => {
  jest.useRealTimers();
});

/** Lets pending file writes and their continuations finish. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++)
    await new Promise((r) => {
      turn(r);
    });
}
/** Copy of what a dead process left on disk: here its loops go on, and must not write to its successor's files. */
function leftOnDisk(dir: string): string {
  const copy = temporaryFolder();
  cpSync(dir, copy, { recursive: true, filter: (path) => !path.endsWith(".next") });
  return copy;
}
async function pass(ms: number): Promise<void> {
  for (let t = 0; t < ms; t += 100) {
    await jest.advanceTimersByTimeAsync(100);
    await settle();
  }
}
/** Advances time until `holds` returns true; at most two minutes. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1200 && !(await holds()); i++) await pass(100);
  expect(await holds()).toBe(true);
}

const ANSWER = {
  profiles: 1,
  compressedBytes: 0,
  decompressedBytes: 0,
  samples: 0,
  discarded: [],
  error: undefined,
};
class Sink implements RecordSink {
  taken: string[] = [];
  oldest = Infinity;
  hold: Promise<void> | undefined;
  async push(...[, , push]: Parameters<RecordSink["push"]>): ReturnType<RecordSink["push"]> {
    await this.hold;
    this.taken.push(Buffer.from(push.body).toString());
    return ANSWER;
  }
  updateBaselines(): Promise<void> {
    return Promise.resolve();
  }
  forgetBaselines(): Promise<void> {
    return Promise.resolve();
  }
  oldestUnuploadedMs(): Promise<number> {
    return Promise.resolve(this.oldest);
  }
  pressure(): number {
    return 0;
  }
  /** names of all stored records, without duplicates */
  get names(): string[] {
    return [...new Set(this.taken)].sort();
  }
}

const record = (name: string): Uint8Array =>
  encodePushRecord({
    tenant: "t",
    service: "s",
    atMs: 1000,
    limits: TEST_LIMITS,
    push: { kind: "push", codec: "proto", gzip: false, body: Buffer.from(name) },
  });
async function produce(log: InMemoryLog, partition: number, ...names: string[]): Promise<void> {
  for (const n of names) await log.produce(partition, record(n));
}
const names = (prefix: string, n: number): string[] =>
  Array.from({ length: n }, (_, i) => `${prefix}${String(i).padStart(3, "0")}`);
const GROUP = (p: number): string => `pushes-partition-${p}`;

function ingester(
  log: InMemoryLog,
  sink: Sink,
  dir = temporaryFolder(),
  metrics = new Metrics(),
): Partitions {
  return new Partitions(
    { id: "me", zone: "", topic: "pushes", file: join(dir, "partitions.json"), learnMs: 60_000 },
    log,
    sink,
    () => ({ ids: ["me"], rule: 2 }),
    {
      log: createLogger({ level: (process.env.LOGLEVEL ?? "silent") as "silent", format: "json" }),
      metrics,
      tracer: noTracer,
      now: () => Date.now(),
    },
  );
}

describe("a topic with added partitions", () => {
  it("has its new partitions read without a restart", async () => {
    const log = new InMemoryLog(2),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await produce(log, 1, "a");
    await until(() => sink.taken.length === 1);
    log.addPartitions(5);
    await produce(log, 4, "b", "c");
    expect(p.caughtUp()).toMatchObject({ of: 5, partitions: [0, 1] });
    await until(() => p.caughtUp().partitions.length === 5);
    await until(() => sink.taken.length === 3);
    expect(p.states().map((s) => [s.partition, s.of])).toEqual([0, 1, 2, 3, 4].map((n) => [n, 5]));
    await p.stop();
    expect(await log.committed(4, GROUP(4))).toBe(2);
  });
});

describe("a topic that is recreated before anything was committed", () => {
  it("is read from its start by an ingester that was down, even if the new topic is longer", async () => {
    const log = new InMemoryLog(1),
      dir = temporaryFolder(),
      first = new Sink();
    first.oldest = 0; // nothing is uploaded, so nothing is committed
    const a = ingester(log, first, dir);
    await a.start();
    await produce(log, 0, ...names("old", 20));
    await until(() => first.taken.length === 20);
    await pass(2000);
    await a.stop();
    log.recreate();
    await produce(log, 0, ...names("new", 30));
    const second = new Sink(),
      metrics = new Metrics(),
      b = ingester(log, second, dir, metrics);
    await b.start();
    await until(() => second.taken.length === 30);
    expect(second.names).toEqual(names("new", 30));
    expect(await metrics.registry.metrics()).toMatch(/^cinderblock_ingester_topic_recreated_total 1$/m);
    await b.stop();
  });

  it("is read from its start by an ingester that was paused, without commits for the old topic", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    sink.oldest = 0;
    await p.start();
    await produce(log, 0, ...names("old", 20));
    await until(() => sink.taken.length === 20);
    // The reader mistakes new-topic records at the old position for the next ones; the commit does the same.
    log.recreate();
    await produce(log, 0, ...names("new", 30));
    sink.oldest = Infinity;
    await p.commit();
    expect(await log.committed(0, GROUP(0))).toBeUndefined();
    await until(() => sink.names.length === 50);
    await until(async () => (await log.committed(0, GROUP(0))) === 30);
    await p.stop();
  });

  it("counts as read for a strong read once the new topic is read", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await produce(log, 0, ...names("old", 20));
    await until(() => sink.taken.length === 20);
    const old = log.topicId;
    expect(await p.waitForEnds([20], Date.now(), old)).toEqual([0]);
    let release = (): void => undefined;
    sink.hold = new Promise((done) => {
      release = done;
    });
    log.recreate();
    await produce(log, 0, ...names("new", 10));
    // Offset 10 of the new topic was not reached, though offset 20 of the old topic was.
    await expect(p.waitForEnds([10], Date.now(), log.topicId)).rejects.toThrow(
      "has not read partition 0 up to offset 10 yet",
    );
    const reached = p.waitForEnds([10], Date.now() + 60_000, log.topicId);
    release();
    await until(() => sink.names.length === 30);
    await pass(2000);
    expect(await reached).toEqual([0]);
    await p.stop();
  });

  it("may have fewer partitions", async () => {
    const log = new InMemoryLog(3),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await produce(log, 2, "a");
    await until(() => sink.taken.length === 1);
    log.recreate(1);
    await produce(log, 0, "b");
    await until(() => p.states().length === 1);
    await until(() => sink.names.length === 2);
    expect(p.states()).toMatchObject([{ partition: 0, topicId: log.topicId }]);
    await p.stop();
  });

  it("loses no record to a poison record of the old topic at the same offset", async () => {
    const taken: string[][] = [];
    let dir = temporaryFolder();
    for (const topicId of ["old", "old", "old", "new"]) {
      const log = new InMemoryLog(1),
        sink = new Sink(),
        p = ingester(log, sink, dir);
      log.topicId = topicId;
      await produce(log, 0, topicId);
      // The first two runs end with the death of a thread that had the record in flight.
      if (taken.length < 2) sink.hold = new Promise(() => undefined);
      await p.start();
      await until(() => p.states().length === 1);
      await pass(2000);
      if (taken.length < 2) {
        p.noteDeath();
        dir = leftOnDisk(dir);
      } else await p.stop();
      taken.push(sink.taken);
    }
    expect(taken).toEqual([[], [], [], ["new"]]);
  });
});

describe("a partition that fails or hangs", () => {
  it.each(["refuses", "is silent"] as const)(
    "does not prevent commits of other partitions when its commit %s",
    async (how) => {
      const log = new InMemoryLog(3),
        sink = new Sink(),
        metrics = new Metrics(),
        p = ingester(log, sink, temporaryFolder(), metrics);
      log.trouble(0, "commit", how);
      await p.start();
      for (const i of [0, 1, 2]) await produce(log, i, `a${i}`);
      await until(() => sink.taken.length === 3);
      await until(
        async () => (await log.committed(1, GROUP(1))) === 1 && (await log.committed(2, GROUP(2))) === 1,
      );
      // Repeat while the failing commit is still being tried.
      for (const i of [1, 2]) await produce(log, i, `b${i}`);
      await until(
        async () => (await log.committed(1, GROUP(1))) === 2 && (await log.committed(2, GROUP(2))) === 2,
      );
      expect(await log.committed(0, GROUP(0))).toBeUndefined();
      await pass(10_000);
      const age = Number(
        /partition_commit_age_seconds\{partition="0"\} (\S+)/.exec(await metrics.registry.metrics())?.[1],
      );
      expect(age).toBeGreaterThan(9);
      if (how === "refuses") {
        expect(await metrics.registry.metrics()).toMatch(
          /partition_commit_failures_total\{partition="0"\} [1-9]/,
        );
        log.trouble(0, "commit", undefined);
        await until(async () => (await log.committed(0, GROUP(0))) === 1);
        await p.stop();
      }
    },
  );

  it.each(["committed", "offsets"] as const)(
    "does not prevent reads and commits of other partitions when %s refuses or hangs at its claim; it is claimed later",
    async (operation) => {
      const log = new InMemoryLog(3),
        sink = new Sink(),
        metrics = new Metrics(),
        p = ingester(log, sink, temporaryFolder(), metrics);
      log.trouble(0, operation, "refuses");
      log.trouble(1, operation, "is silent");
      for (const i of [0, 1, 2]) await produce(log, i, `a${i}`);
      await p.start();
      await until(() => sink.taken.includes("a2"));
      await until(async () => (await log.committed(2, GROUP(2))) === 1);
      await pass(20_000);
      expect(p.caughtUp().partitions).toEqual([2]);
      expect(
        Number(
          /partition_unclaimed_seconds\{partition="0"\} (\S+)/.exec(await metrics.registry.metrics())?.[1],
        ),
      ).toBeGreaterThan(19);
      for (const i of [0, 1]) log.trouble(i, operation, undefined);
      await until(() => sink.names.length === 3);
      await p.stop();
    },
  );

  it("is late when it delivers no records, and the other partitions are not", async () => {
    const log = new InMemoryLog(2),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await until(() => p.caughtUp().partitions.length === 2);
    log.trouble(0, "fetch", "is silent");
    await produce(log, 0, "a");
    await produce(log, 1, "b");
    await until(() => sink.taken.includes("b"));
    await pass(25_000);
    expect([p.caughtUp().partitions, sink.taken]).toEqual([[1], ["b"]]);
    log.trouble(0, "fetch", undefined);
    await until(() => p.caughtUp().partitions.length === 2);
    await p.stop();
  });

  it("is claimed again when its reader ends by itself", async () => {
    const ends: (() => void)[] = [];
    class Ending extends InMemoryLog {
      override read(...[p, options]: Parameters<InMemoryLog["read"]>): ReturnType<InMemoryLog["read"]> {
        if (p === 0 && options.onEnd) ends.push(() => options.onEnd?.(new Error("it crashed")));
        return super.read(p, options);
      }
    }
    const log = new Ending(2),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await until(() => p.caughtUp().partitions.length === 2);
    log.trouble(0, "fetch", "is silent");
    ends[0]!();
    log.trouble(0, "fetch", undefined);
    await produce(log, 0, "a");
    await until(() => ends.length === 2 && sink.taken.includes("a"));
    await p.stop();
  });

  it("stops waiting for its reader at the deadline, and is read by its next owner", async () => {
    const log = new InMemoryLog(1),
      sink = new Sink(),
      p = ingester(log, sink);
    await p.start();
    await until(() => p.caughtUp().partitions.length === 1);
    log.trouble(0, "stop", "is silent");
    await p.stopReading();
    let stopped = false;
    const stop = p.stop().then(() => {
      stopped = true;
    });
    await until(() => stopped);
    await stop;
  });
});

describe("a topic with a short retention", () => {
  it("counts the records dropped before they were read, and reports that it starts after the commit", async () => {
    const log = new InMemoryLog(1, { retentionBytes: 1 }),
      dir = temporaryFolder(),
      first = new Sink(),
      a = ingester(log, first, dir);
    await a.start();
    await produce(log, 0, "a");
    await until(() => first.taken.length === 1);
    await a.stop();
    await produce(log, 0, "b", "c", "d");
    const sink = new Sink(),
      metrics = new Metrics(),
      p = ingester(log, sink, dir, metrics);
    sink.oldest = 0;
    await p.start();
    await until(() => sink.taken.length === 1);
    expect(sink.taken).toEqual(["d"]);
    expect(await metrics.registry.metrics()).toMatch(
      /^cinderblock_ingester_partition_lost_records_total 2$/m,
    );
    expect(p.states()[0]).toMatchObject({ committed: 1, start: 3, position: 4 });
    await p.stop();
  });
});
