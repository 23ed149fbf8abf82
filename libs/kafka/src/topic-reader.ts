import { Deferred, Periodic, sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError, messageOf } from "@cinderblock/errors";
import type { Base } from "@cinderblock/telemetry";
import {
  AssignerProtocol,
  type Consumer,
  type EachBatchPayload,
  type Kafka,
  type PartitionAssigner,
} from "kafkajs";
import type { LogRecord, OffsetRange, PartitionReader, ReadOptions } from "./partitioned-log.ts";

export interface TopicReaderConfig {
  topic: string;
  partition: number;
  maxBatchBytes: number;
}

/** What a reader asks about its partition. */
export interface PartitionQuestions {
  /** id of the topic as it is now */
  topicId(): Promise<string>;
  range(): Promise<OffsetRange>;
  /** what the group committed, of the topic that is read; undefined: nothing */
  committed(): Promise<number | undefined>;
}

/** Records that are taken in before the group hears of a busy reader again. */
const PIECE = 64;
const HEARTBEAT_MS = 2000;
/** Until kafkajs notices by itself that a partition has a leader again. */
const METADATA_AGE_MS = 10_000;
/** A consumer that kafkajs restarts joins or fails within this time, and is then stopped. */
const RENEWAL_MS = 30_000;
/** From the event of the join until kafkajs takes the consumer for a running one. */
const SETTLED_MS = 50;
const COMMIT_MS = 10_000,
  COMMIT_RETRY_MS = 500,
  CONNECT_MS = 15_000,
  STOP_MS = 30_000;

/**
 * Reads one partition through kafkajs, which cannot be told which partition to read: each partition has a consumer group of
 * its own, whose first member gets it. kafkajs begins at the group's committed offset whenever the group gathers; the reader
 * then seeks to where it was.
 */
export class TopicReader implements PartitionReader {
  private readonly config: TopicReaderConfig;
  private readonly options: ReadOptions;
  private readonly questions: PartitionQuestions;
  private readonly base: Base;
  private readonly consumer: Consumer;
  private next = 0;
  /** the group's commit when this reader began; what is read again on purpose lies before it */
  private committedThen = 0;
  private hasCommitted = false;
  private stopping = false;
  private over = false;
  /** kafkajs restarts the consumer: it forgets meanwhile that it was stopped, and would join the group again */
  private renewal: Deferred<void> | undefined;
  private commitUnderWay: Promise<void> | undefined;
  private committedNow = -1;

