import { sleep } from "@cinderblock/async";
import { type Admin, type ITopicConfig, Kafka, logLevel } from "kafkajs";
import type { KafkaConfig } from "./index.ts";
import type { TopicAccidents } from "./partitioned-log.testing.ts";

export function configOf(brokers: string, topic: string, more: Partial<KafkaConfig> = {}): KafkaConfig {
  return {
    brokers: [brokers],
    clientId: "test",
    topic,
    createPartitions: 3,
    createReplication: 1,
    maxRecordBytes: 2 << 20,
    lingerMs: 0,
    tls: undefined,
    sasl: undefined,
    ...more,
  };
}

/** Topic settings that `checkTopic` accepts. */
export const SAFE = [
  { name: "cleanup.policy", value: "delete" },
  { name: "retention.ms", value: "259200000" },
  { name: "max.message.bytes", value: "9000000" },
];

export async function withAdmin<T>(brokers: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

/**
 * Creates a topic and waits until every partition has a leader. kafkajs's own wait (`waitForLeaders`) fails
 * when a broker has not yet heard of the topic.
 */
export async function createTopic(admin: Admin, topic: ITopicConfig): Promise<void> {
  await admin.createTopics({ waitForLeaders: false, topics: [topic] });
  for (;;) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic.topic] });
      if (topics[0]!.partitions.every((p) => p.leader >= 0)) return;
    } catch (err) {
      const { type } = err as { type?: string };
      if (type !== "UNKNOWN_TOPIC_OR_PARTITION" && type !== "LEADER_NOT_AVAILABLE") throw err;
    }
    await sleep(100);
  }
}

/** Changes a topic's settings. */
export function alter(brokers: string, topic: string, settings: Record<string, string>): Promise<unknown> {
  return withAdmin(brokers, (a) =>
    a.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: 2,
          name: topic,
          configEntries: [
            ...SAFE.filter((e) => !(e.name in settings)),
            ...Object.entries(settings).map(([name, value]) => ({ name, value })),
          ],
        },
      ],
    }),
  );
}

/** Administrative operations and faults on a topic of a real broker. */
export function accidentsOf(brokers: string, topic: string): TopicAccidents {
  return {
    addPartitions: (count) =>
      withAdmin(brokers, async (a) => {
        await a.createPartitions({ topicPartitions: [{ topic, count }] });
      }),
    recreate: (numPartitions) =>
      withAdmin(brokers, async (a) => {
        await a.deleteTopics({ topics: [topic] });
        for (;;) {
          try {
            await createTopic(a, { topic, numPartitions, configEntries: SAFE });
            return;
          } catch {
            await sleep(200); // the broker is still deleting the topic
          }
        }
      }),
    expire: (partition, before) =>
      withAdmin(brokers, async (a) => {
        await a.fetchTopicOffsets(topic); // kafkajs must learn the leaders first
        await a.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] });
      }),
  };
}
