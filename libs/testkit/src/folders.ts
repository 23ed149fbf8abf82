import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atEnd, IN_JEST } from "./at-end.ts";

/** A new folder, which is removed when the test file ends. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "cinderblock-"));
  if (IN_JEST)
    atEnd(() => {
      rmSync(dir, { recursive: true, force: true });
    });
  return dir;
}
