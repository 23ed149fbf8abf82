import { kill } from "node:process";

/**
 * All points between two steps of a durable change. A test stops the process at each of them
 * (docs/contributing/testing.md, "Kill at crash points").
 */
export const CRASH_POINTS = [
  // Crash points while a head becomes a block (docs/correctness.md, "Order of a cut").
  "cut/log-synced",
  "cut/files-written",
  "cut/moved",
  "cut/done-synced",
  "cut/released",
  // Crash points while segments of the write-ahead log are deleted.
  "reclaim/baselines-written",
  "reclaim/checkpoint-synced",
  "reclaim/segments-removed",
  // Crash points while baselines move to other ingest threads with their pushes.
  "reshard/baselines-adopted",
  "reshard/foreign-baselines-dropped",
  // Crash points while a block is uploaded to the bucket.
  "ship/first-file-uploaded",
  "ship/files-uploaded",
  "ship/meta-uploaded",
  "ship/marked-as-uploaded",
  // Crash points while an ingester consumes records of a partition and commits their offsets.
  "intake/heads-synced",
  "commit/before-commit",
  "commit/committed",
  "commit/positions-saved",
  // Crash points while a compaction merges blocks.
  "compact/outputs-written",
  "compact/files-uploaded",
  "compact/first-meta-uploaded",
  "compact/published",
  "compact/first-mark-of-two",
  "compact/first-source-marked",
  "compact/sources-marked",
  // Crash points while a marked block is deleted.
  "clean/meta-deleted",
  "clean/files-deleted",
  "clean/mark-deleted",
  // Crash points while a stopping process hands over all its data.
  "hand-over/leaving",
  "hand-over/flushed",
  "hand-over/shipped",
  "hand-over/answered",
  "hand-over/roster-removed",
] as const;

/** Name of a crash point. */
export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Environment variable with the point at which a test stops the process. */
const VARIABLE = "CINDERBLOCK_CRASH_POINT";

const armed = process.env[VARIABLE];
if (armed !== undefined && !(CRASH_POINTS as readonly string[]).includes(armed))
  throw new Error(`${VARIABLE}=${armed}: unknown crash point`);

/** Stops the process like `kill -9` if a test selected this point. */
export function crashPoint(point: CrashPoint): void {
  if (armed !== point) return;
  kill(process.pid, "SIGKILL");
  // The signal may arrive some instructions later, in a thread even more: block, so that no further step
  // runs.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
