import { CinderblockError } from "@cinderblock/errors";

/** Minimum retention of the topic: records that are not in the bucket by then are lost. */
const MIN_RETENTION_MS = 24 * 3600_000;

/** Settings of a topic and its cluster that decide whether pushes are safe there. */
export interface TopicSettings {
  topic: string;
  /** names and values of Kafka's topic configuration, including broker defaults */
  settings: ReadonlyMap<string, string>;
  /** smallest replica count of any partition */
  replication: number;
  brokers: number;
  /** -kafka.max-record-bytes */
  maxRecordBytes: number;
}

/** Result of `checkTopic` for a usable topic. */
export interface TopicVerdict {
  /** retention of records in milliseconds */
  retentionMs: number;
  /** risks of a cluster with fewer than three brokers, for a loud warning */
  unsafe: string[];
}

/**
 * Checks that a topic's settings keep acknowledged pushes.
 * @throws `invalid` for settings that would lose pushes, with the remedy
 */
export function checkTopic(facts: TopicSettings): TopicVerdict {
  const { topic, settings, replication, brokers, maxRecordBytes } = facts;
  const wrong = (why: string): never => {
    throw new CinderblockError("invalid", `topic ${topic} is not usable: ${why}`);
  };
  const set = (setting: string): string =>
    `run kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${setting}`;
  const policy = settings.get("cleanup.policy");
  if (policy !== "delete")
    wrong(
      `cleanup.policy is ${policy}, but must be delete, because compaction would drop pushes; ${set("cleanup.policy=delete")}`,
    );
  const bytes = Number(settings.get("retention.bytes") ?? -1);
  if (bytes !== -1)
    wrong(
      `retention.bytes is ${bytes}, but must be -1, because the broker would drop records before their upload to the bucket; ${set("retention.bytes=-1")}`,
    );
  const retention = Number(settings.get("retention.ms") ?? -1);
  const retentionMs = retention < 0 ? Number.MAX_SAFE_INTEGER : retention;
  if (retentionMs < MIN_RETENTION_MS)
    wrong(
      `retention.ms is ${retention}, but must be at least ${MIN_RETENTION_MS} (24 h), because records not uploaded by then are lost; ${set("retention.ms=259200000")}`,
    );
  const largest = Number(settings.get("max.message.bytes") ?? 0);
  if (largest < maxRecordBytes)
    wrong(`max.message.bytes is ${largest}, less than -kafka.max-record-bytes=${maxRecordBytes}`);
  if (settings.get("unclean.leader.election.enable") === "true")
    wrong(
      `unclean.leader.election.enable is true, which can lose acknowledged pushes; ${set("unclean.leader.election.enable=false")}`,
    );
  const unsafe: string[] = [];
  if (brokers >= 3) {
    if (replication < 2)
      wrong(`the topic's replication factor is ${replication} on ${brokers} brokers, but must be at least 2`);
    const inSync = Number(settings.get("min.insync.replicas") ?? 1);
    if (inSync < 2)
      wrong(`min.insync.replicas is ${inSync}, but must be at least 2; ${set("min.insync.replicas=2")}`);
  } else
    unsafe.push(
      `Kafka has ${brokers} broker${brokers === 1 ? "" : "s"}: losing a broker's disk loses pushes that are not in the bucket yet`,
    );
  return { retentionMs, unsafe };
}
