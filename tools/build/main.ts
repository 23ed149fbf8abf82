// Bundles programs into dist/: without --app all programs of the image and `npm start` (dist/cinderblock),
// with --app one app (dist/<app>). --if-stale: only when a source is newer.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle, carries, type Entries } from "./bundle.ts";
import { revision } from "./revision.ts";
import { billOfMaterials, notices, packagesOf } from "./third-party.ts";
import { buildWeb } from "./web.ts";

const root = join(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: { app: { type: "string", default: "cinderblock" }, "if-stale": { type: "boolean" } },
});
const app = values.app;
const out = join(root, "dist", app);
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

/** The time of the newest file below a folder, in milliseconds. */
function newest(dir: string): number {
  let t = 0;
  for (const e of readdirSync(dir, { withFileTypes: true })) {
    if (e.name === "node_modules" || e.name === "dist") continue;
    const path = join(dir, e.name);
    t = Math.max(t, e.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return t;
}

/** The programs of a bundle: one app, or the single binary and every component. */
function entriesOf(name: string): Entries {
  if (name !== "cinderblock") return { [name]: `apps/${name}/src/main.ts` };
  const others = readdirSync(join(root, "apps")).filter(
    (a) => a !== "cinderblock" && existsSync(join(root, "apps", a, "src/main.ts")),
  );
  return {
    main: "apps/cinderblock/src/main.ts",
    ...Object.fromEntries(others.map((c) => [c, `apps/${c}/src/main.ts`])),
  };
}

/** Builds one app, with the license texts and the SBOM of the third-party code in the bundle. */
async function buildApp(): Promise<void> {
  const started = performance.now();
  const files: string[] = [];
  let ui = app === "web" ? out : "";
  const build = { version, revision: revision(root) };
  // Tests keep compiled code there (tools/test/root.ts); without this, chunks of a former build would stay
  // forever.
  rmSync(join(root, "dist/code-cache"), { recursive: true, force: true });
  if (app !== "web") {
    const metafile = await bundle(root, out, entriesOf(app), build);
    files.push(...Object.keys(metafile.inputs).map((f) => join(root, f)));
    if (carries(metafile, "apps/query-frontend/")) ui = join(out, "web"); // the query-frontend serves it
  }
  if (ui !== "") files.push(...(await buildWeb(root, ui)));
  const carried = packagesOf(files);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "THIRD-PARTY-LICENSES.txt"), notices(carried));
  writeFileSync(join(out, "sbom.cdx.json"), billOfMaterials(app, version, carried));
  console.log(
    `built dist/${app} (${version}, ${build.revision}) in ${Math.round(performance.now() - started)} ms`,
  );
}

const marker = join(out, "sbom.cdx.json"); // the last file of a build
const fresh =
  values["if-stale"] === true &&
  existsSync(marker) &&
  statSync(marker).mtimeMs >
    Math.max(
      ...["apps", "libs", "tools/build"].map((d) => newest(join(root, d))),
      statSync(join(root, "package-lock.json")).mtimeMs,
    );
if (!fresh) await buildApp();
