// docs/benchmarks.md is written by two programs: bench.ts writes the page and keeps this part, formats.ts writes this part.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const BEGIN = "\n## What each format costs\n";

/** The part about formats, with its heading; "" where there is none. @param page path of docs/benchmarks.md */
export function readFormats(page: string): string {
  const text = existsSync(page) ? readFileSync(page, "utf8") : "",
    from = text.indexOf(BEGIN);
  return from < 0 ? "" : text.slice(from, text.indexOf("\n## ", from + 1));
}

/** Puts the part about formats in the place of the one that is there, before the list of runs. */
export function writeFormats(page: string, part: string): void {
  const old = readFormats(page),
    text = readFileSync(page, "utf8"),
    own = `${BEGIN}\n${part}\n`;
  writeFileSync(
    page,
    old === "" ? text.replace("\n## Runs\n", () => `${own}\n## Runs\n`) : text.replace(old, () => own),
  );
}
