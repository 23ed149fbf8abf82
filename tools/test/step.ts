import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Process, processes, stopProcesses, withVariable } from "./processes.ts";

export interface StepOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineMs: number;
  /** Sees each line of output as it comes. */
  readonly onLine?: (line: string) => void;
  /** Asked every half second; a reason ends the step. */
  readonly watch?: () => string | undefined;
}

export interface Outcome {
  readonly ok: boolean;
  /** exit code, or the name of the signal */
  readonly status: number | string;
  readonly seconds: number;
  readonly output: string;
  /** why the step failed, where the program's own output does not say it */
  readonly reason?: string;
}

/** Variable that every process of a step inherits, so that a process outside of the group is found as well. */
const MARK = "CINDERBLOCK_STEP";
let steps = 0;

/** Steps that run now, for the end of the run by a signal. */
const running = new Set<ChildProcess>();
export function killRunningSteps(): void {
  for (const child of running) killGroup(child);
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    return; /* nothing of the group is left */
  }
}

/** Runs a program in a process group of its own, within its deadline. A process that outlives the program is killed and fails the step. */
export async function runStep(options: StepOptions): Promise<Outcome> {
  const started = performance.now(),
    mark = `${process.pid}-${steps++}`,
    lines: string[] = [];
  const [program, ...args] = options.command;
  const child = spawn(program!, args, {
    cwd: options.cwd,
    env: { ...options.env, [MARK]: mark },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      options.onLine?.(line);
    });
  let reason: string | undefined;
  const end = (why: string): void => {
    reason ??= why;
    killGroup(child);
  };
  const deadline = setTimeout(() => end(`no end after ${options.deadlineMs / 1000} s`), options.deadlineMs);
  const watching = setInterval(() => {
    const why = options.watch?.();
    if (why !== undefined) end(why);
  }, 500);
  const status = await ended(child);
  clearTimeout(deadline);
  clearInterval(watching);
  const left = await leftOf(child.pid, mark);
  running.delete(child);
  if (left.length > 0) reason ??= `left processes: ${left.map((p) => `${p.pid} ${p.command}`).join(", ")}`;
  return {
    ok: status === 0 && reason === undefined,
    status,
    seconds: (performance.now() - started) / 1000,
    output: lines.join("\n"),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Exit code of a program; its pipes may be held open by a process that it left, which is no reason to wait. */
function ended(child: ChildProcess): Promise<number | string> {
  return new Promise((done) => {
    child.once("error", (err) => {
      child.stderr?.emit("data", Buffer.from(`${err.message}\n`));
      done(-1);
    });
    child.once("exit", (code, signal) => {
      const status = code ?? signal ?? "unknown";
      const give = setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        done(status);
      }, 500);
      child.once("close", () => {
        clearTimeout(give);
        done(status);
      });
    });
  });
}

/** Processes of a step that live a second after its program ended; they are killed. */
async function leftOf(group: number | undefined, mark: string): Promise<Process[]> {
  const find = (): Process[] => {
    const byGroup = processes().filter((p) => p.group === group),
      byMark = withVariable(MARK, mark).filter((p) => !byGroup.some((q) => q.pid === p.pid));
    return [...byGroup, ...byMark];
  };
  let left = find();
  for (let i = 0; i < 10 && left.length > 0; i++) {
    await new Promise((r) => {
      setTimeout(r, 100);
    });
    left = find();
  }
  stopProcesses(left);
  return left;
}
