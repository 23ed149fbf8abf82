import { readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { CinderblockError } from "@cinderblock/errors";
import { makeDirectorySynced } from "./durable.ts";
import { isUnwritable } from "./no-space.ts";

/** SQLite's result code for a lock that another connection holds. */
const SQLITE_BUSY = 5;

/** Error of a folder that another process has locked. */
export class DirectoryInUse extends CinderblockError {
  constructor(path: string, flag: string, owner: string) {
    super(
      "unavailable",
      `${path} is in use by ${owner}; the limit is one process per data directory: stop that process, or set another directory (${flag})`,
    );
    this.name = "DirectoryInUse";
  }
}

/** An exclusive lock on a folder, held until `release` or the end of the process. */
export interface DirectoryLock {
  release(): void;
}

/**
 * Locks a folder exclusively for this process, while it lives (docs/correctness.md, "One process per data
 * path"). The lock is a kernel record lock on `<path>/.cinderblock/process.lock`. The kernel drops it however
 * the process ends, and other containers on the machine see it, because it belongs to the file. SQLite takes
 * the lock, because Node has no call for it. No other code may open the file. See
 * docs/adr/0019-lock-a-data-path.md.
 * @param flag the flag that names the folder, for the error
 * @throws {DirectoryInUse} when another process, or another part of this one, has the lock
 */
export function lockDirectory(path: string, flag: string): DirectoryLock {
  const own = join(path, ".cinderblock");
  makeDirectorySynced(own);
  const lockFile = join(own, "process.lock"),
    ownerFile = join(own, "process.json");
  const lock = new DatabaseSync(lockFile, { timeout: 0 });
  try {
    // No journal: the file stays empty, and the lock needs no disk space.
    lock.exec("PRAGMA journal_mode=MEMORY; PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (err) {
    lock.close();
    if ((err as { errcode?: number }).errcode === SQLITE_BUSY)
      throw new DirectoryInUse(realpathSync(path), flag, ownerOf(ownerFile));
    throw new CinderblockError(
      "unavailable",
      `locking ${lockFile} failed: ${(err as Error).message}; the file system of ${flag} must support record locks`,
      { cause: err },
    );
  }
  try {
    // Name the owner in a file, for the error text above and for operators; a missing or torn file changes
    // nothing.
    writeFileSync(
      ownerFile,
      JSON.stringify({ pid: process.pid, host: hostname(), startedAt: new Date().toISOString() }),
    );
  } catch (err) {
    // A full disk must not keep a process from its own data.
    if (!isUnwritable(err)) throw err;
  }
  let held = true;
  return {
    release() {
      if (!held) return;
      held = false;
      rmSync(ownerFile, { force: true });
      lock.close();
    },
  };
}

function ownerOf(file: string): string {
  try {
    const { pid, host, startedAt } = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    return `process ${String(pid)} on host ${String(host)}, started at ${String(startedAt)}`;
  } catch {
    return "another process";
  }
}
