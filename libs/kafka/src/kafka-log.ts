import { sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import { periodic } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import { type Admin, Kafka, logLevel, type SASLOptions } from "kafkajs";
import { frameSocket } from "./frame-socket.ts";
import { type OAuthConfig, tokenProvider } from "./oauth.ts";
import {
  type PartitionedLog,
  type PartitionReader,
  offsetRange,
  type ReadOptions,
  type RecordHeaders,
  type TopicOffsets,
} from "./partitioned-log.ts";
import { checkTopic } from "./topic-check.ts";
import { TopicClient, type TopicLayout } from "./topic-client.ts";
import { TopicProducer } from "./topic-producer.ts";
import { TopicReader } from "./topic-reader.ts";

/** Connection, topic and security settings. */
export interface KafkaConfig {
  brokers: readonly string[];
  clientId: string;
  topic: string;
  /** partitions for a topic that has to be created; 0: never create a topic */
  createPartitions: number;
  createReplication: number;
  maxRecordBytes: number;
  /** milliseconds that a record waits for others to share its request; 0: one turn of the event loop */
  lingerMs: number;
  tls: { ca: string; insecureSkipVerify: boolean } | undefined;
  sasl:
    | { mechanism: "plain" | "scram-sha-256" | "scram-sha-512"; username: string; password: string }
    | { mechanism: "oauthbearer"; oauth: OAuthConfig }
    | undefined;
}

/** Bytes of the protocol around a record. */
const OVERHEAD = 1024;
/** Minimum bytes of records that a fetch response may carry. */
const MAX_FETCH = 4 << 20;
/** Intervals between checks of the topic, and of its settings. */
const WATCH_MS = 1000,
  SETTINGS_MS = 15_000;
/** Deadline of an administrative request with kafkajs's retries. */
const ADMIN_MS = 20_000;
const LEADERS_MS = 15_000;

/** A Kafka topic, read and written through kafkajs. */
export class KafkaLog implements PartitionedLog {
  topicId = "";
  partitions = 0;
  retentionMs = 0;
  problem = "";
  private readonly config: KafkaConfig;
  private readonly base: Base;
  private readonly kafka: Kafka;
  private readonly admin: Admin;
  /** Separate connections for reads and writes: requests that wait for replicas would delay the others. */
  private readonly asking: TopicClient;
  private readonly writing: TopicClient;
  private readonly producer: TopicProducer;
  private readonly loop;
  private settingsAt = 0;
  private silentSince: number | undefined;
  private closed = false;

  constructor(config: KafkaConfig, base: Base) {
    this.config = config;
    this.base = base;
    const { tls, sasl } = config;
    this.kafka = new Kafka({
      clientId: config.clientId,
      brokers: [...config.brokers],
      socketFactory: frameSocket,
      connectionTimeout: 3000,
      requestTimeout: 20_000,
      retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 5 },
      ...(tls
        ? { ssl: { ...(tls.ca === "" ? {} : { ca: [tls.ca] }), rejectUnauthorized: !tls.insecureSkipVerify } }
        : {}),
      ...(sasl
        ? {
            sasl: (sasl.mechanism === "oauthbearer"
              ? { mechanism: "oauthbearer", oauthBearerProvider: tokenProvider(sasl.oauth) }
              : sasl) as SASLOptions,
          }
        : {}),
      logLevel: logLevel.WARN,
      logCreator:
        () =>
        ({ namespace, level, log: { message, ...fields } }) => {
          base.log[level === logLevel.ERROR ? "warn" : "debug"](
            { kafka: namespace, groupId: fields.groupId as unknown, error: fields.error as unknown },
            message,
          );
        },
    });
    this.admin = this.kafka.admin();
    this.asking = new TopicClient(this.kafka, config.topic);
    this.writing = new TopicClient(this.kafka, config.topic);
    this.producer = new TopicProducer(
      { maxBatchBytes: config.maxRecordBytes, lingerMs: config.lingerMs },
      this.writing,
      base,
    );
    this.loop = periodic(
      { name: "kafka-topic", everyMs: WATCH_MS, deadlineMs: 10 * WATCH_MS },
      () => this.look(),
      base,
    );
  }

  async connect(): Promise<string[]> {
    try {
      await withDeadline(this.admin.connect(), ADMIN_MS, "no broker accepted a connection");
      const layout = await this.layoutOrCreated();
      const unsafe = await this.check(layout);
      this.take(layout);
      this.report();
      this.watch();
      if (layout.id === "")
        unsafe.push(
          "Kafka brokers before 2.8 do not report topic IDs; only offsets reveal a recreated topic",
        );
      return unsafe;
    } catch (err) {
      if (kindOf(err) === "invalid") throw err;
      throw new CinderblockError(
        "unavailable",
        `Kafka at ${this.config.brokers.join(", ")} is unavailable: ${messageOf(err)}`,
        { cause: err },
      );
    }
  }

  /** The current layout of the topic; creates a missing topic when the configuration allows that. */
  private async layoutOrCreated(): Promise<TopicLayout> {
    const { topic, createPartitions } = this.config;
    const found = await this.asking.findLayout();
    if (found) return found;
    if (createPartitions === 0)
      throw new CinderblockError(
        "invalid",
        `Kafka has no topic ${topic}, and -kafka.auto-create-topic-enabled is false`,
      );
    await this.create();
    const until = performance.now() + LEADERS_MS;
    for (;;) {
      const layout = await this.asking.findLayout();
      if (layout?.leaders.every((l) => l >= 0)) return layout;
      if (performance.now() > until)
        throw new Error(`topic ${topic} was created but has no leaders after ${LEADERS_MS} ms`);
      await sleep(100);
    }
  }

  private async create(): Promise<void> {
    const { topic, createPartitions, createReplication, maxRecordBytes } = this.config;
    const created = await withDeadline(
      this.admin.createTopics({
        waitForLeaders: false,
        topics: [
          {
            topic,
            numPartitions: createPartitions,
            replicationFactor: createReplication,
            configEntries: [
              { name: "cleanup.policy", value: "delete" },
              { name: "retention.ms", value: String(72 * 3600_000) },
              { name: "retention.bytes", value: "-1" },
              { name: "max.message.bytes", value: String(maxRecordBytes + OVERHEAD) },
              { name: "min.insync.replicas", value: String(createReplication >= 3 ? 2 : 1) },
              { name: "unclean.leader.election.enable", value: "false" },
              { name: "message.timestamp.type", value: "LogAppendTime" },
            ],
          },
        ],
      }),
      ADMIN_MS,
      `topic ${topic} was not created`,
    );
    // Another process may have created the topic first.
    if (created) this.base.log.info({ topic, partitions: createPartitions }, "topic created");
  }

  /**
   * Refuses a topic that loses records.
   * @returns the risks of a Kafka cluster with fewer than three brokers
   */
  private async check(layout: TopicLayout): Promise<string[]> {
    const { topic, maxRecordBytes } = this.config;
    const [{ resources }, { brokers }] = await withDeadline(
      Promise.all([
        this.admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: 2, name: topic }],
        }),
        this.admin.describeCluster(),
      ]),
      ADMIN_MS,
      `Kafka returned no settings of topic ${topic}`,
    );
    const settings = new Map(resources[0]!.configEntries.map((e) => [e.configName, e.configValue]));
    this.settingsAt = performance.now();
    const { retentionMs, unsafe } = checkTopic({
      topic,
      settings,
      replication: layout.replication,
      brokers: brokers.length,
      maxRecordBytes,
    });
    this.retentionMs = retentionMs;
    return unsafe;
  }

  // ---- changes of the topic at run time

  private take(layout: TopicLayout): void {
    const { topic } = this.config;
    if (this.topicId !== "" && layout.id !== this.topicId) {
      this.base.log.error(
        { topic, was: this.topicId, is: layout.id },
        "topic was deleted and recreated, its offsets start at 0",
      );
      this.settingsAt = 0;
    } else if (this.partitions > 0 && layout.leaders.length !== this.partitions)
      this.base.log.info(
        { topic, was: this.partitions, is: layout.leaders.length },
        "number of partitions of the topic changed",
      );
    this.topicId = layout.id;
    this.partitions = layout.leaders.length;
  }

  private watch(): void {
    if (!this.closed) this.loop.start();
  }

  private async look(): Promise<void> {
    const { topic } = this.config;
    try {
      const layout = await this.asking.layout();
      this.take(layout);
      if (performance.now() - this.settingsAt > SETTINGS_MS || this.settingsAt === 0)
        await this.checkAgain(layout);
      this.silentSince = undefined;
    } catch (err) {
      if (this.silentSince === undefined)
        this.base.log.warn({ topic, err }, "topic metadata request failed, retrying");
      this.silentSince ??= performance.now();
    }
  }

  private async checkAgain(layout: TopicLayout): Promise<void> {
    let problem = "";
    try {
      await this.check(layout);
    } catch (err) {
      if (kindOf(err) !== "invalid") throw err;
      problem = messageOf(err);
    }
    if (problem === this.problem) return;
    this.problem = problem;
    if (problem === "")
      this.base.log.info({ topic: this.config.topic }, "topic settings are safe again, resuming writes");
    else
      this.base.log.error(
        { topic: this.config.topic, problem },
        "topic settings would lose pushes, stopping writes",
      );
  }

  async refresh(): Promise<void> {
    this.take(await this.asking.layout());
  }

  private report(): void {
    const { metrics } = this.base;
    metrics.gauge("cinderblock_kafka_topic_partitions", "Number of partitions of the topic.", [], (g) => {
      g.set(this.partitions);
    });
    metrics.gauge(
      "cinderblock_kafka_silent_seconds",
      "Time since requests for the topic's metadata began to fail; 0 while brokers answer.",
      [],
      (g) => {
        g.set(this.silentSince === undefined ? 0 : (performance.now() - this.silentSince) / 1000);
      },
    );
    metrics.gauge(
      "cinderblock_kafka_topic_unsafe",
      "1 while writes are stopped because changed settings of the topic would lose pushes.",
      [],
      (g) => {
        g.set(this.problem === "" ? 0 : 1);
      },
    );
  }

  // ---- writes

  produce(partition: number, value: Uint8Array, timeoutMs: number, headers?: RecordHeaders): Promise<number> {
    return this.producer.produce(partition, value, timeoutMs, headers);
  }

  // ---- reads

  offsets(partition?: number): Promise<TopicOffsets> {
    return this.asking.offsets(partition);
  }

  async offsetAt(partition: number, timeMs: number): Promise<number> {
    const offset = await this.asking.offsetAt(partition, timeMs);
    return offset >= 0 ? offset : offsetRange(await this.asking.offsets(partition), partition).end;
  }

  async committed(partition: number, group: string): Promise<number | undefined> {
    return this.committedOf(partition, group, this.topicId);
  }

  private async committedOf(partition: number, group: string, topicId: string): Promise<number | undefined> {
    const commit = await this.asking.committed(partition, group);
    if (commit && topicId !== "" && commit.topicId !== "" && commit.topicId !== topicId) {
      this.base.log.warn(
        { kafkaPartition: partition, groupId: group, offset: commit.offset, of: commit.topicId, topicId },
        "committed offset belongs to a deleted topic with the same name, ignoring it",
      );
      return undefined;
    }
    return commit?.offset;
  }

  async read(partition: number, options: ReadOptions): Promise<PartitionReader> {
    const { topic, maxRecordBytes } = this.config;
    const { topicId, group } = options;
    const reader = new TopicReader(
      this.kafka,
      { topic, partition, maxBatchBytes: Math.max(MAX_FETCH, maxRecordBytes + OVERHEAD) },
      options,
      {
        topicId: async () => (await this.asking.layout()).id,
        range: async () => offsetRange(await this.offsets(partition), partition),
        committed: () => this.committedOf(partition, group, topicId),
      },
      this.base,
    );
    await reader.start();
    return reader;
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.loop.stop(0);
    this.producer.close();
    await Promise.allSettled([this.asking.close(), this.writing.close(), this.admin.disconnect()]);
  }
}
