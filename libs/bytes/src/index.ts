export { crc32c } from "./crc32c.ts";
export { ByteReader, ShortRead } from "./reader.ts";
export { ByteWriter } from "./writer.ts";
export {
  compareBytes,
  compareUtf8,
  decodeUtf8,
  encodeUtf8,
  encodeUtf8Into,
  sortUtf8,
  utf8Length,
} from "./utf8.ts";
export { fnv1, fnv1a, hash128, hashRange, loadHasher, mix32, viewOf } from "./hash.ts";
export type { Hasher } from "./hash.ts";
export { deltaPackInt32, deltaPackInt64, deltaUnpackInt32, deltaUnpackInt64 } from "./delta-pack.ts";
export type { DeltaBounds } from "./delta-pack.ts";
export { WireReader } from "./wire.ts";
