import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { CinderblockError, messageOf } from "@cinderblock/errors";

/** Bytes of a field from this size on are a part of their own: copying them costs more than a further part. */
const PART_BYTES = 4 << 10;

/**
 * Encodes a message as parts that form it when joined. Large bytes of its own fields are not copied; the
 * order of fields does not matter in protobuf.
 */
export function encodeParts<M extends DescMessage>(schema: M, init: MessageInitShape<M>): Uint8Array[] {
  const message = create(schema, init),
    large: Uint8Array[] = [];
  let rest: Record<string, unknown> | undefined;
  for (const field of schema.fields) {
    if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.BYTES || field.oneof) continue;
    const bytes = (message as Record<string, unknown>)[field.localName] as Uint8Array | undefined;
    if (bytes === undefined || bytes.length < PART_BYTES) continue;
    rest ??= { ...message };
    rest[field.localName] = new Uint8Array(0);
    large.push(
      new BinaryWriter().tag(field.number, WireType.LengthDelimited).uint32(bytes.length).finish(),
      bytes,
    );
  }
  const first = toBinary(schema, (rest as MessageShape<M> | undefined) ?? message);
  return large.length === 0 ? [first] : first.length === 0 ? large : [first, ...large];
}

/** Decodes a message; its bytes are views. @throws `invalid` */
export function decodeBody<M extends DescMessage>(schema: M, body: Uint8Array | undefined): MessageShape<M> {
  try {
    return fromBinary(schema, body ?? new Uint8Array(0));
  } catch (err) {
    throw new CinderblockError("invalid", `message ${schema.typeName} is malformed: ${messageOf(err)}`, {
      cause: err,
    });
  }
}
