import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import base from "./jest.config.mjs";

const long = Boolean(process.env.CINDERBLOCK_LONG);

/** Whether any of these paths changed since the extended run that docs/long-tests.md records. Where that cannot be told, it did not. */
function changed(...paths) {
  const commit =
    /at commit ([0-9a-f]+)/.exec(readFileSync(new URL("docs/long-tests.md", import.meta.url), "utf8"))?.[1] ??
    "";
  return (
    spawnSync("git", ["diff", "--quiet", commit, "--", ...paths], {
      cwd: import.meta.dirname,
      stdio: "ignore",
    }).status === 1
  );
}

// The memory ceiling, the budget of the web UI and the roll to the release before and back take minutes, what a cluster, a program in Rust and an image need takes minutes
// to build: `npm run test:long` runs all of them, `npm test` those of the latter whose subject changed since.
const left = [
  ["/e2e/ceiling", false],
  ["/e2e/upgrade", false],
  ["/e2e/sdk-rust", false],
  ["/e2e/web-budget", false],
  [
    "/e2e/kubernetes",
    process.env.CI === "true" && changed("charts", "e2e/kubernetes.e2e.ts", "libs/testkit/src/kubernetes.ts"),
  ],
  [
    "/e2e/image",
    process.env.CI === "true" &&
      changed(
        "Dockerfile",
        ".dockerignore",
        "apps/cinderblock/bin",
        "e2e/image.e2e.ts",
        "libs/testkit/src/images.ts",
        "libs/testkit/src/base-image.ts",
      ),
  ],
  [
    "/e2e/docker",
    process.env.CI === "true" &&
      changed(
        "Dockerfile",
        ".dockerignore",
        "docker-compose.yml",
        "tools/compose",
        "e2e/docker.e2e.ts",
        "libs/testkit/src/docker.ts",
        "libs/testkit/src/base-image.ts",
      ),
  ],
]
  .filter(([, wanted]) => !long && !wanted)
  .map(([path]) => path);

export default {
  ...base,
  testMatch: ["<rootDir>/e2e/**/*.e2e.ts"],
  testTimeout: long ? 1_200_000 : 120_000,
  testPathIgnorePatterns: [...base.testPathIgnorePatterns, ...left],
};
