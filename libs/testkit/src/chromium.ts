import { aptProgram } from "./real-parts.ts";

/** The command of a real browser, with a font of every width; undefined where it cannot be installed. */
export async function chromium(): Promise<string | undefined> {
  return (await aptProgram("chromium", "--version", "chromium", "fonts-dejavu-core"))
    ? "/usr/bin/chromium"
    : undefined;
}
