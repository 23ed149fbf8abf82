// Generates libs/api/src/gen from proto/ by buf and protoc-gen-es; --check compares instead.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { generated } from "./generated.ts";

const root = join(import.meta.dirname, "..");
const GEN = "libs/api/src/gen";

/** Relative path -> content of the files below a folder. */
function filesOf(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    paths
      .filter((p) => statSync(join(folder, p)).isFile())
      .map((p) => [join(GEN, p), readFileSync(join(folder, p), "utf8")]),
  );
}

const folder = mkdtempSync(join(tmpdir(), "cinderblock-proto-"));
try {
  const { status } = spawnSync("buf", ["generate", "--output", folder], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env.PATH}` },
  });
  if (status !== 0) throw new Error("buf could not generate code from proto/");
  const made = filesOf(join(folder, GEN));
  for (const old of Object.keys(filesOf(join(root, GEN))))
    if (made[old] === undefined) {
      if (process.argv.includes("--check")) {
        console.error(`${old} comes from no file of proto/; run npm run gen`);
        process.exitCode = 1;
      } else rmSync(join(root, old));
    }
  generated(made, "proto/");
} finally {
  rmSync(folder, { recursive: true });
}
