import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** Path below the repository's `testdata/`, from any working directory inside of the checkout. */
export function goldenPath(...parts: string[]): string {
  let root = process.cwd();
  while (!existsSync(join(root, "testdata/README.md"))) {
    const above = dirname(root);
    if (above === root)
      throw new Error(`no testdata/ above ${process.cwd()}: run tests inside of a checkout`);
    root = above;
  }
  return join(root, "testdata", ...parts);
}
