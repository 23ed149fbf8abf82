import { ByteReader, decodeUtf8, ShortRead } from "@cinderblock/bytes";
import type { OtlpAttribute, OtlpDictionary, OtlpExport, OtlpProfile, OtlpResource, OtlpSample, OtlpValue, OtlpValueType } from "./types.ts";

/** Field numbers are those of opentelemetry/proto/profiles/v1development, of the collector's request and of common/v1. Throws ShortRead. */
export function decodeExport(bytes: Uint8Array): OtlpExport {
  const out: OtlpExport = { dictionary: undefined, resources: [] };
  message(new ByteReader(bytes), { 1: (r) => { out.resources.push(resource(r)); }, 2: (r) => { out.dictionary = dictionary(r, out.dictionary); } });
  return out;
}

type Fields = Record<number, (r: ByteReader, wire: number) => void>;

/** Walks a message: known fields are read by their handlers, which get a reader of the field's bytes or, for numbers, the one at hand. */
function message(r: ByteReader, fields: Fields): void {
  while (r.left > 0) {
    const tag = r.uvarint(), wire = tag % 8, on = fields[Math.floor(tag / 8)];
    if (wire === 2) {
      const n = r.uvarint(), at = r.need(n);
      on?.(new ByteReader(r.bytes, at, at + n), wire);
    } else if (on) on(r, wire);
    else if (wire === 0) r.uvarint64();
    else if (wire === 1) r.need(8);
    else if (wire === 5) r.need(4);
    else throw new ShortRead(r.pos, `expected a wire type, found ${wire}`);
  }
}

/** int32 and int64 come as 64 bits of two's complement. Most are indices of one or two bytes. */
function int(r: ByteReader): number {
  const { bytes, pos, end } = r;
  if (pos + 1 < end || (pos < end && bytes[pos]! < 128)) {
    const a = bytes[pos]!;
    if (a < 128) { r.pos = pos + 1; return a; }
    const b = bytes[pos + 1]!;
    if (b < 128) { r.pos = pos + 2; return (b << 7) | (a & 127); }
  }
  return wideInt(r);
}
function wideInt(r: ByteReader): number { const v = BigInt.asIntN(64, r.uvarint64()); if (v < -0x8000_0000n || v > 0xffff_ffffn) throw new ShortRead(r.pos, `expected a number of 32 bits, found ${v}`); return Number(v); }
function int64(r: ByteReader): bigint { return BigInt.asIntN(64, r.uvarint64()); }
function fixed64(r: ByteReader): bigint { return r.u64le(); }
function text(r: ByteReader): string { return decodeUtf8(r.bytes, r.pos, r.end); }
function raw(r: ByteReader): Uint8Array { return r.bytes.slice(r.pos, r.end); }
/** Packed or one by one. */
function each(r: ByteReader, wire: number, on: (r: ByteReader) => void): void { if (wire === 2) while (r.left > 0) on(r); else on(r); }

function dictionary(r: ByteReader, known: OtlpDictionary | undefined): OtlpDictionary {
  const d: OtlpDictionary = known ?? { mappings: [], locations: [], functions: [], links: [], strings: [], attributes: [], stacks: [] };
  message(r, {
    1: (m) => { const x = { start: 0n, limit: 0n, offset: 0n, filename: 0, attributes: [] as number[] }; message(m, { 1: (f) => { x.start = f.uvarint64(); }, 2: (f) => { x.limit = f.uvarint64(); }, 3: (f) => { x.offset = f.uvarint64(); }, 4: (f) => { x.filename = int(f); }, 5: (f, w) => each(f, w, (v) => x.attributes.push(int(v))) }); d.mappings.push(x); },
    2: (m) => {
      const x: OtlpDictionary["locations"][number] = { mapping: 0, address: 0n, lines: [] };
      message(m, { 1: (f) => { x.mapping = int(f); }, 2: (f) => { x.address = f.uvarint64(); }, 3: (f) => { const line = { function: 0, line: 0 }; message(f, { 1: (v) => { line.function = int(v); }, 2: (v) => { line.line = Number(BigInt.asUintN(32, v.uvarint64())); } }); x.lines.push(line); } });
      d.locations.push(x);
    },
    3: (m) => { const x = { name: 0, systemName: 0, filename: 0, startLine: 0 }; message(m, { 1: (f) => { x.name = int(f); }, 2: (f) => { x.systemName = int(f); }, 3: (f) => { x.filename = int(f); }, 4: (f) => { x.startLine = Number(BigInt.asUintN(32, f.uvarint64())); } }); d.functions.push(x); },
    4: (m) => { const x = { traceId: new Uint8Array(0), spanId: new Uint8Array(0) }; message(m, { 1: (f) => { x.traceId = raw(f) as Uint8Array<ArrayBuffer>; }, 2: (f) => { x.spanId = raw(f) as Uint8Array<ArrayBuffer>; } }); d.links.push(x); },
    5: (m) => { d.strings.push(text(m)); },
    6: (m) => { const x: OtlpDictionary["attributes"][number] = { key: 0, value: undefined }; message(m, { 1: (f) => { x.key = int(f); }, 2: (f) => { x.value = anyValue(f, 0); } }); d.attributes.push(x); },
    7: (m) => { const x: number[] = []; message(m, { 1: (f, w) => each(f, w, (v) => x.push(int(v))) }); d.stacks.push(x); },
  });
  return d;
}

