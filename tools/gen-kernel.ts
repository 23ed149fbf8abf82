// Compiles libs/profile-kernel/assembly to WebAssembly and writes it as a TypeScript constant; --check compares instead.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generated } from "./generated.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "cinderblock-kernel-"));
const out = join(folder, "kernel.wasm");
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
try {
  if (spawnSync(process.execPath, asc, { cwd: root, stdio: "inherit" }).status !== 0)
    throw new Error("asc could not compile libs/profile-kernel/assembly");
  const lines = readFileSync(out)
    .toString("base64")
    .match(/.{1,160}/g)!
    .map((l) => `  "${l}"`);
  const text = `// Made by tools/gen-kernel.ts from assembly/kernel.ts.\nexport const KERNEL_WASM =\n${lines.join(" +\n")};\n`;
  generated({ "libs/profile-kernel/src/gen/kernel-wasm.ts": text }, "libs/profile-kernel/assembly");
} finally {
  rmSync(folder, { recursive: true });
}
