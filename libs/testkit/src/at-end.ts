import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";

type Stop = () => unknown;
/**
 * Jest's environment (tools/jest-environment) runs these stops when a test file ends for any reason, the
 * newest first.
 */
const KEY = Symbol.for("cinderblock.at-end");
const stops: Stop[] = ((globalThis as { [KEY]?: Stop[] })[KEY] ??= []);

/** Whether a test file runs this module, instead of a tool. */
export const IN_JEST = typeof (globalThis as { describe?: unknown }).describe === "function";

/** Runs `stop` when the test file ends; a tool itself must call its stops at the end of its process. */
export function atEnd(stop: Stop): void {
  stops.push(stop);
}

/** Kills a process and waits until it is gone. */
export function killed(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) {
      done();
      return;
    }
    child.once("exit", () => done());
    child.kill("SIGKILL");
  });
}

/** Starts a process that never outlives its test file, or its tool. */
export function startProcess(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(program, args, options);
  if (IN_JEST) atEnd(() => killed(child));
  else process.once("exit", () => child.kill("SIGKILL"));
  return child;
}
