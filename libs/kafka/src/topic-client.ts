import { sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError, messageOf } from "@cinderblock/errors";
import type { Kafka } from "kafkajs";
import {
  sendRequest,
  type Broker,
  type Cluster,
  clusterOf,
  protocolError,
  type ProtocolError,
} from "./kafkajs-internals.ts";
import {
  type CommittedOffset,
  noLeaderError,
  type OffsetRange,
  type TopicOffsets,
} from "./partitioned-log.ts";
import type { BatchOutcome, OutgoingBatch, ProducerIdentity, ProduceTransport } from "./topic-producer.ts";

/** A topic as the brokers describe it now. */
export interface TopicLayout {
  /** "": the brokers are older than 2.8 and report no topic IDs */
  id: string;
  /** partition -> node that leads it; -1: no leader */
  leaders: readonly number[];
  /** smallest replica count of any partition */
  replication: number;
}

/** Deadline of one request with kafkajs's retries. */
const ANSWER_MS = 10_000;
/** Attempts for a partition whose leader has just changed, and the pause between them. */
const TRIES = 3,
  RETRY_MS = 200;
/**
 * Pause between requests to a group's coordinator, until the deadline of the whole answer: a broker that has
 * just started loads for seconds.
 */
const COORDINATOR_RETRY_MS = 500;
/** Time that a broker waits for the in-sync replicas. */
const PRODUCE_MS = 15_000;
const NO_TOPIC = "UNKNOWN_TOPIC_OR_PARTITION";
const EARLIEST = -2,
  LATEST = -1;
interface OffsetsAnswer {
  responses: { partitions: { partition: number; errorCode: number; offset: string }[] }[];
}
interface ProduceAnswer {
  topics: { partitions: { partition: number; errorCode: number; baseOffset: string }[] }[];
}
interface CommitsAnswer {
  errorCode?: number;
  responses: {
    partitions: { partition: number; offset: string; metadata: string | null; errorCode: number }[];
  }[];
}

/**
 * Queries the brokers about one topic. A partition that fails is missing in the answer; the other partitions
 * succeed.
 */
export class TopicClient implements ProduceTransport {
  private readonly topic: string;
  private readonly cluster: Cluster & {
    findGroupCoordinator(of: { groupId: string }): Promise<Broker>;
  };
  private running: Promise<TopicLayout> | undefined;
  private next: Promise<TopicLayout> | undefined;

  constructor(kafka: Kafka, topic: string) {
    this.topic = topic;
    this.cluster = clusterOf(kafka) as TopicClient["cluster"];
  }

  /**
   * Current layout of the topic; the request begins after this call.
   * @throws `unavailable` if the topic does not exist
   */
  layout(): Promise<TopicLayout> {
    if (!this.running) return this.run();
    // Start another request after the running one, which may miss events that the caller has just seen.
    this.next ??= this.running.then(
      () => this.run(),
      () => this.run(),
    );
    return this.next;
  }

  /** Current layout of the topic; undefined if the topic does not exist. */
  async findLayout(): Promise<TopicLayout | undefined> {
    try {
      return await this.layout();
    } catch (err) {
      if (((err as Error).cause as ProtocolError | undefined)?.type === NO_TOPIC) return undefined;
      throw err;
    }
  }

  private run(): Promise<TopicLayout> {
    this.next = undefined;
    const running = withDeadline(this.ask(), ANSWER_MS, `Kafka returned no metadata of topic ${this.topic}`)
      .catch((err: unknown) => {
        throw new CinderblockError("unavailable", describe(this.topic, err), { cause: err });
      })
      .finally(() => {
        if (this.running === running) this.running = undefined;
      });
    return (this.running = running);
  }

