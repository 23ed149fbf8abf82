/**
 * `npm test`: all checks that a clone can run after `npm ci`. Installs nothing, opens only loopback
 * connections, leaves nothing behind, and always ends (docs/contributing/testing.md).
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { runJest } from "./jest.ts";
import { NODE, ROOT } from "./root.ts";
import { Session } from "./session.ts";
import { SUITES, unitTests } from "./suites.ts";
import { add } from "./totals.ts";

/**
 * Seconds for one test file and for the whole run: limits for a hanging run, far above the times of a slow
 * machine.
 */
const FILE_S = 240,
  RUN_S = Number(process.env.CINDERBLOCK_TEST_DEADLINE_S ?? 1500);

const session = new Session(RUN_S * 1000, (folder) => ({
  CINDERBLOCK_HERMETIC: "1",
  CINDERBLOCK_LONG: "",
  // Compilers, Nx and the formatter keep caches in the home folder.
  HOME: folder,
  GIT_CONFIG_GLOBAL: process.env.GIT_CONFIG_GLOBAL ?? join(homedir(), ".gitconfig"),
}));
const bin = (name: string): string => join(ROOT, "node_modules/.bin", name);

async function jest(config: string, files: readonly string[], workers: number): Promise<void> {
  const { totals } = await runJest({
    config: join(ROOT, config),
    files,
    workers,
    deadline: () => FILE_S,
    folder: session.folder,
    run: (options) => session.run(options),
  });
  add(session.totals, totals);
}

const built = session.check("build", [NODE, "tools/build/main.ts"]);
async function programs(): Promise<void> {
  if (await built)
    await jest(
      "jest.e2e.config.mjs",
      SUITES.filter((s) => s.core).map((s) => s.file),
      1,
    );
}
async function sources(): Promise<void> {
  // More checkers check shared types again, and the compiler's collector works on a small heap all the time.
  await session.check("types", [bin("tsc"), "-b", "--checkers", "1"], {
    GOGC: "400",
    GOMEMLIMIT: "1500MiB",
  });
  await session.check("lint", [NODE, "tools/test/lint.ts"]);
  await session.check("format", [bin("biome"), "format"]);
  await session.check("reference of options is up to date", [NODE, "tools/gen-docs.ts", "--check"]);
  await session.check("dashboards are up to date", [NODE, "tools/gen-monitoring.ts", "--check"]);
  await session.check("compiled kernel is up to date", [NODE, "tools/gen-kernel.ts", "--check"]);
  await session.check("protobuf code is up to date", [NODE, "tools/gen-proto.ts", "--check"]);
  await session.check("declared imports", [NODE, "tools/declare-imports.ts", "--check"]);
  await session.check("dead exports and dependencies", [bin("knip"), "--no-progress"]);
  await session.check("references of documents and comments", [NODE, "tools/checks/references.ts"]);
  await session.check("words", [NODE, "tools/checks/words.ts"]);
  await built;
}

/**
 * Unit tests that wait for a lane. Neighboring files have similar costs, so a batch takes files from all over
 * the list.
 */
const STRIDE = 6,
  files = unitTests(),
  waiting = Array.from({ length: STRIDE }, (_, i) => files.filter((_file, k) => k % STRIDE === i)).flat();
/** A batch is this part of the rest, so that the last batches are short and the lanes end together. */
const BATCH_PART = 5,
  SMALLEST_BATCH = 6;

/** Runs its own work first, then batches of unit tests. */
async function lane(first?: () => Promise<void>): Promise<void> {
  await first?.();
  while (waiting.length > 0)
    await jest(
      "jest.config.mjs",
      waiting.splice(0, Math.max(SMALLEST_BATCH, Math.ceil(waiting.length / BATCH_PART))),
      1,
    );
}
// One more lane than cores: tests that wait for time to pass leave a core to the others.
await Promise.all([lane(programs), lane(sources), lane()]);
session.finish();
