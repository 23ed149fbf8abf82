import fs from "node:fs";

/**
 * Failing file calls without a change: their error code, or "inodes" for calls that fail because inodes are
 * used up.
 */
export type DiskRefusal = "ENOSPC" | "EDQUOT" | "EROFS" | "EMFILE" | "inodes";

/**
 * A disk that accepts no more writes, simulated for the synchronous file calls of this process. Like a real
 * disk, it writes a part of a write that does not fit. Tests restore the calls with `jest.restoreAllMocks`.
 */
export class FullDisk {
  /** error of writes; undefined: writes succeed */
  refusal: DiskRefusal | undefined;
  /** bytes that still fit while writes fail for lack of space */
  room = 0;
  /** number of failed calls */
  refused = 0;
  /** called before each write; may change the fields above */
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
