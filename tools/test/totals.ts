import { appendFileSync, readFileSync } from "node:fs";

/** Counts of tests, with the name of each failure. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
  failures: string[];
}

export const none = (): Totals => ({ passed: 0, failed: 0, skipped: 0, failures: [] });

export function add(to: Totals, more: Totals): void {
  to.passed += more.passed;
  to.failed += more.failed;
  to.skipped += more.skipped;
  to.failures.push(...more.failures);
}

/** Failure outside of any test. */
export function fail(to: Totals, what: string): void {
  to.failed++;
  to.failures.push(what);
}

/** Each failure, indented; the first line of an entry names the file or the step. */
export function failuresAsText(t: Totals): string {
  return `failed:\n${t.failures.map((f) => f.replace(/^/gm, "  ")).join("\n")}`;
}

/** The last line of every run. */
export function lastLine(t: Totals): string {
  return `${t.passed} passed, ${t.failed} failed, ${t.skipped} skipped`;
}

/**
 * Prints the failures, then the last line. Each command of one CI run appends its totals to the file
 * CINDERBLOCK_TOTALS.
 */
export function conclude(t: Totals): void {
  if (t.failures.length > 0) console.log(`\n${failuresAsText(t)}`);
  const { CINDERBLOCK_TOTALS: file } = process.env;
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(t)}\n`);
  console.log(`\n${lastLine(t)}`);
}

/** Sum of the totals of the commands of one CI run. */
export function sumOf(file: string): Totals & { commands: number } {
  const sum = { ...none(), commands: 0 };
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line === "") continue;
    add(sum, JSON.parse(line) as Totals);
    sum.commands++;
  }
  return sum;
}
