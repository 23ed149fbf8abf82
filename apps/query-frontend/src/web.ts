import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Routes, acceptsGzip } from "@cinderblock/rpc";

/** Pages of the web UI: one document for all of them, including old addresses of Pyroscope v1. */
const PAGES = ["/", "/explore", "/compare", "/files", "/status", "/comparison", "/comparison-diff"] as const;
const TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries<string>({
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
  }),
);
/** Scripts, styles and requests only from and to the page's own origin. */
const POLICY =
  "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";

/** The document's path for a folder below a proxy's prefix: `/a/b/` -> `/`. Undefined for another path. */
function unmounted(path: string): string | undefined {
  return path.length > 1 && path.endsWith("/") ? "/" : undefined;
}

/**
 * Serves the built UI from memory: hashed files are cached forever, the document is revalidated.
 * @param folder output of the build
 */
export function webRoutes(folder: URL): Routes {
  const dir = fileURLToPath(folder);
  const files = new Map<string, Buffer>();
  if (existsSync(dir))
    for (const f of readdirSync(dir, { recursive: true, encoding: "utf8" }))
      if (extname(f) !== "") files.set(`/${f.replaceAll("\\", "/")}`, readFileSync(`${dir}/${f}`));
  const index =
    files.get("/index.html") ??
    Buffer.from(
      "<!doctype html><title>Cinderblock</title><p>The web UI is not built: run <code>npm run build</code>. The API works without it.",
    );
  return {
    mounted: unmounted,
    http: (app) => {
      for (const page of PAGES)
        app.get(page, async (_request, reply) => {
          await reply
            .headers({
              "content-type": TYPES.get(".html")!,
              "cache-control": "no-cache",
              "content-security-policy": POLICY,
              "x-content-type-options": "nosniff",
              "referrer-policy": "same-origin",
            })
            .send(index);
        });
      // Addresses of v1's first UI.
      app.get("/ui/*", async (_request, reply) => {
        await reply.redirect("/", 302);
      });
      for (const [path, whole] of files) {
        if (path === "/index.html" || path.endsWith(".gz")) continue;
        const packed = files.get(`${path}.gz`),
          headers = {
            "content-type": TYPES.get(extname(path)) ?? "application/octet-stream",
            "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
            "x-content-type-options": "nosniff",
            vary: "accept-encoding",
          };
        app.get(path, async (request, reply) => {
          const gzip = packed !== undefined && acceptsGzip(request);
          await reply
            .headers(gzip ? { ...headers, "content-encoding": "gzip" } : headers)
            .send(gzip ? packed : whole);
        });
      }
    },
  };
}
