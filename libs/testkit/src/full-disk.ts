import fs from "node:fs";

/** Codes of file calls that fail without a change, and which calls fail with each. */
export type DiskRefusal = "ENOSPC" | "EDQUOT" | "EROFS" | "EMFILE" | "inodes";

/**
 * A disk that takes no more writes, as the synchronous file calls of this process see it. It writes a part of what finds no
 * room, as a real one does. A test restores the calls with `jest.restoreAllMocks`.
 */
export class FullDisk {
  /** why writes fail; undefined: they succeed */
  refusal: DiskRefusal | undefined;
  /** bytes that still fit while writes fail for lack of space */
  room = 0;
  /** calls that failed */
  refused = 0;
  /** called before each write, to change the above */
  onWrite: () => void = () => undefined;

  constructor() {
    const real = { openSync: fs.openSync, writeSync: fs.writeSync, mkdirSync: fs.mkdirSync };
    jest.spyOn(fs, "writeSync").mockImplementation(((
      fd: number,
      bytes: Uint8Array,
      from: number,
      size: number,
      at?: number,
    ) => {
      this.onWrite();
      const { refusal } = this;
      if (refusal === undefined || refusal === "EMFILE" || refusal === "inodes")
        return real.writeSync(fd, bytes, from, size, at);
      if (refusal !== "EROFS" && this.room > 0) {
        const fits = Math.min(size, this.room);
        this.room -= fits;
        return real.writeSync(fd, bytes, from, fits, at);
      }
      throw this.error(refusal, "write");
    }) as typeof fs.writeSync);
    jest.spyOn(fs, "openSync").mockImplementation(((path: string, flags: string, mode?: number) => {
      const makes = (flags === "w" || flags === "wx") && !fs.existsSync(path);
      if (this.refusal === "EMFILE") throw this.error("EMFILE", "open");
      if (makes && this.refusal === "inodes") throw this.error("ENOSPC", "open");
      if (flags !== "r" && this.refusal === "EROFS") throw this.error("EROFS", "open");
      return real.openSync(path, flags, mode);
    }) as typeof fs.openSync);
    jest.spyOn(fs, "mkdirSync").mockImplementation(((path: string, options: fs.MakeDirectoryOptions) => {
      if (this.refusal !== undefined && this.refusal !== "EMFILE" && !fs.existsSync(path))
        throw this.error(this.refusal === "inodes" ? "ENOSPC" : this.refusal, "mkdir");
      return real.mkdirSync(path, options);
    }) as typeof fs.mkdirSync);
  }

  private error(code: string, call: string): Error {
    this.refused++;
    return Object.assign(new Error(`${code}: refused by the test's disk, ${call}`), { code });
  }
}
