import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Suffix of a file that is not whole yet. Readers of a folder skip it. */
const UNFINISHED = ".next";

/** Syncs the entries of a folder: new files, renames and removals survive a power cut from here on. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

async function syncDirectoryAsync(path: string): Promise<void> {
  const dir = await open(path, "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}

/** Makes a folder and those above it, each entry synced into its parent: a folder that a power cut forgets takes its files along. */
export function makeDirectorySynced(path: string): void {
  const made: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) made.push(at);
  mkdirSync(path, { recursive: true });
  for (const dir of made.reverse()) syncDirectory(dirname(dir));
}

/** `makeDirectorySynced` that does not block the event loop. */
export async function makeDirectorySyncedAsync(path: string): Promise<void> {
  const exists = (at: string): Promise<boolean> =>
    stat(at).then(
      () => true,
      (err: NodeJS.ErrnoException) => {
        if (err.code === "ENOENT") return false;
        throw err;
      },
    );
  const made: string[] = [];
  for (let at = path; !(await exists(at)); at = dirname(at)) made.push(at);
  await mkdir(path, { recursive: true });
  for (const dir of made.reverse()) await syncDirectoryAsync(dirname(dir));
}

/** Writes and syncs the bytes of one file. Its entry in the folder is the caller's to sync. */
export function writeFileSynced(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "w");
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Replaces a file as a whole: after a crash or a power cut at any point, the path holds the old content or the new one.
 * The order is write, sync, rename, sync of the folder.
 */
export function replaceFileSync(path: string, content: Uint8Array | string): void {
  makeDirectorySynced(dirname(path));
  const next = `${path}${UNFINISHED}`;
  try {
    writeFileSynced(next, typeof content === "string" ? Buffer.from(content) : content);
    renameSync(next, path);
  } catch (err) {
    rmSync(next, { force: true });
    throw err;
  }
  syncDirectory(dirname(path));
}

/** `replaceFileSync` that does not block the event loop. Calls for one path must not overlap. */
export async function replaceFile(path: string, content: Uint8Array | string): Promise<void> {
  await makeDirectorySyncedAsync(dirname(path));
  const next = `${path}${UNFINISHED}`;
  try {
    const file = await open(next, "w");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, path);
  } catch (err) {
    await rm(next, { force: true });
    throw err;
  }
  await syncDirectoryAsync(dirname(path));
}

/** Moves a folder to another parent and syncs both parents. What the target held goes first. */
export function moveDirectorySync(from: string, to: string): void {
  makeDirectorySynced(dirname(to));
  rmSync(to, { recursive: true, force: true });
  renameSync(from, to);
  syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) syncDirectory(dirname(from));
}
