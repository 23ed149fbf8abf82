import { KafkaLog } from "./index.ts";
import { base } from "./partitioned-log.testing.ts";

const config = {
  brokers: ["127.0.0.1:1"],
  clientId: "test",
  topic: "ends",
  createPartitions: 3,
  createReplication: 1,
  maxRecordBytes: 2 << 20,
  lingerMs: 0,
  tls: undefined,
  sasl: undefined,
};

describe("the ends of a topic", () => {
  it("are not told where a partition has no leader: it would pass for an empty one", async () => {
    const log = new KafkaLog(config, base),
      offsets = [{ partition: 0, offset: "5", high: "5", low: "2" }];
    log.partitions = 2;
    Object.assign(log, {
      admin: { fetchTopicOffsets: () => Promise.resolve(offsets), disconnect: () => Promise.resolve() },
    });
    await expect(log.offsets()).rejects.toThrow(
      "Kafka did not tell the ends of ends: partition 1 has no leader now",
    );
    offsets.push({ partition: 1, offset: "0", high: "0", low: "0" });
    expect(await log.offsets()).toEqual([
      { start: 2, end: 5 },
      { start: 0, end: 0 },
    ]);
    await log.close();
  });
});
