const NO_SPACE: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT"]);
const UNWRITABLE: ReadonlySet<unknown> = new Set([...NO_SPACE, "EROFS", "EMFILE", "ENFILE"]);

/** Code of a failed file call, also if another error wraps it. */
function codeOf(err: unknown): unknown {
  for (let e = err; e instanceof Error; e = e.cause) {
    const { code } = e as NodeJS.ErrnoException;
    if (code !== undefined) return code;
  }
  return undefined;
}

/** Whether a file call failed because the disk, its inodes, or its quota is exhausted. */
export function isNoSpace(err: unknown): boolean {
  return NO_SPACE.has(codeOf(err));
}

/**
 * Whether a file call failed without a change and may succeed later: no space, a read-only file system, or no
 * free descriptor. It proves nothing about data that is on disk already. For its caller, a failed sync is
 * never such an error (docs/correctness.md, "Order of a cut").
 */
export function isUnwritable(err: unknown): boolean {
  return UNWRITABLE.has(codeOf(err));
}
