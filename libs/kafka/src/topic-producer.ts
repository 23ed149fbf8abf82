import { Deferred, sleep, withDeadline } from "@cinderblock/async";
import { CinderblockError, messageOf } from "@cinderblock/errors";
import { timeBuckets, type Base } from "@cinderblock/telemetry";
import type { RecordHeaders } from "./partitioned-log.ts";

/** Identifies a producer to the brokers, which use it to store each of its batches once. */
export interface ProducerIdentity {
  id: string;
  epoch: number;
}

/** A record to write. */
interface OutgoingRecord {
  readonly value: Uint8Array;
  /** undefined: none */
  readonly headers: RecordHeaders | undefined;
}

/** Records of one partition in one request. */
export interface OutgoingBatch {
  partition: number;
  firstSequence: number;
  records: readonly OutgoingRecord[];
}

/** A broker's response for one partition. */
export type BatchOutcome = { baseOffset: number } | { error: { type: string; message: string } };

/** Connection to the brokers. Each call may fail, or take any time. */
export interface ProduceTransport {
  /** partition -> node that leads it now; -1: none does */
  leaders(): Promise<readonly number[]>;
  /** returns an identity that was never used before */
  newProducerIdentity(): Promise<ProducerIdentity>;
  /** @returns the outcome of each batch; a batch without an outcome may be stored or not */
  send(
    node: number,
    identity: ProducerIdentity,
    batches: readonly OutgoingBatch[],
  ): Promise<ReadonlyMap<number, BatchOutcome>>;
}

/** Limits of the producer's batches. */
export interface TopicProducerConfig {
  /** largest batch that the topic accepts, in bytes */
  maxBatchBytes: number;
  /** milliseconds that a record waits for others to share its request; 0: one turn of the event loop */
  lingerMs: number;
}

/** Maximum bytes of records in one request. */
const MAX_REQUEST = 4 << 20;
/** Overhead in bytes of a batch, of each record and of each header: https://kafka.apache.org/documentation/#recordbatch */
const BATCH_BYTES = 64,
  RECORD_BYTES = 24,
  HEADER_BYTES = 4;
/**
 * Initial and maximum delay of a batch's retries, and maximum delay of leader lookups; the delay doubles each
 * time.
 */
const RETRY_MS = 100,
  MAX_RETRY_MS = 2000,
  MAX_LOOK_MS = 500;
/** A broker that does not respond blocks only its own partitions, for at most this time. */
const ANSWER_MS = 25_000;
const MAX_SEQUENCE = 2 ** 31;

/** Errors that no retry can cure. */
const REFUSED = new Set([
  "CORRUPT_MESSAGE",
  "MESSAGE_TOO_LARGE",
  "RECORD_LIST_TOO_LARGE",
  "INVALID_RECORD",
  "INVALID_REQUIRED_ACKS",
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "UNSUPPORTED_FOR_MESSAGE_FORMAT",
]);
/**
 * Errors of a broker that has lost the producer's last batch: the batch was not stored under this identity.
 */
const FORGOTTEN = new Set([
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
]);
const STORED_BEFORE = "DUPLICATE_SEQUENCE_NUMBER";

interface Waiting extends OutgoingRecord {
  /** monotonic time of the call, in milliseconds */ since: number;
  done: Deferred<number>;
  timer: NodeJS.Timeout;
  /** the caller has its error: no one waits for the record */
  over: boolean;
}

/** Records of a partition: waiting records, and the batch that is in flight or will be retried. */
interface Lane {
  partition: number;
  waiting: Waiting[];
  batch: { records: Waiting[]; sent: boolean; failures: number } | undefined;
  inFlight: boolean;
  /** monotonic; the earliest time of the next attempt */
  notBefore: number;
  /** undefined: the next batch begins with an identity that is new to this partition */
  identity: ProducerIdentity | undefined;
  /** the last identity, which must not be used again */
  left: ProducerIdentity | undefined;
  sequence: number;
}

/**
 * Writes records of one topic. Each partition has a lane with one batch in flight, and each broker has one
 * request in flight. A partition without a leader, or with a broker that refuses, does not block other
 * partitions. A batch whose response was lost is sent again unchanged, and the broker stores it once. When
 * all callers of that batch have timed out, the lane takes another identity, because the broker would mistake
 * the next batch for the old one. See docs/adr/0009-kafka-between-distributor-and-ingesters.md.
 */
