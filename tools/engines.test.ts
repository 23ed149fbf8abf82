import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const { satisfies } = createRequire(import.meta.url)("semver") as {
  satisfies(version: string, range: string): boolean;
};
const json = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"));

describe("the Node version of npm ci", () => {
  it("suits every package of the lock file", () => {
    const { version } = json("node_modules/node/package.json") as { version: string };
    const { packages } = json("package-lock.json") as {
      packages: Record<string, { engines?: { node?: string } | string[] }>;
    };
    const refusing = Object.entries(packages).filter(([, { engines }]) => {
      const range = Array.isArray(engines) ? undefined : engines?.node;
      return range !== undefined && !satisfies(version, range);
    });
    expect(refusing.map(([path]) => path)).toEqual([]);
  });
  it("runs the tests", () => {
    const { version } = json("node_modules/node/package.json") as { version: string };
    expect(process.versions.node).toBe(version);
  });
});
