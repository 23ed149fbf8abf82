import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import { budgetsOf, type MemoryConfig } from "./budgets.ts";
import { readContainer } from "./container.ts";

const MIB = 1048576,
  GIB = 1024 * MIB,
  NODE = { cpus: 32, memoryBytes: 128 * GIB };

/** A mount point of cgroups with some files. */
function cgroup(files: Record<string, string>): string {
  const root = temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

describe("limits of a container", () => {
  it.each([
    ["version 2", { "cpu.max": "250000 100000\n", "memory.max": "1073741824\n" }, 3, GIB],
    [
      "version 1",
      {
        "cpu/cpu.cfs_quota_us": "400000\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "2147483648\n",
      },
      4,
      2 * GIB,
    ],
    [
      "version 1, controllers together",
      { "cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000" },
      1,
      undefined,
    ],
    ["version 2 without limits", { "cpu.max": "max 100000\n", "memory.max": "max\n" }, 32, undefined],
    [
      "version 1 without limits",
      {
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
      },
      32,
      undefined,
    ],
    ["a quota above the machine", { "cpu.max": "6400000 100000" }, 32, undefined],
    ["damaged files", { "cpu.max": "", "memory.max": "" }, 32, undefined],
    ["no cgroups", {}, 32, undefined],
  ] as [string, Record<string, string>, number, number | undefined][])(
    "are read from cgroups of %s",
    (_, files, cpus, limit) => {
      expect(readContainer(cgroup(files), NODE)).toEqual({
        cpus,
        memoryBytes: limit ?? NODE.memoryBytes,
        isLimited: limit !== undefined,
      });
    },
  );
});

describe("budgets", () => {
  const flags: MemoryConfig = {
    memoryLimit: 0,
    memoryHeads: 0,
    memoryInflight: 0,
    memoryBlocks: 0,
    compactorMemory: 0,
    queryWorkers: 0,
    ingestWorkers: 0,
    cpus: 0,
  };
  const container = (cpus: number, memoryBytes: number, isLimited = true) => ({
    cpus,
    memoryBytes,
    isLimited,
  });

  it("follow the container's memory without a cap", () => {
    const heads = (gib: number): number => budgetsOf(flags, container(32, gib * GIB)).heads;
    expect(heads(16)).toBeGreaterThanOrEqual(1.9 * GIB);
    expect(heads(64)).toBeGreaterThan(7.8 * GIB);
    expect(budgetsOf(flags, container(8, 64 * GIB)).limit).toBe(32 * GIB);
    // Other programs share a machine without a limit.
    expect(budgetsOf(flags, container(8, 64 * GIB, false)).limit).toBe(4 * GIB);
    expect(budgetsOf(flags, container(8, 4 * GIB, false)).limit).toBe(2 * GIB);
  });

  it("give threads to the container's CPUs, at most seven, and at most a fifth of the memory", () => {
    const threads = (cpus: number, memoryBytes: number, more: Partial<MemoryConfig> = {}): number[] => {
      const b = budgetsOf({ ...flags, ...more }, container(cpus, memoryBytes));
      return [b.workers, b.ingestWorkers, b.runtime / MIB];
    };
    expect(threads(1, 16 * GIB)).toEqual([1, 1, 184]);
    expect(threads(2, 16 * GIB)).toEqual([1, 1, 184]);
    expect(threads(4, 16 * GIB)).toEqual([3, 3, 256]);
    expect(threads(96, 16 * GIB)).toEqual([7, 7, 400]);
    expect(threads(32, GIB)).toEqual([2, 2, 220]);
    expect(threads(32, 128 * MIB)).toEqual([1, 1, 184]);
    // Flags win, and their threads' memory leaves the budgets as well.
    expect(threads(96, 16 * GIB, { cpus: 3 })).toEqual([2, 2, 220]);
    expect(threads(2, 16 * GIB, { ingestWorkers: 15, queryWorkers: 3 })).toEqual([3, 15, 472]);
    const few = budgetsOf(flags, container(2, GIB)),
      many = budgetsOf({ ...flags, ingestWorkers: 9 }, container(2, GIB));
    expect(few.heads - many.heads).toBe(36 * MIB);
  });
});
