import { join } from "node:path";
import fc from "fast-check";
import { CinderblockError, type ErrorRecord, noRoom } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import type { LogRecord } from "@cinderblock/kafka";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { startSpanCollector, temporaryFolder } from "@cinderblock/testkit";
import { encodePushRecord, PartitionCounts } from "@cinderblock/transport";
import { OwnedPartition } from "./owned-partition.ts";
import { RecordIntake, type RecordSink } from "./record-intake.ts";

const OK: PushAnswer = {
  profiles: 1,
  compressedBytes: 1,
  decompressedBytes: 1,
  samples: 1,
  discarded: [],
  error: undefined,
};
const refusing = (error: ErrorRecord): PushAnswer => ({
  ...OK,
  discarded: [{ reason: error.reason ?? "unknown", profiles: 1, bytes: 1 }],
  error,
});

/** The ingester's answers to a record; `stores` is final, `bad` a deterministic refusal. */
const SAYS: Record<string, PushAnswer | CinderblockError> = {
  stores: OK,
  bad: refusing({ kind: "invalid", reason: "malformed_profile", message: "bad" }),
  full: noRoom("heads", "heads use 2 bytes; the limit is 1"),
  "disk full": noRoom("disk", "the disk has 1 byte left"),
  "full, as an answer": refusing({ kind: "no-room", message: "heads use 2 bytes; the limit is 1" }),
  rate: refusing({ kind: "limit", reason: "rate_limited", message: "rate" }),
  series: refusing({ kind: "limit", reason: "series_limit", message: "series" }),
  "a bug": new CinderblockError("internal", "a bug"),
  "a dead thread": new CinderblockError("unavailable", "the worker ended"),
};
const again = fc.constantFrom(...Object.keys(SAYS).filter((s) => s !== "stores" && s !== "bad"));
const base = () => ({
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
});

describe("the intake of a partition's records", () => {
  it("stores every acknowledged record, whatever errors the sink returns first", async () => {
    const dir = temporaryFolder();
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ before: fc.array(again, { maxLength: 30 }), last: fc.constantFrom("stores", "bad") }),
          { minLength: 1, maxLength: 20 },
        ),
        fc.array(fc.double({ min: 0, max: 1.5, noNaN: true }), { maxLength: 10 }),
        async (plan, pressures) => {
          const stored: number[] = [],
            refused: number[] = [],
            scripts = plan.map((r) => [...r.before, r.last]);
          const sink: RecordSink = {
            push(_tenant: string, _service: string, push: RawPush): Promise<PushAnswer> {
              const i = push.body[0]!,
                said = scripts[i]!.shift()!;
              if (said === "stores") stored.push(i);
              if (said === "bad") refused.push(i);
              const answer = SAYS[said]!;
              return answer instanceof CinderblockError ? Promise.reject(answer) : Promise.resolve(answer);
            },
            updateBaselines: () => Promise.reject(new Error("nothing is to be learnt")),
            forgetBaselines: () => Promise.resolve(),
            oldestUnuploadedMs: () => Promise.resolve(0),
            pressure: () => pressures.shift() ?? 0,
          };
          const metrics = new Metrics(),
            intake = new RecordIntake(sink, join(dir, "suspects.json"), { ...base(), metrics }, () =>
              Promise.resolve(),
            );
          const records = plan.map(
            (_, i): LogRecord => ({
              offset: i,
              timestampMs: 0,
              value: encodePushRecord({
                tenant: "t",
                service: "s",
                atMs: 0,
                limits: TEST_LIMITS,
                refused: 0,
                push: { kind: "push", codec: "proto", gzip: false, body: Uint8Array.of(i) },
              }),
            }),
          );
          expect(
            await intake.consumeBatch(0, new OwnedPartition("topic", 0, new PartitionCounts(0)), records),
          ).toBe(true);
          const wanted = (last: string): number[] => plan.flatMap((r, i) => (r.last === last ? [i] : []));
          expect(stored.sort((a, b) => a - b)).toEqual(wanted("stores"));
          expect(refused.sort((a, b) => a - b)).toEqual(wanted("bad"));
          // A deterministic refusal of an acknowledged record is counted once.
          const text = await metrics.registry.getSingleMetricAsString(
            "cinderblock_ingester_refused_records_total",
          );
          expect(Number(/malformed_profile"\} (\d+)/.exec(text)?.[1] ?? 0)).toBe(refused.length);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("spans of stored records", () => {
  it("continue the trace that the record's headers name, for each attempt; others have none", async () => {
    const collector = await startSpanCollector(),
      tracer = startTracing(collector.endpoint, "0"),
      trace = "0af7651916cd43dd8448eb211c80319c",
      seen: (string | undefined)[] = [];
    const answers = [noRoom("heads", "heads use 2 bytes; the limit is 1"), OK, OK, OK];
    const sink = {
      push: () => {
        seen.push(tracer.traceId());
        const answer = answers.shift()!;
        return answer instanceof CinderblockError ? Promise.reject(answer) : Promise.resolve(answer);
      },
      pressure: () => 0,
    } as unknown as RecordSink;
    const intake = new RecordIntake(
      sink,
      join(temporaryFolder(), "suspects.json"),
      { ...base(), tracer },
      () => Promise.resolve(),
    );
    const value = encodePushRecord({
      tenant: "t",
      service: "s",
      atMs: 0,
      limits: TEST_LIMITS,
      push: { kind: "push", codec: "proto", gzip: false, body: Uint8Array.of(1) },
    });
    const partition = new OwnedPartition("topic", 0, new PartitionCounts(0));
    for (const [offset, headers] of [
      { traceparent: `00-${trace}-b7ad6b7169203331-01` },
      undefined,
      { traceparent: "of another program" },
    ].entries())
      await intake.consumeBatch(3, partition, [
        { offset, timestampMs: 0, value, ...(headers ? { headers } : {}) },
      ]);
    expect(seen).toEqual([trace, trace, undefined, undefined]);
    await tracer.stop();
    const span = {
      name: "kafka.receive",
      traceId: trace,
      parentSpanId: "b7ad6b7169203331",
      kind: 5,
      attributes: {
        tenant: "t",
        "messaging.system": "kafka",
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 0,
      },
    };
    expect(collector.spans).toMatchObject([
      { ...span, failed: true },
      { ...span, failed: false },
    ]);
    await collector.stop();
  });
});
