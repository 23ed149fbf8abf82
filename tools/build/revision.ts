import { execFileSync } from "node:child_process";

/** The short hash of the checked-out commit; "unknown" without Git, as in a tarball. */
export function revision(root: string): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

if (import.meta.main) console.log(revision(process.cwd()));