  private async ask(): Promise<TopicLayout> {
    await this.connected();
    const { brokerPool } = this.cluster;
    await brokerPool.refreshMetadata([this.topic]);
    const found = brokerPool.metadata?.topicMetadata.find((t) => t.topic === this.topic);
    if (!found) throw new Error("the response does not contain the topic");
    const leaders = new Array<number>(found.partitionMetadata.length).fill(-1);
    for (const p of found.partitionMetadata)
      leaders[p.partitionId] = protocolError(p.partitionErrorCode) ? -1 : p.leader;
    return {
      id: found.topicId ?? "",
      leaders,
      replication: Math.min(...found.partitionMetadata.map((p) => p.replicas.length)),
    };
  }

  private async connected(): Promise<void> {
    if (!this.cluster.isConnected()) await this.cluster.connect();
  }

  /** Offset ranges of all partitions, or of one. All ranges belong to the same topic ID. */
  async offsets(partition?: number): Promise<TopicOffsets> {
    const of = partition === undefined ? undefined : [partition];
    for (let tries = 1; ; tries++) {
      const before = await this.layout();
      const [starts, ends] = await Promise.all([this.at(before, EARLIEST, of), this.at(before, LATEST, of)]);
      if ((await this.layout()).id !== before.id) {
        if (tries < TRIES) continue;
        throw new CinderblockError(
          "unavailable",
          `topic ${this.topic} was recreated ${tries} times while its offsets were listed`,
        );
      }
      return {
        topicId: before.id,
        ranges: before.leaders.map((_, p): OffsetRange | undefined => {
          const start = starts[p],
            end = ends[p];
          return start === undefined || end === undefined ? undefined : { start, end };
        }),
      };
    }
  }

  /** First offset of one partition at or after a time; -1: no record is that late. */
  async offsetAt(partition: number, timeMs: number): Promise<number> {
    const layout = await this.layout();
    const offset = (await this.at(layout, Math.max(0, Math.floor(timeMs)), [partition]))[partition];
    if (offset === undefined) throw noLeaderError(partition);
    return offset;
  }

  /** partition -> offset; partitions whose leader returned none are missing */
  private async at(
    layout: TopicLayout,
    timestamp: number,
    of: readonly number[] = layout.leaders.map((_, p) => p),
  ): Promise<(number | undefined)[]> {
    const found: (number | undefined)[] = [];
    let { leaders } = layout;
    for (let tries = 1; ; tries++) {
      const missing = of.filter((p) => found[p] === undefined);
      const nodes = new Set(missing.map((p) => leaders[p] ?? -1).filter((n) => n >= 0));
      await Promise.all(
        [...nodes].map(async (nodeId) => {
          const partitions = missing.filter((p) => leaders[p] === nodeId);
          try {
            for (const [p, offset] of await this.ofNode(nodeId, partitions, timestamp)) found[p] = offset;
          } catch {
            /* its partitions are missing in the answer, which the caller has to say */
          }
        }),
      );
      if (tries >= TRIES || of.every((p) => found[p] !== undefined)) return found;
      await sleep(RETRY_MS);
      const again = await this.layout();
      if (again.id !== layout.id) return found;
      leaders = again.leaders;
    }
  }

  private async ofNode(
    nodeId: number,
    partitions: readonly number[],
    timestamp: number,
  ): Promise<[number, number][]> {
    const { topic } = this;
    const { responses } = await withDeadline(
      this.cluster.findBroker({ nodeId }).then((broker) =>
        sendRequest<OffsetsAnswer>(broker, "ListOffsets", {
          topics: [{ topic, partitions: partitions.map((partition) => ({ partition, timestamp })) }],
        }),
      ),
      ANSWER_MS,
      `broker ${nodeId} returned no offsets of topic ${topic}`,
    );
    return responses
      .flatMap((r) => r.partitions)
      .filter((p) => !protocolError(p.errorCode))
      .map((p) => [p.partition, Number(p.offset)]);
  }

