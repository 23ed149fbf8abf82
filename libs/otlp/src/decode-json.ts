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

/** Fields of each message by their name in JSON, whether this decoder reads them or not. */
const FIELDS = {
  request: ["resourceProfiles", "dictionary"],
  dictionary: [
    "mappingTable",
    "locationTable",
    "functionTable",
    "linkTable",
    "stringTable",
    "attributeTable",
    "stackTable",
  ],
  resourceProfiles: ["resource", "scopeProfiles", "schemaUrl"],
  resource: ["attributes", "droppedAttributesCount", "entityRefs"],
  scopeProfiles: ["scope", "profiles", "schemaUrl"],
  scope: ["name", "version", "attributes", "droppedAttributesCount"],
  profile: [
    "sampleType",
    "samples",
    "timeUnixNano",
    "durationNano",
    "periodType",
    "period",
    "profileId",
    "droppedAttributesCount",
    "originalPayloadFormat",
    "originalPayload",
    "attributeIndices",
  ],
  sample: ["stackIndex", "values", "attributeIndices", "linkIndex", "timestampsUnixNano"],
  valueType: ["typeStrindex", "unitStrindex"],
  mapping: ["memoryStart", "memoryLimit", "fileOffset", "filenameStrindex", "attributeIndices"],
  location: ["mappingIndex", "address", "lines", "attributeIndices"],
  line: ["functionIndex", "line", "column"],
  function: ["nameStrindex", "systemNameStrindex", "filenameStrindex", "startLine"],
  link: ["traceId", "spanId"],
  stack: ["locationIndices"],
  attribute: ["keyStrindex", "value", "unitStrindex"],
  keyValue: ["key", "value", "keyStrindex"],
  value: [
    "stringValue",
    "boolValue",
    "intValue",
    "doubleValue",
    "arrayValue",
    "kvlistValue",
    "bytesValue",
    "stringValueStrindex",
  ],
  array: ["values"],
} as const satisfies Record<string, readonly string[]>;
type Message = keyof typeof FIELDS;

/** message -> name of a field in JSON or in the schema -> name in JSON */
const NAMES: ReadonlyMap<Message, ReadonlyMap<string, string>> = new Map(
  (Object.keys(FIELDS) as Message[]).map((m) => [
    m,
    new Map(
      FIELDS[m].flatMap((f) => [
        [f, f],
        [f.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), f],
      ]),
    ),
  ]),
);

/**
 * Fields of a message by their names in JSON. Like v1, refuses a field that the schema does not have: data of
 * another version of the schema would be lost unseen.
 */
const fieldsOf = (v: unknown, message: Message): Json => {
  if (v === undefined || v === null) return {};
  if (typeof v !== "object" || Array.isArray(v)) throw new SyntaxError("expected an object");
  const names = NAMES.get(message)!;
  let renamed: Json | undefined;
  for (const key of Object.keys(v)) {
    const name = names.get(key);
    if (name === undefined) throw new SyntaxError(`unknown field ${JSON.stringify(key)} in a ${message}`);
    if (name !== key) (renamed ??= { ...(v as Json) })[name] = (v as Json)[key];
  }
  return renamed ?? (v as Json);
};
const list = (v: unknown): unknown[] => {
  if (v === undefined || v === null) return [];
  if (!Array.isArray(v)) throw new SyntaxError("expected a list");
  return v;
};
const text = (v: unknown): string =>
  v === undefined || v === null ? "" : typeof v === "string" ? v : refuse("a string");
/** 64-bit integers are strings in protojson; numbers are accepted too. */
const integer = (v: unknown, min: bigint, max: bigint): bigint => {
  if (v === undefined || v === null) return 0n;
  if (
    (typeof v === "string" && /^-?\d{1,20}$/.test(v)) ||
    (typeof v === "number" && Number.isSafeInteger(v))
  ) {
    const n = BigInt(v);
    if (n >= min && n <= max) return n;
  }
  return refuse(`an integer from ${min} to ${max}, found ${JSON.stringify(v)}`);
};
const i64 = (v: unknown): bigint => integer(v, -(1n << 63n), (1n << 63n) - 1n);
const u64 = (v: unknown): bigint => integer(v, 0n, (1n << 64n) - 1n);
/** An int32 as unsigned, so that a negative index lies beyond every table. */
const index = (v: unknown): number => {
  if (typeof v === "number" && (v | 0) === v) return v >>> 0;
  return Number(BigInt.asUintN(32, integer(v, -(1n << 31n), (1n << 31n) - 1n)));
};
/** The low 32 bits of a line number. */
const line = (v: unknown): number => Number(BigInt.asUintN(32, i64(v)));
function refuse(what: string): never {
  throw new SyntaxError(`expected ${what}`);
}
/** IDs of traces and spans are hex in OTLP's JSON. */
const hex = (v: unknown): Uint8Array => {
  const s = text(v);
  if (!/^([0-9a-fA-F]{2})*$/.test(s)) refuse("hexadecimal digits");
  return Uint8Array.from(Buffer.from(s, "hex"));
};

/**
 * Decodes OTLP's JSON to the same tables; field names are in lowerCamelCase or, as protojson allows, those of
 * the schema. 64-bit integers may be strings or numbers; IDs of traces and spans are hex, unlike protojson's
 * base64.
 * @throws SyntaxError for bytes that are not JSON, unknown fields, and values of another type or out of range
 */
