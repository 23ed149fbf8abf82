import type {
  EncodedRequest,
  ProtocolError,
  RequestDefinitions,
  TopicMetadata,
} from "./kafkajs-internals.ts";

/** The first version that identifies topics by ID (KIP-516, brokers from 2.8 on). */
const VERSION = 10;
/** The newest version that kafkajs itself supports. */
const VERSION_BEFORE = 6;
/** The zero ID, which means that the broker sent no topic ID. */
const NO_ID = "AAAAAAAAAAAAAAAAAAAAAA";

interface MetadataAnswer {
  throttleTime: number;
  clientSideThrottleTime: number;
  brokers: { nodeId: number; host: string; port: number; rack: string | null }[];
  clusterId: string | null;
  controllerId: number;
  topicMetadata: (TopicMetadata & { topicErrorCode: number; isInternal: boolean })[];
}
interface ErrorCodes {
  failure(code: number): boolean;
  createErrorFromCode(code: number): ProtocolError;
}

/**
 * kafkajs's metadata request with version 10, which returns topic IDs. Errors of single partitions stay in
 * the response: kafkajs fails the whole response for one partition without a leader, which would block all
 * partitions. Format: https://kafka.apache.org/protocol#The_Messages_Metadata
 */
export function withTopicIds(base: RequestDefinitions, errors: ErrorCodes): RequestDefinitions {
  const parse = (answer: MetadataAnswer): Promise<MetadataAnswer> => {
    const failed = answer.topicMetadata.find((t) => errors.failure(t.topicErrorCode));
    return failed
      ? Promise.reject(errors.createErrorFromCode(failed.topicErrorCode))
      : Promise.resolve(answer);
  };
  return {
    versions: [...base.versions, String(VERSION)],
    protocol:
      ({ version }) =>
      (options) => {
        const of = base.protocol({ version: version === VERSION ? VERSION_BEFORE : version })(options);
        if (version !== VERSION)
          return { request: of.request, response: { decode: of.response.decode, parse } };
        return {
          request: {
            ...of.request,
            apiVersion: VERSION,
            encode: async () => {
              // The build replaces kafkajs's encoder class, so take the class from the older request.
              const Encoder = (await of.request.encode()).constructor as new () => EncodedRequest;
              const encoder = new Encoder();
              encoder.writeBufferInternal(encodeMetadataRequest(options as { topics: readonly string[] }));
              return encoder;
            },
          },
          response: { decode: (bytes) => Promise.resolve(decodeMetadataAnswer(bytes)), parse },
        };
      },
  };
}
/** Count of tagged fields at the end of the header and of each structure: the client sends none. */
const NO_TAGS = 0;

/** Encodes a metadata request of version 10; no topics means all topics. */
export function encodeMetadataRequest({ topics }: { topics: readonly string[] }): Buffer {
  const parts: Buffer[] = [Buffer.of(NO_TAGS)];
  // An empty list asks for all topics, which the protocol encodes as a null array.
  parts.push(varint(topics.length === 0 ? 0 : topics.length + 1));
  for (const topic of topics) {
    const name = Buffer.from(topic);
    parts.push(Buffer.alloc(16), varint(name.length + 1), name, Buffer.of(NO_TAGS));
  }
  // Do not create topics; do not list the authorized operations.
  parts.push(Buffer.of(0, 0, 0, NO_TAGS));
  return Buffer.concat(parts);
}

/** Decodes a metadata response of version 10. */
export function decodeMetadataAnswer(bytes: Buffer): MetadataAnswer {
  const r = new FlexibleReader(bytes);
  r.tags(); // tagged fields of the response header
  const throttle = r.int32();
  const brokers = r.array(() => {
    const broker = { nodeId: r.int32(), host: r.text() ?? "", port: r.int32(), rack: r.text() };
    r.tags();
    return broker;
  });
  const clusterId = r.text(),
    controllerId = r.int32();
  const topicMetadata = r.array(() => {
    const topicErrorCode = r.int16(),
      topic = r.text() ?? "",
      topicId = r.uuid(),
      isInternal = r.bool();
    const partitionMetadata = r.array(() => {
      const partition = {
        partitionErrorCode: r.int16(),
        partitionId: r.int32(),
        leader: r.int32(),
        leaderEpoch: r.int32(),
        replicas: r.array(() => r.int32()),
        isr: r.array(() => r.int32()),
        offlineReplicas: r.array(() => r.int32()),
      };
      r.tags();
      return partition;
    });
    r.int32(); // authorized operations on the topic
    r.tags();
    return {
      topicErrorCode,
      topic,
      topicId: topicId === NO_ID ? "" : topicId,
      isInternal,
      partitionMetadata,
    };
  });
  r.int32(); // authorized operations on the cluster
  r.tags();
  return {
    throttleTime: 0,
    clientSideThrottleTime: throttle,
    brokers,
    clusterId,
    controllerId,
    topicMetadata,
  };
}

function varint(n: number): Buffer {
  const bytes: number[] = [];
  for (let rest = n; ; rest >>>= 7) {
    if (rest < 0x80) {
      bytes.push(rest);
      return Buffer.from(bytes);
    }
    bytes.push((rest & 0x7f) | 0x80);
  }
}

/**
 * Fields of the protocol's flexible versions: lengths are varints, and each structure ends with tagged
 * fields.
 */
class FlexibleReader {
  private at = 0;
  private readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  int16(): number {
    this.at += 2;
    return this.bytes.readInt16BE(this.at - 2);
  }
  int32(): number {
    this.at += 4;
    return this.bytes.readInt32BE(this.at - 4);
  }
  bool(): boolean {
    return this.bytes.readInt8(this.at++) !== 0;
  }
  private varint(): number {
    let n = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const b = this.bytes.readUInt8(this.at++);
      n += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) return n;
    }
    throw new RangeError(`a length in the metadata response is longer than five bytes, at offset ${this.at}`);
  }
  private take(n: number): Buffer {
    if (n > this.bytes.length - this.at)
      throw new RangeError(
        `the metadata response of ${this.bytes.length} bytes ends inside a field of ${n} bytes, at offset ${this.at}`,
      );
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }
  text(): string | null {
    const n = this.varint();
    return n === 0 ? null : this.take(n - 1).toString();
  }
  /** The UUID as Kafka prints it (base64url). */
  uuid(): string {
    return this.take(16).toString("base64url");
  }
  array<T>(item: () => T): T[] {
    const n = this.varint();
    const out: T[] = [];
    for (let i = 1; i < n; i++) out.push(item());
    return out;
  }
  tags(): void {
    for (let n = this.varint(); n > 0; n--) {
      this.varint();
      this.take(this.varint());
    }
  }
}
