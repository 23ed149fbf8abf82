import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
/** A base library, and a library that imports it. */
const PROJECTS = ["libs/bytes", "libs/errors", "libs/columnar", "libs/testkit"];
const FILES = [
  ".gitignore",
  "eslint.config.mjs",
  "jest.preset.mjs",
  "nx.json",
  "package.json",
  "package-lock.json",
  "tsconfig.base.json",
  "tsconfig.json",
];

/** A copy of this workspace's configuration and a few projects, which a test may change. */
function workspace(): string {
  const copy = mkdtempSync(join(tmpdir(), "workspace-"));
  const filter = (path: string): boolean => !/\/(dist|node_modules|jest)(\/|$)/.test(path.slice(root.length));
  for (const path of [...FILES, ...PROJECTS, "tools"])
    cpSync(join(root, path), join(copy, path), { recursive: true, filter });
  const modules = join(copy, "node_modules");
  mkdirSync(join(modules, "@cinderblock"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules")))
    if (name !== "@cinderblock") symlinkSync(join(root, "node_modules", name), join(modules, name));
  for (const project of PROJECTS)
    symlinkSync(join(copy, project), join(modules, "@cinderblock", project.slice("libs/".length)));
  return copy;
}

/** Lints the dependant; returns whether the result came from the cache. */
function cached(copy: string): boolean {
  const out = execFileSync(join(root, "node_modules/.bin/nx"), ["lint", "columnar", "--outputStyle=static"], {
    cwd: copy,
    encoding: "utf8",
    env: {
      ...process.env,
      NODE_OPTIONS: "",
      NX_DAEMON: "false",
      NX_ISOLATE_PLUGINS: "false",
      NX_TUI: "false",
      NX_CACHE_DIRECTORY: join(copy, "cache"),
      NX_WORKSPACE_DATA_DIRECTORY: join(copy, "data"),
      PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
    },
  });
  expect(out).toContain("Successfully ran target lint");
  return /local cache|existing outputs/.test(out);
}

function change(copy: string, from: string, to: string): void {
  const path = join(copy, "libs/bytes/package.json");
  const text = readFileSync(path, "utf8");
  expect(text).toContain(from);
  writeFileSync(path, text.replace(from, to));
}

describe("lint's cache", () => {
  it("is valid until a tag or a dependency of an imported library changes", () => {
    const copy = workspace();
    try {
      expect(cached(copy)).toBe(false);
      expect(cached(copy)).toBe(true);
      change(copy, '"door:bytes"', '"door:bytes", "other"');
      expect(cached(copy)).toBe(false);
      change(copy, '"fast-check": "*"', '"fast-check": "*", "@cinderblock/errors": "*"');
      expect(cached(copy)).toBe(false);
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  }, 300_000);
});
