import { readFileSync } from "node:fs";
import { join } from "node:path";
import { libraryEntries, undocumentedExports } from "./doc-comments.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Findings in a library of some files. */
function found(files: Record<string, string>): string[] {
  return undocumentedExports("lib/src/index.ts", (file) => {
    const text = files[file];
    if (text === undefined) throw new Error(`no file ${file}`);
    return text;
  });
}

describe("doc comments of exports", () => {
  it("are missing where the declaration has none, through re-exports and renames", () => {
    expect(
      found({
        "lib/src/index.ts": `export { good, bad as worse, LOW, HIGH } from "./a.ts";
export type { Shape } from "./a.ts";
export { other } from "@scope/other";
export { deep } from "./b.ts";
/** A constant. */
export const HERE = 1;
export type Naked = string;`,
        "lib/src/a.ts": `/** Does it. */
export function good(): void {}
// not a doc comment
export function bad(): void {}
/** The bounds of it. */
export const LOW = 0,
  HIGH = 1;
export interface Shape { a: string }`,
        "lib/src/b.ts": `export { deep } from "./c.ts";`,
        "lib/src/c.ts": `export class deep {}`,
      }),
    ).toEqual(["lib/src/a.ts: bad", "lib/src/a.ts: Shape", "lib/src/c.ts: deep", "lib/src/index.ts: Naked"]);
  });

  it("suffice on one of several overloads, and on one name of a list", () => {
    expect(
      found({
        "lib/src/index.ts": `export { over, A, B } from "./a.ts";`,
        "lib/src/a.ts": `/** Either. */
export function over(x: string): void;
export function over(x: number): void;
export function over(x: unknown): void {}
export const A = 1,
  /** Two. */
  B = 2;`,
      }),
    ).toEqual(["lib/src/a.ts: A"]);
  });

  it("cannot be checked for exports that the entry file does not name", () => {
    expect(found({ "lib/src/index.ts": `export * from "./a.ts";` })).toEqual([
      "lib/src/index.ts: name the exports one by one",
    ]);
  });

  it("are present on every export of every library", () => {
    const entries = libraryEntries(ROOT);
    expect(entries.length).toBeGreaterThan(40);
    expect(
      entries.flatMap((entry) =>
        undocumentedExports(entry, (file) => readFileSync(join(ROOT, file), "utf8")),
      ),
    ).toEqual([]);
  });
});