  constructor(
    kafka: Kafka,
    config: TopicReaderConfig,
    options: ReadOptions,
    questions: PartitionQuestions,
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
      // kafkajs seeks to the committed offset, or by `fromBeginning` where there is none or where it is gone.
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
      // kafkajs goes on connecting: what comes of it is ended, too.
      void connected.then(
        () => this.ended(),
        () => this.ended(),
      );
      throw err;
    }
    const { GROUP_JOIN, CRASH, COMMIT_OFFSETS } = consumer.events;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      this.renewed();
      // It was stopped while it joined: kafkajs would go on.
      if (this.stopping) void sleep(SETTLED_MS).then(() => this.ended());
      else this.joined(payload.memberAssignment as unknown as Record<string, number[]>);
    });
    consumer.on(CRASH, ({ payload }) => {
      if (!payload.restart && !this.stopping) this.end(payload.error);
    });
    // kafkajs resolves a commit that it did not make, since the consumer was not running: only this says that it was.
    consumer.on(COMMIT_OFFSETS, ({ payload }) => {
      for (const t of payload.topics) for (const p of t.partitions) this.committedNow = Number(p.offset);
    });
    // Joining takes as long as the group and its coordinator do; nobody waits for it.
    consumer
      .run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 1,
        eachBatch: (batch) => this.batch(batch),
      })
      .catch((err: unknown) => this.end(err));
  }

  /** The reader brings nothing more. */
  private end(reason: unknown): void {
    if (this.over || this.stopping) return;
    this.over = true;
    this.base.log.warn(
      { kafkaPartition: this.config.partition, err: reason },
      "a reader of a partition ended, it is started again",
    );
    this.options.onEnd?.(reason);
  }

  private renewed(): void {
    this.renewal?.resolve();
    this.renewal = undefined;
  }

  /** The group's commit; 0: none, or one beyond the end. */
  private async committedWithin(end: number): Promise<number> {
    const committed = (await this.questions.committed()) ?? 0;
    return committed <= end ? committed : 0;
  }

  /** Whether the topic was deleted and created again since. */
  private async isRecreated(): Promise<boolean> {
    const { topicId } = this.options;
    return topicId !== "" && (await this.questions.topicId()) !== topicId;
  }

  /**
   * Brokers that name no topic ids: whether the topic is another one since. It ends before what was read of it, or nothing
   * is committed any more, which goes with a topic.
   * @returns its start then
   */
  private async looksRecreated(): Promise<number | undefined> {
    // Records come while it is asked: only what was read before the question must be there.
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

  /** Whenever the group gathers, at the start and after a broker was away, kafkajs goes back to the committed offset. */
  private joined(assigned: Record<string, number[]>): void {
    const { topic, partition } = this.config;
    if (!assigned[topic]?.includes(partition)) return;
    this.goOn().catch((err: unknown) =>
      this.base.log.debug(
        { kafkaPartition: partition, err },
        "reading goes on from the committed offset; records that were read already are skipped",
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
    // What is read again on purpose is not passed over.
    if (!this.options.again || this.next >= this.committedThen) {
      const committed = await this.committedWithin((await this.questions.range()).end);
      this.next = Math.max(this.next, committed); // records may have come while it was asked
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
    // Read again after the group has gathered; or kafkajs went to the start, since there is nothing where it was.
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
      if (Number(m.offset) >= this.next && m.value)
        records.push({ offset: Number(m.offset), timestampMs: Number(m.timestamp), value: m.value });
    // In pieces, so that the group hears of a reader that is busy.
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
   * Whether records that begin behind the wanted offset may be taken: kafkajs begins at the group's commit, before it is
   * told where to begin, and whatever topic that commit is of.
   */
  private async mayBeginAt(first: number, fetched: number): Promise<boolean> {
    // Nothing lies between: control records, or records that were deleted.
    if (fetched <= this.next) {
      this.next = first;
      return true;
    }
    const { start } = await this.questions.range();
    const readAgain = this.options.again === true && this.next < this.committedThen;
    // Whoever read before has committed up to here.
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

  /** Commits for the topic that is read: the commit names it, so that no reader of another one takes it for its own. */
  async commit(offset: number): Promise<void> {
    const { partition } = this.config,
      over = performance.now() + COMMIT_MS;
    const made = async (): Promise<void> => {
      for (;;) {
        let reason: unknown = "its reader is joining the group";
        try {
          // One at a time: kafkajs tries some commits again without end, and an older one must not come last.
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
        // A commit while the group gathers is refused: it is tried again when the group stands.
        if (performance.now() + COMMIT_RETRY_MS > over)
          throw new CinderblockError(
            "unavailable",
            `offset ${offset} of partition ${partition} was not committed: ${messageOf(reason)}`,
            { cause: reason },
          );
        await sleep(COMMIT_RETRY_MS);
      }
    };
    await withDeadline(made(), COMMIT_MS, `Kafka took no commit of partition ${partition}`);
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
        "a reader of a partition did not stop cleanly",
      );
    }
  }
}

/** The offset that a batch was fetched from, which kafkajs's types leave out. */
function fetchedFrom(batch: EachBatchPayload["batch"]): number {
  return Number((batch as unknown as { fetchedOffset: string }).fetchedOffset);
}

/** Gives the partition to the group's first member. */
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
