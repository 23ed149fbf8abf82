import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CRASH_POINTS } from "@cinderblock/files";
import { ROOT } from "./test/root.ts";

/** Names of the crash points that the sources call, in the order of the files. */
function calls(): string[] {
  const found: string[] = [];
  for (const top of ["apps", "libs"])
    for (const f of readdirSync(join(ROOT, top), { recursive: true, encoding: "utf8" }))
      if (/^[\w-]+\/src\/.*(?<!\.test)\.ts$/.test(f))
        for (const [, name] of readFileSync(join(ROOT, top, f), "utf8").matchAll(
          /\bcrashPoint\("([^"]+)"\)/g,
        ))
          found.push(name!);
  return found;
}

describe("the registry of crash points", () => {
  it("names each point once, and the sources call each name once", () => {
    expect(new Set(CRASH_POINTS).size).toBe(CRASH_POINTS.length);
    expect(calls().sort()).toEqual([...CRASH_POINTS].sort());
  });
});
