import type { MessageInitShape } from "@bufbuild/protobuf";
import { PartitionService, type PartitionStateMessage, type PartitionStateSchema } from "@cinderblock/api";
import type { InternalClient, InternalHandlers } from "@cinderblock/rpc";

/** State of a partition, reported by its owner. */
export interface PartitionState {
  partition: number;
  owner: string;
  /** topic of the offsets; absent: the brokers report no topic IDs */
  topicId?: string;
  /** number of partitions that the owner and the others of its zone divide; absent: unknown */
  of?: number;
  /** highest number of partitions that all writers place by at least, according to the records read; absent: unknown */
  settled?: number;
  /** the next offset to read */
  position: number;
  /** all records below this offset are in the bucket */
  committed: number;
  /** offset of the oldest record that the topic keeps */
  start?: number;
  /** the partition's end as last reported by the broker */
  end: number;
  /** age of the oldest record that is not in the bucket, in milliseconds; 0: all records are in the bucket */
  unuploadedAgeMs: number;
  /** lag of the reader in milliseconds; 0: at the end */
  lagMs: number;
}

/** Partitions whose unstored records an ingester has completely, out of `of` partitions. */
export interface CaughtUp {
  of: number;
  /** topic of the partitions; absent: the brokers report no topic IDs */
  topicId?: string;
  partitions: number[];
}

/** Partitions of an ingester, and the records of them that it has read. */
export interface PartitionReader {
  states(): PartitionState[];
  caughtUp(): CaughtUp;
  /**
   * Waits until the partitions are read up to `ends`, or until the deadline.
   * @returns the partitions that are read up to their end
   */
  waitForEnds(ends: readonly number[], deadlineMs: number, topicId?: string): Promise<number[]>;
}

/** The service of an ingester that reads partitions. */
export function partitionHandlers(reader: PartitionReader): InternalHandlers<typeof PartitionService> {
  return {
    listPartitions: () => Promise.resolve({ partitions: reader.states().map(toState) }),
    getCaughtUp: () => {
      const { of, topicId = "", partitions } = reader.caughtUp();
      return Promise.resolve({ of, topicId, partitions });
    },
    waitForEnds: async ({ ends, deadlineMs, topicId }) => ({
      partitions: await reader.waitForEnds(
        ends.map(Number),
        deadlineMs,
        topicId === "" ? undefined : topicId,
      ),
    }),
  };
}

/** The partitions of an ingester in another process. */
export class RemotePartitions {
  private readonly partitions;
  constructor(client: InternalClient, address: string) {
    this.partitions = client.of(PartitionService, address);
  }
  async states(timeoutMs: number): Promise<PartitionState[]> {
    return (await this.partitions.listPartitions({}, { timeoutMs })).partitions.map(fromState);
  }
  async caughtUp(timeoutMs: number): Promise<CaughtUp> {
    const { of, topicId, partitions } = await this.partitions.getCaughtUp({}, { timeoutMs });
    return { of, partitions, ...(topicId === "" ? {} : { topicId }) };
  }
  async waitForEnds(
    ends: readonly number[],
    deadlineMs: number,
    topicId: string | undefined,
    timeoutMs: number,
  ): Promise<number[]> {
    const request = { ends: ends.map(BigInt), deadlineMs, topicId: topicId ?? "" };
    return (await this.partitions.waitForEnds(request, { timeoutMs })).partitions;
  }
}

function toState(s: PartitionState): MessageInitShape<typeof PartitionStateSchema> {
  return {
    partition: s.partition,
    owner: s.owner,
    topicId: s.topicId ?? "",
    of: s.of ?? 0,
    settled: s.settled ?? 0,
    position: BigInt(s.position),
    committed: BigInt(s.committed),
    ...(s.start === undefined ? {} : { start: BigInt(s.start) }),
    end: BigInt(s.end),
    unuploadedAgeMs: s.unuploadedAgeMs,
    lagMs: s.lagMs,
  };
}

function fromState(s: PartitionStateMessage): PartitionState {
  return {
    partition: s.partition,
    owner: s.owner,
    ...(s.topicId === "" ? {} : { topicId: s.topicId }),
    ...(s.of === 0 ? {} : { of: s.of }),
    ...(s.settled === 0 ? {} : { settled: s.settled }),
    position: Number(s.position),
    committed: Number(s.committed),
    ...(s.start === undefined ? {} : { start: Number(s.start) }),
    end: Number(s.end),
    unuploadedAgeMs: s.unuploadedAgeMs,
    lagMs: s.lagMs,
  };
}
