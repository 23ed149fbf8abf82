import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { doors, may } from "./boundaries.ts";
import { FASTIFY_FILES, programsAgainstFastify } from "./fastify-files.ts";

const root = join(import.meta.dirname, "..");

interface Manifest {
  name: string;
  workspaces?: string[];
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  nx?: { name: string; tags: string[] };
}
const json = <T>(path: string): T => JSON.parse(readFileSync(join(root, path), "utf8")) as T;
const manifest = (folder: string): Manifest => json<Manifest>(join(folder, "package.json"));
const used = (m: Manifest): [string, string][] => Object.entries({ ...m.dependencies, ...m.devDependencies });

const projects = [
  ...["apps", "libs"].flatMap((parent) =>
    readdirSync(join(root, parent))
      .map((name) => `${parent}/${name}`)
      .filter((p) => existsSync(join(root, p, "package.json"))),
  ),
  "tools",
  "e2e",
];

describe("a project", () => {
  it.each(projects)("%s has types, tests and a place among the others", (project) => {
    const { name, nx } = manifest(project);
    const short = project.split("/").at(-1)!;
    expect([name, nx?.name]).toEqual([`@cinderblock/${short}`, short]);
    const references = json<{ references: { path: string }[] }>("tsconfig.json").references;
    expect(references.map((r) => r.path)).toContain(`./${project}`);
    expect(existsSync(join(root, project, "tsconfig.json"))).toBe(true);
    if (project !== "e2e") expect(existsSync(join(root, project, "jest.config.mjs"))).toBe(true);
  });
  it.each(projects)("%s has one layer and one door", (project) => {
    const tags = manifest(project).nx?.tags ?? [];
    const layers = tags.filter((t) => t.startsWith("layer:")).map((t) => t.slice("layer:".length));
    const door = tags.filter((t) => t.startsWith("door:")).map((t) => t.slice("door:".length));
    expect([layers.length, door.length, tags.length]).toEqual([1, 1, 2]);
    expect(Object.keys(may)).toContain(layers[0]);
    expect([...Object.keys(doors), "outside"]).toContain(door[0]);
  });
  it("owns each door except none and outside", () => {
    const taken = projects.flatMap((p) => manifest(p).nx?.tags ?? []).filter((t) => t.startsWith("door:"));
    for (const door of Object.keys(doors))
      if (door !== "none") expect(taken.filter((t) => t === `door:${door}`)).toHaveLength(1);
  });
});

const pinned = new Map(used(manifest(".")));

describe("versions", () => {
  it("are exact in the root, so that the lock file changes nothing by itself", () => {
    const open = [...pinned].filter(([, v]) => !/^(npm:[^@]+@)?\d+\.\d+\.\d+$/.test(v));
    expect(open).toEqual([]);
  });
  it.each(projects)("are the root's in %s", (project) => {
    const own = new Set(projects.map((p) => manifest(p).name));
    const other = used(manifest(project)).filter(([n, v]) => v !== "*" || !(own.has(n) || pinned.has(n)));
    expect(other).toEqual([]);
  });
});

/** Packages of the root without an import: commands, and packages that a tool finds by name. */
const COMMANDS = [
  "@biomejs/biome",
  "@bufbuild/buf",
  "@bufbuild/protoc-gen-es",
  "@nx/eslint",
  "@nx/eslint-plugin",
  "@nx/jest",
  "@nx/js",
  "@swc/core",
  "@swc/jest",
  "@types/jest",
  "@types/node",
  "@types/react",
  "@types/react-dom",
  "@typescript/native",
  "assemblyscript",
  "axe-core",
  "jest",
  "jsonc-eslint-parser",
  "knip",
  "node",
  "nx",
];

describe("a package of the root", () => {
  it("belongs to a project or is a command", () => {
    const declared = new Set(projects.flatMap((p) => used(manifest(p)).map(([name]) => name)));
    const unused = [...pinned.keys()].filter((name) => !declared.has(name));
    expect(unused.sort()).toEqual(COMMANDS);
  });
});

describe("Fastify", () => {
  it("is used only by libs/rpc and by the files of a shrinking list", () => {
    const found = programsAgainstFastify(root);
    expect(found.filter((f) => !FASTIFY_FILES.includes(f))).toEqual([]); // use the interfaces of libs/rpc instead
    expect(FASTIFY_FILES.filter((f) => !found.includes(f))).toEqual([]); // remove them from the list
  });
});
