import type { U32Column } from "@cinderblock/columnar";
import { AttributeReader } from "./attributes.ts";
import {
  type OtlpProfile,
  type OtlpResource,
  OtlpTables,
  type OtlpValue,
  type OtlpValueType,
} from "./tables.ts";

/**
 * Decodes an ExportProfilesServiceRequest in protobuf into `tables`, which are emptied first. O(bytes); the
 * tables refer to `bytes`, which must stay unchanged.
 * @throws ShortRead for truncated fields, groups, overlong varints, or attribute values nested more than 16
 * deep
 */
export function decodeExport(bytes: Uint8Array, tables = new OtlpTables()): OtlpTables {
  tables.clear();
  return new OtlpDecoder(tables).decode(bytes);
}

/**
 * Field numbers follow opentelemetry/proto/profiles/v1development, the collector's request and common/v1.
 * Tags are `field * 8 + wire type`: 10, 18, 26 are the messages 1, 2, 3. Each method below reads one message
 * that ends at `to`.
 */
class OtlpDecoder extends AttributeReader {
  private readonly t: OtlpTables;

  constructor(tables: OtlpTables) {
    super();
    this.t = tables;
  }

  /** An int32 as unsigned, so that a negative one lies beyond every table. */
  protected override asIndex(): number {
    return this.lo;
  }

  /**
   * ExportProfilesServiceRequest: 1 resource_profiles, 2 dictionary. The dictionary may follow the profiles.
   */
  decode(bytes: Uint8Array): OtlpTables {
    const { t } = this;
    t.bytes = this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = bytes.length;
    while (this.pos < end) {
      const tag = this.varint(end);
      if (tag === 10) t.resources.push(this.resource(this.message(end)));
      else if (tag === 18) {
        t.hasDictionary = true;
        this.dictionary(this.message(end));
      } else this.skip(tag & 7, end);
    }
    return t;
  }

