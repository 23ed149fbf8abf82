import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { ROOT } from "./root.ts";
import { lastLine, type Totals } from "./totals.ts";

/** Writes docs/long-tests.md, the result of the extended run, to be committed. */
export function writeReport(totals: Totals, minutes: number, seconds: ReadonlyMap<string, number>): void {
  const head = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }),
    commit = head.status === 0 ? `at commit ${head.stdout.trim()}` : "outside of a repository",
    [cpu] = cpus(),
    rows = [...seconds].sort((a, b) => b[1] - a[1]);
  writeFileSync(
    join(ROOT, "docs/long-tests.md"),
    `# The extended tests

Written by \`npm run test:long\` ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpu?.model.trim() ?? "unknown"}), Node ${process.version}, in ${Math.round(minutes)} minutes: **${lastLine(totals)}**. The run adds to \`npm test\` and \`npm run test:integration\`: 100,000 mutated inputs for each parser instead of some thousands, all four protocols against the recorded answers, longer standstills of components, the memory ceiling with the bucket blocked, and the budget of the web UI.

| file | seconds |
|---|---:|
${rows.map(([file, s]) => `| \`${file}\` | ${Math.round(s)} |`).join("\n")}
`,
  );
}
