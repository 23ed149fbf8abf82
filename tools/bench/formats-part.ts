// Two programs write docs/benchmarks.md: bench.ts writes the page and keeps this part, formats.ts writes this
// part.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const BEGIN = "\n## What each format costs\n";

/**
 * The part about formats, with its heading; "" if the page has none.
 * @param page path of docs/benchmarks.md
 */
export function readFormats(page: string): string {
  const text = existsSync(page) ? readFileSync(page, "utf8") : "",
    from = text.indexOf(BEGIN);
  return from < 0 ? "" : text.slice(from, text.indexOf("\n## ", from + 1));
}

/** Replaces the part about formats, before the list of runs. */
export function writeFormats(page: string, part: string): void {
  const old = readFormats(page),
    text = readFileSync(page, "utf8"),
    own = `${BEGIN}\n${part}\n`;
  writeFileSync(
    page,
    old === "" ? text.replace("\n## Runs\n", () => `${own}\n## Runs\n`) : text.replace(old, () => own),
  );
}
