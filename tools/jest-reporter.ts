import { appendFileSync } from "node:fs";
import { relative } from "node:path";

interface Result {
  testFilePath: string;
  numPassingTests: number;
  numFailingTests: number;
  numPendingTests: number;
  numTodoTests: number;
  skipped: boolean;
  failureMessage?: string | null;
  testExecError?: unknown;
  perfStats: { start: number; end: number };
  testResults: (Case & { ancestorTitles: string[] })[];
}

interface Case {
  status: string;
  fullName: string;
  failureMessages: string[];
}

/** A line for the runner: the result of one test file. */
export interface FileCount {
  file: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** name of each failed test, with the first lines of its first error */
  failures: string[];
}

/** Lines of an error that the end of a run repeats. */
const SHOWN_LINES = 12,
  SHOWN_COLUMNS = 240;

function shorten(message: string): string {
  return message
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(0, SHOWN_LINES)
    .map((line) => `  ${line.slice(0, SHOWN_COLUMNS)}`)
    .join("\n");
}

/** Names of failed tests, each with the first lines of its first error. */
function failuresOf(tests: readonly Case[]): string[] {
  return tests
    .filter((t) => t.status === "failed")
    .map((t) => `${t.fullName}\n${shorten(t.failureMessages[0] ?? "")}`);
}

/** The failures of a file; a file that could not run has one entry. */
function failuresOfFile(result: Result): string[] {
  const tests = failuresOf(result.testResults);
  if (!result.testExecError) return tests;
  return [...tests, `the file did not run\n${shorten(result.failureMessage ?? "")}`];
}

/** Reasons of `describeWith` in the titles of skipped groups. */
function reasons(result: Result): string[] {
  const titles = result.testResults.filter((t) => t.status === "pending").flatMap((t) => t.ancestorTitles);
  return [...new Set(titles.map((t) => / \[skipped: (.*)\]$/.exec(t)?.[1]).filter((r) => r !== undefined))];
}

/**
 * One line for each file, failures in full, and the counts for the runner, in the file that
 * CINDERBLOCK_COUNTS names.
 */
export default class CountingReporter {
  private readonly root: string;

  constructor(config: { rootDir: string }) {
    this.root = config.rootDir;
  }

  onTestStart(test: { path: string }): void {
    this.write({ started: relative(this.root, test.path) });
  }

  // A file that never ends has no result: the runner then says what these two reported.
  onTestCaseStart(test: { path: string }, { fullName }: { fullName: string }): void {
    this.write({ in: relative(this.root, test.path), begins: fullName });
  }

  onTestCaseResult(test: { path: string }, result: Case): void {
    this.write({ in: relative(this.root, test.path), ended: failuresOf([result]) });
  }

  onTestResult(_test: unknown, result: Result): void {
    const file = relative(this.root, result.testFilePath),
      broken = Boolean(result.testExecError),
      failed = result.numFailingTests + (broken ? 1 : 0),
      skipped = result.numPendingTests + result.numTodoTests,
      passed = result.numPassingTests,
      seconds = (result.perfStats.end - result.perfStats.start) / 1000;
    const word = failed > 0 ? "FAIL" : passed > 0 ? "ok  " : "skip";
    const counts = [`${passed} passed`, ...(failed > 0 ? [`${failed} failed`] : [])];
    if (skipped > 0) counts.push(`${skipped} skipped`);
    process.stdout.write(`${word} ${file} (${counts.join(", ")}, ${seconds.toFixed(1)} s)\n`);
    for (const reason of reasons(result)) process.stdout.write(`     skipped: ${reason}\n`);
    if (failed > 0) process.stdout.write(`${result.failureMessage ?? ""}\n`);
    this.write({
      file,
      passed,
      failed,
      skipped,
      seconds,
      failures: failuresOfFile(result),
    } satisfies FileCount);
  }

  onRunComplete(
    _contexts: unknown,
    run: { numFailedTests: number; numRuntimeErrorTestSuites: number },
  ): void {
    this.write({ complete: true, failed: run.numFailedTests + run.numRuntimeErrorTestSuites });
  }

  private write(line: object): void {
    const to = process.env.CINDERBLOCK_COUNTS;
    if (to !== undefined) appendFileSync(to, `${JSON.stringify(line)}\n`);
  }
}
