import { ByteReader, ShortRead } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { COLUMNS, MAX_DEPTH, Tag, VERSION } from "./types.ts";

/**
 * Decodes a value that `encodeMessage` wrote. Typed arrays and bytes are copies, so that their buffers can be
 * transferred to another thread.
 * @param views return views of `bytes` for byte values, valid while `bytes` is; columns are copies all the
 * same
 * @throws CinderblockError `invalid` for another version, unknown tags, counts beyond the bytes, more than 64
 * levels, or bytes after the message; the text has the byte position
 */
export function decodeMessage(bytes: Uint8Array, views = false): unknown {
  const r = new ByteReader(bytes);
  try {
    const version = r.u8();
    if (version !== VERSION)
      throw new ShortRead(
        0,
        `expected version ${VERSION}, found ${version}: the other process runs an incompatible release`,
      );
    const value = take(r, [], 0, views);
    if (r.left > 0) throw new ShortRead(r.pos, `expected the end of the message, ${r.left} bytes left`);
    return value;
  } catch (err) {
    if (err instanceof ShortRead)
      throw new CinderblockError("invalid", `message: ${err.message}`, { cause: err });
    throw err;
  }
}

/**
 * Reads one value: a tag, then its content. `names` are the field names of the message so far, in order of
 * first use.
 */
function take(r: ByteReader, names: string[], depth: number, views: boolean): unknown {
  if (depth > MAX_DEPTH) throw new ShortRead(r.pos, `expected at most ${MAX_DEPTH} levels`);
  const at = r.pos,
    tag = r.u8();
  switch (tag) {
    case Tag.nothing:
      return undefined;
    case Tag.none:
      return null;
    case Tag.no:
      return false;
    case Tag.yes:
      return true;
    case Tag.natural:
      return r.uvarint();
    case Tag.negative:
      return -r.uvarint();
    case Tag.real: {
      const p = r.requireBytes(8);
      return new DataView(r.bytes.buffer, r.bytes.byteOffset + p, 8).getFloat64(0, true);
    }
    case Tag.big: {
      const negative = r.u8() === 1;
      const v = r.u64le();
      return negative ? -v : v;
    }
    case Tag.text:
      return r.str();
    case Tag.bytes: {
      const b = r.readBytes(r.uvarint());
      return views ? b : b.slice();
    }
    case Tag.column:
      return column(r);
    case Tag.list: {
      const n = count(r);
      const out: unknown[] = [];
      for (let i = 0; i < n; i++) out.push(take(r, names, depth + 1, views));
      return out;
    }
    case Tag.record: {
      const n = count(r);
      const out: Record<string, unknown> = {};
      for (let i = 0; i < n; i++) {
        const no = r.uvarint();
        let name: string;
        if (no === 0) {
          name = r.str();
          names.push(name);
        } else {
          const known = names[no - 1];
          if (known === undefined)
            throw new ShortRead(r.pos, `expected a field name, found number ${no} of ${names.length}`);
          name = known;
        }
        const value = take(r, names, depth + 1, views);
        // Set every name as a property of its own: an assignment to `__proto__` would change the prototype.
        if (name === "__proto__")
          Object.defineProperty(out, name, { value, enumerable: true, configurable: true, writable: true });
        else out[name] = value;
      }
      return out;
    }
    default:
      throw new ShortRead(at, `expected a tag, found ${tag}`);
  }
}

/** Reads a count of entries. Every entry takes at least one byte, which bounds the count. */
function count(r: ByteReader): number {
  const n = r.uvarint();
  if (n > r.left) throw new ShortRead(r.pos, `expected ${n} entries, ${r.left} bytes left`);
  return n;
}

/**
 * A column: kind <1b> | length uvarint | zeros up to the element's alignment from the message's start |
 * elements.
 */
function column(r: ByteReader): unknown {
  const kind = r.u8(),
    n = r.uvarint();
  const type = COLUMNS[kind];
  if (!type) throw new ShortRead(r.pos, `expected a column kind, found ${kind}`);
  const size = type.BYTES_PER_ELEMENT;
  while (r.pos % size !== 0) r.u8();
  if (n * size > r.left)
    throw new ShortRead(r.pos, `expected ${n} elements of ${size} bytes, ${r.left} bytes left`);
  const from = r.requireBytes(n * size);
  return new type(r.bytes.slice(from, from + n * size).buffer);
}
