import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..");

/** Writes generated files, by workspace path. With --check, compares them and fails if a file is stale. */
export function generated(files: Record<string, string>, source: string): void {
  const check = process.argv.includes("--check");
  for (const [path, text] of Object.entries(files)) {
    const file = join(root, path);
    if (!check) {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    } else if (contentOf(file) !== text) {
      console.error(`${path} does not match ${source}; run npm run gen`);
      process.exitCode = 1;
    }
  }
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // missing: stale
  }
}
