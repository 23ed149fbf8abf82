/** Whether a file call failed because the disk, or its quota, is full. */
export function isNoSpace(err: unknown): boolean {
  const { code } = err as NodeJS.ErrnoException;
  return code === "ENOSPC" || code === "EDQUOT";
}
