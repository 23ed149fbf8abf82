import { constants } from "node:fs";
import {
  copyFile,
  link,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { CinderblockError } from "@cinderblock/errors";
import { makeDirectorySyncedAsync } from "@cinderblock/files";
import type { Bucket, ObjectAttributes } from "./bucket.ts";

let temporary = 0;

/** A directory as a bucket. Objects appear by rename, after their bytes are on disk. */
export class FilesystemBucket implements Bucket {
  readonly name = "filesystem";
  private readonly root: string;
  constructor(root: string) {
    this.root = resolve(root);
  }

  private path(name: string): string {
    const path = resolve(this.root, name);
    if (path !== this.root && !path.startsWith(this.root + sep))
      throw new CinderblockError(
        "invalid",
        `object name ${JSON.stringify(name)} points outside of the bucket`,
      );
    return path;
  }

  private translate(name: string, err: unknown): never {
    const { code } = err as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR")
      throw new CinderblockError("not-found", `object ${name} does not exist`, { cause: err });
    throw new CinderblockError("unavailable", `bucket ${this.root}: ${(err as Error).message}`, {
      cause: err,
    });
  }

  async get(name: string): Promise<Uint8Array> {
    try {
      return await readFile(this.path(name));
    } catch (err) {
      return this.translate(name, err);
    }
  }

  async getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    try {
      const file = await open(this.path(name), "r");
      try {
        const out = new Uint8Array(size);
        const { bytesRead } = await file.read(out, 0, size, offset);
        return bytesRead === size ? out : out.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    } catch (err) {
      return this.translate(name, err);
    }
  }

  private async publish(
    name: string,
    write: (path: string) => Promise<void>,
    appear: (work: string, path: string) => Promise<void> = rename,
  ): Promise<void> {
    const path = this.path(name);
    const work = `${path}.tmp-${process.pid}-${++temporary}`;
    try {
      await makeDirectorySyncedAsync(dirname(path));
      await write(work);
      const file = await open(work, "r+");
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      await appear(work, path);
      const dir = await open(dirname(path), "r");
      try {
        await dir.sync();
      } finally {
        await dir.close();
      }
    } catch (err) {
      // ignore a failed removal: the first error says more
      await rm(work, { force: true }).catch(() => undefined);
      this.translate(name, err);
    }
  }

  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.publish(name, (path) => writeFile(path, bytes));
  }

  async putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    let there = false;
    // A hard link: the file system itself refuses a name that is taken.
    await this.publish(
      name,
      (path) => writeFile(path, bytes),
      async (work, path) => {
        try {
          await link(work, path);
        } catch (err) {
          if ((err as NodeJS.ErrnoException).code !== "EEXIST") throw err;
          there = true;
        }
        await rm(work);
      },
    );
    return !there;
  }

  putFile(name: string, from: string): Promise<void> {
    return this.publish(name, (path) => copyFile(from, path, constants.COPYFILE_FICLONE));
  }

  async attributes(name: string): Promise<ObjectAttributes> {
    try {
      const s = await stat(this.path(name));
      if (!s.isFile()) throw Object.assign(new Error("not a file"), { code: "ENOENT" });
      return { size: s.size, lastModifiedMs: s.mtimeMs };
    } catch (err) {
      return this.translate(name, err);
    }
  }

  async exists(name: string): Promise<boolean> {
    try {
      return (await stat(this.path(name))).isFile();
    } catch (err) {
      const { code } = err as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") return false;
      return this.translate(name, err);
    }
  }

  async delete(name: string): Promise<void> {
    const path = this.path(name);
    await rm(path, { force: true });
    // A folder without objects does not exist in an object store.
    for (let dir = dirname(path); dir.startsWith(this.root + sep); dir = dirname(dir)) {
      try {
        await rmdir(dir);
      } catch {
        return;
      } // the folder is not empty, or already deleted
    }
  }

  async list(prefix: string): Promise<string[]> {
    const slash = prefix.lastIndexOf("/") + 1;
    const dir = prefix.slice(0, slash),
      start = prefix.slice(slash);
    try {
      const entries = await readdir(join(this.root, dir), { withFileTypes: true });
      return entries
        .filter((e) => e.name.startsWith(start) && !e.name.includes(".tmp-"))
        .map((e) => `${dir}${e.name}${e.isDirectory() ? "/" : ""}`)
        .sort();
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return [];
      return this.translate(prefix, err);
    }
  }
}
