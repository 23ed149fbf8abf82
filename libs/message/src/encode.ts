import { ByteWriter } from "@cinderblock/bytes";
import { COLUMNS, type Column, MAX_DEPTH, Tag, VERSION } from "./types.ts";

/**
 * Encodes a value: undefined, null, booleans, numbers, bigints below 2^64 in magnitude, text, bytes, typed
 * arrays, arrays and plain objects of these. Undefined fields are left out. Format: docs/formats/message.md
 *
 *   version <1b> = 1 | tag <1b>, content       records and lists hold values in turn
 *
 * @param room approximate size of the result in bytes
 * @param before a byte before the message: columns are then unaligned
 * @returns bytes that the caller owns; their buffer may be larger
 * @throws TypeError for a function, a symbol or another typed array, RangeError for more than 64 levels
 */
export function encodeMessage(value: unknown, room = 1024, before?: number): Uint8Array {
  const out = new ByteWriter(room);
  if (before !== undefined) out.u8(before);
  out.u8(VERSION);
  /** field name -> number, in order of first use */
  const names = new Map<string, number>();
  put(out, value, names, 0);
  return out.finish();
}

/**
 * Appends one value. Field names are numbered by their first use: 0 and the name, later only its number + 1.
 */
function put(out: ByteWriter, value: unknown, names: Map<string, number>, depth: number): void {
  if (depth > MAX_DEPTH) throw new RangeError(`the message is nested deeper than ${MAX_DEPTH} levels`);
  switch (typeof value) {
    case "undefined":
      out.u8(Tag.nothing);
      return;
    case "boolean":
      out.u8(value ? Tag.yes : Tag.no);
      return;
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
        out.u8(value < 0 ? Tag.negative : Tag.natural);
        out.uvarint(Math.abs(value));
      } else {
        out.u8(Tag.real);
        const b = new DataView(new ArrayBuffer(8));
        b.setFloat64(0, value, true);
        out.bytes(new Uint8Array(b.buffer));
      }
      return;
    case "bigint":
      out.u8(Tag.big);
      out.u8(value < 0n ? 1 : 0);
      out.u64le(value < 0n ? -value : value);
      return;
    case "string":
      out.u8(Tag.text);
      out.str(value);
      return;
    case "object":
      break;
    default:
      throw new TypeError(`a value of type ${typeof value} cannot be encoded in a message`);
  }
  if (value === null) {
    out.u8(Tag.none);
    return;
  }
  if (value instanceof Uint8Array || isKind(value, "Uint8Array")) {
    const b = value as Uint8Array;
    out.u8(Tag.bytes);
    out.uvarint(b.length);
    out.bytes(b);
    return;
  }
  if (ArrayBuffer.isView(value)) {
    putColumn(out, value as Column);
    return;
  }
  if (Array.isArray(value)) {
    out.u8(Tag.list);
    out.uvarint(value.length);
    for (const v of value) put(out, v, names, depth + 1);
    return;
  }
  const fields = Object.entries(value).filter(([, v]) => v !== undefined);
  out.u8(Tag.record);
  out.uvarint(fields.length);
  for (const [name, v] of fields) {
    const known = names.get(name);
    out.uvarint(known === undefined ? 0 : known + 1);
    if (known === undefined) {
      names.set(name, names.size);
      out.str(name);
    }
    put(out, v, names, depth + 1);
  }
}

/** Compares the class name instead of the class, because a value may come from another realm. */
function isKind(value: object, name: string): boolean {
  return Object.prototype.toString.call(value) === `[object ${name}]`;
}

/** Appends a typed array in its memory layout, which is little endian on all supported machines. */
function putColumn(out: ByteWriter, column: Column): void {
  const kind = COLUMNS.findIndex((c) => isKind(column, c.name));
  if (kind < 0)
    throw new TypeError(`a ${Object.prototype.toString.call(column)} cannot be encoded in a message`);
  out.u8(Tag.column);
  out.u8(kind);
  out.uvarint(column.length);
  // Aligned to the element size within the message, so that a reader may use it in place.
  while (out.length % COLUMNS[kind]!.BYTES_PER_ELEMENT !== 0) out.u8(0);
  out.bytes(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
}
