import { create, type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";

/**
 * A message whose bytes are already encoded. Connect writes unknown fields unchanged, so the whole message
 * travels as one unknown field: its first tag, and all bytes after it. JSON callers get the message decoded.
 * The binary path creates no object per value.
 */
export function rawMessage<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
  json: boolean,
): MessageShape<D> {
  if (json) return fromBinary(schema, bytes);
  const message = create(schema);
  if (bytes.length === 0) return message;
  let tag = 0,
    at = 0;
  for (let shift = 0; ; shift += 7) {
    const b = bytes[at++]!;
    tag |= (b & 127) << shift;
    if (b < 128) break;
  }
  message.$unknown = [{ no: tag >>> 3, wireType: tag & 7, data: bytes.subarray(at) }];
  return message;
}

/** Bytes of a message with one length-delimited field. */
export function encodeBytesField(field: number, bytes: Uint8Array): Uint8Array {
  const head: number[] = [field * 8 + 2];
  let n = bytes.length;
  while (n > 127) {
    head.push((n & 127) | 128);
    n >>>= 7;
  }
  head.push(n);
  const out = new Uint8Array(head.length + bytes.length);
  out.set(head);
  out.set(bytes, head.length);
  return out;
}
