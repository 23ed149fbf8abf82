import { randomFillSync } from "node:crypto";

/**
 * Crockford's base32: digits and letters without I, L, O, U. Its order is that of ASCII, so that texts sort
 * as numbers.
 */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/**
 * A new ULID: 48 bits of milliseconds since 1970, 80 random bits from the system, Crockford base32.
 *
 *   01M83BWES0 R120WK49EXE0R8VT
 *   | time     | random          10 + 16 characters of 5 bits: the first character is at most 7
 *
 * ULIDs of one millisecond have no order among each other.
 */
export function newUlid(timeMs: number): string {
  const random = randomFillSync(new Uint8Array(10));
  let time = timeMs;
  const out: string[] = new Array(26);
  for (let i = 9; i >= 0; i--) {
    out[i] = ALPHABET[time % 32]!;
    time = Math.floor(time / 32);
  }
  let acc = 0,
    bits = 0,
    at = 10;
  for (const b of random) {
    acc = (acc << 8) | b;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out[at++] = ALPHABET[(acc >>> bits) & 31]!;
    }
  }
  return out.join("");
}

/**
 * A ULID that sorts before another one, by 1 to 2^32, so that plans prefer it. Its time is the same, except
 * in one of 2^48 cases.
 */
export function ulidBefore(ulid: string): string {
  const step = randomFillSync(new Uint32Array(1))[0]! + 1;
  let value = 0n;
  for (const c of ulid) value = value * 32n + BigInt(ALPHABET.indexOf(c));
  value -= BigInt(step);
  const out: string[] = new Array(26);
  for (let i = 25; i >= 0; i--) {
    out[i] = ALPHABET[Number(value & 31n)]!;
    value >>= 5n;
  }
  return out.join("");
}

/**
 * Whether a text is a ULID in upper case that fits into 128 bits. v1's parser is lenient; only this form is
 * written.
 */
export function isUlid(text: string): boolean {
  return /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text);
}

/** The 16 bytes of a ULID, big endian, which hashes of blocks use. */
export function ulidBytes(ulid: string): Uint8Array {
  let value = 0n;
  for (const c of ulid) value = value * 32n + BigInt(ALPHABET.indexOf(c));
  const out = new Uint8Array(16);
  new DataView(out.buffer).setBigUint64(0, value >> 64n);
  new DataView(out.buffer).setBigUint64(8, BigInt.asUintN(64, value));
  return out;
}

/** Milliseconds since 1970 from a ULID's first 48 bits. Does not check the text. */
export function ulidTimeMs(ulid: string): number {
  let time = 0;
  for (let i = 0; i < 10; i++) time = time * 32 + ALPHABET.indexOf(ulid[i]!);
  return time;
}
