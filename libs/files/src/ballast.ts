import { randomFillSync } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makeDirectorySyncedAsync } from "./durable.ts";

const CHUNK_BYTES = 1 << 20;

/**
 * A file that only reserves disk space: removing it lets work finish on a full disk. Processes and threads
 * share it by its path. See docs/adr/0034-keep-pushes-off-a-full-disk.md.
 */
export class Ballast {
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Current size of the file in bytes. */
  get bytes(): number {
    return statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Removes the file. @returns whether that freed space */
  release(): boolean {
    const held = this.bytes > 0;
    rmSync(this.path, { force: true });
    return held;
  }

  /** Writes the file. Without disk space, leaves it absent. */
  async fill(sizeBytes: number): Promise<void> {
    if (sizeBytes === 0 || this.bytes >= sizeBytes) return;
    const next = `${this.path}.next`,
      chunk = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes));
    await makeDirectorySyncedAsync(dirname(this.path));
    try {
      const file = await open(next, "w");
      try {
        for (let at = 0; at < sizeBytes; at += chunk.length) {
          // A compressing file system would store zeros in no space at all.
          randomFillSync(chunk);
          await file.write(chunk, 0, Math.min(chunk.length, sizeBytes - at));
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, this.path);
    } catch (err) {
      await rm(next, { force: true });
      throw err;
    }
  }
}
