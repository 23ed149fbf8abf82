import { statfs } from "node:fs/promises";
import { noRoom } from "@cinderblock/errors";
import { Ballast, isUnwritable } from "@cinderblock/files";
import type { Base } from "@cinderblock/telemetry";
import type { DiskCounters } from "./disk-counters.ts";
import type { LocalBlocks } from "./local-blocks.ts";

export interface DiskGuardConfig {
  dataPath: string;
  ballastBytes: number;
  retentionMs: number;
  minFreeDiskBytes: number;
  minDiskAvailable: number;
  retentionDisabled: boolean;
}

/** The fields of `statfs` that the guard reads. */
interface DiskSize {
  bsize: number;
  blocks: number;
  bavail: number;
  files: number;
  ffree: number;
}

/** The parts of an ingester that the guard needs. */
export interface DiskGuardParts {
  blocks: LocalBlocks;
  usage: DiskCounters;
  /** memory of all heads: about the maximum size of their blocks */
  headBytes: () => number;
  /** copies of each block that this disk will hold: two if the bucket is a folder on it */
  copies: () => number;
  /** whether a store-gateway answers for a block */
  answerable: (tenant: string, ulid: string) => Promise<boolean>;
  /** called when a local block was removed; closes open files of the block */
  onRemove: (tenant: string, ulid: string) => void;
  /** cuts all heads, so that their log can be deleted */
  flush: () => Promise<void>;
  /** uploads blocks that the bucket does not have */
  ship: () => void;
  ballast?: Ballast;
  size?: (path: string) => Promise<DiskSize>;
}

/** Pushes are refused below this reserve: a number of bytes, and at most this share of the disk. */
const RESERVE_BYTES = 256 << 20,
  RESERVE_SHARE = 1 / 20;
/** Maximum share of the disk for the ballast. */
const BALLAST_SHARE = 1 / 50;
/** Estimated log bytes for each body byte of a push, until the ingest thread has counted the real ones. */
const LOG_FACTOR = 4;
/** Pushes are refused below this number of free inodes: a block takes five. */
const RESERVE_INODES = 256;
/** A push measures the disk again after this time, or when logs have used this share of the free space. */
const LOOK_MS = 1000,
  LOOK_SHARE = 1 / 16;
/** Minimum pause between two early cuts of all heads, and between two passes that refused pushes start. */
const FLUSH_PAUSE_MS = 2000,
  PASS_PAUSE_MS = 1000;
/** Time without a failed write after which the disk counts as writable again. */
const WRITABLE_AFTER_MS = 2000;

export type DiskOperation = "log" | "block" | "state";

/**
 * Reserves disk space on the data path for admitted pushes: their log while they are in flight, and the
 * blocks that the heads become. When space runs short, the guard refuses pushes, removes shipped blocks and
 * cuts heads; deleting the ballast file makes room for those last writes
 * (docs/adr/0034-keep-pushes-off-a-full-disk.md).
 */
export class DiskGuard {
  private readonly config: DiskGuardConfig;
  private readonly parts: DiskGuardParts;
  private readonly base: Base;
  private readonly ballast: Ballast;
  private readonly failures: { inc(labels: { operation: DiskOperation }, n?: number): void };
  /** free bytes at the last measurement, and the bytes that logs had appended by then */
  private freeBytes = Infinity;
  private totalBytes = Infinity;
  private freeInodes = Infinity;
  private appendedBefore = 0;
  private lookedMs = -Infinity;
  private looking: Promise<void> | undefined;
  private inflightBytes = 0;
  private failedMs = -Infinity;
  private failure = "";
  /** shard -> reason why its log waits for disk space */
  private readonly stalled = new Map<number, string>();
  private full = false;
  private flushedMs = -Infinity;
  private passedMs = -Infinity;
  private passing: Promise<void> | undefined;

  constructor(config: DiskGuardConfig, parts: DiskGuardParts, base: Base) {
    this.config = config;
    this.parts = parts;
    this.base = base;
    this.ballast = parts.ballast ?? new Ballast(ballastPath(config.dataPath));
    this.failures = base.metrics.counter(
      "cinderblock_ingester_disk_write_failures_total",
      "Writes to the data directory that failed for lack of disk space, by operation; they are retried.",
      ["operation"],
    );
    for (const operation of ["log", "block", "state"] as const) this.failures.inc({ operation }, 0);
    const gauge = (name: string, help: string, value: () => number): void => {
      base.metrics.gauge(name, help, [], (g) => {
        const v = value();
        if (Number.isFinite(v)) g.set(v);
      });
    };
    gauge(
      "cinderblock_ingester_disk_free_bytes",
      "Free bytes on the disk of the data directory.",
      () => this.freeBytes - this.unseenBytes,
    );
    gauge(
      "cinderblock_ingester_disk_reserved_bytes",
      "Free bytes reserved for in-flight pushes, blocks of open heads, and the minimum reserve.",
      () => this.reservedBytes + this.reserveBytes,
    );
    gauge(
      "cinderblock_ingester_disk_ballast_bytes",
      "Size of the ballast file, which is deleted when the disk is full; 0 after its deletion.",
      () => this.ballast.bytes,
    );
    gauge("cinderblock_ingester_disk_full", "1 while pushes are refused because the disk is full.", () =>
      this.refusal() === undefined ? 0 : 1,
    );
  }

