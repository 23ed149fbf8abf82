import type { OtlpAttribute, OtlpDictionary, OtlpExport, OtlpProfile, OtlpSample, OtlpValue, OtlpValueType } from "./types.ts";

type Json = Record<string, unknown>;
const object = (v: unknown): Json => { if (v === undefined || v === null) return {}; if (typeof v !== "object" || Array.isArray(v)) throw new SyntaxError("expected an object"); return v as Json; };
const list = (v: unknown): unknown[] => { if (v === undefined || v === null) return []; if (!Array.isArray(v)) throw new SyntaxError("expected a list"); return v; };
const text = (v: unknown): string => (v === undefined || v === null ? "" : typeof v === "string" ? v : refuse("a string"));
/** 64-bit integers are strings in protojson, numbers are taken too. */
const big = (v: unknown): bigint => { if (v === undefined || v === null) return 0n; if ((typeof v === "string" && /^-?\d+$/.test(v)) || (typeof v === "number" && Number.isSafeInteger(v))) return BigInt(v); return refuse("an integer"); };
const int = (v: unknown): number => Number(BigInt.asIntN(32, big(v)));
const u32 = (v: unknown): number => Number(BigInt.asUintN(32, big(v)));
const ids = (v: unknown): number[] => list(v).map(int);
function refuse(what: string): never { throw new SyntaxError(`expected ${what}`); }
/** Ids of traces and spans are hex in OTLP's JSON. */
const hex = (v: unknown): Uint8Array => { const s = text(v); if (!/^([0-9a-fA-F]{2})*$/.test(s)) refuse("hexadecimal digits"); return Uint8Array.from(Buffer.from(s, "hex")); };

/** The same from OTLP's JSON; field names in lowerCamelCase. Throws SyntaxError. */
export function decodeExportJson(bytes: Uint8Array): OtlpExport {
  const json = object(JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")));
  return {
    dictionary: json.dictionary === undefined || json.dictionary === null ? undefined : dictionary(object(json.dictionary)),
    resources: list(json.resourceProfiles).map(object).map((r) => ({
      attributes: attributes(object(r.resource).attributes),
      scopes: list(r.scopeProfiles).map(object).map((s) => ({ attributes: attributes(object(s.scope).attributes), profiles: list(s.profiles).map(object).map(profile) })),
    })),
  };
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

function attributes(v: unknown): OtlpAttribute[] { return list(v).map(object).map((a) => ({ key: text(a.key), value: value(a.value) })); }
function valueType(v: unknown): OtlpValueType { const o = object(v); return { type: int(o.typeStrindex), unit: int(o.unitStrindex) }; }

function dictionary(d: Json): OtlpDictionary {
  return {
    mappings: list(d.mappingTable).map(object).map((m) => ({ start: big(m.memoryStart), limit: big(m.memoryLimit), offset: big(m.fileOffset), filename: int(m.filenameStrindex), attributes: ids(m.attributeIndices) })),
    locations: list(d.locationTable).map(object).map((l) => ({ mapping: int(l.mappingIndex), address: big(l.address), lines: list(l.lines).map(object).map((x) => ({ function: int(x.functionIndex), line: u32(x.line) })) })),
    functions: list(d.functionTable).map(object).map((f) => ({ name: int(f.nameStrindex), systemName: int(f.systemNameStrindex), filename: int(f.filenameStrindex), startLine: u32(f.startLine) })),
    links: list(d.linkTable).map(object).map((l) => ({ traceId: hex(l.traceId), spanId: hex(l.spanId) })),
    strings: list(d.stringTable).map(text), attributes: list(d.attributeTable).map(object).map((a) => ({ key: int(a.keyStrindex), value: value(a.value) })), stacks: list(d.stackTable).map(object).map((s) => ids(s.locationIndices)),
  };
}

function profile(p: Json): OtlpProfile {
  return { sampleType: valueType(p.sampleType), samples: list(p.samples).map(object).map(sample), timeNanos: big(p.timeUnixNano), durationNanos: big(p.durationNano), periodType: valueType(p.periodType), period: big(p.period) };
}
function sample(s: Json): OtlpSample { return { stack: int(s.stackIndex), attributes: ids(s.attributeIndices), link: int(s.linkIndex), values: list(s.values).map(big), timestamps: list(s.timestampsUnixNano).length }; }
