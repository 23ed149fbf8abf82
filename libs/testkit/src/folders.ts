import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd, IN_JEST } from "./at-end.ts";

/**
 * Creates a folder that is removed when the test file ends.
 * @param prefix prefix of its name: short if a program limits the length of paths
 */
export function temporaryFolder(prefix = "cinderblock-"): string {
  const dir = mkdtempSync(join(tmpdir(), prefix));
  if (IN_JEST)
    atEnd(() => {
      rmSync(dir, { recursive: true, force: true });
    });
  return dir;
}
