import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";

const MIB = 1048576;

/** Flags that decide the budgets, in bytes; 0: derived from the limit. */
export interface MemoryConfig {
  readonly memoryLimit: number;
  readonly memoryHeads: number;
  readonly memoryInflight: number;
  readonly memoryBlocks: number;
  readonly compactorMemory: number;
  /** number of query workers; 0: derived from the processors */
  readonly queryWorkers: number;
}

/**
 * Memory of the threads' code, stacks and heaps, measured under load: 120 MB when idle, the rest is
 * uncollected garbage.
 */
const RUNTIME_BYTES = 184 * MIB;

/** Memory budgets in bytes, and the numbers of query workers and connections. */
export interface Budgets {
  limit: number;
  heads: number;
  inflight: number;
  blocks: number;
  compactor: number;
  workers: number;
  /** maximum connections of the server's port */
  connections: number;
  /** headers above 64 KiB, of all connections together */
  headers: number;
}

/** Memory per connection: twice the header bytes that count in no budget, for clients that send them slowly. */
const CONNECTION_BYTES = 128 << 10;

/** Limit of file descriptors of this process. */
function fileDescriptors(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity; // not Linux: only the memory decides
  }
}

let container: number | undefined;
/** Memory of the container: the limit of its cgroup, or the machine's memory. */
function containerMemory(): number {
  return (container ??= readContainerMemory());
}
function readContainerMemory(): number {
  for (const path of ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]) {
    try {
      const n = Number(readFileSync(path, "utf8").trim());
      if (Number.isFinite(n) && n > 0 && n < totalmem()) return n;
    } catch {
      /* no such cgroup file: try the next one, then the machine */
    }
  }
  return totalmem();
}

/** Splits the memory limit into budgets. */
export function budgetsOf(c: MemoryConfig): Budgets {
  const limit = c.memoryLimit > 0 ? c.memoryLimit : Math.min(containerMemory() / 2, 4 * 1024 * MIB);
  // Reserve the runtime's own memory; a cut briefly needs about twice the memory of its head.
  const free = Math.max(32 * MIB, limit - RUNTIME_BYTES);
  const share = (set: number, part: number): number => (set > 0 ? set : Math.floor(free * part));
  return {
    limit,
    heads: share(c.memoryHeads, 0.25),
    inflight: share(c.memoryInflight, 0.1),
    blocks: share(c.memoryBlocks, 0.2),
    compactor: share(c.compactorMemory, 0.15),
    workers: c.queryWorkers > 0 ? c.queryWorkers : Math.max(1, availableParallelism() - 1),
    headers: Math.floor(limit / 16),
    connections: Math.max(64, Math.floor(Math.min(limit / CONNECTION_BYTES, (fileDescriptors() * 3) / 4))),
  };
}

/** Maximum bytes of one inflated body, whatever the limit: the process has to hold it. */
export function largestBody(c: MemoryConfig): number {
  return Math.max(16 * MIB, Math.floor(2 * budgetsOf(c).inflight));
}
