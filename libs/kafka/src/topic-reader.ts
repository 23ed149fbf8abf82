import { Deferred, Periodic, sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError, messageOf } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import {
  AssignerProtocol,
  type Consumer,
  type EachBatchPayload,
  type Kafka,
  type KafkaMessage,
  type PartitionAssigner,
} from "kafkajs";
import type { LogRecord, OffsetRange, PartitionReader, ReadOptions } from "./partitioned-log.ts";

/** Topic and partition of a reader, and the maximum size of a fetched batch in bytes. */
export interface TopicReaderConfig {
  topic: string;
  partition: number;
  maxBatchBytes: number;
}

/** Queries of a reader about its partition. */
export interface PartitionLookups {
  /** the topic's current ID */
  topicId(): Promise<string>;
  range(): Promise<OffsetRange>;
  /** offset committed by the group for this topic; undefined: none */
  committed(): Promise<number | undefined>;
}

/** Records processed between two heartbeats to the group. */
const PIECE = 64;
const HEARTBEAT_MS = 2000;
/** Time until kafkajs notices by itself that a partition has a leader again. */
const METADATA_AGE_MS = 10_000;
/** A consumer that kafkajs restarts joins or fails within this time; then it can be stopped. */
const RENEWAL_MS = 30_000;
/** Time from the join event until kafkajs treats the consumer as running. */
const SETTLED_MS = 50;
const COMMIT_MS = 10_000,
  COMMIT_RETRY_MS = 500,
  CONNECT_MS = 15_000,
  STOP_MS = 30_000;

/**
 * Reads one partition through kafkajs, which cannot be assigned a partition. So each partition has a consumer
 * group of its own, whose first member gets the partition. Whenever the group rebalances, kafkajs begins at
 * the committed offset, and the reader then seeks to its position.
 */
export class TopicReader implements PartitionReader {
  private readonly config: TopicReaderConfig;
  private readonly options: ReadOptions;
  private readonly questions: PartitionLookups;
  private readonly base: Base;
  private readonly consumer: Consumer;
  private next = 0;
  /** the group's commit when this reader began; records read again on purpose lie before it */
  private committedThen = 0;
  private hasCommitted = false;
  private stopping = false;
  private over = false;
  /**
   * set while kafkajs restarts the consumer: kafkajs forgets a stop during that time and would join the group
   * again
   */
  private renewal: Deferred<void> | undefined;
  private commitUnderWay: Promise<void> | undefined;
  private committedNow = -1;

  constructor(
    kafka: Kafka,
    config: TopicReaderConfig,
    options: ReadOptions,
    questions: PartitionLookups,
    base: Base,
  ) {
    this.config = config;
    this.options = options;
    this.questions = questions;
    this.base = base;
    this.consumer = kafka.consumer({
      groupId: options.group,
      partitionAssigners: [() => onlyOf(config.topic, config.partition)],
      allowAutoTopicCreation: false,
      metadataMaxAge: METADATA_AGE_MS,
      sessionTimeout: 10_000,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: 10_000,
      maxWaitTimeInMs: 500,
      maxBytesPerPartition: config.maxBatchBytes,
      retry: {
        initialRetryTime: 200,
        maxRetryTime: 2000,
        retries: 1_000_000,
        restartOnFailure: () => {
          if (this.stopping) this.renewed();
          else this.renewal ??= new Deferred<void>();
          return Promise.resolve(!this.stopping);
        },
      },
    });
  }

