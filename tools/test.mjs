// Everything a newcomer needs to trust this: build, types, lint, unit tests, and tests against the running binary.
// --long adds the extended suites. Ends with "N passed, N failed".
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const begun = performance.now();
const long = process.argv.includes("--long");
const node = join(root, "node_modules/node/bin/node");
const counts = join(mkdtempSync(join(tmpdir(), "cinderblock-test-")), "counts");
writeFileSync(counts, "");
const env = {
  ...process.env,
  PATH: `${dirname(node)}:${process.env.PATH}`,
  NX_DAEMON: "false",
  NX_TUI: "false",
  CINDERBLOCK_COUNTS: counts,
  CINDERBLOCK_LONG: long ? "1" : "",
};
const jest = [
  node,
  "--experimental-vm-modules",
  "--no-warnings",
  join(root, "node_modules/jest/bin/jest.js"),
];

let passed = 0,
  failed = 0;
function suite(name, [command, ...args]) {
  console.log(`\n== ${name}`);
  const started = performance.now();
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  console.log(
    `${status === 0 ? "ok  " : "FAIL"} ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
}
function quiet(name, command) {
  const started = performance.now();
  const r = spawnSync(command[0], command.slice(1), { cwd: root, env, maxBuffer: 1 << 28, encoding: "utf8" });
  console.log(
    `\n== ${name}\n${r.status === 0 ? "ok  " : "FAIL"} ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  if (r.status === 0) passed++;
  else {
    failed++;
    console.log(r.stdout, r.stderr);
  }
}

quiet("build", [node, "tools/build/main.ts"]);
quiet("types", [join(root, "node_modules/.bin/tsc"), "-b"]);
quiet("lint", [node, "node_modules/.bin/nx", "run-many", "-t", "lint", "--outputStyle=static"]);
quiet("generated documents are up to date", [node, "tools/gen-docs.ts", "--check"]);
quiet("generated dashboards are up to date", [node, "tools/gen-monitoring.ts", "--check"]);
quiet("generated protobuf code is up to date", [node, "tools/gen-proto.ts", "--check"]);
quiet("the compiled kernel is up to date", [node, "tools/gen-kernel.ts", "--check"]);
// In a process of its own: one that made large buffers all along cannot start another any more (fork asks for as much again).
suite("module boundaries", [...jest, "--runInBand", "tools/"]);
suite("unit, property and golden tests", [
  ...jest,
  "--testPathIgnorePatterns",
  "/node_modules/",
  "/dist/",
  "/tools/",
  "\\.integration\\.test\\.ts$",
]);
suite("tests against the running binary", [...jest, "--config", "jest.e2e.config.mjs", "--runInBand"]);

const counted = readFileSync(counts, "utf8")
  .trim()
  .split("\n")
  .filter(Boolean)
  .map((l) => JSON.parse(l));
const files = counted.filter((c) => c.file !== undefined);
let skipped = 0;
for (const f of files) {
  passed += f.passed;
  failed += f.failed;
  skipped += f.skipped;
}
if (counted.filter((c) => c.complete).length < 3) {
  failed++;
  console.log("a test suite ended without a count");
}
if (long) report();
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);

/** docs/long-tests.md: what the extended run found, to be committed. */
function report() {
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: root,
    encoding: "utf8",
  }).stdout.trim();
  const rows = files.sort((a, b) => b.seconds - a.seconds);
  writeFileSync(
    join(root, "docs/long-tests.md"),
    `# The extended tests

Written by \`npm run test:long\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0].model.trim()}), Node ${process.version}, in ${Math.round((performance.now() - begun) / 60_000)} minutes: **${passed} passed, ${failed} failed**. Beside what \`npm test\` runs: 100,000 mutated inputs for each parser instead of some thousands, all four protocols against the recorded answers, the memory ceiling with the bucket blocked, the budget of the web UI, the roll to the release before and back, the chart in an API server of Kubernetes, the image, and the compose files in Docker.

| file | tests passed | failed | seconds |
|---|---:|---:|---:|
${rows.map((f) => `| \`${f.file}\` | ${f.passed} | ${f.failed} | ${Math.round(f.seconds)} |`).join("\n")}
`,
  );
}
