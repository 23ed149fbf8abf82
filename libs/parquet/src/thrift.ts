import { type ByteReader, ByteWriter, decodeUtf8, ShortRead } from "@cinderblock/bytes";

/**
 * Types of the Thrift compact protocol that Parquet's footer and page headers use.
 *
 *   struct: field ... 0x00        field: (delta of the ID << 4 | type) <1b>, value      delta 1 to 15
 *                                        (0 << 4 | type) <1b>, zig-zag ID, value        otherwise
 *   list:   (size << 4 | type) <1b>, values            size 15: the size follows as a uvarint
 *   binary: uvarint size, bytes      i16, i32, i64: zig-zag varint      bool of a field: its type, no value
 */
const T = {
  TRUE: 1,
  FALSE: 2,
  BYTE: 3,
  I16: 4,
  I32: 5,
  I64: 6,
  DOUBLE: 7,
  BINARY: 8,
  LIST: 9,
  SET: 10,
  MAP: 11,
  STRUCT: 12,
} as const;

/**
 * A decoded value. Binary values are views; an i64 beyond 2^53 is a bigint, every other number a number. A
 * map is a list of [key, value] lists.
 */
export type ThriftValue = number | boolean | bigint | Uint8Array | ThriftValue[] | ThriftStruct;
/** Fields of a Thrift struct: field ID -> value. Absent fields have no key. */
export interface ThriftStruct {
  [field: number]: ThriftValue;
}

/** Limit of nesting, so that damaged bytes cannot exhaust the call stack. */
const MAX_DEPTH = 16;

/**
 * Reads one struct and leaves the cursor after its stop byte; unknown fields are decoded as well.
 * @throws ShortRead for malformed bytes, a list longer than the bytes left, or structs nested more than 16
 * deep
 */
export function readStruct(r: ByteReader, depth = 0): ThriftStruct {
  if (depth > MAX_DEPTH) throw new ShortRead(r.pos, "expected structs nested at most 16 deep");
  const out: ThriftStruct = {};
  let id = 0;
  for (;;) {
    const head = r.u8();
    if (head === 0) return out;
    const type = head & 15;
    id = head >>> 4 === 0 ? r.varint() : id + (head >>> 4);
    out[id] = readValue(r, type, depth);
  }
}

function readValue(r: ByteReader, type: number, depth: number): ThriftValue {
  switch (type) {
    case T.TRUE:
      return true;
    case T.FALSE:
      return false;
    case T.BYTE:
      return r.u8();
    case T.I16:
    case T.I32:
      return r.varint();
    case T.I64: {
      const v = r.varint64();
      return v >= -9007199254740991n && v <= 9007199254740991n ? Number(v) : v;
    }
    case T.DOUBLE:
      return r.f64le();
    case T.BINARY: {
      const n = r.uvarint();
      return r.readBytes(n);
    }
    case T.LIST:
    case T.SET: {
      const head = r.u8();
      const element = head & 15;
      const size = head >>> 4 === 15 ? r.uvarint() : head >>> 4;
      if (size > r.left && element !== T.TRUE)
        throw new ShortRead(r.pos, `expected a list within the remaining bytes, found ${size} elements`);
      const listField: ThriftValue[] = [];
      for (let i = 0; i < size; i++)
        listField.push(
          element === T.TRUE || element === T.FALSE ? r.u8() === T.TRUE : readValue(r, element, depth + 1),
        );
      return listField;
    }
    case T.MAP: {
      const size = r.uvarint();
      if (size === 0) return [];
      const kv = r.u8();
      if (size > r.left) throw new ShortRead(r.pos, "expected a map within the remaining bytes");
      const list: ThriftValue[] = [];
      for (let i = 0; i < size; i++)
        list.push([readValue(r, kv >>> 4, depth + 1), readValue(r, kv & 15, depth + 1)]);
      return list;
    }
    case T.STRUCT:
      return readStruct(r, depth + 1);
    default:
      throw new ShortRead(r.pos, `expected a thrift type, found ${type}`);
  }
}

