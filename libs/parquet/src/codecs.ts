import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { ShortRead } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { Codec } from "./metadata.ts";

/**
 * Decompresses a page; `size` is the size in the page header and bounds the output, so that a decompression
 * bomb costs no more than that.
 * @returns `bytes` for UNCOMPRESSED, otherwise a copy
 * @throws ShortRead for damaged bytes or another size, CinderblockError `corrupt` for a codec that is not
 * supported, and zlib's errors, which the caller turns into a CorruptError
 */
export function decompress(codec: number, bytes: Uint8Array, size: number): Uint8Array {
  if (size === 0 && bytes.length === 0) return bytes; // an empty page may have no compressed bytes at all
  const options = { maxOutputLength: Math.max(size, 1) };
  let out: Uint8Array;
  switch (codec) {
    case Codec.UNCOMPRESSED:
      return bytes;
    case Codec.ZSTD:
      out = zstdDecompressSync(bytes, options);
      break;
    case Codec.GZIP:
      out = gunzipSync(bytes, options);
      break;
    case Codec.BROTLI:
      out = brotliDecompressSync(bytes, options);
      break;
    case Codec.SNAPPY:
      out = snappyDecompress(bytes, size);
      break;
    case Codec.LZ4_RAW:
      out = lz4Decompress(bytes, size);
      break;
    default:
      throw new CinderblockError(
        "corrupt",
        `parquet codec ${codec} is not supported; v1 reads none, snappy, gzip, zstd, lz4_raw and brotli`,
      );
  }
  if (out.length !== size)
    throw new ShortRead(0, `expected ${size} bytes after decompression, found ${out.length}`);
  return out;
}

/**
 * Copies `length` bytes from `distance` bytes back; the ranges may overlap, which repeats the last `distance`
 * bytes.
 */
function copyBack(out: Uint8Array, at: number, distance: number, length: number): number {
  if (distance === 0 || distance > at || at + length > out.length)
    throw new ShortRead(at, "expected a copy inside the output");
  for (let i = 0; i < length; i++) out[at + i] = out[at + i - distance]!;
  return at + length;
}

function copyLiteral(out: Uint8Array, at: number, from: Uint8Array, pos: number, length: number): number {
  if (pos + length > from.length || at + length > out.length)
    throw new ShortRead(pos, "expected a literal inside the input");
  out.set(from.subarray(pos, pos + length), at);
  return at + length;
}

/**
 * Snappy's raw format (format_description.txt): uvarint size, then elements by the low two bits of their tag.
 *
 *   00  literal: length - 1 in 6 bits; 60 to 63: in the next 1 to 4 bytes
 *   01  copy: length 4 to 11 in 3 bits, distance in 11 bits (3 of the tag, 1 byte)
 *   10  copy: length 1 to 64 in 6 bits, distance in 2 bytes, LE
 *   11  copy: as 10, distance in 4 bytes
 */
function snappyDecompress(bytes: Uint8Array, size: number): Uint8Array {
  let pos = 0,
    shift = 0,
    promised = 0,
    b = 0;
  do {
    b = bytes[pos++] ?? 0;
    promised += (b & 127) * 2 ** shift;
    shift += 7;
  } while (b > 127 && shift < 35);
  if (promised !== size) throw new ShortRead(0, `expected ${size} bytes, the snappy header says ${promised}`);
  const out = new Uint8Array(size);
  let at = 0;
  while (pos < bytes.length) {
    const tag = bytes[pos++]!;
    if ((tag & 3) === 0) {
      let length = tag >>> 2;
      if (length >= 60) {
        const extra = length - 59;
        length = 0;
        for (let i = 0; i < extra; i++) length += (bytes[pos++] ?? 0) * 2 ** (8 * i);
      }
      at = copyLiteral(out, at, bytes, pos, length + 1);
      pos += length + 1;
    } else if ((tag & 3) === 1) {
      at = copyBack(out, at, ((tag >>> 5) << 8) | (bytes[pos++] ?? 0), ((tag >>> 2) & 7) + 4);
    } else {
      const wide = (tag & 3) === 3 ? 4 : 2;
      let distance = 0;
      for (let i = 0; i < wide; i++) distance += (bytes[pos++] ?? 0) * 2 ** (8 * i);
      at = copyBack(out, at, distance, (tag >>> 2) + 1);
    }
  }
  return at === size ? out : out.subarray(0, at);
}

/**
 * LZ4's block format (lz4_Block_format.md), without frames: sequences, the last of them without a
 * match.
 *
 *   token: literal length <4 bits>, match length - 4 <4 bits> | literals | distance <2b LE>
 *
 * A length of 15 continues in the next bytes, until one is below 255.
 */
function lz4Decompress(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  let pos = 0,
    at = 0;
  const extend = (length: number): number => {
    if (length === 15) {
      let b = 0;
      do {
        b = bytes[pos++] ?? 0;
        length += b;
      } while (b === 255);
    }
    return length;
  };
  while (pos < bytes.length) {
    const token = bytes[pos++]!;
    const literal = extend(token >>> 4);
    at = copyLiteral(out, at, bytes, pos, literal);
    pos += literal;
    if (pos >= bytes.length) break;
    const distance = bytes[pos]! | ((bytes[pos + 1] ?? 0) << 8);
    pos += 2;
    at = copyBack(out, at, distance, extend(token & 15) + 4);
  }
  return at === size ? out : out.subarray(0, at);
}
