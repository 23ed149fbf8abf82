import { join } from "node:path";
import type { BaselineService } from "@cinderblock/head";
import { Instance, T0 } from "@cinderblock/head/testing";
import type { PushAnswer, PushOrigin, RawPush } from "@cinderblock/ingest";
import type { InMemoryLog, LogRecord } from "@cinderblock/kafka";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { encodeFence, PartitionPlacement } from "@cinderblock/transport";
import type { OwnedPartition } from "./owned-partition.ts";
import { PartitionClaims } from "./partition-claims.ts";
import { PartitionPositions } from "./partition-positions.ts";
import { RecordIntake, type RecordSink } from "./record-intake.ts";

const base = () => ({
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
});
const STORED: PushAnswer = {
  profiles: 1,
  compressedBytes: 0,
  decompressedBytes: 0,
  samples: 1,
  discarded: [],
  error: undefined,
};

/** A cumulative profile of a service: its time, and the bytes that one stack has allocated until then. */
export interface Sent {
  service: string;
  at: number;
  total: number;
}

/** A stored row: growth of a service up to the profile of a time. */
export interface Row {
  service: string;
  at: number;
  grown: number;
}

export const bodyOf = (sent: Sent): Uint8Array => Buffer.from(JSON.stringify(sent));

/** Heads of one ingest thread, with one stack per service. */
class Heads implements RecordSink {
  readonly instance: Instance;
  constructor(dir: string) {
    this.instance = new Instance(dir);
    this.instance.options = { sync: false };
  }

  async push(
    _tenant: string,
    service: string,
    push: RawPush,
    _limits: unknown,
    _now: number,
    origin: PushOrigin | undefined,
  ): Promise<PushAnswer> {
    this.place(service, origin);
    await this.instance.push(...profileOf(push));
    return STORED;
  }
  updateBaselines(
    _tenant: string,
    service: string,
    push: RawPush,
    _limits: unknown,
    _now: number,
    origin: PushOrigin | undefined,
  ): Promise<void> {
    this.place(service, origin);
    return this.instance.learn(...profileOf(push));
  }
  private place(service: string, origin: PushOrigin | undefined): void {
    this.instance.shard.route = service;
    this.instance.shard.origin = origin;
  }
  async forgetBaselines(
    gone: (tenant: string, service: string, kafkaPartition?: number) => boolean,
  ): Promise<void> {
    const all: BaselineService[] = await Promise.resolve(this.instance.shard.baselineServices());
    const found = all.filter((s) => gone(s.tenant, s.service, s.kafkaPartition));
    await Promise.resolve();
    if (found.length > 0 && this.instance.shard.forgetBaselines(found) > 0)
      await this.instance.shard.commit();
  }
  oldestUnuploadedMs(): Promise<number> {
    return Promise.resolve(Infinity);
  }
  pressure(): number {
    return 0;
  }

  rows(): Row[] {
    return this.instance.shard.sources("t").flatMap((head) =>
      Array.from({ length: head.rowCount }, (_, i) => ({
        service: head.series[head.rowSeries.data[i]!]!.labels.find((l) => l.name === "service_name")!.value,
        at: Number((head.rowTime.data[i]! - T0) / 1_000_000n),
        grown: Number(head.rowTotal.data[i]!),
      })),
    );
  }
}

function profileOf(push: RawPush): Parameters<Instance["learn"]> {
  const { service, at, total } = JSON.parse(Buffer.from(push.body).toString()) as Sent;
  return [
    { __name__: "memory", service_name: service },
    {
      types: [["alloc_space", "bytes"]],
      period: ["space", "bytes"],
      stacks: [{ frames: ["main", "allocate"], values: [total] }],
      timeNanos: T0 + BigInt(at) * 1_000_000n,
    },
  ];
}

interface Batch {
  records: readonly LogRecord[];
  done: () => void;
}

/** An ingester that reads one batch of a partition per step. */
export class Owner {
  readonly owned = new Map<number, OwnedPartition>();
  readonly heads: Heads;
  private readonly batches = new Map<OwnedPartition, Batch[]>();
  private readonly positions: PartitionPositions;
  private readonly claims: PartitionClaims;
  private readonly intake: RecordIntake;

  private constructor(dir: string, log: InMemoryLog) {
    this.heads = new Heads(dir);
    this.positions = new PartitionPositions(join(dir, "partitions.json"), "pushes");
    this.claims = new PartitionClaims(
      { topic: "pushes", zone: "", learnMs: 60_000 },
      log,
      this.heads,
      this.positions,
      base(),
    );
    this.intake = new RecordIntake(this.heads, join(dir, "suspects.json"), base(), () => Promise.resolve());
  }

