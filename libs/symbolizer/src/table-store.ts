import { createHash } from "node:crypto";
import { mkdir, open, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "@cinderblock/async";
import { ShortRead } from "@cinderblock/bytes";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import { AddressTable } from "@cinderblock/native-symbols";
import type { Bucket } from "@cinderblock/objstore";
import { WorkerClient } from "@cinderblock/threads";
import type { ReaderMethods } from "./reader-protocol.ts";
import type { TableState, TableSource } from "./symbolized-source.ts";

/** Settings of the table store. */
export interface SymbolizerConfig {
  /** folder for the tables of fetched files */
  directory: string;
  /** debuginfod servers in query order; empty: use only uploaded files */
  urls: readonly string[];
  /** script of the thread that fetches and reads debug files */
  script: string;
  maxFileBytes: number;
  fetchTimeoutMs: number;
  /** milliseconds that a query waits for a file being fetched */
  waitMs: number;
  /** milliseconds after which to ask a server again for an absent file */
  absentMs: number;
  /** maximum bytes of tables in this thread's memory */
  memoryBytes: number;
  /** maximum bytes of tables on disk */
  diskBytes: number;
  /** shared by all threads: one cell for each of TABLE_RESULTS */
  counters: SharedArrayBuffer;
}

/** Results of table lookups; "absent": no server has the file, "failed": no server answered in time. */
export const TABLE_RESULTS = ["uploaded", "disk", "fetched", "absent", "failed"] as const;
/** Creates the counters of TABLE_RESULTS, one 64-bit cell each. */
export function tableCounters(): SharedArrayBuffer {
  return new SharedArrayBuffer(TABLE_RESULTS.length * 8);
}

/** Object name of a tenant's uploaded table. Layout: docs/formats/address-table.md */
export function uploadedName(tenant: string, buildId: string): string {
  return `${tenant}/symbols/${tableFileName(buildId)}.cbsy`;
}
/**
 * File name for a build ID: the ID itself, or its SHA-256 if the ID has other characters or another length.
 */
export function tableFileName(buildId: string): string {
  return /^[0-9A-Za-z_-]{4,128}$/.test(buildId)
    ? buildId
    : createHash("sha256").update(buildId).digest("hex");
}

const POLL_MS = 100,
  FAILED_MS = 60_000,
  MAX_ENTRIES = 10_000,
  MAX_JOBS = 64;

/**
 * Tables by build ID, for one thread: from memory, a tenant's uploads in the bucket, the disk, and finally
 * debuginfod. All threads and processes with the same directory fetch a file once: the creator of its lock
 * fetches it.
 */
export class TableStore implements TableSource {
  private readonly config: SymbolizerConfig;
  private readonly bucket: Bucket;
  private readonly now: () => number;
  /** known states of tables, the least recently used first */
  private readonly held = new Map<string, { found: TableState; bytes: number; untilMs: number }>();
  private readonly asked = new Map<string, { found: Promise<TableState>; sinceMs: number }>();
  private bytes = 0;
  private worker: WorkerClient<ReaderMethods> | undefined;
  private jobs = 0;

  constructor(config: SymbolizerConfig, bucket: Bucket, now: () => number) {
    this.config = config;
    this.bucket = bucket;
    this.now = now;
  }

  async get(tenant: string, buildId: string): Promise<TableState> {
    const key = `${tenant}/${buildId}`,
      known = this.held.get(key);
    if (known && known.untilMs > this.now()) {
      this.held.delete(key);
      this.held.set(key, known);
      return known.found;
    }
    let running = this.asked.get(key);
    if (!running) {
      // A query without names is better than a failed query.
      const found = this.find(tenant, buildId)
        .catch((err: unknown): TableState => {
          this.count("failed");
          return { state: "failed", untilMs: this.now() + FAILED_MS, reason: messageOf(err) };
        })
        .then((f) => {
          this.hold(key, f);
          return f;
        })
        .finally(() => {
          this.asked.delete(key);
        });
      this.asked.set(key, (running = { found, sinceMs: this.now() }));
    }
    // The fetch runs to its end, but queries do not wait forever, and blocks of one query share the wait.
    const left = Math.max(0, running.sinceMs + this.config.waitMs - this.now());
    return Promise.race([running.found, sleep(left).then((): TableState => ({ state: "pending" }))]);
  }

  private count(result: (typeof TABLE_RESULTS)[number]): void {
    Atomics.add(new BigInt64Array(this.config.counters), TABLE_RESULTS.indexOf(result), 1n);
  }

  private hold(key: string, found: TableState): void {
    if (found.state === "pending") return;
    const bytes = found.state === "here" ? found.table.byteLength : 100;
    this.bytes += bytes - (this.held.get(key)?.bytes ?? 0);
    this.held.delete(key);
    this.held.set(key, { found, bytes, untilMs: found.state === "here" ? Infinity : found.untilMs });
    for (const [old, e] of this.held) {
      if ((this.bytes <= this.config.memoryBytes && this.held.size <= MAX_ENTRIES) || old === key) break;
      this.held.delete(old);
      this.bytes -= e.bytes;
    }
  }

  private async find(tenant: string, buildId: string): Promise<TableState> {
    const uploaded = await this.bucket.get(uploadedName(tenant, buildId)).then(decoded, (err: unknown) => {
      if (kindOf(err) !== "not-found") throw err;
      return undefined;
    });
    if (uploaded) {
      this.count("uploaded");
      return { state: "here", table: uploaded };
    }
    const { urls, directory, absentMs } = this.config;
    // Servers know files only by GNU's build IDs.
    if (urls.length === 0 || !/^[0-9a-f]{8,128}$/.test(buildId)) {
      this.count("absent");
      return { state: "absent", untilMs: this.now() + absentMs };
    }
    const path = join(directory, buildId);
    for (;;) {
      const here = await this.onDisk(path);
      if (here) {
        this.count(here.state === "here" ? "disk" : "absent");
        return here;
      }
      if (await this.lock(path)) break;
      await sleep(POLL_MS);
    }
    try {
      await this.fetch(path, buildId);
    } finally {
      await rm(`${path}.lock`, { force: true });
    }
    const made = await this.onDisk(path);
    if (!made)
      throw new CinderblockError(
        "unavailable",
        `the table of ${buildId} was evicted from ${directory} while in use: raise -symbolizer.disk-bytes`,
      );
    this.count(made.state === "here" ? "fetched" : "absent");
    return made;
  }

  private async onDisk(path: string): Promise<TableState | undefined> {
    try {
      const table = decoded(await readFile(`${path}.cbsy`)),
        at = new Date(this.now());
      if (table) {
        await utimes(`${path}.cbsy`, at, at);
        return { state: "here", table };
      }
      await rm(`${path}.cbsy`, { force: true });
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
    }
    const absent = await stat(`${path}.absent`).catch(() => undefined),
      untilMs = (absent?.mtimeMs ?? 0) + this.config.absentMs;
    return absent && untilMs > this.now() ? { state: "absent", untilMs } : undefined;
  }

  /**
   * Takes the lock of a file; true for the process that may fetch it. Removes a lock older than any fetch,
   * which a dead process left.
   */
  private async lock(path: string): Promise<boolean> {
    await mkdir(this.config.directory, { recursive: true });
    try {
      await (await open(`${path}.lock`, "wx")).close();
      return true;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
      const made = await stat(`${path}.lock`).catch(() => undefined);
      if (made && this.now() - made.mtimeMs > 2 * this.config.fetchTimeoutMs)
        await rm(`${path}.lock`, { force: true });
      return false;
    }
  }

  /**
   * Fetches a file in a separate thread. The thread ends when it has no more work, which frees the memory of
   * large files.
   */
  private async fetch(path: string, buildId: string): Promise<void> {
    const { urls, script, maxFileBytes, fetchTimeoutMs, diskBytes, absentMs } = this.config;
    if (!this.worker) {
      this.worker = new WorkerClient<ReaderMethods>("debug-files", {}, () => {
        this.worker = undefined;
      });
      this.worker.start(new URL(script), {}, {});
    }
    const { worker } = this;
    // Profiles may name any number of files: requests beyond the limit are retried later.
    if (this.jobs >= MAX_JOBS)
      throw new CinderblockError("limit", `${this.jobs} debug files are already waiting`);
    this.jobs++;
    try {
      await worker.call.fetch({
        path,
        buildId,
        urls,
        maxFileBytes,
        timeoutMs: fetchTimeoutMs,
        diskBytes,
        absentMs,
      });
    } finally {
      if (--this.jobs === 0 && this.worker === worker) {
        this.worker = undefined;
        void worker.stop();
      }
    }
  }
}

/** Decodes a table; undefined for a torn one, or one of a later version. */
function decoded(bytes: Uint8Array): AddressTable | undefined {
  try {
    return AddressTable.decode(bytes);
  } catch (err) {
    if (err instanceof ShortRead) return undefined;
    throw err;
  }
}