/** Number in a Thrift field; `otherwise` for an absent field or another type. */
export function numberField(value: ThriftValue | undefined, otherwise = 0): number {
  return typeof value === "number" ? value : otherwise;
}
/** Text in a Thrift field; "" for an absent field or another type. */
export function textField(value: ThriftValue | undefined): string {
  return value instanceof Uint8Array ? decodeUtf8(value) : "";
}
/** List in a Thrift field; empty for an absent field or another type. */
export function list(value: ThriftValue | undefined): ThriftValue[] {
  return Array.isArray(value) ? value : [];
}
/** Struct in a Thrift field; empty for an absent field or another type. */
export function structField(value: ThriftValue | undefined): ThriftStruct {
  return value !== undefined &&
    typeof value === "object" &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
    ? value
    : {};
}

/**
 * Writes structs field by field, in ascending order of field IDs; callbacks write nested structs and lists.
 * `out` has the bytes. The caller begins with `nested`, which writes the root struct.
 */
export class ThriftWriter {
  readonly out = new ByteWriter(1024);
  /** ID of the last field of the current struct, because field heads hold differences */
  private last = 0;

  private field(id: number, type: number): void {
    const delta = id - this.last;
    if (delta > 0 && delta < 16) this.out.u8((delta << 4) | type);
    else {
      this.out.u8(type);
      this.zigzag(id);
    }
    this.last = id;
  }
  private zigzag(value: number): void {
    this.out.uvarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }

  i32(id: number, value: number): void {
    this.field(id, T.I32);
    this.zigzag(value);
  }
  i64(id: number, value: number): void {
    this.field(id, T.I64);
    this.zigzag(value);
  }
  bool(id: number, value: boolean): void {
    this.field(id, value ? T.TRUE : T.FALSE);
  }
  byte(id: number, value: number): void {
    this.field(id, T.BYTE);
    this.out.u8(value);
  }
  binary(id: number, value: Uint8Array): void {
    this.field(id, T.BINARY);
    this.out.uvarint(value.length);
    this.out.bytes(value);
  }
  str(id: number, value: string): void {
    this.field(id, T.BINARY);
    this.out.str(value);
  }

  /** A field whose struct the callback writes. */
  struct(id: number, body: () => void): void {
    this.field(id, T.STRUCT);
    this.nested(body);
  }

  /** A struct without a field head: the root, or an element of a list. */
  nested(body: () => void): void {
    const { last } = this;
    this.last = 0;
    body();
    this.out.u8(0);
    this.last = last;
  }

  private listHead(id: number, size: number, element: number): void {
    this.field(id, T.LIST);
    if (size < 15) this.out.u8((size << 4) | element);
    else {
      this.out.u8(0xf0 | element);
      this.out.uvarint(size);
    }
  }
  /** A list of `size` structs; the callback writes the fields of element i. */
  structs(id: number, size: number, body: (i: number) => void): void {
    this.listHead(id, size, T.STRUCT);
    for (let i = 0; i < size; i++) this.nested(() => body(i));
  }
  i32s(id: number, values: readonly number[]): void {
    this.listHead(id, values.length, T.I32);
    for (const v of values) this.zigzag(v);
  }
  i64s(id: number, values: readonly number[]): void {
    this.listHead(id, values.length, T.I64);
    for (const v of values) this.zigzag(v);
  }
  /** Elements of a list of booleans are bytes, 1 or 2, unlike fields. */
  bools(id: number, values: readonly boolean[]): void {
    this.listHead(id, values.length, T.TRUE);
    for (const v of values) this.out.u8(v ? 1 : 2);
  }
  binaries(id: number, values: readonly Uint8Array[]): void {
    this.listHead(id, values.length, T.BINARY);
    for (const v of values) {
      this.out.uvarint(v.length);
      this.out.bytes(v);
    }
  }
  strs(id: number, values: readonly string[]): void {
    this.listHead(id, values.length, T.BINARY);
    for (const v of values) this.out.str(v);
  }
}