export class TopicProducer {
  private readonly config: TopicProducerConfig;
  private readonly transport: ProduceTransport;
  private readonly base: Base;
  private readonly failures: { inc(labels: { partition: string }): void };
  private readonly durations: { observe(seconds: number): void };
  private readonly lanes = new Map<number, Lane>();
  private readonly busy = new Set<number>();
  private leaders: readonly number[] = [];
  private looking: Promise<void> | undefined;
  private identity: Promise<ProducerIdentity> | undefined;
  private closed = false;

  constructor(config: TopicProducerConfig, transport: ProduceTransport, base: Base) {
    this.config = config;
    this.transport = transport;
    this.base = base;
    this.failures = base.metrics.counter(
      "cinderblock_kafka_produce_failures_total",
      "Failed attempts to write records to a partition of the topic.",
      ["partition"],
    );
    this.durations = base.metrics.histogram(
      "cinderblock_kafka_produce_duration_seconds",
      "Time from the write of a record until all in-sync replicas have it, of acknowledged records.",
      [],
      timeBuckets,
    );
    base.metrics.gauge(
      "cinderblock_kafka_produce_queued_records",
      "Records that wait for a request or for its response.",
      [],
      (g) => {
        let queued = 0;
        for (const l of this.lanes.values()) queued += l.waiting.length + (l.batch?.records.length ?? 0);
        g.set(queued);
      },
    );
  }

  /**
   * Resolves with the record's offset when all in-sync replicas have it; -1 when the offset is unknown.
   * @throws `unavailable` after `timeoutMs`, when the record may be stored nevertheless
   */
  produce(partition: number, value: Uint8Array, timeoutMs: number, headers?: RecordHeaders): Promise<number> {
    const done = new Deferred<number>();
    const lane = this.lane(partition);
    const w: Waiting = {
      since: performance.now(),
      value,
      headers,
      done,
      over: false,
      timer: setTimeout(() => {
        this.expire(lane, w, timeoutMs);
      }, timeoutMs),
    };
    lane.waiting.push(w);
    this.wake(lane);
    return done.promise;
  }

  close(): void {
    this.closed = true;
    const stops = new CinderblockError("unavailable", "the process is shutting down");
    for (const lane of this.lanes.values()) {
      for (const w of [...lane.waiting, ...(lane.batch?.records ?? [])])
        settle(w, () => w.done.reject(stops));
      lane.waiting = [];
    }
  }

  private lane(partition: number): Lane {
    let lane = this.lanes.get(partition);
    if (!lane) {
      lane = {
        partition,
        waiting: [],
        batch: undefined,
        inFlight: false,
        notBefore: 0,
        identity: undefined,
        left: undefined,
        sequence: 0,
      };
      this.lanes.set(partition, lane);
    }
    return lane;
  }

  private expire(lane: Lane, w: Waiting, timeoutMs: number): void {
    settle(w, () =>
      w.done.reject(
        new CinderblockError(
          "unavailable",
          `Kafka did not acknowledge a record of partition ${lane.partition} within ${timeoutMs} ms`,
        ),
      ),
    );
    const at = lane.waiting.indexOf(w);
    if (at >= 0) lane.waiting.splice(at, 1);
    this.giveUp(lane);
  }

  /**
   * Drops a batch whose callers have all timed out. The broker may have stored a sent batch, so its sequence
   * numbers are not reused.
   */
  private giveUp(lane: Lane): void {
    const { batch } = lane;
    if (!batch || lane.inFlight || batch.records.some((w) => !w.over)) return;
    lane.batch = undefined;
    if (batch.sent) this.leaveIdentity(lane);
    if (lane.waiting.length > 0) this.wake(lane);
  }

  private leaveIdentity(lane: Lane): void {
    lane.left = lane.identity;
    lane.identity = undefined;
    lane.sequence = 0;
  }

