// Runs administrative commands on a real broker, and prints JSON:
// node e2e/kafka-admin.ts BROKERS groups|delete-groups|delete-topic|create-topic|add-partitions ARGUMENT…
import { Kafka, type KafkaJSDeleteGroupsError, logLevel } from "kafkajs";

const [brokers, command, ...args] = process.argv.slice(2);
const admin = new Kafka({ brokers: (brokers ?? "").split(","), logLevel: logLevel.NOTHING }).admin();
await admin.connect();
const groups = async (prefix: string): Promise<string[]> =>
  (await admin.listGroups()).groups.map((g) => g.groupId).filter((g) => g.startsWith(prefix));

/** Commands by name; each takes the name of a topic or a prefix of groups, and a number of partitions. */
const commands: Record<string, (name: string, partitions: number) => Promise<unknown>> = {
  groups,
  /** Deletes the groups without members; a group with members cannot be deleted. */
  async "delete-groups"(prefix) {
    try {
      return (await admin.deleteGroups(await groups(prefix))).map((r) => r.groupId);
    } catch (err) {
      // kafkajs does not export the class of this error.
      const { groups: outcomes } = err as Partial<KafkaJSDeleteGroupsError>;
      if (outcomes === undefined) throw err;
      return outcomes.filter((g) => !g.error).map((g) => g.groupId);
    }
  },
  "delete-topic": (topic) => admin.deleteTopics({ topics: [topic] }),
  "add-partitions": (topic, count) => admin.createPartitions({ topicPartitions: [{ topic, count }] }),
  "create-topic": (topic, numPartitions) =>
    admin.createTopics({
      // Its wait fails when a broker has not yet heard of the topic; pushes wait for leaders anyway.
      waitForLeaders: false,
      topics: [
        {
          topic,
          numPartitions,
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
const run = commands[command ?? ""];
if (run === undefined)
  throw new Error(`there is no command "${command}"; known: ${Object.keys(commands).join(", ")}`);
console.log(JSON.stringify((await run(args[0] ?? "", Number(args[1]))) ?? null));
await admin.disconnect();
