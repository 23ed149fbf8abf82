// What an administrator does to a real broker: node e2e/kafka-admin.mjs BROKERS groups|delete-groups|delete-topic|create-topic|add-partitions ARGUMENT… Prints JSON.
import { Kafka, logLevel } from "kafkajs";

const [brokers, command, ...args] = process.argv.slice(2);
const admin = new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING }).admin();
await admin.connect();
const groups = async (prefix) =>
  (await admin.listGroups()).groups.map((g) => g.groupId).filter((g) => g.startsWith(prefix));
const commands = {
  groups: ([prefix]) => groups(prefix),
  /** Groups with members cannot be deleted: those that can be are. */
  async "delete-groups"([prefix]) {
    const all = await groups(prefix);
    try {
      return (await admin.deleteGroups(all)).map((r) => r.groupId);
    } catch (err) {
      return (err.groups ?? []).filter((g) => !g.error).map((g) => g.groupId);
    }
  },
  "delete-topic": ([topic]) => admin.deleteTopics({ topics: [topic] }),
  "add-partitions": ([topic, count]) =>
    admin.createPartitions({ topicPartitions: [{ topic, count: Number(count) }] }),
  "create-topic": ([topic, partitions]) =>
    admin.createTopics({
      waitForLeaders: true,
      topics: [
        {
          topic,
          numPartitions: Number(partitions),
          replicationFactor: 1,
          configEntries: [
            { name: "cleanup.policy", value: "delete" },
            { name: "retention.ms", value: "259200000" },
            { name: "max.message.bytes", value: "9000000" },
            { name: "message.timestamp.type", value: "LogAppendTime" },
          ],
        },
      ],
    }),
};
console.log(JSON.stringify((await commands[command](args)) ?? null));
await admin.disconnect();
