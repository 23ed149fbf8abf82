import {
  closeSync,
  existsSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Suffix of an unfinished file. Readers of a folder skip it. */
const UNFINISHED = ".next";

/** Syncs the entries of a folder: earlier new files, renames and removals survive a power cut. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Syncs a file without blocking the event loop. */
function synced(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fsync(fd, (err) => {
      if (err) reject(err);
      else resolve();
    });
  });
}

/** `syncDirectory` that does not block the event loop. */
export async function syncDirectoryAsync(path: string): Promise<void> {
  const fd = openSync(path, "r");
  try {
    await synced(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Creates a folder and its missing parents, and syncs each entry in its parent. A folder that a power cut
 * removes takes its files with it.
 */
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

/** Writes and syncs one file. The caller syncs the file's entry in the folder. */
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
 * Writes files into a folder, then syncs them and the folder's entries. All bytes are passed to the kernel
 * before the first sync, so that a journaling file system commits them together. Only the waits for the disk
 * yield to other work.
 */
export async function writeDirectorySynced(
  path: string,
  files: readonly { name: string; bytes: Uint8Array }[],
): Promise<void> {
  const open: number[] = [];
  try {
    for (const { name, bytes } of files) {
      const fd = openSync(join(path, name), "w");
      open.push(fd);
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at);
    }
    for (const fd of open) await synced(fd);
  } finally {
    for (const fd of open) closeSync(fd);
  }
  await syncDirectoryAsync(path);
}

/**
 * Replaces a file atomically: after a crash or a power cut at any point, the path has the old content or the
 * new. The order is write, sync, rename, sync of the folder.
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

/** Moves a folder to another parent and syncs both parents. Deletes an existing target first. */
export function moveDirectorySync(from: string, to: string): void {
  makeDirectorySynced(dirname(to));
  rmSync(to, { recursive: true, force: true });
  renameSync(from, to);
  syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) syncDirectory(dirname(from));
}

/** `moveDirectorySync` whose disk waits do not block the event loop. */
export async function moveDirectory(from: string, to: string): Promise<void> {
  await makeDirectorySyncedAsync(dirname(to));
  rmSync(to, { recursive: true, force: true });
  renameSync(from, to);
  await syncDirectoryAsync(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDirectoryAsync(dirname(from));
}