  /** Offset that a group committed for a partition; undefined: none. */
  async committed(partition: number, group: string): Promise<CommittedOffset | undefined> {
    const { topic } = this;
    const answer = await this.coordinator(group, async (broker) => {
      const a = await sendRequest<CommitsAnswer>(broker, "OffsetFetch", {
        groupId: group,
        topics: [{ topic, partitions: [{ partition }] }],
      });
      const failed =
        protocolError(a.errorCode ?? 0) ??
        a.responses.flatMap((r) => r.partitions.map((p) => protocolError(p.errorCode))).find((e) => e);
      if (failed) throw failed;
      return a;
    });
    const found = answer.responses.flatMap((r) => r.partitions).find((p) => p.partition === partition);
    const offset = Number(found?.offset ?? -1);
    return offset < 0 ? undefined : { offset, topicId: found?.metadata ?? "" };
  }

  /**
   * Queries the coordinator of a group. A broker that has just started, or has just taken over the group,
   * refuses for a moment, so the query repeats for ANSWER_MS.
   * @throws `unavailable` with the last refusal
   */
  private async coordinator<T>(groupId: string, question: (broker: Broker) => Promise<T>): Promise<T> {
    const end = performance.now() + ANSWER_MS;
    let refusal: unknown;
    for (;;) {
      const left = end - performance.now();
      if (left <= 0)
        throw new CinderblockError(
          "unavailable",
          `the coordinator of group ${groupId} did not respond within ${ANSWER_MS} ms: ${messageOf(refusal)}`,
          { cause: refusal },
        );
      try {
        return await withDeadline(
          this.connected()
            .then(() => this.cluster.findGroupCoordinator({ groupId }))
            .then(question),
          left,
          "no answer",
        );
      } catch (err) {
        // A deadline that ends the last attempt says less than the refusal before it.
        if (refusal === undefined || performance.now() < end) refusal = err;
        await sleep(Math.min(COORDINATOR_RETRY_MS, Math.max(0, end - performance.now())));
      }
    }
  }

  // ---- writes

  async leaders(): Promise<readonly number[]> {
    return (await this.layout()).leaders;
  }

  async newProducerIdentity(): Promise<ProducerIdentity> {
    await this.connected();
    const broker = await this.cluster.brokerPool.findConnectedBroker();
    const a = await sendRequest<{ errorCode: number; producerId: string; producerEpoch: number }>(
      broker,
      "InitProducerId",
      { transactionalId: null, transactionTimeout: 60_000 },
    );
    const failed = protocolError(a.errorCode);
    if (failed) throw failed;
    return { id: a.producerId, epoch: a.producerEpoch };
  }

  async send(
    node: number,
    identity: ProducerIdentity,
    batches: readonly OutgoingBatch[],
  ): Promise<Map<number, BatchOutcome>> {
    const broker = await this.cluster.findBroker({ nodeId: node });
    try {
      const { topics } = await sendRequest<ProduceAnswer>(broker, "Produce", {
        acks: -1,
        timeout: PRODUCE_MS,
        compression: 0,
        transactionalId: null,
        producerId: identity.id,
        producerEpoch: identity.epoch,
        topicData: [
          {
            topic: this.topic,
            partitions: batches.map(({ partition, firstSequence, records }) => ({
              partition,
              firstSequence,
              messages: records.map(({ value, headers }) => ({
                key: null,
                value: Buffer.from(value.buffer, value.byteOffset, value.length),
                headers,
              })),
            })),
          },
        ],
      });
      return new Map(
        topics
          .flatMap((t) => t.partitions)
          .map((p) => {
            const error = protocolError(p.errorCode);
            return [p.partition, error ? { error } : { baseOffset: Number(p.baseOffset) }];
          }),
      );
    } catch (err) {
      // Reconnect a closed connection for the next request.
      if ((err as Error).name === "KafkaJSConnectionClosedError") await broker.disconnect();
      throw err;
    }
  }

  close(): Promise<void> {
    return withDeadline(
      this.cluster.disconnect(),
      ANSWER_MS,
      "closing the connections to Kafka did not finish",
    );
  }
}

function describe(topic: string, err: unknown): string {
  return (err as ProtocolError).type === NO_TOPIC
    ? `Kafka has no topic ${topic} now`
    : `Kafka metadata request for topic ${topic} failed: ${messageOf(err)}`;
}