  /** Starts sending to the lane's broker. */
  private wake(lane: Lane): void {
    if (this.closed) return;
    const node = this.leaders[lane.partition] ?? -1;
    if (node < 0) void this.findLeaders();
    else if (!this.busy.has(node)) {
      this.busy.add(node);
      void this.run(node);
    }
  }

  /** Looks up leaders until every lane with records has one. */
  private findLeaders(): Promise<void> {
    return (this.looking ??= this.lookUp().finally(() => {
      this.looking = undefined;
    }));
  }
  private async lookUp(): Promise<void> {
    for (let failures = 0; !this.closed; failures++) {
      try {
        this.leaders = await withDeadline(
          this.transport.leaders(),
          ANSWER_MS,
          "Kafka did not return the partition leaders",
        );
      } catch (err) {
        if (failures % 10 === 0) this.base.log.warn({ err }, "partition leader lookup failed, retrying");
      }
      const holding = [...this.lanes.values()].filter((l) => l.waiting.length > 0 || l.batch);
      const without = holding.filter((l) => (this.leaders[l.partition] ?? -1) < 0);
      for (const l of holding) if (!without.includes(l)) setImmediate(() => this.wake(l));
      if (without.length === 0) return;
      if (failures % 10 === 0)
        this.base.log.warn(
          { partitions: without.map((l) => l.partition) },
          "partitions have no leader, their records wait",
        );
      await sleep(Math.min(MAX_LOOK_MS, RETRY_MS * 2 ** failures));
    }
  }

  /** Sends the records of one broker's lanes, one request after the other. */
  private async run(node: number): Promise<void> {
    for (;;) {
      await new Promise((r) => {
        setImmediate(r);
      });
      const oldest = this.ready(node).reduce(
        (t, l) => Math.min(t, (l.batch?.records ?? l.waiting)[0]!.since),
        Infinity,
      );
      // End the run in the same event-loop turn as the check of the lanes: a later record then starts another
      // run.
      if (oldest === Infinity || this.closed) {
        this.busy.delete(node);
        return;
      }
      // A request costs more than a record, so records that arrive within the linger time share one. Records
      // that arrived during the last request have already waited.
      const wait = this.config.lingerMs - (performance.now() - oldest);
      if (wait >= 1) await sleep(wait);
      await this.exchange(node);
    }
  }

  private ready(node: number): Lane[] {
    const now = performance.now();
    return [...this.lanes.values()].filter(
      (l) =>
        this.leaders[l.partition] === node &&
        !l.inFlight &&
        l.notBefore <= now &&
        (l.batch !== undefined || l.waiting.length > 0),
    );
  }

  /** Sends one request to one broker and handles the response. */
  private async exchange(node: number): Promise<void> {
    const lanes: Lane[] = [];
    let identity: ProducerIdentity;
    try {
      identity = await this.gather(node, lanes);
    } catch (err) {
      this.failed(this.ready(node), err, false);
      return;
    }
    if (lanes.length === 0) return;
    for (const l of lanes) {
      l.inFlight = true;
      l.batch!.sent = true;
    }
    let outcomes: ReadonlyMap<number, BatchOutcome>;
    try {
      outcomes = await withDeadline(
        this.transport.send(
          node,
          identity,
          lanes.map((l) => ({
            partition: l.partition,
            firstSequence: l.sequence,
            records: l.batch!.records,
          })),
        ),
        ANSWER_MS,
        `broker ${node} did not acknowledge the records`,
      );
    } catch (err) {
      this.failed(lanes, err, true);
      return;
    }
    const unanswered: Lane[] = [];
    for (const l of lanes) {
      const o = outcomes.get(l.partition);
      if (!o) unanswered.push(l);
      else if ("baseOffset" in o) this.stored(l, o.baseOffset);
      else this.answered(l, o.error);
    }
    if (unanswered.length > 0)
      this.failed(unanswered, new Error("the broker's response omits the partition"), true);
  }

