import xxhash from "xxhash-wasm";

/**
 * xxHash64 over bytes. The WebAssembly module is compiled once per thread: await `loadHasher()` at start.
 * Series fingerprints, symbol partitions and profile IDs use it, so that its values are part of file formats.
 */
export interface Hasher {
  /** xxHash64 of `bytes` with `seed`, as an unsigned 64-bit integer. */
  h64(bytes: Uint8Array, seed?: bigint): bigint;
}

let loading: Promise<Hasher> | undefined;

/** Loads the hasher, once per thread; later calls return the same promise. */
export function loadHasher(): Promise<Hasher> {
  loading ??= xxhash().then((wasm) => ({ h64: (bytes, seed = 0n) => wasm.h64Raw(bytes, seed) }));
  return loading;
}

/**
 * 128 bits of `bytes`: xxHash64 with the seeds 1 and 2, big endian.
 * @returns [16] bytes
 */
export function hash128(hasher: Hasher, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(16),
    view = new DataView(out.buffer);
  view.setBigUint64(0, hasher.h64(bytes, 1n));
  view.setBigUint64(8, hasher.h64(bytes, 2n));
  return out;
}

/**
 * FNV-1 32 bit (multiply, then xor): ring tokens of series and of blocks, as in v1.
 * @param seed hash of the bytes before, to continue with
 * @returns an unsigned 32-bit number
 */
export function fnv1(bytes: Uint8Array, seed = 2166136261): number {
  let h = seed;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h, 16777619) ^ bytes[i]!;
  return h >>> 0;
}

/**
 * FNV-1a 32 bit (xor, then multiply): owner of a compaction job or of a tenant, as in v1.
 * @param seed hash of the bytes before, to continue with
 * @returns an unsigned 32-bit number
 */
export function fnv1a(bytes: Uint8Array, seed = 2166136261): number {
  let h = seed;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 16777619);
  return h >>> 0;
}

/**
 * Fast unsigned 32-bit hash of bytes [start, end) of a view, for hash tables in memory; never persisted.
 * Reads four bytes per step through a DataView.
 */
export function hashRange(view: DataView, start: number, end: number): number {
  let h = 0x9747b28c ^ (end - start);
  let i = start;
  for (; i + 4 <= end; i += 4) {
    h = Math.imul(h ^ view.getInt32(i, true), 0x85ebca6b);
    h ^= h >>> 15;
  }
  for (; i < end; i++) h = Math.imul(h ^ view.getUint8(i), 0x01000193);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A DataView over all of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Unsigned 32-bit hash of two words, for keys made of IDs; never persisted. */
export function mix32(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b, 0xc2b2ae35);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
