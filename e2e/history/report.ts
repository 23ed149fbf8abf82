import { writeFileSync } from "node:fs";
import type { Outcome } from "./schedule.ts";

/** Writes the results of the schedules to a file of the repository. */
export function writeReport(file: string, outcomes: readonly Outcome[]): void {
  const failed = outcomes.filter((o) => o.problem !== "").length,
    sum = (pick: (o: Outcome) => number): string =>
      outcomes.reduce((n, o) => n + pick(o), 0).toLocaleString("en");
  const rows = outcomes.map(
    (o) =>
      `| ${o.seed} | ${o.shape} | ${o.faults.join("<br>")} | ${o.ending} | ${o.acknowledged} of ${o.sent} | ${o.answers.whole} | ${o.answers.partial} | ${o.answers.failed} | ${o.problem === "" ? "all accounted for" : "**failed**"} |`,
  );
  writeFileSync(
    file,
    `# Histories under faults

Written by \`e2e/history.e2e.ts\` in \`npm run test:long\`, or with \`CINDERBLOCK_REPORT=<file>\`: **${outcomes.length - failed} schedules accounted for, ${failed} failed**. ${sum((o) => o.acknowledged)} of ${sum((o) => o.sent)} profiles were acknowledged; ${sum((o) => o.answers.whole)} answers said that they were whole, ${sum((o) => o.answers.partial)} that they were partial, ${sum((o) => o.answers.failed)} questions failed. \`CINDERBLOCK_SEED=<seed> npm run test:integration -- e2e/history\` repeats a schedule ([testing](contributing/testing.md#check-histories)).

| seed | deployment | faults | last look | acknowledged | whole | partial | failed | result |
|---:|---|---|---|---:|---:|---:|---:|---|
${rows.join("\n")}
`,
  );
}
