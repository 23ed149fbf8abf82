const NO_SPACE: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);
const UNWRITABLE: ReadonlySet<unknown> = new Set([...NO_SPACE, "EROFS", "EMFILE", "ENFILE"]);

/** The code of the file call that failed, also where another error wraps it. */
function codeOf(err: unknown): unknown {
  for (let e = err; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (code !== undefined) return code;
  }
  return undefined;
}

/** Whether a file call failed because the disk, its inodes, or its quota is used up. */
export function isNoSpace(err: unknown): boolean {
  return NO_SPACE.has(codeOf(err));
}

/**
 * Whether a file call failed without a change and may succeed later: no space, a file system that is mounted read-only, or no
 * free descriptor. It proves nothing about the data that is on the disk already. A failed sync is never such an error for its
 * caller (docs/correctness.md, "Order of a cut").
 */
export function isUnwritable(err: unknown): boolean {
  return UNWRITABLE.has(codeOf(err));
}
