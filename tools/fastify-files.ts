import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The files outside libs/rpc that use Fastify: they name its types, or add routes to its instance. Only
 * libs/rpc should use Fastify, so this list may only shrink; tools/workspace.test.ts compares it with the
 * sources.
 */
export const FASTIFY_FILES: readonly string[] = [
  "apps/ad-hoc-profiles/src/debug-files-api.ts",
  "apps/distributor/src/rpc.ts",
  "apps/ingester/src/app.ts",
  "apps/query-frontend/src/export-api.test.ts",
  "apps/query-frontend/src/export-api.ts",
  "apps/query-frontend/src/render-api.ts",
  "apps/query-frontend/src/slow-query-page.ts",
  "apps/query-frontend/src/web.ts",
  "apps/store-gateway/src/pages.ts",
  "libs/ring/src/status-page.ts",
  "libs/runtime/src/admin.ts",
  "libs/runtime/src/overrides.ts",
  "libs/self-profiling/src/routes.ts",
  "libs/transport/src/partitions-page.ts",
];

const TYPES = /\bFastify(Instance|Reply|Request)\b|\bhttp: \(\w+\) => |\bhttp\(\w+\) \{/;

/** The source files outside libs/rpc that use Fastify, sorted. */
export function programsAgainstFastify(root: string): string[] {
  const found: string[] = [];
  for (const parent of ["apps", "libs"])
    for (const project of readdirSync(join(root, parent))) {
      const src = join(parent, project, "src");
      if (src === join("libs", "rpc", "src")) continue;
      let files: string[] = [];
      try {
        files = readdirSync(join(root, src), { recursive: true, encoding: "utf8" });
      } catch {
        continue; // not a project
      }
      for (const file of files)
        if (/\.tsx?$/.test(file) && TYPES.test(readFileSync(join(root, src, file), "utf8")))
          found.push(join(src, file));
    }
  return found.sort();
}