  static async start(dir: string, log: InMemoryLog): Promise<Owner> {
    const owner = new Owner(dir, log);
    await owner.heads.instance.start();
    return owner;
  }

  async claim(partition: number): Promise<void> {
    await this.claims.claim(
      partition,
      (o, records) =>
        new Promise<void>((done) => {
          this.batches.get(o)!.push({ records, done });
        }),
      (o) => {
        this.batches.set(o, []);
        this.owned.set(partition, o);
      },
    );
  }

  /**
   * Stores a batch of a partition, or only its first records, before a crash.
   * @returns whether there was a batch
   */
  async step(partition: number, most = Infinity): Promise<boolean> {
    const o = this.owned.get(partition);
    const batch = o && this.batches.get(o)!.shift();
    if (!o || !batch) return false;
    const records = batch.records.filter((r) => r.offset >= o.position),
      some = records.slice(0, most);
    if (some.length > 0 && (await this.intake.consumeBatch(partition, o, some)))
      o.position = some.at(-1)!.offset + 1;
    if (some.length < records.length) this.batches.get(o)!.unshift(batch);
    else batch.done();
    await turns();
    return true;
  }

  async save(): Promise<void> {
    for (const [p, { topicId, position, committed, counts }] of this.owned)
      this.positions.set(p, { topicId, position, committed, fences: counts.saved });
    await this.positions.save();
  }

  /** Gives a partition up; its rows stay here. */
  async release(partition: number): Promise<void> {
    const o = this.owned.get(partition);
    if (!o) return;
    this.owned.delete(partition);
    this.positions.set(partition, {
      topicId: o.topicId,
      position: o.position,
      committed: o.committed,
      fences: o.counts.saved,
    });
    await this.drop(o);
  }

  private async drop(o: OwnedPartition): Promise<void> {
    o.stopped = true;
    const stopping = o.reader!.stop();
    for (const b of this.batches.get(o)!) b.done();
    this.batches.set(o, {
      push: (b: Batch) => (b.done(), 0),
      [Symbol.iterator]: [][Symbol.iterator],
    } as never);
    await stopping;
  }

  /** Uploads all rows, and commits the read positions. */
  async commit(bucket: Row[]): Promise<void> {
    bucket.push(...this.heads.rows());
    for (const o of this.owned.values()) {
      // A reader that waits for another one of its group cannot commit.
      if (o.position <= o.committed) continue;
      await o.reader!.commit(o.position).then(
        () => {
          o.committed = o.position;
        },
        () => undefined,
      );
    }
  }

  /** Ends the process, as a kill does. */
  async kill(): Promise<void> {
    const all = [...this.owned.values()];
    this.owned.clear();
    await Promise.all(all.map((o) => this.drop(o)));
    await this.heads.instance.shard.close();
  }
}

/** Waits until readers have delivered their batches. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve();
}

/** A distributor with its own view of the topic. */
export class Writer {
  readonly placement: PartitionPlacement;
  /** numbers that delayed records may still have */
  earlier: readonly number[] = [];
  readable: number;
  private announced = { key: "", partitions: new Set<number>() };

  constructor(
    log: InMemoryLog,
    readable: number,
    handOverMs: number,
    now: () => number,
    fails: () => boolean,
  ) {
    this.readable = readable;
    this.placement = new PartitionPlacement({
      handOverMs,
      now,
      announce: async (placedBy) => {
        // Like the real writer: partitions that refuse the fence get it later, the others have it already.
        const key = placedBy.join();
        if (this.announced.key !== key) this.announced = { key, partitions: new Set() };
        const fence = encodeFence(placedBy, 0, TEST_LIMITS);
        for (let p = 0; p < log.partitions; p++) {
          if (this.announced.partitions.has(p) || fails()) continue;
          await log.produce(p, fence);
          this.announced.partitions.add(p);
        }
        const all = this.announced.partitions.size >= log.partitions;
        if (all) this.announced.key = "";
        return all;
      },
    });
  }

  async advance(fenced: number): Promise<void> {
    const was = this.placement.placedBy;
    await this.placement.advance(this.readable, fenced);
    if (was.join() !== this.placement.placedBy.join() && was.length > 0) this.earlier = was;
  }
}
