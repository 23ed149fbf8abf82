import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";

/** CPUs and memory that this process may use. */
export interface Container {
  /** CPU quota of the cgroup, rounded up, or the processors that the scheduler gives this process */
  readonly cpus: number;
  /** memory limit of the cgroup, or the machine's memory, in bytes */
  readonly memoryBytes: number;
  /** whether the memory is limited by a cgroup */
  readonly isLimited: boolean;
}

/** Processors and memory of the machine. */
export interface Machine {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** Trimmed text of the first of these files that exists; undefined if all are missing. */
function readFirst(root: string, ...files: string[]): string | undefined {
  for (const file of files) {
    try {
      return readFileSync(join(root, file), "utf8").trim();
    } catch {
      /* the other version of cgroups, or not Linux */
    }
  }
  return undefined;
}

/** CPU quota of a cgroup (version 2, then version 1); Infinity without one. */
function cpuQuota(root: string): number {
  const two = readFirst(root, "cpu.max")?.split(/\s+/),
    quota = two ? two[0] : readFirst(root, "cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us"),
    period = two ? two[1] : readFirst(root, "cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us");
  const cpus = Number(quota) / Number(period);
  return cpus > 0 && Number.isFinite(cpus) ? cpus : Infinity; // no quota is "max" or -1
}

/** Reads the limits of this process's cgroup. @param root mount point of the cgroups */
export function readContainer(
  root = "/sys/fs/cgroup",
  machine: Machine = { cpus: availableParallelism(), memoryBytes: totalmem() },
): Container {
  const memory = Number(readFirst(root, "memory.max", "memory/memory.limit_in_bytes")),
    isLimited = memory > 0 && memory < machine.memoryBytes;
  return {
    cpus: Math.max(1, Math.min(machine.cpus, Math.ceil(cpuQuota(root)))),
    memoryBytes: isLimited ? memory : machine.memoryBytes,
    isLimited,
  };
}
