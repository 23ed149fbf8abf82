import { statfs } from "node:fs/promises";
import type { BlockMeta } from "@cinderblock/block-meta";
import { noRoom } from "@cinderblock/errors";

/** Free bytes that a job leaves to others: a number of bytes, and at most this share of the disk. */
const RESERVE_BYTES = 256 << 20,
  RESERVE_SHARE = 1 / 20;
/** Bytes that a job writes for each byte of its sources: the copies, and outputs that are no larger. */
const WRITTEN_SHARE = 2;

/** The fields of `statfs` that a job needs. */
export interface DiskSize {
  bsize: number;
  blocks: number;
  bavail: number;
}

/**
 * Checks that a job's work fits on the disk before the job starts: other components may log pushes there.
 * @throws `no-room` when the work does not fit
 */
export async function requireWorkRoom(
  dataDir: string,
  blocks: readonly BlockMeta[],
  size: (path: string) => Promise<DiskSize> = statfs,
): Promise<void> {
  const { bsize, blocks: total, bavail } = await size(dataDir);
  const sources = blocks.reduce((n, m) => n + m.files.reduce((s, f) => s + f.sizeBytes, 0), 0),
    needed = WRITTEN_SHARE * sources + Math.min(RESERVE_BYTES, total * bsize * RESERVE_SHARE),
    free = bavail * bsize;
  if (free >= needed) return;
  throw noRoom(
    "disk",
    `the compaction job needs up to ${Math.ceil(needed)} bytes of disk; the limit is ${free}, the free bytes on the disk of ${dataDir} (-compactor.data-dir)`,
    { neededBytes: Math.ceil(needed), freeBytes: free },
  );
}