  /** Bytes that logs appended since the last measurement. */
  private get unseenBytes(): number {
    return this.parts.usage.appendedBytes - this.appendedBefore;
  }
  private get reserveBytes(): number {
    return Math.min(this.config.minFreeDiskBytes, RESERVE_BYTES, this.totalBytes * RESERVE_SHARE);
  }
  /** Bytes that admitted pushes may still write. */
  private get reservedBytes(): number {
    const { blocks, headBytes, copies } = this.parts,
      n = copies();
    return LOG_FACTOR * this.inflightBytes + n * headBytes() + (n - 1) * blocks.unshippedBytes();
  }
  /** Bytes that further pushes may use. */
  private get leftBytes(): number {
    return this.freeBytes - this.unseenBytes - this.reservedBytes - this.reserveBytes;
  }

  private refusal(bytes = 0): string | undefined {
    const { dataPath } = this.config,
      [stalled] = this.stalled.values();
    if (stalled !== undefined || this.base.now() - this.failedMs < WRITABLE_AFTER_MS)
      return `the disk of ${dataPath} does not accept writes: ${stalled ?? this.failure}`;
    if (this.freeInodes < RESERVE_INODES)
      return `the disk of ${dataPath} has ${this.freeInodes} free inodes; the limit is ${RESERVE_INODES}`;
    if (this.leftBytes >= LOG_FACTOR * bytes) return undefined;
    return `the disk of ${dataPath} has ${Math.floor(this.freeBytes - this.unseenBytes)} free bytes, and in-flight pushes and open heads reserve ${Math.floor(this.reservedBytes)} of them; the limit is ${Math.floor(this.reserveBytes)} (at most -pyroscopedb.retention-policy-min-free-disk-gb)`;
  }

  /**
   * Reserves room for a push. The returned function releases the reservation.
   * @throws `no-room` when earlier pushes have reserved all free space
   */
  reserveSpace(bytes: number): () => void {
    const now = this.base.now();
    if (now - this.lookedMs >= LOOK_MS || this.unseenBytes > this.freeBytes * LOOK_SHARE)
      this.checkDisk().catch((err: unknown) => this.base.log.warn({ err }, "disk check failed"));
    const reason = this.refusal(bytes);
    if (reason !== undefined) {
      this.noteFull(reason);
      // A pass cuts heads and removes blocks; the timer alone would free their space too late.
      if (now - this.passedMs >= PASS_PAUSE_MS)
        this.removeExpired().catch((err: unknown) => this.base.log.warn({ err }, "disk guard pass failed"));
      throw noRoom("disk", reason, { leftBytes: Math.max(0, Math.floor(this.leftBytes)) });
    }
    this.inflightBytes += bytes;
    return () => {
      this.inflightBytes -= bytes;
    };
  }

  /** Records a write that failed for lack of space; pushes are refused until writes succeed for a while. */
  noteFailure(operation: DiskOperation, reason: string): void {
    this.failures.inc({ operation });
    this.failure = reason;
    this.failedMs = this.base.now();
    this.noteFull(reason);
  }

  /** Records that the log of a shard waits for space, or continues (`undefined`). */
  noteLog(shard: number, reason: string | undefined): void {
    if (reason === undefined) {
      this.stalled.delete(shard);
      return;
    }
    this.stalled.set(shard, reason);
    this.noteFailure("log", reason);
  }

  private noteFull(reason: string): void {
    if (this.full) return;
    this.full = true;
    this.base.log.error({ reason, ballastBytes: this.ballast.bytes }, "disk is full, refusing pushes");
  }

