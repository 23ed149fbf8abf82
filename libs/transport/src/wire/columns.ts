import { CinderblockError } from "@cinderblock/errors";

type Column = Int32Array | Uint32Array | Float64Array | BigInt64Array | BigUint64Array;
type ColumnType<T extends Column> = {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): T;
};

/** Bytes of a column as it lies in memory, little-endian; a view, without a copy. */
export function bytesOf(column: Column): Uint8Array {
  return new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
}

/**
 * Column of the bytes of a message, in memory of its own: it is aligned, and threads can take it over without
 * the rest of the message.
 * @throws `invalid` for a part of an element
 */
export function columnOf<T extends Column>(type: ColumnType<T>, bytes: Uint8Array): T {
  const size = type.BYTES_PER_ELEMENT;
  if (bytes.length % size !== 0)
    throw new CinderblockError(
      "invalid",
      `expected a ${type.name} of ${size} bytes per element, found ${bytes.length} bytes`,
    );
  return new type(copyOf(bytes).buffer, 0, bytes.length / size);
}

/** Bytes of a message in memory of their own. A `slice` of a Buffer would be a view. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
