/**
 * Compares proto/ with what must not break: the API of Pyroscope v1, and Cinderblock's own packages as of the
 * last release tag (`v<version>`); without a tag, there is no release to break.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** Tag of the last release that this commit descends from; undefined before the first. */
export function lastRelease(tags: readonly string[]): string | undefined {
  return tags.find((tag) => /^v\d+\.\d+\.\d+$/.test(tag));
}

function isUnbroken(...args: string[]): boolean {
  const { status } = spawnSync("buf", ["breaking", ...args], {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, PATH: `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH}` },
  });
  return status === 0;
}

if (import.meta.main) {
  const tags = execFileSync("git", ["tag", "--merged", "HEAD", "--sort=-version:refname", "--list", "v*"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  const release = lastRelease(tags.split("\n")),
    api = isUnbroken("--against", "proto/pyroscope-v1.binpb");
  const own =
    release === undefined || isUnbroken("--against", `.git#tag=${release}`, "--path", "proto/cinderblock");
  if (!api || !own) process.exitCode = 1;
}
