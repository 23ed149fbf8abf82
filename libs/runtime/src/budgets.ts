import { readFileSync } from "node:fs";
import { type Container, readContainer } from "./container.ts";

const MIB = 1048576;

/** Flags that decide the budgets, in bytes; 0: derived from the limit. */
export interface MemoryConfig {
  readonly memoryLimit: number;
  readonly memoryHeads: number;
  readonly memoryInflight: number;
  readonly memoryBlocks: number;
  readonly compactorMemory: number;
  /** number of query workers; 0: derived from the CPUs */
  readonly queryWorkers: number;
  /** number of ingest threads, of a process with an ingester; 0: derived from the CPUs */
  readonly ingestWorkers?: number;
  /** CPUs to derive threads from; 0: those of the container */
  readonly cpus: number;
}

/**
 * Memory of the main thread's code, stack and heap, and of each ingest thread with a query thread. A process
 * with one pair needs 184 MiB under load: 120 MB when idle, and uncollected garbage. Idle processes with 7 to
 * 63 pairs need 33 MiB for each pair.
 */
const MAIN_BYTES = 148 * MIB,
  THREAD_PAIR_BYTES = 36 * MIB;
/** CPUs that count for the default number of threads: beyond them, more processes scale better. */
const MOST_CPUS = 8;
/** Fraction of the limit, as a divisor, that threads may use by default. */
const THREADS_SHARE = 5;
/** Maximum default limit if the process has no memory limit: other programs may share the machine. */
const UNLIMITED_BYTES = 4 * 1024 * MIB;

/** Memory budgets in bytes, and the numbers of query workers and connections. */
export interface Budgets {
  limit: number;
  heads: number;
  inflight: number;
  blocks: number;
  compactor: number;
  /** query threads, and of a distributor validating threads */
  workers: number;
  ingestWorkers: number;
  /** memory of the runtime with these threads, which the budgets above leave out */
  runtime: number;
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

let container: Container | undefined;
function thisContainer(): Container {
  return (container ??= readContainer());
}

/**
 * Number of ingest threads and of query threads without flags: one CPU is the main thread's. A container on a
 * large machine gets threads for its own CPUs, and no more than its memory carries.
 */
function defaultThreads(cpus: number, limit: number): number {
  const affordable = Math.floor(limit / THREADS_SHARE / THREAD_PAIR_BYTES);
  return Math.max(1, Math.min(Math.min(cpus, MOST_CPUS) - 1, affordable));
}

/** Splits the memory limit into budgets, after the memory of the threads. */
export function budgetsOf(c: MemoryConfig, { cpus, memoryBytes, isLimited } = thisContainer()): Budgets {
  const half = memoryBytes / 2,
    limit =
      c.memoryLimit > 0 ? c.memoryLimit : Math.floor(isLimited ? half : Math.min(half, UNLIMITED_BYTES));
  const threads = defaultThreads(c.cpus > 0 ? c.cpus : cpus, limit),
    workers = c.queryWorkers > 0 ? c.queryWorkers : threads,
    ingestWorkers = (c.ingestWorkers ?? 0) > 0 ? c.ingestWorkers! : threads,
    runtime = MAIN_BYTES + (THREAD_PAIR_BYTES / 2) * (workers + ingestWorkers);
  // A cut briefly needs about twice the memory of its head.
  const free = Math.max(32 * MIB, limit - runtime);
  const share = (set: number, part: number): number => (set > 0 ? set : Math.floor(free * part));
  return {
    limit,
    heads: share(c.memoryHeads, 0.25),
    inflight: share(c.memoryInflight, 0.1),
    blocks: share(c.memoryBlocks, 0.2),
    compactor: share(c.compactorMemory, 0.15),
    workers,
    ingestWorkers,
    runtime,
    headers: Math.floor(limit / 16),
    connections: Math.max(64, Math.floor(Math.min(limit / CONNECTION_BYTES, (fileDescriptors() * 3) / 4))),
  };
}

/** Maximum bytes of one inflated body, whatever the limit: the process has to hold it. */
export function largestBody(c: MemoryConfig): number {
  return Math.max(16 * MIB, Math.floor(2 * budgetsOf(c).inflight));
}
