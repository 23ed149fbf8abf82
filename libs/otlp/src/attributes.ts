import { decodeUtf8, ShortRead, WireReader } from "@cinderblock/bytes";
import type { OtlpAttribute, OtlpValue } from "./tables.ts";

const MAX_DEPTH = 16;

/** Base of the decoder: reads attributes and their values. Each method reads one message that ends at `to`. */
export abstract class AttributeReader extends WireReader {
  protected view = new DataView(this.bytes.buffer);

  protected error(what: string): ShortRead {
    return new ShortRead(this.pos, what);
  }

  /** End of the message that begins here. */
  protected message(end: number): number {
    const n = this.size(end);
    return this.pos + n;
  }

  /** A string field's text. */
  protected text(to: number): string {
    const end = this.message(to),
      out = decodeUtf8(this.bytes, this.pos, end);
    this.pos = end;
    return out;
  }

  /** AnyValue: 1 string, 2 bool, 3 int, 4 double, 5 array. Other kinds leave the value undefined. */
  protected anyValue(to: number, depth: number): OtlpValue {
    if (depth > MAX_DEPTH) throw this.error(`expected values nested at most ${MAX_DEPTH} deep`);
    let value: OtlpValue;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 10:
          value = this.text(to);
          break;
        case 16:
          this.varint(to);
          value = (this.lo | this.hi) !== 0;
          break;
        case 24:
          this.varint(to);
          value = this.bigInt64();
          break;
        case 33:
          value = this.view.getFloat64(this.fixed64(to), true);
          break;
        case 42: {
          const end = this.message(to),
            list: OtlpValue[] = [];
          while (this.pos < end) {
            const inner = this.varint(end);
            if (inner === 10) list.push(this.anyValue(this.message(end), depth + 1));
            else this.skip(inner & 7, end);
          }
          value = list;
          break;
        }
        default:
          this.skip(tag & 7, to);
      }
    }
    return value;
  }

  /** Skips 8 bytes; returns their position. */
  protected fixed64(to: number): number {
    const at = this.pos;
    if (to - at < 8) throw this.error("unexpected EOF");
    this.pos = at + 8;
    return at;
  }

  /** KeyValue: 1 key, 2 value. */
  protected attribute(to: number): OtlpAttribute {
    const a: OtlpAttribute = { key: "", value: undefined };
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 10) a.key = this.text(to);
      else if (tag === 18) a.value = this.anyValue(this.message(to), 0);
      else this.skip(tag & 7, to);
    }
    return a;
  }

  /** Attributes of a Resource (field 1) or an InstrumentationScope (field 3). */
  protected attributes(to: number, field: number, into: OtlpAttribute[]): void {
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === field * 8 + 2) into.push(this.attribute(this.message(to)));
      else this.skip(tag & 7, to);
    }
  }
}
