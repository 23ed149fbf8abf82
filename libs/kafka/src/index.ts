export { connectWithRetries } from "./connect.ts";
export { InMemoryLog } from "./in-memory.ts";
export { KafkaLog } from "./kafka-log.ts";
export type { KafkaConfig } from "./kafka-log.ts";
export { endOffsets, offsetRange } from "./partitioned-log.ts";
export type {
  LogRecord,
  OffsetRange,
  PartitionedLog,
  PartitionReader,
  ReadOptions,
  TopicOffsets,
} from "./partitioned-log.ts";
export { tokenProvider } from "./oauth.ts";
export type { OAuthConfig } from "./oauth.ts";
