import { gunzipSync } from "node:zlib";
import { ByteReader, ByteWriter, ShortRead, utf8Length } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { Label } from "@cinderblock/model";

/** One series of a push: its labels as sent, and its profiles, gzipped or plain. */
export interface RawSeries {
  labels: Label[];
  profiles: Uint8Array[];
}

function broken(err: unknown): never {
  if (err instanceof ShortRead)
    throw new CinderblockError("invalid", `unmarshal message: ${err.message}`, { cause: err });
  throw err;
}

/** Steps through the fields of one message; `on(field, wire)` returns false to skip the value. */
function fields(r: ByteReader, on: (field: number, wire: number) => boolean): void {
  while (r.left > 0) {
    const tag = r.uvarint();
    const field = Math.floor(tag / 8),
      wire = tag % 8;
    if (field === 0) throw new ShortRead(r.pos, "expected a field number");
    if (on(field, wire)) continue;
    switch (wire) {
      case 0:
        r.uvarint64();
        break;
      case 1:
        r.requireBytes(8);
        break;
      case 2:
        r.requireBytes(r.uvarint());
        break;
      case 5:
        r.requireBytes(4);
        break;
      default:
        throw new ShortRead(r.pos, `expected a wire type, found ${wire}`);
    }
  }
}

function sub(r: ByteReader): ByteReader {
  const n = r.uvarint();
  const at = r.requireBytes(n);
  return new ByteReader(r.bytes, at, at + n);
}

function readLabel(r: ByteReader): Label {
  let name = "",
    value = "";
  fields(r, (f, w) => {
    if (w !== 2) return false;
    if (f === 1) name = r.str();
    else if (f === 2) value = r.str();
    else return false;
    return true;
  });
  return { name, value };
}

/**
 * Decodes push.v1.PushRequest in place: profiles are views of `body`. Like v1, ignores client IDs and
 * annotations.
 * @throws `invalid`
 */
export function decodePush(body: Uint8Array): RawSeries[] {
  const series: RawSeries[] = [];
  try {
    const r = new ByteReader(body);
    fields(r, (f, w) => {
      if (f !== 1 || w !== 2) return false;
      const one: RawSeries = { labels: [], profiles: [] };
      const s = sub(r);
      fields(s, (f2, w2) => {
        if (w2 !== 2) return false;
        if (f2 === 1) {
          one.labels.push(readLabel(sub(s)));
          return true;
        }
        if (f2 !== 2) return false;
        const sample = sub(s);
        let profile: Uint8Array = new Uint8Array(0);
        fields(sample, (f3, w3) => {
          if (f3 !== 1 || w3 !== 2) return false;
          profile = sample.readBytes(sample.uvarint());
          return true;
        });
        one.profiles.push(profile);
        return true;
      });
      series.push(one);
      return true;
    });
  } catch (err) {
    broken(err);
  }
  return series;
}

/**
 * Decodes push.v1.PushRequest from protojson: bytes are base64 in the standard or URL alphabet; unknown
 * fields are ignored.
 * @throws `invalid`
 */
export function decodePushJson(body: Uint8Array): RawSeries[] {
  const wrong = (what: string): never => {
    throw new CinderblockError("invalid", `unmarshal message: unmarshal into *pushv1.PushRequest: ${what}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString("utf8"));
  } catch (err) {
    return wrong((err as Error).message);
  }
  const object = (v: unknown, what: string): Record<string, unknown> =>
    v !== null && typeof v === "object" && !Array.isArray(v)
      ? (v as Record<string, unknown>)
      : wrong(`expected an object for ${what}`);
  const array = (v: unknown, what: string): unknown[] =>
    v === undefined || v === null ? [] : Array.isArray(v) ? v : wrong(`expected a list for ${what}`);
  const text = (v: unknown, what: string): string =>
    v === undefined || v === null ? "" : typeof v === "string" ? v : wrong(`expected a string for ${what}`);
  return array(object(json, "PushRequest").series, "series").map((s) => {
    const o = object(s, "series");
    return {
      labels: array(o.labels, "labels").map((l) => {
        const p = object(l, "labels");
        return { name: text(p.name, "name"), value: text(p.value, "value") };
      }),
      profiles: array(o.samples, "samples").map((x) => {
        const p = object(x, "samples");
        const raw = text(p.rawProfile ?? p.raw_profile, "rawProfile");
        if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(raw))
          wrong(`invalid value for bytes field rawProfile: ${JSON.stringify(raw.slice(0, 40))}`);
        return Buffer.from(raw, "base64");
      }),
    };
  });
}

/**
 * Encodes push.v1.PushRequest by hand: generated code would add 187 kB to every ingest thread.
 * @param room approximate size of the result in bytes
 */
export function encodePush(series: readonly RawSeries[], room = 1024): Uint8Array {
  const out = new ByteWriter(room + 1024),
    inner = new ByteWriter(room + 512);
  for (const s of series) {
    inner.reset();
    for (const { name, value } of s.labels) {
      const a = utf8Length(name),
        b = utf8Length(value);
      inner.u8(10);
      inner.uvarint(field(a) + field(b));
      inner.u8(10);
      inner.str(name);
      inner.u8(18);
      inner.str(value);
    }
    for (const p of s.profiles) {
      inner.u8(18);
      inner.uvarint(field(p.length));
      inner.u8(10);
      inner.uvarint(p.length);
      inner.bytes(p);
    }
    out.u8(10);
    out.uvarint(inner.length);
    out.bytes(inner.finish());
  }
  return out.finish();
}

/** Bytes of a field with a number below 16 and `length` bytes of content. */
function field(length: number): number {
  let n = 2 + length;
  for (let v = length; v > 127; v = Math.floor(v / 128)) n++;
  return n;
}

/** Inflates a gzip request body, bounded by the body limit. */
export function inflateBody(bytes: Uint8Array, limit: number): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: limit > 0 ? Math.floor(limit * 1.25) : 1 << 30 });
  } catch (err) {
    throw new CinderblockError("invalid", `get decompressor: gzip: ${(err as Error).message}`, {
      cause: err,
    });
  }
}

/**
 * Service of a push's first series, without decoding the rest; it determines the placement of the push. ""
 * without a service.
 */
export function peekService(body: Uint8Array): string {
  try {
    const r = new ByteReader(body);
    if (r.uvarint() !== 10) return "";
    const s = sub(r);
    while (s.left > 0) {
      if (s.uvarint() !== 10) return "";
      const l = readLabel(sub(s));
      if (l.name === "service_name") return l.value;
    }
  } catch (err) {
    if (!(err instanceof ShortRead)) throw err;
  } // the decoder refuses broken bodies
  return "";
}

/**
 * Service of a push of kind `push`, with as little decoding as possible. "" for other kinds, and for a push
 * that is broken or names no service.
 */
export function serviceOf(push: {
  kind: string;
  codec?: "proto" | "json";
  gzip?: boolean;
  body: Uint8Array;
}): string {
  if (push.kind !== "push") return "";
  try {
    const body = push.gzip ? gunzipSync(push.body, { maxOutputLength: 1 << 28 }) : push.body;
    if (push.codec === "proto") return peekService(body);
    return decodePushJson(body)[0]?.labels.find((l) => l.name === "service_name")?.value ?? "";
  } catch {
    return "";
  } // the decoder refuses broken bodies
}
