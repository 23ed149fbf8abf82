import { join } from "node:path";
import { createProjectGraphAsync } from "@nx/devkit";
import { ESLint } from "eslint";

const ROOT = join(import.meta.dirname, "..");
const BOUNDARIES = "@nx/enforce-module-boundaries";

/**
 * ESLint for the workspace in this process.
 * @throws Error without a project graph, because the boundary rule would then skip every file
 */
export async function createLinter(): Promise<ESLint> {
  process.chdir(ROOT);
  process.env.NX_DAEMON = "false";
  // The boundary rule treats other programs as editors and reads the project graph again for each file: 25 s
  // of CPU.
  process.argv[1] = join(ROOT, "node_modules/eslint/bin/eslint.js");
  // The boundary rule reads the graph from Nx's cache.
  await createProjectGraphAsync({ exitOnError: true });
  const eslint = new ESLint({ cwd: ROOT });
  const mistake = 'export { createLogger } from "@cinderblock/telemetry";\n';
  if (!(await rulesBroken(eslint, "libs/pprof", mistake)).includes(BOUNDARIES))
    throw new Error("the boundary rule did not see a forbidden import: it would pass over every file");
  return eslint;
}

/** Rules that code would break as a source file of a project; nothing is written. */
export async function rulesBroken(eslint: ESLint, project: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: join(ROOT, project, "src/index.ts") });
  return result!.messages.map((m) => m.ruleId ?? m.message);
}
