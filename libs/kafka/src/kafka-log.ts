import {
  AssignerProtocol,
  type Admin,
  CompressionTypes,
  type Consumer,
  Kafka,
  logLevel,
  type PartitionAssigner,
  type Producer,
  type SASLOptions,
} from "kafkajs";
import { Deferred, sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import { frameSocket } from "./frame-socket.ts";
import { type OAuthConfig, tokenProvider } from "./oauth.ts";
import type {
  LogRecord,
  OffsetRange,
  PartitionedLog,
  PartitionReader,
  ReadOptions,
} from "./partitioned-log.ts";

export interface KafkaConfig {
  brokers: readonly string[];
  clientId: string;
  topic: string;
  /** partitions of the topic when it has to be made; 0: never make it */
  createPartitions: number;
  createReplication: number;
  maxRecordBytes: number;
  /** how long a record waits for others to travel with; 0: for the turn of the loop */
  lingerMs: number;
  tls: { ca: string; insecureSkipVerify: boolean } | undefined;
  sasl:
    | { mechanism: "plain" | "scram-sha-256" | "scram-sha-512"; username: string; password: string }
    | { mechanism: "oauthbearer"; oauth: OAuthConfig }
    | undefined;
}

/** Bytes of records that one request carries. */
const MAX_REQUEST = 4 << 20;
/** A topic keeps records at least this long: what is not in the bucket by then is lost. */
const MIN_RETENTION_MS = 24 * 3600_000;
/** A consumer that is being made anew joins or fails within this time, and is then stopped. */
const RENEWAL_MS = 30_000;
/** From the event of the join until kafkajs takes the consumer for a running one. */
const SETTLED_MS = 50;
/** Room that the protocol takes beside a record. */
const OVERHEAD = 1024;

interface Waiting {
  /** monotonic */ since: number;
  partition: number;
  value: Uint8Array;
  done: Deferred<number>;
  timer: NodeJS.Timeout;
}

/** A topic of Kafka, through kafkajs. */
export class KafkaLog implements PartitionedLog {
  partitions = 0;
  retentionMs = 0;
  private readonly config: KafkaConfig;
  private readonly base: Base;
  private readonly kafka: Kafka;
  private readonly admin: Admin;
  private readonly queue = new Set<Waiting>();
  private sending = false;
  private producer: Promise<Producer> | undefined;

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
  }

  async connect(): Promise<string[]> {
    const { topic } = this.config;
    try {
      await this.admin.connect();
      await this.make();
      const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] });
      this.partitions = topics[0]!.partitions.length;
      return await this.check(Math.min(...topics[0]!.partitions.map((p) => p.replicas.length)));
    } catch (err) {
      if (err instanceof CinderblockError) throw err;
      throw new CinderblockError(
        "unavailable",
        `Kafka at ${this.config.brokers.join(", ")} cannot be used: ${(err as Error).message}`,
        { cause: err },
      );
    }
  }

  /** Makes the topic where there is none and it may. */
  private async make(): Promise<void> {
    const { topic, createPartitions, createReplication, maxRecordBytes } = this.config;
    if ((await this.admin.listTopics()).includes(topic)) return;
    if (createPartitions === 0)
      throw new CinderblockError(
        "invalid",
        `Kafka has no topic ${topic}, and -kafka.auto-create-topic-enabled is off`,
      );
    await this.admin.createTopics({
      topics: [
        {
          topic,
          numPartitions: createPartitions,
          replicationFactor: createReplication,
          configEntries: [
            { name: "cleanup.policy", value: "delete" },
            { name: "retention.ms", value: String(72 * 3600_000) },
            { name: "max.message.bytes", value: String(maxRecordBytes + OVERHEAD) },
            { name: "min.insync.replicas", value: String(createReplication >= 3 ? 2 : 1) },
            { name: "unclean.leader.election.enable", value: "false" },
            { name: "message.timestamp.type", value: "LogAppendTime" },
          ],
        },
      ],
    });
    for (let i = 0; i < 50 && !(await this.admin.listTopics()).includes(topic); i++) await sleep(100);
    this.base.log.info({ topic, partitions: createPartitions }, "topic created");
  }

  /** Refuses a topic that loses records; names what one broker alone cannot give. */
  private async check(replication: number): Promise<string[]> {
    const { topic, maxRecordBytes } = this.config;
    const { resources } = await this.admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: topic }],
    });
    const value = new Map(resources[0]!.configEntries.map((e) => [e.configName, e.configValue]));
    const { brokers } = await this.admin.describeCluster();
    const wrong = (why: string): never => {
      throw new CinderblockError("invalid", `the topic ${topic} cannot be used: ${why}`);
    };
    if (value.get("cleanup.policy") !== "delete")
      wrong(
        `cleanup.policy is ${value.get("cleanup.policy")}, it must be delete: compaction would drop pushes`,
      );
    const retention = Number(value.get("retention.ms") ?? -1);
    this.retentionMs = retention < 0 ? Number.MAX_SAFE_INTEGER : retention;
    if (this.retentionMs < MIN_RETENTION_MS)
      wrong(`retention.ms is ${retention}, it must be at least ${MIN_RETENTION_MS} (24 h)`);
    const largest = Number(value.get("max.message.bytes") ?? 0);
    if (largest < maxRecordBytes)
      wrong(`max.message.bytes is ${largest}, less than -kafka.max-record-bytes=${maxRecordBytes}`);
    if (value.get("unclean.leader.election.enable") === "true")
      wrong("unclean.leader.election.enable is true: acknowledged pushes could be lost");
    const unsafe: string[] = [];
    if (brokers.length >= 3) {
      if (replication < 2)
        wrong(`its replication is ${replication} on ${brokers.length} brokers, it must be at least 2`);
      if (Number(value.get("min.insync.replicas") ?? 1) < 2) wrong("min.insync.replicas is below 2");
    } else
      unsafe.push(
        `Kafka has ${brokers.length} broker${brokers.length === 1 ? "" : "s"}: a lost broker disk loses pushes that are not in the bucket yet`,
      );
    return unsafe;
  }

  // ---- writes

  produce(partition: number, value: Uint8Array, timeoutMs: number): Promise<number> {
    const done = new Deferred<number>();
    const timer = setTimeout(() => {
      this.queue.delete(w);
      done.reject(new CinderblockError("unavailable", `Kafka took no record within ${timeoutMs} ms`));
    }, timeoutMs);
    const w: Waiting = { since: performance.now(), partition, value, done, timer };
    this.queue.add(w);
    if (!this.sending) {
      this.sending = true;
      void this.send();
    }
    return done.promise;
  }

  private async connectProducer(): Promise<Producer> {
    // One request at a time: the broker drops what it has already, and order is kept.
    const producer = this.kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 100 },
    });
    try {
      await producer.connect();
    } catch (err) {
      this.leave(producer);
      throw err;
    }
    return producer;
  }

  private leave(producer: Producer): void {
    producer
      .disconnect()
      .catch((err: unknown) => this.base.log.debug({ err }, "a producer did not disconnect"));
  }

  /** Sends what has gathered, one request after the other. */
  private async send(): Promise<void> {
    for (;;) {
      await new Promise((r) => {
        setImmediate(r);
      });
      const [oldest] = this.queue;
      // In the same turn as the look at the queue: a record that comes after it begins anew.
      if (!oldest) {
        this.sending = false;
        return;
      }
      // A request costs more than a record: those that come within the time travel together. What came during the last request has waited.
      const wait = this.config.lingerMs - (performance.now() - oldest.since);
      if (wait >= 1) await sleep(wait);
      const batch: Waiting[] = [];
      let bytes = 0;
      for (const w of this.queue) {
        if (batch.length > 0 && bytes + w.value.length > MAX_REQUEST) break;
        bytes += w.value.length;
        batch.push(w);
      }
      if (batch.length === 0) continue; // their time was over meanwhile
      for (const w of batch) this.queue.delete(w);
      try {
        const producer = await (this.producer ??= this.connectProducer());
        const answers = await producer.send({
          topic: this.config.topic,
          acks: -1,
          timeout: 15_000,
          compression: CompressionTypes.None,
          messages: batch.map((w) => ({
            partition: w.partition,
            value: Buffer.from(w.value.buffer, w.value.byteOffset, w.value.length),
            key: null,
          })),
        });
        const next = new Map(answers.map((a) => [a.partition, Number(a.baseOffset)]));
        for (const w of batch) {
          clearTimeout(w.timer);
          const offset = next.get(w.partition)!;
          next.set(w.partition, offset + 1);
          w.done.resolve(offset);
        }
      } catch (err) {
        // The broker may have these records, their answer was lost: it would take the next ones, which kafkajs numbers as
        // these, for them, drop them and say that it has them. Another producer numbers anew.
        this.producer?.then(
          (p) => {
            this.leave(p);
          },
          () => {
            /* it did not connect, which is told below */
          },
        );
        this.producer = undefined;
        this.base.log.warn({ err, records: batch.length }, "Kafka took no records");
        for (const w of batch) {
          clearTimeout(w.timer);
          w.done.reject(
            new CinderblockError("unavailable", `Kafka took no record: ${(err as Error).message}`, {
              cause: err,
            }),
          );
        }
      }
    }
  }

  // ---- reads

  async offsets(): Promise<OffsetRange[]> {
    const told = new Map<number, OffsetRange>();
    try {
      for (const o of await this.admin.fetchTopicOffsets(this.config.topic))
        told.set(o.partition, { start: Number(o.low), end: Number(o.high) });
    } catch (err) {
      throw new CinderblockError(
        "unavailable",
        `Kafka did not tell the ends of ${this.config.topic}: ${(err as Error).message}`,
        { cause: err },
      );
    }
    return Array.from({ length: this.partitions }, (_, p) => {
      const range = told.get(p); // a strong read that took no answer for an empty partition would not wait for it
      if (!range)
        throw new CinderblockError(
          "unavailable",
          `Kafka did not tell the ends of ${this.config.topic}: partition ${p} has no leader now`,
        );
      return range;
    });
  }

  async offsetAt(partition: number, timeMs: number): Promise<number> {
    try {
      const found = (
        await this.admin.fetchTopicOffsetsByTimestamp(this.config.topic, Math.max(0, Math.floor(timeMs)))
      ).find((o) => o.partition === partition);
      const offset = Number(found?.offset ?? -1);
      return offset >= 0 ? offset : (await this.offsets())[partition]!.end;
    } catch (err) {
      throw new CinderblockError(
        "unavailable",
        `Kafka did not tell an offset of ${this.config.topic} by time: ${(err as Error).message}`,
        { cause: err },
      );
    }
  }

  async committed(partition: number, group: string): Promise<number | undefined> {
    // A broker that has just started, or took the group over from another, says for a moment that it does not know yet.
    const [t] = await patiently("told no committed offset", 5, () =>
      this.admin.fetchOffsets({ groupId: group, topics: [this.config.topic] }),
    );
    const offset = Number(t?.partitions.find((p) => p.partition === partition)?.offset ?? -1);
    return offset < 0 ? undefined : offset;
  }

  /** The committed offset; 0 where there is none, or one of a topic that is no more. */
  private async committedWithin(partition: number, group: string): Promise<number> {
    const committed = (await this.committed(partition, group)) ?? 0;
    return committed <= (await this.offsets())[partition]!.end ? committed : 0;
  }

  async read(partition: number, options: ReadOptions): Promise<PartitionReader> {
    const { topic } = this.config;
    // kafkajs forgets that it was stopped while it makes a crashed consumer anew: the consumer would join the group again, and nobody would stop it.
    let stopping = false;
    let renewal: Deferred<void> | undefined;
    const renewed = (): void => {
      renewal?.resolve();
      renewal = undefined;
    };
    const consumer = this.kafka.consumer({
      groupId: options.group,
      partitionAssigners: [() => onlyOf(topic, partition)],
      allowAutoTopicCreation: false,
      sessionTimeout: 10_000,
      heartbeatInterval: 2000,
      rebalanceTimeout: 10_000,
      maxWaitTimeInMs: 500,
      maxBytesPerPartition: Math.max(MAX_REQUEST, this.config.maxRecordBytes + OVERHEAD),
      retry: {
        initialRetryTime: 200,
        maxRetryTime: 2000,
        retries: 1_000_000,
        restartOnFailure: () => {
          if (stopping) renewed();
          else renewal ??= new Deferred<void>();
          return Promise.resolve(!stopping);
        },
      },
    });
    // kafkajs seeks to the committed offset, or by `fromBeginning` where there is none or where it is not there any more.
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
    } catch (err) {
      await ended(consumer);
      throw err;
    }
    const { start, end } = (await this.offsets())[partition]!;
    const committedThen = await this.committedWithin(partition, options.group);
    let next = options.again ? (options.from ?? 0) : Math.max(options.from ?? 0, committedThen);
    // Beyond the end: the topic was made anew, and what it holds now is new.
    if (next > end) {
      options.onGap(next, start);
      next = start;
    }
    let hasCommitted = committedThen > 0;
    /** Whether the topic is another one since: it ends before what was read of it, or nothing is committed any more, which goes with a topic. */
    const isAnew = async (): Promise<number | undefined> => {
      // Records come while it is asked: only what was read before the question must be there.
      const read = next,
        now = (await this.offsets())[partition]!;
      return read > now.end ||
        (hasCommitted && (await this.committed(partition, options.group)) === undefined)
        ? now.start
        : undefined;
    };
    // Whenever the group gathers, at the start and after a broker was away, kafkajs goes back to the committed offset.
    const goOn = async (assigned: Record<string, number[]>): Promise<void> => {
      if (!assigned[topic]?.includes(partition)) return;
      const anew = await isAnew();
      if (anew !== undefined) {
        options.onGap(next, anew);
        next = anew;
        hasCommitted = false;
      }
      // What is read again on purpose is not passed over.
      if (!options.again || next >= committedThen) {
        const committed = await this.committedWithin(partition, options.group);
        next = Math.max(next, committed); // records may have come while it was asked
      }
      consumer.seek({ topic, partition, offset: String(next) });
    };
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      renewed();
      goOn(payload.memberAssignment as unknown as Record<string, number[]>).catch((err: unknown) =>
        this.base.log.debug(
          { err, partition },
          "reading goes on from the committed offset; what was read already is skipped",
        ),
      );
    });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
        if (batch.partition !== partition) return;
        const first = Number(batch.firstOffset() ?? -1);
        if (first > next) {
          // kafkajs begins at the committed offset, and may have records from there before it is told where to begin.
          if (
            options.again &&
            next < committedThen &&
            first >= committedThen &&
            next >= (await this.offsets())[partition]!.start
          ) {
            consumer.seek({ topic, partition, offset: String(next) });
            return;
          }
          // Whoever read before may have committed up to here; else retention was faster.
          if ((await this.committedWithin(partition, options.group)) < first) options.onGap(next, first);
          next = first;
        }
        if (first >= 0 && first < next) {
          // Read again after the group has gathered; or kafkajs went to the start, since there is nothing where it was.
          const anew = await isAnew();
          if (anew !== undefined) {
            options.onGap(next, anew);
            next = anew;
            hasCommitted = false;
          }
        }
        const records: LogRecord[] = [];
        for (const m of batch.messages)
          if (Number(m.offset) >= next && m.value)
            records.push({ offset: Number(m.offset), timestampMs: Number(m.timestamp), value: m.value });
        // In pieces, so that the group hears of a reader that is busy.
        for (let at = 0; at < records.length; at += 64) {
          if (!isRunning() || isStale()) return;
          const piece = records.slice(at, at + 64);
          const beat = setInterval(() => {
            heartbeat().catch((err: unknown) => this.base.log.debug({ err, partition }, "heartbeat failed"));
          }, 2000);
          try {
            await options.onRecords(piece, Number(batch.highWatermark));
          } finally {
            clearInterval(beat);
          }
          next = piece.at(-1)!.offset + 1;
          resolveOffset(String(next - 1));
        }
        next = Math.max(next, Number(batch.lastOffset()) + 1);
        resolveOffset(String(next - 1));
        await heartbeat();
      },
    });
    return {
      commit: async (offset) => {
        // A commit while the group gathers anew is refused: it is tried again when the group stands.
        await patiently("took no commit", 20, () =>
          consumer.commitOffsets([{ topic, partition, offset: String(offset) }]),
        );
        hasCommitted = true;
      },
      stop: async () => {
        stopping = true;
        if (renewal) {
          const late = new AbortController();
          await Promise.race([renewal.promise.then(() => sleep(SETTLED_MS)), sleep(RENEWAL_MS, late.signal)]);
          late.abort();
        }
        await ended(consumer);
      },
    };
  }

  async close(): Promise<void> {
    for (const w of this.queue) {
      clearTimeout(w.timer);
      w.done.reject(new CinderblockError("unavailable", "this process stops"));
    }
    this.queue.clear();
    await Promise.allSettled([this.producer?.then((p) => p.disconnect()), this.admin.disconnect()]);
  }
}

