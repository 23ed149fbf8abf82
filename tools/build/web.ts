import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";

/** Size limits in compressed bytes: scripts and styles of the first screen, and all scripts. */
const BUDGET = { first: 160_000, js: 220_000, css: 15_000 };

/**
 * Builds the web UI into `out`: hashed files, each with its compressed form next to it. Returns the bundled
 * modules.
 * @throws Error if the UI exceeds its size budget
 */
export async function buildWeb(root: string, out: string): Promise<string[]> {
  const built = (await build({
    root: join(root, "apps/web"),
    configFile: join(root, "apps/web/vite.config.ts"),
    logLevel: "warn",
    build: { outDir: out },
  })) as Rolldown.RolldownOutput | Rolldown.RolldownOutput[];
  const sizes = { first: 0, js: 0, css: 0 },
    first = firstFiles([built].flat().flatMap((r) => r.output));
  for (const file of readdirSync(join(out, "assets"))) {
    const packed = gzipSync(readFileSync(join(out, "assets", file)), { level: 9 });
    writeFileSync(join(out, "assets", `${file}.gz`), packed);
    sizes[file.endsWith(".css") ? "css" : "js"] += packed.length;
    if (file.endsWith(".css") || first.has(`assets/${file}`)) sizes.first += packed.length;
  }
  for (const kind of ["first", "js", "css"] as const)
    if (sizes[kind] > BUDGET[kind])
      throw new Error(
        `the web UI's ${kind} is ${sizes[kind]} bytes compressed; the budget is ${BUDGET[kind]}`,
      );
  console.log(
    `built the web UI: ${Math.round(sizes.first / 1000)} kB at first load, ${Math.round(sizes.js / 1000)} kB of scripts, ${Math.round(sizes.css / 1000)} kB of styles, compressed`,
  );
  return [built].flat().flatMap((r) => r.output.flatMap((o) => (o.type === "chunk" ? o.moduleIds : [])));
}

/** Scripts that the first screen loads: the entry and its static imports. */
function firstFiles(output: Rolldown.RolldownOutput["output"][number][]): Set<string> {
  const chunks = new Map(output.flatMap((o) => (o.type === "chunk" ? [[o.fileName, o] as const] : []))),
    found = new Set<string>();
  const add = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const imported of chunks.get(file)?.imports ?? []) add(imported);
  };
  for (const o of chunks.values()) if (o.isEntry) add(o.fileName);
  return found;
}
