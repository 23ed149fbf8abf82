import { InMemoryLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { startSpanCollector } from "@cinderblock/testkit";
import { type PushRecord, PushRecordDecoder } from "@cinderblock/transport";
import type { Decider } from "./decisions.ts";
import { KafkaWritePath } from "./kafka-write-path.ts";
import type { PartitionWatch } from "./partition-watch.ts";
import { RecordPlacer } from "./record-placement.ts";

/** Records of each partition: fences and bodies of pushes. */
async function contents(log: InMemoryLog): Promise<string[][]> {
  const decoder = new PushRecordDecoder(),
    all: string[][] = [];
  for (let p = 0; p < log.partitions; p++) {
    const found: string[] = [];
    const reader = await log.read(p, {
      group: `test-${p}`,
      topicId: log.topicId,
      from: 0,
      again: true,
      onRecords: (records) => {
        for (const r of records) {
          const { fence, placedBy, push } = decoder.decode(r.value);
          found.push(`${fence ? "fence" : Buffer.from(push.body).toString()} ${placedBy?.join("→") ?? "-"}`);
        }
        return Promise.resolve();
      },
      onGap: () => undefined,
      onEnd: () => undefined,
    });
    await Promise.resolve();
    await reader.stop();
    all.push(found);
  }
  return all;
}

function distributor(log: InMemoryLog, tracer = startTracing("", "0")) {
  const state = { readable: 2, fenced: 0, nowMs: 0 };
  const watch = {
    get partitions() {
      return state.readable;
    },
    fencedPartitionCount: () => state.fenced,
    admit: () => undefined,
  } as unknown as PartitionWatch;
  const base = {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer,
    now: () => 1_700_000_000_000,
  };
  const placement = new RecordPlacer(
    { handOverMs: 1000, timeoutMs: 50, limits: TEST_LIMITS },
    log,
    watch,
    base,
    () => state.nowMs,
  );
  const decider: Decider = {
    decide: (tenant, service, push, limits) =>
      Promise.resolve({
        answer: {} as never,
        record: { tenant, service, push, limits, atMs: 0, refused: 0 } as PushRecord,
        contradicted: (r) => r,
      }),
  };
  const path = new KafkaWritePath(
    { timeoutMs: 50, maxRecordBytes: 1 << 20 },
    log,
    decider,
    watch,
    placement,
    base,
  );
  const push = (service: string, body: string) =>
    path.push(
      "t",
      service,
      { kind: "push", codec: "proto", gzip: false, body: Buffer.from(body) },
      TEST_LIMITS,
    );
  /** One pass, without the loop. */
  const pass = async (): Promise<void> => {
    await placement.start();
    await placement.stop();
  };
  return Object.assign(state, { placement, push, pass, metrics: base.metrics });
}

/** A service that two partitions place in one partition, and three in another. */
const MOVES = Array.from({ length: 50 }, (_, i) => `s${i}`).find(
  (s) => placementToken("t", s) % 2 === 0 && placementToken("t", s) % 3 === 2,
)!;

describe("placement of records", () => {
  it("writes a moving service's records to the old and the new partition, between two fences in each partition", async () => {
    const log = new InMemoryLog(2),
      d = distributor(log);
    await expect(d.push(MOVES, "early")).rejects.toThrow("is not known");
    await d.pass();
    await d.push(MOVES, "a");
    log.addPartitions(3);
    d.readable = 3;
    await d.push(MOVES, "b");
    await d.pass();
    await d.push(MOVES, "c");
    d.nowMs = 1000;
    await d.pass();
    await d.push(MOVES, "d");
    expect(await contents(log)).toEqual([
      ["fence 2", "a 2", "b 2", "fence 2", "fence 2→3", "c 2→3", "fence 3"],
      ["fence 2", "fence 2", "fence 2→3", "fence 3"],
      ["fence 2", "fence 2→3", "c 2→3", "fence 3", "d 3"],
    ]);
  });
  it("keeps pushes and their growth in the old partitions while a partition takes no fence", async () => {
    const log = new InMemoryLog(2),
      d = distributor(log);
    const waits = (): Promise<string> =>
      d.metrics.registry.getSingleMetricAsString("cinderblock_distributor_placement_waits");
    await d.pass();
    log.addPartitions(3);
    d.readable = 3;
    log.trouble(1, "produce", "is silent");
    await d.pass();
    await d.push(MOVES, "a");
    expect(d.placement.placedBy).toEqual([2]);
    expect(await waits()).toContain("placement_waits 1");
    // Partition 0 would count nothing of a moving service after the fence 2→3.
    expect((await contents(log))[0]).toEqual(["fence 2", "fence 2", "a 2"]);
    log.trouble(1, "produce", undefined);
    await d.pass();
    expect(d.placement.placedBy).toEqual([2, 3]);
    expect(await waits()).toContain("placement_waits 0");
    // Partitions that had the fence got no second one.
    expect((await contents(log))[0]).toEqual(["fence 2", "fence 2", "a 2", "fence 2→3"]);
  });
  it("stops waiting when other distributors have ended the move", async () => {
    const log = new InMemoryLog(2),
      d = distributor(log);
    await d.pass();
    log.addPartitions(3);
    d.readable = 3;
    log.trouble(1, "produce", "is silent");
    await d.pass();
    d.fenced = 3;
    await d.pass();
    expect(d.placement.placedBy).toEqual([3]);
    expect(
      await d.metrics.registry.getSingleMetricAsString("cinderblock_distributor_placement_waits"),
    ).toContain("placement_waits 0");
  });
  it("refuses pushes to partitions of other distributors until an ingester reports that it reads them", async () => {
    const log = new InMemoryLog(3),
      d = distributor(log);
    d.fenced = 3;
    await d.pass();
    await expect(d.push(MOVES, "a")).rejects.toThrow("partition 2 is not written to");
    d.readable = 3;
    await d.push(MOVES, "a");
    expect((await contents(log))[2]).toEqual(["a 3"]);
  });
  it("starts over when the topic was recreated", async () => {
    const log = new InMemoryLog(3),
      d = distributor(log);
    d.readable = 3;
    await d.pass();
    log.recreate(2);
    d.readable = 2;
    await d.pass();
    expect([d.placement.placedBy, await contents(log)]).toEqual([[2], [["fence 2"], ["fence 2"]]]);
  });
  it("starts over when a topic without an ID has fewer partitions", async () => {
    const log = new InMemoryLog(3),
      d = distributor(log);
    log.topicId = "";
    d.readable = 3;
    await d.pass();
    log.recreate(2);
    log.topicId = "";
    d.readable = 2;
    await d.pass();
    expect([d.placement.placedBy, await contents(log)]).toEqual([[2], [["fence 2"], ["fence 2"]]]);
  });
});

describe("records of traced pushes", () => {
  it("carry the span of their write in headers; others have no headers, with and without tracing", async () => {
    const collector = await startSpanCollector(),
      tracer = startTracing(collector.endpoint, "0");
    const [on, off] = [new InMemoryLog(1), new InMemoryLog(1)],
      [traced, untraced] = [distributor(on, tracer), distributor(off)];
    const headersIn = async (log: InMemoryLog): Promise<unknown[]> => {
      const found: unknown[] = [];
      const reader = await log.read(0, {
        group: "headers",
        topicId: log.topicId,
        from: 0,
        onRecords: (records) => {
          for (const r of records) found.push("headers" in r ? r.headers : undefined);
          return Promise.resolve();
        },
        onGap: () => undefined,
      });
      await Promise.resolve();
      await reader.stop();
      return found.slice(-2);
    };
    const request = tracer.request("push", {}, {}, true)!;
    for (const d of [traced, untraced]) {
      Object.assign(d, { readable: 1 });
      await d.pass();
      await d.push("s", "outside of a request");
      await request.run(() => d.push("s", "within a request"));
    }
    request.end(200);
    await tracer.stop();
    const write = collector.spans.find((s) => s.name === "kafka.send")!;
    expect(write).toMatchObject({ traceId: request.traceId, kind: 4 });
    expect(await headersIn(on)).toEqual([
      undefined,
      { traceparent: `00-${request.traceId}-${write.spanId}-01` },
    ]);
    expect(await headersIn(off)).toEqual([undefined, undefined]);
    await collector.stop();
  });
});