  async start(): Promise<void> {
    const { consumer, options } = this;
    const { topic } = this.config;
    const connected = (async (): Promise<void> => {
      await consumer.connect();
      // kafkajs seeks to the committed offset; without a valid one, `fromBeginning` decides.
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
    })();
    try {
      await withDeadline(
        connected,
        CONNECT_MS,
        `a reader of partition ${this.config.partition} did not connect`,
      );
      const { start, end } = await this.questions.range();
      this.committedThen = await this.committedWithin(end);
      this.hasCommitted = this.committedThen > 0;
      this.next = options.again ? (options.from ?? 0) : Math.max(options.from ?? 0, this.committedThen);
      if (this.next > end) {
        options.onGap(this.next, start);
        this.next = start;
      }
    } catch (err) {
      // The start failed, but kafkajs keeps connecting its consumer: end the consumer as soon as it has
      // connected.
      void connected.then(
        () => this.ended(),
        () => this.ended(),
      );
      throw err;
    }
    const { GROUP_JOIN, CRASH, COMMIT_OFFSETS } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      this.renewed();
      // The reader was stopped during the join, after which kafkajs would continue.
      if (this.stopping) void sleep(SETTLED_MS).then(() => this.ended());
      else this.joined(payload.memberAssignment as unknown as Record<string, number[]>);
    });
    consumer.on(CRASH, ({ payload }) => {
      if (!payload.restart && !this.stopping) this.end(payload.error);
    });
    // kafkajs resolves a commit that it skipped because the consumer was not running; only this event
    // confirms a commit.
    consumer.on(COMMIT_OFFSETS, ({ payload }) => {
      for (const t of payload.topics) for (const p of t.partitions) this.committedNow = Number(p.offset);
    });
    // Do not wait for the join: it takes as long as the group and its coordinator need.
    consumer
      .run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 1,
        eachBatch: (batch) => this.batch(batch),
      })
      .catch((err: unknown) => this.end(err));
  }

  /** Ends the reader: it delivers nothing more. */
  private end(reason: unknown): void {
    if (this.over || this.stopping) return;
    this.over = true;
    this.base.log.warn(
      { kafkaPartition: this.config.partition, err: reason },
      "partition reader ended, restarting it",
    );
    this.options.onEnd?.(reason);
  }

  private renewed(): void {
    this.renewal?.resolve();
    this.renewal = undefined;
  }

  /** The group's commit; 0 without a commit, or if it lies beyond the end. */
  private async committedWithin(end: number): Promise<number> {
    const committed = (await this.questions.committed()) ?? 0;
    return committed <= end ? committed : 0;
  }

  /** Whether the topic has been deleted and created again since the reader began. */
  private async isRecreated(): Promise<boolean> {
    const { topicId } = this.options;
    return topicId !== "" && (await this.questions.topicId()) !== topicId;
  }

  /**
   * For brokers that report no topic IDs: whether the topic was recreated. In that case it ends before the
   * read offset, or the group's commit is gone, because commits are deleted with a topic.
   * @returns the start of the recreated topic; undefined if the topic is the same
   */
  private async looksRecreated(): Promise<number | undefined> {
    // Records arrive during the query: the range must include only the records read before it.
    const read = this.next,
      { start, end } = await this.questions.range();
    const lostCommit = this.options.topicId === "" && this.hasCommitted;
    return read > end || (lostCommit && (await this.questions.committed()) === undefined) ? start : undefined;
  }

  private restartAt(start: number): void {
    this.options.onGap(this.next, start);
    this.next = start;
    this.hasCommitted = false;
  }

  /**
   * Runs after each rebalance, at the start and after a broker outage: kafkajs then returns to the committed
   * offset.
   */
  private joined(assigned: Record<string, number[]>): void {
    const { topic, partition } = this.config;
    if (!assigned[topic]?.includes(partition)) return;
    this.goOn().catch((err: unknown) =>
      this.base.log.debug(
        { kafkaPartition: partition, err },
        "reading continues from the committed offset; records already read are skipped",
      ),
    );
  }

  private async goOn(): Promise<void> {
    if (await this.isRecreated()) {
      this.end(new CinderblockError("unavailable", `topic ${this.config.topic} was recreated`));
      return;
    }
    const start = await this.looksRecreated();
    if (start !== undefined) this.restartAt(start);
    // Records that are read again on purpose must not be skipped.
    if (!this.options.again || this.next >= this.committedThen) {
      const committed = await this.committedWithin((await this.questions.range()).end);
      // another reader may have committed records during the query
      this.next = Math.max(this.next, committed);
    }
    this.seek();
  }

  private seek(): void {
    const { topic, partition } = this.config;
    this.consumer.seek({ topic, partition, offset: String(this.next) });
  }

  private async batch({
    batch,
    resolveOffset,
    heartbeat,
    isRunning,
    isStale,
  }: EachBatchPayload): Promise<void> {
    const { partition } = this.config;
    if (batch.partition !== partition || this.over) return;
    const first = Number(batch.firstOffset() ?? -1);
    if (first > this.next && !(await this.mayBeginAt(first, fetchedFrom(batch)))) return;
    // Records are read again after a rebalance, or kafkajs went to the start because its offset no longer
    // exists.
    if (first >= 0 && first < this.next) {
      if (await this.isRecreated()) {
        this.end(new CinderblockError("unavailable", `topic ${this.config.topic} was recreated`));
        return;
      }
      const start = await this.looksRecreated();
      if (start !== undefined) this.restartAt(start);
    }
    const records: LogRecord[] = [];
    for (const m of batch.messages)
      if (Number(m.offset) >= this.next && m.value) records.push(recordOf(m, m.value));
    // In pieces, so that a busy reader still sends heartbeats to the group.
    for (let at = 0; at < records.length; at += PIECE) {
      if (!isRunning() || isStale() || this.over) return;
      const piece = records.slice(at, at + PIECE);
      const beat = new Periodic(
        { everyMs: HEARTBEAT_MS, deadlineMs: 10 * HEARTBEAT_MS },
        () => heartbeat(),
        (end) => {
          if (!end.ok) this.base.log.debug({ err: end.err, kafkaPartition: partition }, "heartbeat failed");
        },
      );
      beat.start();
      try {
        await this.options.onRecords(piece, Number(batch.highWatermark));
      } finally {
        void beat.stop(0);
      }
      this.next = piece.at(-1)!.offset + 1;
      resolveOffset(String(this.next - 1));
    }
    this.next = Math.max(this.next, Number(batch.lastOffset()) + 1);
    resolveOffset(String(this.next - 1));
    await heartbeat();
  }

  /**
   * Whether to accept records that begin after the wanted offset. kafkajs begins at the group's commit,
   * before the reader can seek, even if that commit belongs to another topic.
   */
  private async mayBeginAt(first: number, fetched: number): Promise<boolean> {
    // The gap holds only control records or deleted records.
    if (fetched <= this.next) {
      this.next = first;
      return true;
    }
    const { start } = await this.questions.range();
    const readAgain = this.options.again === true && this.next < this.committedThen;
    // A previous reader has committed up to this record.
    if (!readAgain && ((await this.questions.committed()) ?? 0) >= first) {
      this.next = first;
      return true;
    }
    if (this.next < start) {
      this.options.onGap(this.next, start);
      this.next = start;
    }
    if (first <= this.next) return true;
    this.seek();
    return false;
  }

  /**
   * Commits for this reader's topic. The commit names the topic, so that readers of a recreated topic ignore
   * it.
   */
  async commit(offset: number): Promise<void> {
    const { partition } = this.config,
      over = performance.now() + COMMIT_MS;
    const made = async (): Promise<void> => {
      for (;;) {
        let reason: unknown = "the partition's reader is joining its consumer group";
        try {
          // One commit at a time: kafkajs retries some commits without end, and an older commit must not come
          // last.
          await (this.commitUnderWay ??= this.commitNow(offset).finally(() => {
            this.commitUnderWay = undefined;
          }));
          if (this.committedNow === offset) {
            this.hasCommitted = true;
            return;
          }
        } catch (err) {
          reason = err;
        }
        // The broker refuses commits during a rebalance; retry after it.
        if (performance.now() + COMMIT_RETRY_MS > over)
          throw new CinderblockError(
            "unavailable",
            `offset ${offset} of partition ${partition} was not committed: ${messageOf(reason)}`,
            { cause: reason },
          );
        await sleep(COMMIT_RETRY_MS);
      }
    };
    await withDeadline(made(), COMMIT_MS, `Kafka did not confirm the commit of partition ${partition}`);
  }

  private async commitNow(offset: number): Promise<void> {
    const { topic, partition } = this.config;
    await this.consumer.commitOffsets([
      { topic, partition, offset: String(offset), metadata: this.options.topicId },
    ]);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    if (this.renewal) {
      const late = new AbortController();
      await Promise.race([
        this.renewal.promise.then(() => sleep(SETTLED_MS)),
        sleep(RENEWAL_MS, late.signal),
      ]);
      late.abort();
    }
    await withDeadline(
      this.ended(),
      STOP_MS,
      `the reader of partition ${this.config.partition} did not stop`,
    );
  }

  private async ended(): Promise<void> {
    this.stopping = true;
    try {
      await this.consumer.stop();
      await this.consumer.disconnect();
    } catch (err) {
      this.base.log.warn(
        { kafkaPartition: this.config.partition, err },
        "partition reader did not stop cleanly",
      );
    }
  }
}

/** A message of kafkajs as a record; of a header with several values, the first. */
function recordOf({ offset, timestamp, headers }: KafkaMessage, value: Buffer): LogRecord {
  const record: LogRecord = { offset: Number(offset), timestampMs: Number(timestamp), value };
  const texts = Object.entries(headers ?? {}).flatMap(([name, found]) => {
    const [text] = [found].flat();
    return text === undefined ? [] : [[name, text.toString()] as const];
  });
  if (texts.length > 0) record.headers = Object.fromEntries(texts);
  return record;
}

/** The offset that a batch was fetched from; kafkajs's types omit it. */
function fetchedFrom(batch: EachBatchPayload["batch"]): number {
  return Number((batch as unknown as { fetchedOffset: string }).fetchedOffset);
}

/** Assigns the partition to the group's first member. */
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