  /**
   * Fills `lanes` with the lanes of the next request: lanes of one identity, up to the maximum request size.
   */
  private async gather(node: number, lanes: Lane[]): Promise<ProducerIdentity> {
    let fresh = await this.sharedIdentity();
    if (this.ready(node).some((l) => !l.identity && l.left === fresh)) {
      this.identity = undefined;
      fresh = await this.sharedIdentity();
    }
    let identity: ProducerIdentity | undefined,
      bytes = 0;
    for (const l of this.ready(node)) {
      if (!l.batch) this.form(l);
      const size = l.batch!.records.reduce((n, w) => n + bytesOf(w), 0);
      if (lanes.length > 0 && bytes + size > MAX_REQUEST) break;
      l.identity ??= fresh;
      identity ??= l.identity;
      if (l.identity !== identity) continue; // the batch goes into the next request
      bytes += size;
      lanes.push(l);
    }
    return identity ?? fresh;
  }

  /** The identity for new lanes, until one of them abandons it. */
  private sharedIdentity(): Promise<ProducerIdentity> {
    return (this.identity ??= withDeadline(
      this.transport.newProducerIdentity(),
      ANSWER_MS,
      "Kafka did not assign a producer ID",
    ).catch((err: unknown) => {
      this.identity = undefined;
      throw err;
    }));
  }

  /** Builds a batch from a lane's waiting records, as large as the topic accepts. */
  private form(lane: Lane): void {
    let n = 0;
    for (let bytes = BATCH_BYTES; n < lane.waiting.length; n++) {
      bytes += bytesOf(lane.waiting[n]!) + RECORD_BYTES;
      if (n > 0 && bytes > Math.min(this.config.maxBatchBytes, MAX_REQUEST)) break;
    }
    lane.batch = { records: lane.waiting.splice(0, n), sent: false, failures: 0 };
  }

  private stored(lane: Lane, baseOffset: number): void {
    const { records } = lane.batch!;
    lane.batch = undefined;
    lane.inFlight = false;
    lane.sequence = (lane.sequence + records.length) % MAX_SEQUENCE;
    const now = performance.now();
    records.forEach((w, i) =>
      settle(w, () => {
        this.durations.observe((now - w.since) / 1000);
        w.done.resolve(baseOffset < 0 ? -1 : baseOffset + i);
      }),
    );
  }

  private answered(lane: Lane, error: { type: string; message: string }): void {
    const batch = lane.batch!;
    if (error.type === STORED_BEFORE) {
      this.stored(lane, -1);
      return;
    }
    if (REFUSED.has(error.type)) {
      this.noteFailure([lane], error);
      lane.batch = undefined;
      lane.inFlight = false;
      // The broker has not counted the records: the next batch reuses their sequence numbers.
      const refused = new CinderblockError("unavailable", `Kafka refused a record: ${error.message}`);
      for (const w of batch.records) settle(w, () => w.done.reject(refused));
      return;
    }
    if (FORGOTTEN.has(error.type)) this.leaveIdentity(lane);
    this.failed([lane], error, true);
  }

  /**
   * Schedules a retry for these lanes, at the new leader where the leader has changed.
   * @param sent whether the broker may have stored the batches
   */
  private failed(lanes: readonly Lane[], err: unknown, sent: boolean): void {
    this.noteFailure(lanes, err);
    for (const l of lanes) {
      l.inFlight = false;
      const failures = l.batch ? ++l.batch.failures : 1;
      const delay = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** (failures - 1));
      l.notBefore = performance.now() + delay;
      setTimeout(() => {
        l.notBefore = 0;
        if (l.batch || l.waiting.length > 0) this.wake(l);
      }, delay);
      if (sent) this.giveUp(l);
    }
    void this.findLeaders();
  }

  private noteFailure(lanes: readonly Lane[], err: unknown): void {
    for (const l of lanes) this.failures.inc({ partition: String(l.partition) });
    this.base.log.warn(
      { partitions: lanes.map((l) => l.partition), error: messageOf(err) },
      "Kafka refused records of partitions, retrying",
    );
  }
}

/** Bytes of a record's value and headers. */
function bytesOf({ value, headers }: OutgoingRecord): number {
  let bytes = value.length;
  if (headers)
    for (const [name, text] of Object.entries(headers)) bytes += name.length + text.length + HEADER_BYTES;
  return bytes;
}

/** Settles a record once. */
function settle(w: Waiting, how: () => void): void {
  if (w.over) return;
  w.over = true;
  clearTimeout(w.timer);
  how();
}
