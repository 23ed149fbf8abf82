import { encodeUtf8 } from "@cinderblock/bytes";
import { ByteColumn } from "@cinderblock/columnar";
import {
  type OtlpAttribute,
  type OtlpProfile,
  OtlpTables,
  type OtlpValue,
  type OtlpValueType,
} from "./tables.ts";

type Json = Record<string, unknown>;
const object = (v: unknown): Json => {
  if (v === undefined || v === null) return {};
  if (typeof v !== "object" || Array.isArray(v)) throw new SyntaxError("expected an object");
  return v as Json;
};
const list = (v: unknown): unknown[] => {
  if (v === undefined || v === null) return [];
  if (!Array.isArray(v)) throw new SyntaxError("expected a list");
  return v;
};
const text = (v: unknown): string =>
  v === undefined || v === null ? "" : typeof v === "string" ? v : refuse("a string");
/** 64-bit integers are strings in protojson; numbers are accepted too. */
const big = (v: unknown): bigint => {
  if (v === undefined || v === null) return 0n;
  if ((typeof v === "string" && /^-?\d+$/.test(v)) || (typeof v === "number" && Number.isSafeInteger(v)))
    return BigInt(v);
  return refuse("an integer");
};
const i64 = (v: unknown): bigint => BigInt.asIntN(64, big(v));
/** An index or a line; an impossible value becomes 0xffffffff. */
const u32 = (v: unknown): number => {
  const n = Number(big(v));
  return n >= 0 && n < 0xffff_ffff ? n : 0xffff_ffff;
};
function refuse(what: string): never {
  throw new SyntaxError(`expected ${what}`);
}
/** IDs of traces and spans are hex in OTLP's JSON. */
const hex = (v: unknown): Uint8Array => {
  const s = text(v);
  if (!/^([0-9a-fA-F]{2})*$/.test(s)) refuse("hexadecimal digits");
  return Uint8Array.from(Buffer.from(s, "hex"));
};

/** Decodes OTLP's JSON to the same tables; field names are in lowerCamelCase. @throws SyntaxError */
export function decodeExportJson(bytes: Uint8Array): OtlpTables {
  const json = object(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"))),
    t = new OtlpTables();
  if (json.dictionary !== undefined && json.dictionary !== null) {
    t.hasDictionary = true;
    dictionary(object(json.dictionary), t);
  }
  for (const r of list(json.resourceProfiles).map(object)) {
    t.resources.push({
      attributes: attributes(object(r.resource).attributes),
      scopes: list(r.scopeProfiles)
        .map(object)
        .map((s) => ({
          attributes: attributes(object(s.scope).attributes),
          profiles: list(s.profiles).map((p) => profile(object(p), t)),
        })),
    });
  }
  return t;
}

function value(v: unknown, depth = 0): OtlpValue {
  if (depth > 16) throw new SyntaxError("expected values nested at most 16 deep");
  const o = object(v);
  if (o.stringValue !== undefined) return text(o.stringValue);
  if (o.boolValue !== undefined) return o.boolValue === true;
  if (o.intValue !== undefined) return big(o.intValue);
  if (o.doubleValue !== undefined) return Number(o.doubleValue);
  if (o.arrayValue !== undefined) return list(object(o.arrayValue).values).map((x) => value(x, depth + 1));
  return undefined;
}

function attributes(v: unknown): OtlpAttribute[] {
  return list(v)
    .map(object)
    .map((a) => ({ key: text(a.key), value: value(a.value) }));
}
function valueType(v: unknown): OtlpValueType {
  const o = object(v);
  return { type: u32(o.typeStrindex), unit: u32(o.unitStrindex) };
}

function dictionary(d: Json, t: OtlpTables): void {
  const texts = new ByteColumn(4096);
  const put = (b: Uint8Array): number => {
    texts.append(b, 0, b.length);
    return texts.length;
  };
  for (const m of list(d.mappingTable).map(object)) {
    t.mappingStart.push(i64(m.memoryStart));
    t.mappingLimit.push(i64(m.memoryLimit));
    t.mappingOffset.push(i64(m.fileOffset));
    t.mappingFilename.push(u32(m.filenameStrindex));
    for (const a of list(m.attributeIndices)) t.mappingAttribute.push(u32(a));
    t.mappingAttributes.push(t.mappingAttribute.length);
  }
  for (const l of list(d.locationTable).map(object)) {
    t.locMapping.push(u32(l.mappingIndex));
    t.locAddress.push(i64(l.address));
    for (const x of list(l.lines).map(object)) {
      t.lineFunction.push(u32(x.functionIndex));
      t.lineNumber.push(u32(x.line));
    }
    t.locLines.push(t.lineNumber.length);
  }
  for (const f of list(d.functionTable).map(object)) {
    t.funcName.push(u32(f.nameStrindex));
    t.funcSystemName.push(u32(f.systemNameStrindex));
    t.funcFilename.push(u32(f.filenameStrindex));
    t.funcStartLine.push(u32(f.startLine));
  }
  for (const l of list(d.linkTable).map(object)) {
    t.linkTraceStart.push(texts.length);
    t.linkTraceEnd.push(put(hex(l.traceId)));
    t.linkSpanStart.push(texts.length);
    t.linkSpanEnd.push(put(hex(l.spanId)));
  }
  for (const s of list(d.stringTable)) {
    t.stringStart.push(texts.length);
    t.stringEnd.push(put(encodeUtf8(text(s))));
  }
  for (const a of list(d.attributeTable).map(object))
    t.attributes.push({ key: u32(a.keyStrindex), value: value(a.value) });
  for (const s of list(d.stackTable).map(object)) {
    for (const l of list(s.locationIndices)) t.stackLocation.push(u32(l));
    t.stackLocations.push(t.stackLocation.length);
  }
  t.bytes = texts.view();
}

function profile(p: Json, t: OtlpTables): OtlpProfile {
  const sampleFrom = t.samples;
  for (const s of list(p.samples).map(object)) {
    t.sampleStack.push(u32(s.stackIndex));
    t.sampleLink.push(u32(s.linkIndex));
    t.sampleTimestamps.push(list(s.timestampsUnixNano).length);
    for (const v of list(s.values)) t.value.push(i64(v));
    t.sampleValues.push(t.value.length);
    for (const a of list(s.attributeIndices)) t.sampleAttribute.push(u32(a));
    t.sampleAttributes.push(t.sampleAttribute.length);
  }
  return {
    sampleType: valueType(p.sampleType),
    sampleFrom,
    sampleTo: t.samples,
    timeNanos: big(p.timeUnixNano),
    durationNanos: big(p.durationNano),
    periodType: valueType(p.periodType),
    period: big(p.period),
  };
}
