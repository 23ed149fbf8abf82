import { crc32c } from "@cinderblock/bytes";
import type { KafkajsEncoder } from "./parts-encoder.ts";

/** The input fields of kafkajs's batch encoder that this module reads; `records` are already encoded. */
export interface BatchFields {
  compression?: number;
  firstOffset?: bigint;
  firstTimestamp?: number;
  maxTimestamp?: number;
  partitionLeaderEpoch?: number;
  lastOffsetDelta?: number;
  transactional?: boolean;
  producerId?: bigint | number;
  producerEpoch?: number;
  firstSequence?: number;
  records?: readonly KafkajsEncoder[];
}
interface Writer extends KafkajsEncoder {
  parts(): readonly Buffer[];
  writeInt8(n: number): this;
  writeInt16(n: number): this;
  writeInt32(n: number): this;
  writeUInt32(n: number): this;
  writeInt64(n: bigint | number): this;
}
/** kafkajs's module that encodes batches. */
export interface BatchModule {
  MAGIC_BYTE: number;
  RecordBatch(fields: BatchFields): Promise<KafkajsEncoder>;
}

/** Bits of a batch's attributes. */
const CODEC = 7,
  TRANSACTIONAL = 16;
const EPOCH_BYTES = 4,
  MAGIC_BYTES = 1,
  CRC_BYTES = 4;

/**
 * kafkajs's record batches (version 2 of the format: https://kafka.apache.org/documentation/#recordbatch).
 * The checksum runs over the encoder's parts, which avoids joining them twice. kafkajs still encodes
 * compressed batches.
 */
export function copyFreeRecordBatch(base: BatchModule, Parts: new () => KafkajsEncoder): BatchModule {
  const make = (): Writer => new Parts() as Writer;
  return {
    ...base,
    RecordBatch: async (fields) => {
      const {
        compression = 0,
        firstOffset = 0n,
        firstTimestamp = Date.now(),
        maxTimestamp = Date.now(),
        partitionLeaderEpoch = 0,
        lastOffsetDelta = 0,
        transactional = false,
        producerId = -1n,
        producerEpoch = 0,
        firstSequence = 0,
        records = [],
      } = fields;
      if ((compression & CODEC) !== 0) return base.RecordBatch(fields);
      const body = make()
        .writeInt16(transactional ? TRANSACTIONAL : 0)
        .writeInt32(lastOffsetDelta)
        .writeInt64(firstTimestamp)
        .writeInt64(maxTimestamp)
        .writeInt64(producerId)
        .writeInt16(producerEpoch)
        .writeInt32(firstSequence)
        .writeInt32(records.length)
        .writeEncoderArray(records);
      const crc = body.parts().reduce((c, part) => crc32c(part, 0, part.length, c), 0);
      return make()
        .writeInt64(firstOffset)
        .writeInt32(EPOCH_BYTES + MAGIC_BYTES + CRC_BYTES + body.size())
        .writeInt32(partitionLeaderEpoch)
        .writeInt8(base.MAGIC_BYTE)
        .writeUInt32(crc)
        .writeEncoder(body);
    },
  };
}