  /** Measures the disk. Concurrent calls share one measurement. */
  checkDisk(): Promise<void> {
    this.looking ??= this.measure().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async measure(): Promise<void> {
    // Read before `statfs`: bytes that are appended during the call count twice at most.
    const appended = this.parts.usage.appendedBytes,
      nowMs = this.base.now(),
      fs = await (this.parts.size ?? statfs)(this.config.dataPath);
    this.appendedBefore = appended;
    this.lookedMs = nowMs;
    this.freeBytes = fs.bavail * fs.bsize;
    this.totalBytes = fs.blocks * fs.bsize;
    // File systems that allocate inodes on demand report 0.
    this.freeInodes = fs.files > 0 ? fs.ffree : Infinity;
    if (this.full && this.refusal() === undefined) {
      this.full = false;
      this.base.log.info({ freeBytes: this.freeBytes }, "disk has free space again, accepting pushes");
    }
  }

  /**
   * Makes room before replay, because an earlier process may have left a full disk. Removes shipped blocks
   * that store-gateways answer for, then the ballast, so that the log can be checkpointed.
   */
  async makeRoomForReplay(): Promise<void> {
    await this.checkDisk();
    if (this.leftBytes >= 0 && this.freeInodes >= RESERVE_INODES) return;
    await this.removeShipped(true);
    await this.checkDisk();
    if (this.leftBytes >= 0) return;
    const released = this.ballast.release();
    if (released) this.parts.usage.noteRelease();
    await this.checkDisk();
    this.base.log.warn(
      { freeBytes: this.freeBytes, reserveBytes: Math.floor(this.reserveBytes), ballastReleased: released },
      "disk is full at startup; reads and uploads continue, pushes are refused until space is free",
    );
  }

  /**
   * Removes expired local blocks, makes room when space runs short, and restores the ballast when there is
   * space. Concurrent calls share one pass.
   */
  removeExpired(): Promise<void> {
    this.passedMs = this.base.now();
    this.passing ??= this.doPass().finally(() => {
      this.passing = undefined;
    });
    return this.passing;
  }

  private async doPass(): Promise<void> {
    const { config, base } = this;
    await this.checkDisk();
    const isLow = (): boolean =>
      this.leftBytes < this.reserveBytes ||
      this.freeInodes < 2 * RESERVE_INODES ||
      (this.freeBytes < config.minFreeDiskBytes &&
        this.freeBytes < this.totalBytes * config.minDiskAvailable);
    await this.removeShipped(isLow());
    await this.checkDisk();
    const short = this.leftBytes < this.reserveBytes || this.refusal() !== undefined;
    if (short && base.now() - this.flushedMs >= FLUSH_PAUSE_MS) {
      this.flushedMs = base.now();
      this.parts.ship();
      if (this.parts.headBytes() > 0) await this.cutHeads();
      await this.removeShipped(true);
      await this.checkDisk();
    }
    await this.restoreBallast();
  }

  /** Cuts all heads: their blocks are smaller than heads and log, and can leave the disk. */
  private async cutHeads(): Promise<void> {
    this.base.log.warn(
      { freeBytes: this.freeBytes, reservedBytes: Math.floor(this.reservedBytes) },
      "disk space is low, cutting heads early",
    );
    try {
      await this.parts.flush();
    } catch (err) {
      this.base.log.warn({ err }, "cutting heads failed for lack of disk space, retrying");
    }
  }

  /** Removes shipped blocks that a store-gateway answers for: those past the retention, or all. */
  private async removeShipped(all: boolean): Promise<void> {
    const { config, base, parts } = this;
    if (config.retentionDisabled) return;
    const now = base.now(),
      oldestFirst = parts.blocks.shippedBlocks().sort((a, b) => a.meta.minTimeMs - b.meta.minTimeMs);
    for (const { tenant, meta } of oldestFirst) {
      if (!all && now - meta.maxTimeMs < config.retentionMs) continue;
      if (!(await this.isAnswerable(tenant, meta.ulid))) continue;
      parts.blocks.remove(tenant, meta.ulid);
      parts.onRemove(tenant, meta.ulid);
      base.log.info({ tenant, blockId: meta.ulid }, "local block deleted, the bucket serves its data");
    }
  }

  private async isAnswerable(tenant: string, ulid: string): Promise<boolean> {
    try {
      return await this.parts.answerable(tenant, ulid);
    } catch (err) {
      this.base.log.debug(
        { tenant, blockId: ulid, err },
        "no store-gateway confirmed that it serves the block, keeping the local copy",
      );
      return false;
    }
  }

  private get ballastSize(): number {
    return Math.floor(Math.min(this.config.ballastBytes, this.totalBytes * BALLAST_SHARE));
  }

  private async restoreBallast(): Promise<void> {
    const size = this.ballastSize;
    // Require twice the size: the ballast itself must not fill the disk again.
    if (this.ballast.bytes >= size || this.refusal() !== undefined || this.leftBytes < 2 * size) return;
    try {
      await this.ballast.fill(size);
    } catch (err) {
      if (!isUnwritable(err)) throw err;
      this.base.log.warn({ err, sizeBytes: size }, "ballast file could not be written, retrying");
    }
    await this.checkDisk();
  }

  /** Makes room for an upload to a bucket on this disk. @returns whether another try makes sense */
  makeRoom(): boolean {
    if (!this.ballast.release()) return false;
    this.parts.usage.noteRelease();
    return true;
  }
}

export function ballastPath(dataPath: string): string {
  return `${dataPath}/.cinderblock/ballast`;
}
