import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

export interface Process {
  pid: number;
  parent: number;
  group: number;
  command: string;
}

/** Processes of this machine, without zombies. */
export function processes(): Process[] {
  return existsSync("/proc/self/stat") ? fromProc() : fromPs();
}

function fromProc(): Process[] {
  const all: Process[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The name in parentheses may contain blanks and parentheses.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8"),
        end = stat.lastIndexOf(")"),
        [state, parent, group] = stat.slice(end + 2).split(" ");
      if (state === "Z" || state === "X") continue;
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      all.push({
        pid: Number(name),
        parent: Number(parent),
        group: Number(group),
        command: command || stat.slice(stat.indexOf("(") + 1, end),
      });
    } catch {
      continue; /* it ended meanwhile */
    }
  }
  return all;
}

function fromPs(): Process[] {
  const text = execFileSync("ps", ["-axo", "pid=,ppid=,pgid=,stat=,command="], { encoding: "utf8" });
  return text
    .split("\n")
    .map((l) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(l))
    .filter((m) => m !== null && !m[4]!.startsWith("Z") && !m[5]!.startsWith("ps -axo"))
    .map((m) => ({ pid: Number(m![1]), parent: Number(m![2]), group: Number(m![3]), command: m![5]! }));
}

/** Running children of a process, without their own children. */
export function childrenOf(pid: number): Process[] {
  return processes().filter((p) => p.parent === pid);
}

/**
 * Processes whose environment has a variable with this value, independent of their parents; only on Linux.
 */
export function withVariable(name: string, value: string): Process[] {
  const wanted = `${name}=${value}`;
  return processes().filter((p) => {
    if (p.pid === process.pid) return false;
    try {
      return readFileSync(`/proc/${p.pid}/environ`, "utf8").split("\0").includes(wanted);
    } catch {
      return false; /* ended, or of another user */
    }
  });
}

export function stopProcesses(list: readonly Process[]): void {
  for (const { pid } of list)
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      continue; /* ended meanwhile */
    }
}

/** User and system CPU time of this process and of its ended children; children count only on Linux. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  let children = 0;
  if (existsSync("/proc/self/stat")) {
    const stat = readFileSync("/proc/self/stat", "utf8"),
      fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    children = (Number(fields[13]) + Number(fields[14])) / TICKS;
  }
  return (user + system) / 1e6 + children;
}
/** Clock ticks per second in /proc, on every Linux that Node supports. */
const TICKS = 100;
