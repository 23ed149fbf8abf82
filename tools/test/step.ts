import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { type Process, processes, stopProcesses, withVariable } from "./processes.ts";

export interface StepOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineMs: number;
  /** Called with each line of output. */
  readonly onLine?: (line: string) => void;
  /** Called every half second; a returned reason ends the step. */
  readonly watch?: () => string | undefined;
}

export interface Outcome {
  readonly ok: boolean;
  /** exit code, or the name of the signal */
  readonly status: number | string;
  readonly seconds: number;
  readonly output: string;
  /** reason of the failure, if the program's own output does not have it */
  readonly reason?: string;
}

/** Variable that every process of a step inherits, to find processes outside the process group. */
const MARK = "CINDERBLOCK_STEP";
let steps = 0;

/** Running steps by their mark. */
const running = new Map<string, ChildProcess>();

/** Kills every process of the running steps, also those with a process group of their own. */
export function killRunningSteps(): void {
  for (const [mark, child] of running) {
    killGroup(child);
    // A process may start another one before it is killed.
    for (let left = withVariable(MARK, mark), tries = 0; left.length > 0 && tries < 5; tries++) {
      stopProcesses(left);
      left = withVariable(MARK, mark);
    }
  }
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    return; /* the process group has ended */
  }
}

/**
 * Runs a program in its own process group, with a deadline. Processes that outlive the program are killed and
 * fail the step.
 */
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
  running.set(mark, child);
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
  running.delete(mark);
  if (left.length > 0) reason ??= `left processes: ${left.map((p) => `${p.pid} ${p.command}`).join(", ")}`;
  return {
    ok: status === 0 && reason === undefined,
    status,
    seconds: (performance.now() - started) / 1000,
    output: lines.join("\n"),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** Exit code of a program; does not wait for pipes that a leftover process holds open. */
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

/** Kills the processes of a step that still run a second after the program's end, and returns them. */
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
