import { decodeUtf8 } from "@cinderblock/bytes";
import { invalidError } from "@cinderblock/errors";
import type { OtlpTables, OtlpValue } from "@cinderblock/otlp";

/** Key of the attribute that names the service of a resource or a sample. */
export const SERVICE = "service.name";

/** Text of a string or an integer; "" for another value. */
function plainText(v: OtlpValue): string {
  return typeof v === "string" ? v : typeof v === "bigint" ? String(v) : "";
}
/** Text of an attribute value as a label: a string, an integer or a list of exactly one; "" for another. */
export function textOf(v: OtlpValue): string {
  return Array.isArray(v) ? (v.length === 1 ? plainText(v[0]) : "") : plainText(v);
}

/**
 * Checks an index of the dictionary. Index 0 means "none", whether its table is there or not.
 * @throws `invalid`
 */
export function check(index: number, size: number, what: string): number {
  if (index >= size && index !== 0)
    throw invalidError(
      `${what} index ${index | 0} is out of range: the dictionary has ${size} entries`,
      "malformed_profile",
    );
  return index;
}
export function stringOf(t: OtlpTables, i: number): string {
  if (check(i, t.strings, "string") === t.strings) return "";
  return decodeUtf8(t.bytes, t.stringStart.data[i]!, t.stringEnd.data[i]!);
}
const NO_ATTRIBUTE = { key: 0, value: undefined };
export function attributeOf(t: OtlpTables, i: number): { key: number; value: OtlpValue } {
  return t.attributes[check(i, t.attributes.length, "attribute")] ?? NO_ATTRIBUTE;
}

/**
 * Labels of samples from the dictionary's attributes and links; each entry is converted once, however many
 * samples use it.
 */
export class SampleTexts {
  private readonly t: OtlpTables;
  private readonly attributes: ({ key: number; service: string | undefined; text: string } | undefined)[] =
    [];
  private readonly links: ({ span: string; trace: string } | undefined)[] = [];
  constructor(t: OtlpTables) {
    this.t = t;
  }

  /**
   * Attribute `i`. `service`: the service that it names; undefined for other attributes, whose label is
   * `text`.
   */
  attribute(i: number): { key: number; service: string | undefined; text: string } {
    let known = this.attributes[i];
    if (!known) {
      const { key, value } = attributeOf(this.t, i),
        text = textOf(value);
      this.attributes[i] = known = {
        key,
        service: stringOf(this.t, key) === SERVICE ? text : undefined,
        text,
      };
    }
    return known;
  }

  link(i: number): { span: string; trace: string } {
    const { t } = this;
    check(i, t.links, "link");
    return (this.links[i] ??= {
      span: hex(t.bytes, t.linkSpanStart.data[i]!, t.linkSpanEnd.data[i]!),
      trace: hex(t.bytes, t.linkTraceStart.data[i]!, t.linkTraceEnd.data[i]!),
    });
  }
}

function hex(bytes: Uint8Array, from: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString("hex");
}
