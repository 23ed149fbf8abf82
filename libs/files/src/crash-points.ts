import { kill } from "node:process";

/**
 * Every place between two steps of a durable change. A test stops the process at each of them
 * (docs/contributing/testing.md, "Visit crash points").
 */
export const CRASH_POINTS = [
  // A head becomes a block (docs/correctness.md, "Order of a cut").
  "cut/log-synced",
  "cut/files-written",
  "cut/moved",
  "cut/done-synced",
  "cut/released",
  // Segments of the log go.
  "reclaim/baselines-written",
  "reclaim/checkpoint-synced",
  "reclaim/segments-removed",
  // Baselines follow their pushes to other threads.
  "reshard/baselines-adopted",
  "reshard/foreign-baselines-dropped",
  // A block goes to the bucket.
  "ship/first-file-uploaded",
  "ship/files-uploaded",
  "ship/meta-uploaded",
  "ship/marked-as-uploaded",
  // Records of a partition are taken in, and their offsets committed.
  "intake/heads-synced",
  "commit/before-commit",
  "commit/committed",
  "commit/positions-saved",
  // Blocks are merged.
  "compact/outputs-written",
  "compact/files-uploaded",
  "compact/first-meta-uploaded",
  "compact/published",
  "compact/first-mark-of-two",
  "compact/first-source-marked",
  "compact/sources-marked",
  // A marked block is deleted.
  "clean/meta-deleted",
  "clean/files-deleted",
  "clean/mark-deleted",
  // A stop hands everything over.
  "hand-over/leaving",
  "hand-over/flushed",
  "hand-over/shipped",
  "hand-over/answered",
  "hand-over/roster-removed",
] as const;

export type CrashPoint = (typeof CRASH_POINTS)[number];

/** Variable of the environment that names the point at which a test stops the process. */
const VARIABLE = "CINDERBLOCK_CRASH_POINT";

const armed = process.env[VARIABLE];
if (armed !== undefined && !(CRASH_POINTS as readonly string[]).includes(armed))
  throw new Error(`${VARIABLE}=${armed}: there is no such crash point`);

/** Stops the process, as `kill -9` does, where a test asks for it at this point. */
export function crashPoint(point: CrashPoint): void {
  if (armed !== point) return;
  kill(process.pid, "SIGKILL");
  // The signal may come some instructions later, in a thread even more: no further step is made.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
