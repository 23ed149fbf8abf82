import { execFileSync } from "node:child_process";

/** The commit that the checkout is at, shortened; "unknown" in a tarball, which has none. */
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