/** Asks again what Kafka refuses for a moment. @param refused what it did not do, for the error after `tries` more */
async function patiently<T>(refused: string, tries: number, ask: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await ask();
    } catch (err) {
      if (i >= tries)
        throw new CinderblockError("unavailable", `Kafka ${refused}: ${(err as Error).message}`, {
          cause: err,
        });
      await sleep(500);
    }
  }
}

async function ended(consumer: Consumer): Promise<void> {
  await consumer.stop();
  await consumer.disconnect();
}

/** kafkajs cannot be told which partition to read: a group of its own for each, whose first member gets it. */
function onlyOf(topic: string, partition: number): ReturnType<PartitionAssigner> {
  const name = `cinderblock-partition-${partition}`,
    version = 1;
  return {
    name,
    version,
    assign: ({ members }) => {
      const owner = members.map((m) => m.memberId).sort()[0];
      return Promise.resolve(
        members.map(({ memberId }) => ({
          memberId,
          memberAssignment: AssignerProtocol.MemberAssignment.encode({
            version,
            assignment: memberId === owner ? { [topic]: [partition] } : {},
            userData: Buffer.alloc(0),
          }),
        })),
      );
    },
    protocol: ({ topics }) => ({
      name,
      metadata: AssignerProtocol.MemberMetadata.encode({ version, topics, userData: Buffer.alloc(0) }),
    }),
  };
}
