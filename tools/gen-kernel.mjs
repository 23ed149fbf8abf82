// Compiles libs/profile-kernel/assembly to WebAssembly and writes it as a TypeScript constant; --check compares instead.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { spawnSync } from "node:child_process";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = join(root, "libs/profile-kernel/src/gen/kernel-wasm.ts");
const out = join(mkdtempSync(join(tmpdir(), "cinderblock-kernel-")), "kernel.wasm");
const asc = [
  join(root, "node_modules/assemblyscript/bin/asc.js"),
  "libs/profile-kernel/assembly/kernel.ts",
  "--outFile",
  out,
  "--runtime",
  "stub",
  "--importMemory",
  "--initialMemory",
  "1",
  "--enable",
  "simd",
  "--enable",
  "bulk-memory",
  "-O3",
  "--noAssert",
  "--converge",
];
const run = spawnSync(process.execPath, asc, { cwd: root, stdio: "inherit" });
if (run.status !== 0) process.exit(1);
const text = `// Made by tools/gen-kernel.mjs from assembly/kernel.ts.\nexport const KERNEL_WASM =\n${readFileSync(
  out,
)
  .toString("base64")
  .match(/.{1,160}/g)
  .map((l) => `  "${l}"`)
  .join(" +\n")};\n`;
if (process.argv.includes("--check")) {
  let now = "";
  try {
    now = readFileSync(path, "utf8");
  } catch {
    /* missing: not up to date */
  }
  if (now !== text) {
    console.error("libs/profile-kernel/src/gen/kernel-wasm.ts does not match its source; run npm run gen");
    process.exit(1);
  }
} else {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
