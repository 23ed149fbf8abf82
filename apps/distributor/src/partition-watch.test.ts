import type { PartitionedLog } from "@cinderblock/kafka";
import type { InternalClient } from "@cinderblock/rpc";
import type { RingView } from "@cinderblock/ring";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { PartitionWatch } from "./partition-watch.ts";

function watch(now: () => number, answers: Record<string, (method: string) => unknown>): PartitionWatch {
  const log = { retentionMs: 10_000 } as PartitionedLog;
  const ring = {
    snapshot: { readable: Object.keys(answers).map((id) => ({ id, address: id })) },
  } as unknown as RingView;
  const client = {
    call: (address: string, _component: string, method: string) =>
      Promise.resolve().then(() => answers[address]!(method)),
  } as unknown as InternalClient;
  return new PartitionWatch(log, ring, client, {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer: startTracing("", "0"),
    now,
  });
}
const state = (owner: string, unuploadedAgeMs: number) => ({ partition: 0, owner, unuploadedAgeMs });

describe("what a distributor knows of the partitions", () => {
  it("is the series of all ingesters and their threads, however many they are", async () => {
    const many = (from: number) => BigUint64Array.from({ length: 150_000 }, (_, i) => BigInt(from + i));
    const w = watch(() => 0, {
      a: (method) =>
        method === "partitions"
          ? [state("a", 0)]
          : [
              { tenant: "t", series: many(0) },
              { tenant: "u", series: many(0) },
              { tenant: "t", series: many(100_000) },
            ],
      b: (method) =>
        method === "partitions" ? [] : [{ tenant: "t", series: BigUint64Array.of(5n, 1_000_000n) }],
    });
    expect(w.seriesOf("t")).toBeUndefined();
    await w.start();
    await w.stop();
    expect([w.seriesOf("t")!.size, w.seriesOf("u")!.size, w.seriesOf("other")!.size]).toEqual([
      250_001, 150_000, 0,
    ]);
  });

  it("refuses writes while nobody has told, and when all owners of a partition lag by half of what the topic keeps, or are silent for so long", async () => {
    let now = 0;
    const ages = { a: 100, b: 6000 };
    const w = watch(() => now, {
      a: (method) => (method === "partitions" ? [state("a", ages.a)] : []),
      b: (method) => (method === "partitions" ? [state("b", ages.b)] : []),
    });
    expect(() => {
      w.refuse();
    }).toThrow("no ingester has told yet");
    await w.start();
    await w.stop();
    w.refuse(); // one of them is ahead
    ages.a = 5500;
    await w.start();
    await w.stop();
    expect(() => {
      w.refuse();
    }).toThrow(
      "partition 0 holds records that wait for the bucket for 6 s, more than half of what the topic keeps (5 s)",
    );
    ages.a = 100;
    await w.start();
    await w.stop();
    now = 600_000;
    expect(() => {
      w.refuse();
    }).toThrow("partition 0 holds records that wait for the bucket for 600 s");
  });
});