export function decodeExportJson(bytes: Uint8Array): OtlpTables {
  const json = fieldsOf(
      JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")),
      "request",
    ),
    t = new OtlpTables();
  if (json.dictionary !== undefined && json.dictionary !== null) {
    t.hasDictionary = true;
    dictionary(fieldsOf(json.dictionary, "dictionary"), t);
  }
  for (const x of list(json.resourceProfiles)) {
    const r = fieldsOf(x, "resourceProfiles");
    t.resources.push({
      attributes: attributes(fieldsOf(r.resource, "resource").attributes),
      scopes: list(r.scopeProfiles).map((y) => {
        const s = fieldsOf(y, "scopeProfiles");
        return {
          attributes: attributes(fieldsOf(s.scope, "scope").attributes),
          profiles: list(s.profiles).map((p) => profile(fieldsOf(p, "profile"), t)),
        };
      }),
    });
  }
  return t;
}

// AnyValue; a missing kind, key-value lists and bytes are undefined.
function value(v: unknown, depth = 0): OtlpValue {
  if (depth > 16) throw new SyntaxError("expected values nested at most 16 deep");
  const o = fieldsOf(v, "value");
  if (o.stringValue !== undefined) return text(o.stringValue);
  if (o.boolValue !== undefined) return o.boolValue === true;
  if (o.intValue !== undefined) return i64(o.intValue);
  if (o.doubleValue !== undefined) return Number(o.doubleValue);
  if (o.arrayValue !== undefined)
    return list(fieldsOf(o.arrayValue, "array").values).map((x) => value(x, depth + 1));
  return undefined;
}

function attributes(v: unknown): OtlpAttribute[] {
  return list(v).map((x) => {
    const a = fieldsOf(x, "keyValue");
    return { key: text(a.key), value: value(a.value) };
  });
}
function valueType(v: unknown): OtlpValueType {
  const o = fieldsOf(v, "valueType");
  return { type: index(o.typeStrindex), unit: index(o.unitStrindex) };
}

// Fills the tables in the order of decodeExport. Strings and IDs are appended to one buffer, which `bytes`
// becomes.
function dictionary(d: Json, t: OtlpTables): void {
  const texts = new ByteColumn(4096);
  const put = (b: Uint8Array): number => {
    texts.append(b, 0, b.length);
    return texts.length;
  };
  for (const m of list(d.mappingTable).map((x) => fieldsOf(x, "mapping"))) {
    t.mappingStart.push(BigInt.asIntN(64, u64(m.memoryStart)));
    t.mappingLimit.push(BigInt.asIntN(64, u64(m.memoryLimit)));
    t.mappingOffset.push(BigInt.asIntN(64, u64(m.fileOffset)));
    t.mappingFilename.push(index(m.filenameStrindex));
    for (const a of list(m.attributeIndices)) t.mappingAttribute.push(index(a));
    t.mappingAttributes.push(t.mappingAttribute.length);
  }
  for (const l of list(d.locationTable).map((x) => fieldsOf(x, "location"))) {
    t.locMapping.push(index(l.mappingIndex));
    t.locAddress.push(BigInt.asIntN(64, u64(l.address)));
    for (const x of list(l.lines).map((y) => fieldsOf(y, "line"))) {
      t.lineFunction.push(index(x.functionIndex));
      t.lineNumber.push(line(x.line));
    }
    t.locLines.push(t.lineNumber.length);
  }
  for (const f of list(d.functionTable).map((x) => fieldsOf(x, "function"))) {
    t.funcName.push(index(f.nameStrindex));
    t.funcSystemName.push(index(f.systemNameStrindex));
    t.funcFilename.push(index(f.filenameStrindex));
    t.funcStartLine.push(line(f.startLine));
  }
  for (const l of list(d.linkTable).map((x) => fieldsOf(x, "link"))) {
    t.linkTraceStart.push(texts.length);
    t.linkTraceEnd.push(put(hex(l.traceId)));
    t.linkSpanStart.push(texts.length);
    t.linkSpanEnd.push(put(hex(l.spanId)));
  }
  for (const s of list(d.stringTable)) {
    t.stringStart.push(texts.length);
    t.stringEnd.push(put(encodeUtf8(text(s))));
  }
  for (const a of list(d.attributeTable).map((x) => fieldsOf(x, "attribute")))
    t.attributes.push({ key: index(a.keyStrindex), value: value(a.value) });
  for (const s of list(d.stackTable).map((x) => fieldsOf(x, "stack"))) {
    for (const l of list(s.locationIndices)) t.stackLocation.push(index(l));
    t.stackLocations.push(t.stackLocation.length);
  }
  t.bytes = texts.view();
}

// Appends the samples to the tables and returns the profile's other fields.
function profile(p: Json, t: OtlpTables): OtlpProfile {
  const sampleFrom = t.samples;
  for (const s of list(p.samples).map((x) => fieldsOf(x, "sample"))) {
    t.sampleStack.push(index(s.stackIndex));
    t.sampleLink.push(index(s.linkIndex));
    t.sampleTimestamps.push(list(s.timestampsUnixNano).length);
    for (const v of list(s.values)) t.value.push(i64(v));
    t.sampleValues.push(t.value.length);
    for (const a of list(s.attributeIndices)) t.sampleAttribute.push(index(a));
    t.sampleAttributes.push(t.sampleAttribute.length);
  }
  return {
    sampleType: p.sampleType === undefined || p.sampleType === null ? undefined : valueType(p.sampleType),
    sampleFrom,
    sampleTo: t.samples,
    timeNanos: u64(p.timeUnixNano),
    durationNanos: u64(p.durationNano),
    periodType: valueType(p.periodType),
    period: i64(p.period),
  };
}