  /** ProfilesDictionary: 1 mapping, 2 location, 3 function, 4 link, 5 string, 6 attribute, 7 stack tables. */
  private dictionary(to: number): void {
    const { t } = this;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 10:
          this.mapping(this.message(to));
          break;
        case 18:
          this.location(this.message(to));
          break;
        case 26:
          this.func(this.message(to));
          break;
        case 34:
          this.link(this.message(to));
          break;
        case 42: {
          const end = this.message(to);
          t.stringStart.push(this.pos);
          t.stringEnd.push(end);
          this.pos = end;
          break;
        }
        case 50:
          this.attributeRow(this.message(to));
          break;
        case 58: {
          const end = this.message(to);
          while (this.pos < end) {
            const inner = this.varint(end);
            if (inner === 10 || inner === 8) this.indices(inner, end, t.stackLocation);
            else this.skip(inner & 7, end);
          }
          t.stackLocations.push(t.stackLocation.length);
          break;
        }
        default:
          this.skip(tag & 7, to);
      }
    }
  }

  /** Appends indices of a repeated int32 field, packed or single. */
  private indices(tag: number, to: number, into: U32Column): void {
    if ((tag & 7) === 0) {
      into.push(this.index(to));
      return;
    }
    const end = this.message(to),
      { bytes } = this;
    into.reserve(end - this.pos);
    const { data } = into;
    let at = into.length,
      { pos } = this;
    while (pos < end) {
      const b = bytes[pos]!;
      if (b < 128) {
        pos++;
        data[at++] = b;
      } else if (pos + 1 < end && bytes[pos + 1]! < 128) {
        data[at++] = (b & 127) | (bytes[pos + 1]! << 7);
        pos += 2;
      } else {
        this.pos = pos;
        data[at++] = this.index(end);
        ({ pos } = this);
      }
    }
    this.pos = pos;
    into.length = at;
  }

  /** Mapping: 1 memory_start, 2 memory_limit, 3 file_offset, 4 filename, 5 attribute_indices. */
  private mapping(to: number): void {
    const { t } = this;
    let start = 0n,
      limit = 0n,
      offset = 0n,
      filename = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          this.varint(to);
          start = this.bigInt64();
          break;
        case 16:
          this.varint(to);
          limit = this.bigInt64();
          break;
        case 24:
          this.varint(to);
          offset = this.bigInt64();
          break;
        case 32:
          filename = this.index(to);
          break;
        case 40:
        case 42:
          this.indices(tag, to, t.mappingAttribute);
          break;
        default:
          this.skip(tag & 7, to);
      }
    }
    t.mappingStart.push(start);
    t.mappingLimit.push(limit);
    t.mappingOffset.push(offset);
    t.mappingFilename.push(filename);
    t.mappingAttributes.push(t.mappingAttribute.length);
  }

  /** Location: 1 mapping_index, 2 address, 3 lines; Line: 1 function_index, 2 line. */
  private location(to: number): void {
    const { t } = this;
    let mapping = 0,
      lo = 0,
      hi = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          mapping = this.index(to);
          break;
        case 16:
          this.varint(to);
          lo = this.lo;
          hi = this.hi;
          break;
        case 26: {
          const end = this.message(to);
          let fn = 0,
            line = 0;
          while (this.pos < end) {
            const inner = this.varint(end);
            if (inner === 8) fn = this.index(end);
            else if (inner === 16) line = this.varint(end);
            else this.skip(inner & 7, end);
          }
          t.lineFunction.push(fn);
          t.lineNumber.push(line);
          break;
        }
        default:
          this.skip(tag & 7, to);
      }
    }
    t.locMapping.push(mapping);
    const { locAddress } = t;
    locAddress.reserve(1);
    locAddress.words[2 * locAddress.length] = lo;
    locAddress.words[2 * locAddress.length++ + 1] = hi;
    t.locLines.push(t.lineNumber.length);
  }

  /** Function: 1 name, 2 system_name, 3 filename, 4 start_line. */
  private func(to: number): void {
    const { t } = this;
    let name = 0,
      systemName = 0,
      filename = 0,
      startLine = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          name = this.index(to);
          break;
        case 16:
          systemName = this.index(to);
          break;
        case 24:
          filename = this.index(to);
          break;
        case 32:
          startLine = this.varint(to);
          break;
        default:
          this.skip(tag & 7, to);
      }
    }
    t.funcName.push(name);
    t.funcSystemName.push(systemName);
    t.funcFilename.push(filename);
    t.funcStartLine.push(startLine);
  }

  /** Link: 1 trace_id, 2 span_id, as ranges of the message. */
  private link(to: number): void {
    const { t } = this;
    let trace = 0,
      traceEnd = 0,
      span = 0,
      spanEnd = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 10) {
        traceEnd = this.message(to);
        trace = this.pos;
        this.pos = traceEnd;
      } else if (tag === 18) {
        spanEnd = this.message(to);
        span = this.pos;
        this.pos = spanEnd;
      } else this.skip(tag & 7, to);
    }
    t.linkTraceStart.push(trace);
    t.linkTraceEnd.push(traceEnd);
    t.linkSpanStart.push(span);
    t.linkSpanEnd.push(spanEnd);
  }

  /** KeyValueAndUnit of the attribute table: 1 key, 2 value. The unit is not read. */
  private attributeRow(to: number): void {
    let key = 0,
      value: OtlpValue;
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 8) key = this.index(to);
      else if (tag === 18) value = this.anyValue(this.message(to), 0);
      else this.skip(tag & 7, to);
    }
    this.t.attributes.push({ key, value });
  }

  /** ResourceProfiles: 1 resource, 2 scope_profiles; ScopeProfiles: 1 scope, 2 profiles. */
  private resource(to: number): OtlpResource {
    const out: OtlpResource = { attributes: [], scopes: [] };
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 10) this.attributes(this.message(to), 1, out.attributes);
      else if (tag === 18) {
        const end = this.message(to),
          scope: OtlpResource["scopes"][number] = { attributes: [], profiles: [] };
        while (this.pos < end) {
          const inner = this.varint(end);
          if (inner === 10) this.attributes(this.message(end), 3, scope.attributes);
          else if (inner === 18) scope.profiles.push(this.profile(this.message(end)));
          else this.skip(inner & 7, end);
        }
        out.scopes.push(scope);
      } else this.skip(tag & 7, to);
    }
    return out;
  }

  /** ValueType: 1 type, 2 unit. */
  private valueType(to: number): OtlpValueType {
    const out = { type: 0, unit: 0 };
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 8) out.type = this.index(to);
      else if (tag === 16) out.unit = this.index(to);
      else this.skip(tag & 7, to);
    }
    return out;
  }

  /**
   * Profile: 1 sample_type, 2 samples, 3 time_unix_nano (fixed64), 4 duration_nano, 5 period_type, 6 period.
   */
  private profile(to: number): OtlpProfile {
    const { t } = this;
    const p: OtlpProfile = {
      sampleType: undefined,
      sampleFrom: t.samples,
      sampleTo: t.samples,
      timeNanos: 0n,
      durationNanos: 0n,
      periodType: { type: 0, unit: 0 },
      period: 0n,
    };
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 10:
          p.sampleType = this.valueType(this.message(to));
          break;
        case 18:
          this.sample(this.message(to));
          break;
        case 25:
          p.timeNanos = this.view.getBigUint64(this.fixed64(to), true);
          break;
        case 32:
          this.varint(to);
          p.durationNanos = this.bigInt64();
          break;
        case 42:
          p.periodType = this.valueType(this.message(to));
          break;
        case 48:
          this.varint(to);
          p.period = this.bigInt64();
          break;
        default:
          this.skip(tag & 7, to);
      }
    }
    p.sampleTo = t.samples;
    return p;
  }

  /**
   * Sample: 1 stack_index, 2 attribute_indices, 3 link_index, 4 values, 5 timestamps_unix_nano (fixed64, only
   * counted).
   */
  private sample(to: number): void {
    const { t } = this,
      { value } = t;
    let stack = 0,
      link = 0,
      timestamps = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          stack = this.index(to);
          break;
        case 16:
        case 18:
          this.indices(tag, to, t.sampleAttribute);
          break;
        case 24:
          link = this.index(to);
          break;
        case 32:
          this.pushValue(to);
          break;
        case 34: {
          const end = this.message(to);
          // A value takes at least one byte.
          value.reserve(end - this.pos);
          while (this.pos < end) this.pushValue(end);
          break;
        }
        case 41:
          this.fixed64(to);
          timestamps++;
          break;
        case 42: {
          const n = this.size(to);
          if (n % 8 !== 0) throw this.error("expected packed timestamps of 8 bytes each");
          this.pos += n;
          timestamps += n / 8;
          break;
        }
        default:
          this.skip(tag & 7, to);
      }
    }
    t.sampleStack.push(stack);
    t.sampleLink.push(link);
    t.sampleTimestamps.push(timestamps);
    t.sampleValues.push(value.length);
    t.sampleAttributes.push(t.sampleAttribute.length);
  }

  private pushValue(end: number): void {
    const { value } = this.t;
    this.varint(end);
    value.reserve(1);
    value.words[2 * value.length] = this.lo;
    value.words[2 * value.length++ + 1] = this.hi;
  }
}
