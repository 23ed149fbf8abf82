import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FileCount } from "../jest-reporter.ts";
import { NODE, ROOT } from "./root.ts";
import type { Outcome, StepOptions } from "./step.ts";
import { fail, none, type Totals } from "./totals.ts";

export interface JestOptions {
  readonly config: string;
  /** Test files, relative to the root of the configuration. */
  readonly files: readonly string[];
  readonly workers: number;
  /** Seconds that one file may take. */
  readonly deadline: (file: string) => number;
  readonly env?: Record<string, string>;
  /** Seconds that Jest may take to exit after its last test. */
  readonly exitSeconds?: number;
  /** Folder for the counts. */
  readonly folder: string;
  readonly run: (
    options: Omit<StepOptions, "cwd" | "env"> & { env?: Record<string, string> },
  ) => Promise<Outcome>;
}

export interface JestResult {
  readonly totals: Totals;
  readonly files: readonly (FileCount & { cpu: number })[];
}

/** Seconds that Jest may take to load its configuration, and to exit after its last test. */
const START_S = 120,
  EXIT_S = 20;
let runs = 0;

/** A test file that has begun and has no result yet. */
interface OpenFile {
  /** monotonic */
  readonly since: number;
  running: string | undefined;
  readonly failures: string[];
}

/** Lines that reporter and environment have written so far. */
class Counts {
  readonly done = new Map<string, FileCount>();
  readonly cpu = new Map<string, number>();
  readonly open = new Map<string, OpenFile>();
  complete: number | undefined;
  readonly file: string;
  private read = 0;

  constructor(file: string) {
    this.file = file;
  }

  update(): void {
    if (!existsSync(this.file)) return;
    const lines = readFileSync(this.file, "utf8").split("\n").slice(0, -1);
    for (const text of lines.slice(this.read)) {
      const line = JSON.parse(text) as Partial<FileCount> & {
        started?: string;
        in?: string;
        begins?: string;
        ended?: string[];
        complete?: true;
        of?: string;
        cpu?: number;
      };
      if (line.started !== undefined)
        this.open.set(line.started, { since: performance.now(), running: undefined, failures: [] });
      const file = this.open.get(line.in ?? "");
      if (file) {
        file.running = line.begins;
        file.failures.push(...(line.ended ?? []));
      }
      if (line.of !== undefined) this.cpu.set(line.of, line.cpu!);
      if (line.file !== undefined) {
        this.done.set(line.file, line as FileCount);
        this.open.delete(line.file);
      }
      if (line.complete) this.complete = performance.now();
    }
    this.read = lines.length;
  }

  /** Files over their time limit. */
  late(deadline: (file: string) => number): string[] {
    return [...this.open]
      .filter(([file, { since }]) => performance.now() - since > deadline(file) * 1000)
      .map(([file]) => file);
  }

  /** Lines that name the running test of an open file, and its failed tests. */
  seen(file: string): string[] {
    const { running, failures } = this.open.get(file)!;
    return [running === undefined ? "  between tests" : `  in: ${running}`, ...failures];
  }
}

/**
 * Runs test files by Jest. A hanging file ends at its deadline and fails by name, and the remaining files run
 * in another process. The same applies to a file in which Jest itself crashes.
 */
export async function runJest(options: JestOptions): Promise<JestResult> {
  const totals = none(),
    files: (FileCount & { cpu: number })[] = [];
  let left = [...options.files];
  while (left.length > 0) {
    const counts = new Counts(join(options.folder, `counts-${runs++}`));
    const outcome = await once(options, left, counts);
    counts.update();
    for (const count of counts.done.values()) {
      files.push({ ...count, cpu: counts.cpu.get(count.file) ?? 0 });
      totals.passed += count.passed;
      totals.failed += count.failed;
      totals.skipped += count.skipped;
      if (count.failed > 0)
        totals.failures.push([`${count.file}: ${count.failed} failed`, ...count.failures].join("\n"));
    }
    left = left.filter((f) => !counts.done.has(f));
    if (outcome.reason !== undefined) {
      const names = [...counts.open.keys()];
      fail(totals, `${names.join(", ") || [...counts.done.keys()].at(-1) || left[0]}: ${outcome.reason}`);
      // Other files that were running may be the cause as well, or lost their results: each counts as failed,
      // once.
      for (const name of names.slice(1)) fail(totals, `${name}: ended with ${names[0]}`);
      left = left.filter((f) => !names.includes(f));
      if (names.length === 0 && counts.complete === undefined) break;
    } else if (left.length > 0) {
      const names = [...counts.open.keys()];
      for (const name of names.length > 0 ? names : left)
        fail(totals, `${name}: Jest ended without a result, status ${outcome.status}`);
      if (names.length === 0) {
        console.log(outcome.output);
        break;
      }
      left = left.filter((f) => !names.includes(f));
    } else if (!outcome.ok && totals.failed === 0) fail(totals, `Jest failed: ${outcome.output.slice(-500)}`);
  }
  return { totals, files };
}

function once(options: JestOptions, files: readonly string[], counts: Counts): Promise<Outcome> {
  const begun = performance.now();
  return options.run({
    name: `jest ${options.config}`,
    command: [
      NODE,
      "--experimental-vm-modules",
      // V8 keeps compiled scripts for later contexts, and a script keeps the whole realm of its test file
      // alive: the heap then grows by 15 MB a file, and each collection marks all of them.
      "--no-compilation-cache",
      // Both cores have work already: helper threads of the collector only add to it, about a twelfth.
      "--single-threaded-gc",
      "--no-warnings",
      join(ROOT, "node_modules/jest/bin/jest.js"),
      "--config",
      options.config,
      ...(options.workers === 1 ? ["--runInBand"] : ["--maxWorkers", String(options.workers)]),
      "--runTestsByPath",
      ...files,
    ],
    deadlineMs: 24 * 3600_000, // each file has its own deadline
    env: { ...options.env, CINDERBLOCK_COUNTS: counts.file },
    onLine: (line) => {
      if (!/^Jest did not exit|^'This usually means/.test(line)) console.log(line);
    },
    watch: () => {
      counts.update();
      const [late] = counts.late(options.deadline);
      if (late !== undefined)
        return [`${late} did not end within ${options.deadline(late)} s`, ...counts.seen(late)].join("\n");
      if (
        counts.complete !== undefined &&
        performance.now() - counts.complete > (options.exitSeconds ?? EXIT_S) * 1000
      )
        return "Jest did not exit: a suite left something that keeps it running";
      if (counts.open.size + counts.done.size === 0 && performance.now() - begun > START_S * 1000)
        return "Jest did not start a suite";
      return undefined;
    },
  });
}
