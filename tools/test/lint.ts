/**
 * Lints the whole tree in one process: `nx lint <project>` starts a process for each project and takes twice
 * the time.
 */
import { createLinter } from "../linter.ts";

const eslint = await createLinter();
const results = await eslint.lintFiles(["."]);
const { format } = await eslint.loadFormatter("stylish");
process.stdout.write(await format(results, {}));
process.exitCode = results.some((r) => r.errorCount > 0) ? 1 : 0;
