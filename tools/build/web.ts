import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";

/** Size limits of the first screen, in compressed bytes. */
const BUDGET = { js: 220_000, css: 15_000 };

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
  const sizes = { js: 0, css: 0 };
  for (const file of readdirSync(join(out, "assets"))) {
    const packed = gzipSync(readFileSync(join(out, "assets", file)), { level: 9 });
    writeFileSync(join(out, "assets", `${file}.gz`), packed);
    sizes[file.endsWith(".css") ? "css" : "js"] += packed.length;
  }
  for (const kind of ["js", "css"] as const)
    if (sizes[kind] > BUDGET[kind])
      throw new Error(
        `the web UI's ${kind} is ${sizes[kind]} bytes compressed; the budget is ${BUDGET[kind]}`,
      );
  console.log(
    `built the web UI: ${Math.round(sizes.js / 1000)} kB of scripts, ${Math.round(sizes.css / 1000)} kB of styles, compressed`,
  );
  return [built].flat().flatMap((r) => r.output.flatMap((o) => (o.type === "chunk" ? o.moduleIds : [])));
}
