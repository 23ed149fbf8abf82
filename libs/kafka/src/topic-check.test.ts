import { checkTopic, type TopicSettings } from "./topic-check.ts";

const settings = (more: Record<string, string> = {}): Map<string, string> =>
  new Map(
    Object.entries({
      "cleanup.policy": "delete",
      "retention.ms": "259200000",
      "retention.bytes": "-1",
      "max.message.bytes": "9000000",
      "min.insync.replicas": "2",
      "unclean.leader.election.enable": "false",
      ...more,
    }),
  );
const facts = (more: Partial<TopicSettings> = {}, changed: Record<string, string> = {}): TopicSettings => ({
  topic: "pushes",
  settings: settings(changed),
  replication: 3,
  brokers: 3,
  maxRecordBytes: 8_000_000,
  ...more,
});

describe("the settings of a topic", () => {
  it("are accepted if no acknowledged record can be lost", () => {
    expect(checkTopic(facts())).toEqual({ retentionMs: 259_200_000, unsafe: [] });
    expect(checkTopic(facts({}, { "retention.ms": "-1" })).retentionMs).toBe(Number.MAX_SAFE_INTEGER);
    expect(checkTopic(facts({ brokers: 1, replication: 1 }, { "min.insync.replicas": "1" })).unsafe).toEqual([
      "Kafka has 1 broker: losing a broker's disk loses pushes that are not in the bucket yet",
    ]);
  });
  it.each([
    ["cleanup.policy", "compact", "cleanup.policy is compact, but must be delete"],
    ["cleanup.policy", "compact,delete", "cleanup.policy is compact,delete, but must be delete"],
    ["retention.ms", "3600000", "retention.ms is 3600000, but must be at least 86400000 (24 h)"],
    ["retention.bytes", "1048576", "retention.bytes is 1048576, but must be -1"],
    ["retention.bytes", "0", "retention.bytes is 0, but must be -1"],
    ["max.message.bytes", "1000", "max.message.bytes is 1000, less than -kafka.max-record-bytes=8000000"],
    ["unclean.leader.election.enable", "true", "unclean.leader.election.enable is true"],
    ["min.insync.replicas", "1", "min.insync.replicas is 1, but must be at least 2"],
  ])("are refused with %s=%s", (name, value, why) => {
    expect(() => checkTopic(facts({}, { [name]: value }))).toThrow(`topic pushes is not usable: ${why}`);
  });
  it("are refused with one replica on three brokers", () => {
    expect(() => checkTopic(facts({ replication: 1 }))).toThrow(
      "the topic's replication factor is 1 on 3 brokers",
    );
  });
});
