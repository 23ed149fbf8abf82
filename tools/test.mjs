// Everything a newcomer needs to trust this: build, types, lint, unit tests, and tests against the running binary.
// --long adds the extended suites. Ends with "N passed, N failed".
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const long = process.argv.includes("--long");
const node = join(root, "node_modules/node/bin/node");
const counts = join(mkdtempSync(join(tmpdir(), "cinderblock-test-")), "counts");
writeFileSync(counts, "");
const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}`, NX_DAEMON: "false", NX_TUI: "false", CINDERBLOCK_COUNTS: counts, CINDERBLOCK_LONG: long ? "1" : "" };
const jest = [node, "--experimental-vm-modules", "--no-warnings", join(root, "node_modules/jest/bin/jest.js")];

let passed = 0, failed = 0;
function suite(name, [command, ...args]) {
  console.log(`\n== ${name}`);
  const started = performance.now();
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  console.log(`${status === 0 ? "ok  " : "FAIL"} ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
function quiet(name, command) {
  const started = performance.now();
  const r = spawnSync(command[0], command.slice(1), { cwd: root, env, maxBuffer: 1 << 28, encoding: "utf8" });
  console.log(`\n== ${name}\n${r.status === 0 ? "ok  " : "FAIL"} ${name} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  if (r.status === 0) passed++; else { failed++; console.log(r.stdout, r.stderr); }
}

quiet("build", [node, "tools/build.mjs"]);
quiet("types", [node, "node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]);
quiet("lint", [node, "node_modules/.bin/nx", "run-many", "-t", "lint", "--outputStyle=static"]);
quiet("generated documents are up to date", [node, "tools/gen-docs.mjs", "--check"]);
quiet("the compiled kernel is up to date", [node, "tools/gen-kernel.mjs", "--check"]);
suite("unit, property and golden tests", jest);
suite("tests against the running binary", [...jest, "--config", "jest.e2e.config.mjs", "--runInBand"]);

for (const line of readFileSync(counts, "utf8").trim().split("\n").filter(Boolean)) {
  const [, ok, bad] = line.split(" ");
  passed += Number(ok);
  failed += Number(bad);
}
const suites = readFileSync(counts, "utf8").trim().split("\n").filter(Boolean).length;
if (suites < 2) { failed++; console.log("a test suite ended without a count"); }
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
