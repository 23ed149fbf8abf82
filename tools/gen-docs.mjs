// Writes docs/reference/configuration.md from the schema; --check compares instead.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { markdown } from "@cinderblock/config";
import { schema } from "../apps/cinderblock/src/config.ts";

const path = join(dirname(dirname(fileURLToPath(import.meta.url))), "docs/reference/configuration.md");
const text = markdown(schema);
if (process.argv.includes("--check")) {
  let now = "";
  try {
    now = readFileSync(path, "utf8");
  } catch {
    /* missing: not up to date */
  }
  if (now !== text) {
    console.error("docs/reference/configuration.md does not match the schema; run npm run gen");
    process.exit(1);
  }
} else {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
