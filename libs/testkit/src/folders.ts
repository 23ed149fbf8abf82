import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd, IN_JEST } from "./at-end.ts";

/** A new folder, which is removed when the test file ends. @param prefix of its name: short where a program limits a path's length */
export function temporaryFolder(prefix = "cinderblock-"): string {
  const dir = mkdtempSync(join(tmpdir(), prefix));
  if (IN_JEST)
    atEnd(() => {
      rmSync(dir, { recursive: true, force: true });
    });
  return dir;
}
