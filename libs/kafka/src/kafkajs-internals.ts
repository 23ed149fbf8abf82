import type { Kafka } from "kafkajs";
import Runner from "kafkajs/src/consumer/runner.js";
import protocolErrors from "kafkajs/src/protocol/error.js";
import apiKeys from "kafkajs/src/protocol/requests/apiKeys.js";
import protocol from "kafkajs/src/protocol/requests/index.js";
import { withTopicIds } from "./metadata-request.ts";
import { endStoppedLoops } from "./stopped-runner.ts";

/** An encoded protocol request, ready to send. */
interface ProtocolRequest {
  request: {
    apiKey: number;
    apiVersion: number;
    apiName: string;
    encode: () => Promise<EncodedRequest>;
  };
  response: { decode: (bytes: Buffer) => Promise<unknown>; parse: (decoded: never) => Promise<unknown> };
}
/** The method of kafkajs's encoder that the custom requests use. */
export interface EncodedRequest {
  writeBufferInternal(bytes: Buffer): void;
}
/** Request versions of kafkajs. kafkajs picks the highest version that the broker also supports. */
export interface RequestDefinitions {
  versions: string[];
  protocol: (choice: { version: number }) => (options: object) => ProtocolRequest;
}
/** An error that a broker answered. */
export interface ProtocolError extends Error {
  /** name of the error code in the protocol's table of errors */
  type: string;
  code: number;
  retriable: boolean;
}

/** A connection to one broker. */
export interface Broker {
  lookupRequest(apiKey: number, definitions: RequestDefinitions): (options: object) => ProtocolRequest;
  connectionPool: { send(request: ProtocolRequest & { logResponseError?: boolean }): Promise<unknown> };
  disconnect(): Promise<void>;
}

interface PartitionMetadata {
  partitionErrorCode: number;
  partitionId: number;
  /** node that leads the partition; -1: no leader */
  leader: number;
  replicas: number[];
}
/** A topic in a metadata response. */
export interface TopicMetadata {
  topic: string;
  /** absent on brokers older than 2.8 */
  topicId?: string;
  partitionMetadata: PartitionMetadata[];
}

/** kafkajs's internal view of the brokers, which its admin, producer and consumer do not expose. */
export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  findBroker(of: { nodeId: number }): Promise<Broker>;
  brokerPool: {
    metadata: { topicMetadata: TopicMetadata[] } | null;
    refreshMetadata(topics: readonly string[]): Promise<void>;
    findConnectedBroker(): Promise<Broker>;
  };
}

const METADATA = "Metadata";
protocol.requests[METADATA] = withTopicIds(protocol.requests[METADATA]!, protocolErrors);

endStoppedLoops(Runner);

/** A kafkajs cluster for requests that its admin and producer do not offer. */
export function clusterOf(kafka: Kafka): Cluster {
  const own = kafka as unknown as Record<symbol, (options: object) => Cluster>;
  const create = Object.getOwnPropertySymbols(own).find((s) => s.description?.endsWith("createCluster"));
  if (create === undefined)
    throw new Error("kafkajs has no createCluster; this release of kafkajs is not supported");
  return own[create]!({ metadataMaxAge: 0, allowAutoTopicCreation: false, maxInFlightRequests: null });
}

/** Sends a request and returns the decoded response. Errors of single partitions stay in the response. */
export async function sendRequest<T>(broker: Broker, name: string, options: object): Promise<T> {
  const { request, response } = broker.lookupRequest(apiKeys[name]!, protocol.requests[name]!)(options);
  return (await broker.connectionPool.send({
    request,
    response: { decode: response.decode, parse: (decoded: unknown) => Promise.resolve(decoded) },
    logResponseError: false,
  })) as T;
}

/** The error of a protocol error code; undefined for 0 (success). */
export function protocolError(code: number): ProtocolError | undefined {
  return protocolErrors.failure(code) ? protocolErrors.createErrorFromCode(code) : undefined;
}
