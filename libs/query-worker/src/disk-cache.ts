import { createHash } from "node:crypto";
import { constants, type Dirent, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { appendFile, mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import type { Bucket } from "@cinderblock/objstore";

/** Size of a cached piece of a file; the last piece of a file may be shorter. */
const PIECE_BYTES = 128 << 10;
/**
 * Entry of a map file: number of the piece, length, CRC-32. An entry with the number SIZE holds the file's
 * length.
 */
const ENTRY_BYTES = 12,
  SIZE = 0xffffffff;

/** Counters of all threads: hits, misses (in pieces), evicted files, failures, bytes held. */
export const DISK_CACHE_FIELDS = ["hits", "misses", "evictions", "failures", "bytes"] as const;
/** Creates the counters of DISK_CACHE_FIELDS, one 64-bit cell each. */
export function diskCacheCounters(): SharedArrayBuffer {
  return new SharedArrayBuffer(DISK_CACHE_FIELDS.length * 8);
}

interface CachedFile {
  path: string;
  pieces: Map<number, { length: number; crc: number }>;
  bytes: number;
  /** size of the object, once known */
  size: number | undefined;
}

/** Files of a block that never change after its meta is written. */
const IMMUTABLE = /\/phlaredb\/[0-9A-Z]{26}\/.*\.(parquet|tsdb|symdb)$/;

/**
 * Caches parts of blocks' files on a local disk, under a budget, so that a remote bucket is read once. Each
 * piece has a checksum: pieces that a crash or a bad disk damaged are fetched again. The least recently used
 * files are evicted first.
 */
export class DiskCache {
  /** cached files, the least recently used first */
  private readonly files = new Map<string, CachedFile>();
  private readonly counters: BigInt64Array;
  private bytes = 0;
  private readonly dir: string;
  private readonly maxBytes: number;

  /** @param owns whether a block belongs to this thread: each block belongs to exactly one */
  constructor(dir: string, maxBytes: number, counters: SharedArrayBuffer, owns: (ulid: string) => boolean) {
    this.dir = dir;
    this.maxBytes = maxBytes;
    this.counters = new BigInt64Array(counters);
    // An unusable folder only disables caching.
    try {
      this.restore(owns);
    } catch {
      this.count("failures", 1);
    }
  }

  private count(field: (typeof DISK_CACHE_FIELDS)[number], n: number): void {
    Atomics.add(this.counters, DISK_CACHE_FIELDS.indexOf(field), BigInt(n));
  }

  /** `<dir>/<ULID>/<hash of the name>`: the name itself may be too long for a file system. */
  private pathOf(name: string): string {
    return join(
      this.dir,
      /\/phlaredb\/([0-9A-Z]{26})\//.exec(name)![1]!,
      createHash("sha256").update(name).digest("hex").slice(0, 32),
    );
  }

  /** Loads the list of files that an earlier process cached, the oldest first. */
  private restore(owns: (ulid: string) => boolean): void {
    mkdirSync(this.dir, { recursive: true });
    const found: { path: string; usedMs: number }[] = [];
    const list = (path: string): Dirent[] => {
      try {
        return readdirSync(path, { withFileTypes: true });
      } catch {
        return []; /* another thread removes the folder */
      }
    };
    for (const ulid of list(this.dir)) {
      if (!ulid.isDirectory() || !owns(ulid.name)) continue;
      for (const e of list(join(this.dir, ulid.name)))
        if (e.name.endsWith(".map"))
          found.push({
            path: join(this.dir, ulid.name, e.name.slice(0, -4)),
            usedMs: statSync(join(this.dir, ulid.name, e.name)).mtimeMs,
          });
    }
    for (const { path } of found.sort((a, b) => a.usedMs - b.usedMs)) {
      const map = readFileSync(`${path}.map`),
        view = new DataView(map.buffer, map.byteOffset, map.length);
      const file: CachedFile = { path, pieces: new Map(), bytes: 0, size: undefined };
      for (let at = 0; at + ENTRY_BYTES <= map.length; at += ENTRY_BYTES) {
        const number = view.getUint32(at),
          length = view.getUint32(at + 4);
        if (number === SIZE) {
          file.size = length;
          continue;
        }
        if (!file.pieces.has(number)) file.bytes += length;
        file.pieces.set(number, { length, crc: view.getUint32(at + 8) });
      }
      this.files.set(path, file);
      this.hold(file.bytes);
    }
    this.trim(undefined);
  }

  private hold(n: number): void {
    this.bytes += n;
    this.count("bytes", n);
  }

  /** Wraps a bucket so that reads of blocks' files are cached. */
  wrap(bucket: Bucket): Bucket {
    return {
      name: bucket.name,
      get: (n) => (IMMUTABLE.test(n) ? this.whole(bucket, n) : bucket.get(n)),
      getRange: (n, o, s) => (IMMUTABLE.test(n) ? this.range(bucket, n, o, s) : bucket.getRange(n, o, s)),
      put: (n, b) => bucket.put(n, b),
      putIfAbsent: (n, b) => bucket.putIfAbsent(n, b),
      putFile: (n, f) => bucket.putFile(n, f),
      attributes: (n) => bucket.attributes(n),
      exists: (n) => bucket.exists(n),
      delete: (n) => bucket.delete(n),
      list: (n) => bucket.list(n),
    };
  }

  private fileOf(name: string): CachedFile {
    const path = this.pathOf(name);
    let file = this.files.get(path);
    if (file) this.files.delete(path);
    else file = { path, pieces: new Map(), bytes: 0, size: undefined };
    this.files.set(path, file); // most recently used files are last
    return file;
  }

  private async whole(bucket: Bucket, name: string): Promise<Uint8Array> {
    const file = this.fileOf(name);
    if (file.size !== undefined) {
      const bytes = await this.range(bucket, name, 0, file.size);
      if (bytes.length === file.size) return bytes;
    }
    const bytes = await bucket.get(name);
    this.count("misses", Math.ceil(bytes.length / PIECE_BYTES));
    await this.keep(file, 0, bytes, bytes.length);
    return bytes;
  }

  private async range(bucket: Bucket, name: string, offset: number, size: number): Promise<Uint8Array> {
    if (size === 0) return new Uint8Array(0);
    const file = this.fileOf(name);
    const first = Math.floor(offset / PIECE_BYTES),
      end = Math.ceil(Math.min(offset + size, file.size ?? Infinity) / PIECE_BYTES);
    const out = new Uint8Array(size);
    let filled = 0;
    const place = (number: number, bytes: Uint8Array): void => {
      const at = number * PIECE_BYTES,
        from = Math.max(0, offset - at),
        to = Math.min(bytes.length, offset + size - at);
      if (to <= from) return;
      out.set(bytes.subarray(from, to), at + from - offset);
      filled = Math.max(filled, at + to - offset);
    };
    // Runs of cached pieces and runs of missing pieces.
    const runs: { from: number; to: number; here: boolean }[] = [];
    for (let n = first; n < end; n++) {
      const here = file.pieces.has(n),
        last = runs.at(-1);
      if (last && last.here === here) last.to = n + 1;
      else runs.push({ from: n, to: n + 1, here });
    }
    await Promise.all(
      runs.map(async ({ from, to, here }) => {
        if (here) {
          const held = await this.read(file, from, to);
          if (held) {
            this.count("hits", to - from);
            held.forEach((bytes, i) => place(from + i, bytes));
            return;
          }
        }
        this.count("misses", to - from);
        const bytes = await bucket.getRange(name, from * PIECE_BYTES, (to - from) * PIECE_BYTES);
        for (let at = 0, n = from; at < bytes.length; at += PIECE_BYTES, n++)
          place(n, bytes.subarray(at, at + PIECE_BYTES));
        await this.keep(
          file,
          from,
          bytes,
          bytes.length < (to - from) * PIECE_BYTES ? from * PIECE_BYTES + bytes.length : undefined,
        );
      }),
    );
    return filled === size ? out : out.subarray(0, filled);
  }

  /** Reads the cached pieces [from, to); undefined if a piece is damaged or missing. */
  private async read(file: CachedFile, from: number, to: number): Promise<Uint8Array[] | undefined> {
    try {
      const handle = await open(file.path, "r");
      try {
        const bytes = new Uint8Array((to - from) * PIECE_BYTES);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, from * PIECE_BYTES);
        const out: Uint8Array[] = [];
        for (let n = from; n < to; n++) {
          const piece = file.pieces.get(n),
            at = (n - from) * PIECE_BYTES;
          if (!piece || at + piece.length > bytesRead) throw new Error("cached piece is truncated");
          const part = bytes.subarray(at, at + piece.length);
          if (crc32(part) !== piece.crc) throw new Error("cached piece does not match its checksum");
          out.push(part);
        }
        return out;
      } finally {
        await handle.close();
      }
    } catch {
      // The file is torn by a crash, was evicted in the meantime, or the disk is bad: read the bucket.
      this.count("failures", 1);
      for (let n = from; n < to; n++) {
        const p = file.pieces.get(n);
        if (p) {
          file.bytes -= p.length;
          this.hold(-p.length);
          file.pieces.delete(n);
        }
      }
      return undefined;
    }
  }

  /** Writes pieces from number `from` on. A disk that accepts no more bytes only stops caching. */
  private async keep(
    file: CachedFile,
    from: number,
    bytes: Uint8Array,
    size: number | undefined,
  ): Promise<void> {
    try {
      await mkdir(dirname(file.path), { recursive: true });
      // do not truncate the file: another query may be writing other pieces of it
      const handle = await open(file.path, constants.O_RDWR | constants.O_CREAT);
      try {
        await handle.write(bytes, 0, bytes.length, from * PIECE_BYTES);
      } finally {
        await handle.close();
      }
      const pieces = Math.ceil(bytes.length / PIECE_BYTES),
        map = new DataView(new ArrayBuffer((pieces + (size === undefined ? 0 : 1)) * ENTRY_BYTES));
      for (let i = 0; i < pieces; i++) {
        const part = bytes.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
          crc = crc32(part);
        map.setUint32(i * ENTRY_BYTES, from + i);
        map.setUint32(i * ENTRY_BYTES + 4, part.length);
        map.setUint32(i * ENTRY_BYTES + 8, crc);
        const known = file.pieces.get(from + i);
        file.bytes += part.length - (known?.length ?? 0);
        this.hold(part.length - (known?.length ?? 0));
        file.pieces.set(from + i, { length: part.length, crc });
      }
      if (size !== undefined) {
        map.setUint32(pieces * ENTRY_BYTES, SIZE);
        map.setUint32(pieces * ENTRY_BYTES + 4, size);
        file.size = size;
      }
      await appendFile(`${file.path}.map`, new Uint8Array(map.buffer));
    } catch {
      this.count("failures", 1);
    }
    this.trim(file);
  }

  /** Removes the least recently used files, except `inHand`, until the rest fits. */
  private trim(inHand: CachedFile | undefined): void {
    for (const [path, file] of this.files) {
      if (this.bytes <= this.maxBytes) return;
      if (file === inHand) continue;
      this.drop(path, file);
      this.count("evictions", 1);
    }
  }

  private drop(path: string, file: CachedFile): void {
    this.files.delete(path);
    this.hold(-file.bytes);
    file.pieces.clear();
    file.bytes = 0;
    void rm(path, { force: true });
    void rm(`${path}.map`, { force: true });
  }

  /** Drops the files of a deleted block. */
  forget(ulid: string): void {
    const prefix = join(this.dir, ulid);
    for (const [path, file] of this.files) if (dirname(path) === prefix) this.drop(path, file);
    rmSync(prefix, { recursive: true, force: true });
  }
}
