import { ByteWriter } from "@cinderblock/bytes";
import { COLUMNS, type Column, MAX_DEPTH, Tag, VERSION } from "./types.ts";

/**
 * A value as bytes: undefined, null, booleans, numbers, bigints below 2^64, text, bytes, typed arrays, arrays and plain
 * objects of them. Fields that are undefined are left out. Format: docs/formats/message.md
 * The bytes are the caller's, their buffer may be larger.
 * @param room bytes that it will need, about
 * @param before a byte in front of the message: columns are not aligned then
 */
export function encodeMessage(value: unknown, room = 1024, before?: number): Uint8Array {
  const out = new ByteWriter(room);
  if (before !== undefined) out.u8(before);
  out.u8(VERSION);
  /** field name -> number, in order of first sight */
  const names = new Map<string, number>();
  put(out, value, names, 0);
  return out.finish();
}

function put(out: ByteWriter, value: unknown, names: Map<string, number>, depth: number): void {
  if (depth > MAX_DEPTH) throw new RangeError(`a message is nested deeper than ${MAX_DEPTH}`);
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
      throw new TypeError(`a message cannot hold a ${typeof value}`);
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

/** By name, not by class: a value may come from another realm. */
function isKind(value: object, name: string): boolean {
  return Object.prototype.toString.call(value) === `[object ${name}]`;
}

function putColumn(out: ByteWriter, column: Column): void {
  const kind = COLUMNS.findIndex((c) => isKind(column, c.name));
  if (kind < 0) throw new TypeError(`a message cannot hold a ${Object.prototype.toString.call(column)}`);
  out.u8(Tag.column);
  out.u8(kind);
  out.uvarint(column.length);
  // Aligned to the element's size in the message, so that a reader may look at it in place.
  while (out.length % COLUMNS[kind]!.BYTES_PER_ELEMENT !== 0) out.u8(0);
  out.bytes(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
}
