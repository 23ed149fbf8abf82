import fs from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folders.ts";

/**
 * Identity of a folder or file, unique even if another one reuses its inode number and its time during its
 * removal.
 */
function identity(stat: fs.Stats): string {
  return `${stat.ino} ${stat.birthtimeMs}`;
}

/**
 * State of a disk after a power cut: each file has the bytes of its last sync, each folder the entries of its
 * last sync. So a rename, a new file or a removal without a folder sync is undone. Watches the synchronous
 * file calls, `fsync` and `fdatasync` of this process through `jest.spyOn`: tests restore them with
 * `jest.restoreAllMocks`.
 */
export class PowerCutDisk {
  private readonly paths = new Map<number, string>();
  private readonly sizes = new Map<string, number>();
  private readonly entries = new Map<string, Map<string, string>>();
  private readonly root: string;
  private readonly unlinked = temporaryFolder();
  private links = 0;
  private syncs = 0;
  /** folder -> number of the sync that recorded its entries */
  private readonly began = new Map<string, number>();
  /** called after each call that changes or syncs data */
  onStep: () => void = () => undefined;

  constructor(root: string) {
    this.root = root;
    const real = {
      openSync: fs.openSync,
      fsyncSync: fs.fsyncSync,
      fsync: fs.fsync,
      fdatasync: fs.fdatasync,
      renameSync: fs.renameSync,
      writeSync: fs.writeSync,
      unlinkSync: fs.unlinkSync,
    };
    jest.spyOn(fs, "openSync").mockImplementation(((path: string, flags: string) => {
      const fd = real.openSync(path, flags);
      this.paths.set(fd, path);
      return fd;
    }) as typeof fs.openSync);
    jest.spyOn(fs, "fsyncSync").mockImplementation((fd) => {
      real.fsyncSync(fd);
      this.synced(fd);
    });
    jest.spyOn(fs, "fsync").mockImplementation(((fd: number, done: (err: null) => void) => {
      // A sync of a folder or file covers the state before the call, even if it changes during the sync.
      const covers = this.covers(fd);
      real.fsync(fd, (err) => {
        if (!err) covers();
        done(err as null);
      });
    }) as typeof fs.fsync);
    jest.spyOn(fs, "fdatasync").mockImplementation(((fd: number, done: (err: null) => void) => {
      // A sync covers writes before the call, not writes during it.
      const stat = fs.fstatSync(fd),
        ino = identity(stat),
        { size } = stat;
      real.fdatasync(fd, (err) => {
        if (!err) {
          this.sizes.set(ino, Math.max(size, this.sizes.get(ino) ?? 0));
          this.onStep();
        }
        done(err as null);
      });
    }) as typeof fs.fdatasync);
    jest.spyOn(fs, "renameSync").mockImplementation((a, b) => {
      real.renameSync(a, b);
      this.onStep();
    });
    jest.spyOn(fs, "writeSync").mockImplementation(((...args: [number, Uint8Array, number, number]) => {
      const n = real.writeSync(...args);
      this.onStep();
      return n;
    }) as typeof fs.writeSync);
    jest.spyOn(fs, "unlinkSync").mockImplementation((path) => {
      // A link outside of the root keeps the inode: a removal without a folder sync may be undone.
      fs.linkSync(path, join(this.unlinked, String(this.links++)));
      real.unlinkSync(path);
      this.onStep();
    });
  }

  private synced(fd: number): void {
    this.covers(fd)();
  }

  /** Records the data that a sync starting now makes durable; call the result when the sync is over. */
  private covers(fd: number): () => void {
    const stat = fs.fstatSync(fd),
      path = this.paths.get(fd)!;
    if (!stat.isDirectory())
      return () => {
        this.sizes.set(identity(stat), Math.max(stat.size, this.sizes.get(identity(stat)) ?? 0));
        this.onStep();
      };
    const entries = new Map(fs.readdirSync(path).map((n) => [n, identity(fs.statSync(join(path, n)))])),
      began = this.syncs++;
    return () => {
      // Of two concurrent syncs, the later one covers more.
      if ((this.began.get(identity(stat)) ?? -1) < began) {
        this.began.set(identity(stat), began);
        this.entries.set(identity(stat), entries);
      }
      this.onStep();
    };
  }

  /**
   * Copies the data that would survive a power cut at this moment to `target`.
   * @param chance from 0 to 1, for each change that a disk may or may not have made by itself: a removal
   * without a folder sync since, and the amount of data written since a file's last sync. Without `chance`,
   * the disk made no such change.
   */
  cut(target: string, chance: () => number = () => 0): void {
    const where = new Map<string, string>(),
      removed = new Map<string, string>();
    for (const name of fs.readdirSync(this.unlinked))
      removed.set(identity(fs.statSync(join(this.unlinked, name))), join(this.unlinked, name));
    const scan = (dir: string): void => {
      for (const e of fs.readdirSync(dir, { withFileTypes: true })) {
        const p = join(dir, e.name);
        where.set(identity(fs.statSync(p)), p);
        if (e.isDirectory()) scan(p);
      }
    };
    scan(this.root);
    const copy = (ino: string, to: string): void => {
      fs.mkdirSync(to, { recursive: true });
      for (const [name, child] of this.entries.get(ino) ?? []) {
        const path =
          where.get(child) ?? (removed.has(child) && chance() < 0.5 ? removed.get(child) : undefined);
        if (path === undefined) continue;
        if (fs.statSync(path).isDirectory()) copy(child, join(to, name));
        else {
          const bytes = fs.readFileSync(path),
            synced = this.sizes.get(child) ?? 0,
            more = Math.floor(Math.max(0, 2 * chance() - 1) * (bytes.length - synced));
          fs.appendFileSync(join(to, name), bytes.subarray(0, synced + more));
        }
      }
    };
    copy(identity(fs.statSync(this.root)), target);
  }
}