const MAX_DEPTH = 16;

function anyValue(r: ByteReader, depth: number): OtlpValue {
  if (depth > MAX_DEPTH) throw new ShortRead(r.pos, `expected values nested at most ${MAX_DEPTH} deep`);
  let value: OtlpValue;
  message(r, {
    1: (f) => { value = text(f); }, 2: (f) => { value = f.uvarint64() !== 0n; }, 3: (f) => { value = int64(f); }, 4: (f) => { value = f.f64le(); },
    5: (f) => { const list: OtlpValue[] = []; message(f, { 1: (v) => { list.push(anyValue(v, depth + 1)); } }); value = list; },
  });
  return value;
}

function attribute(r: ByteReader): OtlpAttribute {
  const a: OtlpAttribute = { key: "", value: undefined };
  message(r, { 1: (f) => { a.key = text(f); }, 2: (f) => { a.value = anyValue(f, 0); } });
  return a;
}

function resource(r: ByteReader): OtlpResource {
  const out: OtlpResource = { attributes: [], scopes: [] };
  message(r, {
    1: (m) => message(m, { 1: (f) => { out.attributes.push(attribute(f)); } }),
    2: (m) => {
      const scope: OtlpResource["scopes"][number] = { attributes: [], profiles: [] };
      message(m, { 1: (f) => message(f, { 3: (v) => { scope.attributes.push(attribute(v)); } }), 2: (f) => { scope.profiles.push(profile(f)); } });
      out.scopes.push(scope);
    },
  });
  return out;
}

function valueType(r: ByteReader): OtlpValueType { const t = { type: 0, unit: 0 }; message(r, { 1: (f) => { t.type = int(f); }, 2: (f) => { t.unit = int(f); } }); return t; }

function profile(r: ByteReader): OtlpProfile {
  const p: OtlpProfile = { sampleType: { type: 0, unit: 0 }, samples: [], timeNanos: 0n, durationNanos: 0n, periodType: { type: 0, unit: 0 }, period: 0n };
  message(r, {
    1: (f) => { p.sampleType = valueType(f); }, 2: (f) => { p.samples.push(sample(f)); }, 3: (f) => { p.timeNanos = fixed64(f); }, 4: (f) => { p.durationNanos = f.uvarint64(); }, 5: (f) => { p.periodType = valueType(f); }, 6: (f) => { p.period = int64(f); },
  });
  return p;
}

function sample(r: ByteReader): OtlpSample {
  const s: OtlpSample = { stack: 0, attributes: [], link: 0, values: [], timestamps: 0 };
  message(r, {
    1: (f) => { s.stack = int(f); }, 2: (f, w) => each(f, w, (v) => s.attributes.push(int(v))), 3: (f) => { s.link = int(f); }, 4: (f, w) => each(f, w, (v) => s.values.push(int64(v))), 5: (f, w) => each(f, w, (v) => { fixed64(v); s.timestamps++; }),
  });
  return s;
}
